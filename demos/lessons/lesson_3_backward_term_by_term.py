# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lesson 3. Backward, term by term, and the formulas that are printed wrong
#
# A net has a loss at every step. Which of these losses does the gradient of a weight need, and how do we write it down
# without a mistake? Lecture notes contain several formulas that are wrong. This lesson measures how wrong.
#
# > **Guess first.** A net has nine steps and nine losses. One derivation computes the gradient at the state $h_t$ from
# > the loss of step $t$ alone, another one from the losses of steps $t$ and $t + 1$. By how much is the gradient of $W$
# > then wrong: by 1 %, by 10 %, or by more? And how many terms does the exact gradient of $W$ have: 9, 45 or 81?

# %%
# %load_ext microgradrnn
import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from microgradrnn import Tensor, nn

viz.set_theme(page=830)
rng = np.random.default_rng(0)
T, B, D, H, K = 9, 2, 3, 5, 4
cell, head = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)
x, y = rng.standard_normal((T + 1, B, D)), rng.integers(0, K, (T + 1, B))  # entry 0 is not used
h0 = Tensor(rng.standard_normal((B, H)))
hs, _ = nn.unroll(cell, x[1:], h0)
losses = [nn.cross_entropy(head(hs[t - 1]), y[t], reduction="sum") for t in range(1, T + 1)]
loss = mg.stack(losses).sum()
viz.draw_unrolled(viz.gradient_flow(loss), steps=(6, 8))

# %% [markdown]
# ## The recursion
#
# The thick lines are gradients on their way back. Look at a state in the middle. It has two destinations, the output
# and the next step, so two messages come back to it. They add up:
#
# $$\frac{\partial L}{\partial h_t} = (\hat y_t - y_t) V^\top + \varepsilon_{t+1} W^\top, \qquad
# \varepsilon_t = \frac{\partial L}{\partial z_t} = \frac{\partial L}{\partial h_t} \odot (1 - h_t^2).$$
#
# The second message is often forgotten ([C28](../claims.md)). $t$ is fixed on the left, so there is no sum over $t$ on
# the right, although one source prints it ([C30](../claims.md)). The factor $1 - h_t^2$ works entry by entry: the
# Jacobian of tanh is diagonal ([C31](../claims.md)). These two formulas, and outer products, are the whole backward
# pass:

# %%
U, W, b, V = (p.data for p in (*cell.parameters(), head.V))
h = np.concatenate([h0.data[None], hs.data])                     # h[t] is the state after step t
slope, steps = 1 - h**2, range(1, T + 1)
G = mg.softmax(head(h)).data - np.eye(K)[y]                      # G[t] is ŷ_t − y_t


def backward(G: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The gradient at every state, and of every weight."""
    at_h, eps, from_next = np.zeros_like(h), np.zeros_like(h), np.zeros((B, H))
    for t in reversed(steps):
        at_h[t] = G[t] @ V.T + from_next
        eps[t] = at_h[t] * slope[t]
        from_next = eps[t] @ W.T
    terms = [{"U": x[t].T @ eps[t], "W": h[t - 1].T @ eps[t], "b": eps[t].sum(axis=0),
              "V": h[t].T @ G[t]} for t in steps]
    return at_h, {name: np.sum([term[name] for term in terms], axis=0) for name in "UWbV"}


def error(found: np.ndarray, right: np.ndarray) -> float:
    """The relative error."""
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


at_h, gradients = backward(G)
weights = dict(zip("UWbV", (*cell.parameters(), head.V), strict=True))
against_engine = {name: error(gradients[name], mg.grad(loss, weights[name])) for name in weights}
print("relative errors:", {name: f"{found:.0e}" for name, found in against_engine.items()})

# %% [markdown]
# The engine, which knows only graphs, has the same numbers to the last digits. The gradients of $W$, $U$ and $b$ are
# sums of outer products of $\varepsilon_t$ with $h_{t-1}$, $x_t$ and 1. This is right because $\varepsilon_t$ holds the
# gradient of *all* later losses ([C32](../claims.md)). Compared with ordinary back-propagation, only two things are
# new: unroll the net, and sum over the steps ([C35](../claims.md)).
#
# You can play this backward pass, message by message:

# %%
viz.explore(loss, name="Nine steps, nine losses")

# %% [markdown]
# ## Loss by loss: 45 terms
#
# Split the gradient further. Let $\delta_{t,k} = \partial L_t / \partial z_k$ be the *local error*: how the loss of
# step $t$ depends on step $k \le t$. It starts at its own step and goes back ([C33](../claims.md)):
#
# $$\delta_{t,t} = \big((\hat y_t - y_t) V^\top\big) \odot (1 - h_t^2), \qquad
# \delta_{t,k} = \big(\delta_{t,k+1} W^\top\big) \odot (1 - h_k^2).$$

# %%
delta = {}
for t in steps:
    delta[t, t] = (G[t] @ V.T) * slope[t]
    for k in range(t - 1, 0, -1):
        delta[t, k] = (delta[t, k + 1] @ W.T) * slope[k]
double_sum = sum(h[k - 1].T @ delta[t, k] for t, k in delta)
error_of_double_sum = error(double_sum, gradients["W"])
print(f"{len(delta)} terms, relative error {error_of_double_sum:.0e}")
errors = viz.local_errors(loss)
viz.plot_local_errors(errors)

# %% [markdown]
# This answers the second guess: $1 + 2 + \dots + 9 = 45$ terms. Their double sum is the gradient ([C34](../claims.md)).
# Column $k$ is filled from the diagonal to the bottom: step $k$ gets something from *every* later loss, not only from
# the losses at $k$ and $k + 1$ ([C26](../claims.md)). The colours fade with $t - k$: lesson 4 is about this.
#
# At each step, the recursion adds the message of one loss to the sum for all later losses, and then goes back with the
# new sum. So it takes $O(T)$ time. The double sum follows each loss separately and takes $O(T^2)$
# ([C19](../claims.md)).

# %%
def messages(T: int) -> tuple[int, int]:
    """Messages of one reverse pass, and of a pass for each loss alone."""
    os = [head(h) for h in nn.unroll(cell, rng.standard_normal((T, B, D)))[0]]
    each = [(o**2).sum() for o in os]
    whole = mg.stack(each).sum()
    together, *apart = [len(viz.gradient_flow(root).messages) for root in (whole, *each)]
    return together, sum(apart)


work = {n: messages(n) for n in (30, 60)}
factors = [work[60][k] / work[30][k] for k in (0, 1)]
print(f"twice the steps, {factors[0]:.1f} times the messages; {factors[1]:.1f} loss by loss")

# %% [markdown]
# ## Step by step: the copies of one weight
#
# Now sort the same terms by the step $k$ that used $W$, as if each step had a copy of its own. The gradient of the
# shared weight is the sum of the gradients of the copies ([C2](../claims.md)).

# %%
by_step = viz.shares(loss, {"W": cell.W})["W"]
whole = np.linalg.norm(by_step.total)
print(f"norm of the sum {whole:.2f}, sum of the norms {by_step.norms.sum():.2f}")
viz.plot_shares(by_step)

# %% [markdown]
# The copies point in different directions and cancel in part. (Pictures count steps from 0, equations from 1.) Why is
# there one term for each step? $z_t$ depends on $W$ in two ways: directly, with $h_{t-1}$ held fixed, and through
# $h_{t-1}$, which was computed with $W$ too ([C36](../claims.md)). The direct way gives one term; the other way leads
# to the step before, where the same argument applies. At the first step the term is $h_0^\top \varepsilon_1$. It is
# zero if $h_0 = 0$, so some texts count $t - 1$ terms ([C37](../claims.md)).
#
# $V$ is different. Each of its terms involves the current step alone. But the gradient is still the *sum* of all nine
# terms ([C25](../claims.md)).
#
# ## The chain of Jacobians
#
# From step 1 to step $T$ there is a chain. Each link is a matrix ([C40](../claims.md)), and the chain is their product
# ([C39](../claims.md)):
#
# $$\frac{\partial z_{t+1}}{\partial z_t} = \mathrm{diag}(1 - h_t^2)\, W, \qquad
# \frac{\partial z_T}{\partial z_1} = D_1 W D_2 W \cdots D_{T-1} W, \quad D_t = \mathrm{diag}(1 - h_t^2).$$
#
# (These are for rows. Texts that use columns write $W D_t$, and the product from right to left.)

# %%
def last_z(z: Tensor) -> Tensor:
    """z_T from z_1, for the first sequence."""
    for t in range(2, T + 1):
        z = x[t, 0] @ U + z.tanh() @ W + b
    return z


chain = mg.jacobian(last_z, np.arctanh(h[1, 0])).T               # transposed, for rows
links = [np.diag(slope[t, 0]) @ W for t in range(1, T)]
error_of_chain = error(np.linalg.multi_dot(links), chain)
powers = np.diag(slope[1:T, 0].prod(axis=0)) @ np.linalg.matrix_power(W, T - 1)
error_of_powers = error(powers, chain)
print(f"relative error in turn {error_of_chain:.0e}, with the powers apart {error_of_powers:.2f}")

# %% [markdown]
# One source collects the factors: $W^n$ times the product of all diagonals. But matrices do not commute, so this is
# another matrix ([C41](../claims.md)). And "the gradient of a recurrent net is a product" is only half of the truth.
# Each chain is a product; the gradient of a weight is a *sum* of such products, one for each of the 45 terms
# ([C42](../claims.md)).
#
# ## The formulas as printed
#
# Now the measurement: the norm of the error, relative to the norm of the right value. First four formulas for the
# gradients of $V$ and $W$, as they are printed, but written for rows:

# %%
def of_w(at_z: dict[int, np.ndarray]) -> np.ndarray:
    """The gradient of W from the gradients at z."""
    return np.sum([h[t - 1].T @ at_z[t] for t in steps], axis=0)


def for_weights(G: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of V and W as printed."""
    own = {t: (G[t] @ V.T) * slope[t] for t in steps}            # the loss of the step alone
    two = {t: own[t] + ((own[t + 1] @ W.T) * slope[t] if t < T else 0) for t in steps}
    g, swapped = G[T] @ V.T, {T: own[T]}
    for t in range(T - 1, 0, -1):                                # the matrix before the slope
        g = G[t] @ V.T + (g @ W.T) * slope[t + 1]
        swapped[t] = g * slope[t]
    return {"C25": h[T].T @ G[T], "C26": of_w(two), "C27": of_w(own), "C29": of_w(swapped)}


# %% [markdown]
# Then three ways to get from $\partial L / \partial h_T$ to $\partial L / \partial h_1$ along the chain:

# %%
def for_chain(g: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient at h_1 from that at h_T, as printed."""
    right = ascending = transposed = g
    for k in range(T, 1, -1):                                    # the last step first
        right = (right * slope[k]) @ W.T
        transposed = (transposed * slope[k]) @ W
    for k in range(2, T + 1):
        ascending = (ascending * slope[k]) @ W.T
    return {"C59 order": ascending, "C59 Wᵀ": transposed, "C60": right}


def errors_of(G: np.ndarray) -> dict[str, float]:
    """The relative error of each formula."""
    at_h, exact = backward(G)
    weights, chain = for_weights(G), for_chain(at_h[T])
    right = {"C59 order": chain["C60"], "C59 Wᵀ": chain["C60"], "C60": at_h[1]}
    found = {name: error(g, exact["V" if name == "C25" else "W"]) for name, g in weights.items()}
    found["C41"] = error_of_powers
    return found | {name: error(chain[name], right[name]) for name in chain}


wrong = errors_of(G)
print({name: round(found, 2) for name, found in wrong.items()})
ax = charts.bars({"relative error": [*wrong.values()]}, "", "relative error", names=[*wrong])
charts.titled(ax, "Formulas as printed: none of these errors is small")

# %% [markdown]
# * [C25](../claims.md): "the gradient of $V$ has one term". The sum over the steps is missing.
# * [C26](../claims.md): "the losses at $t$ and $t+1$ determine the gradient of $W$". All later losses do.
# * [C27](../claims.md): "$\partial L/\partial h_t = V (\partial L/\partial o_t)^\top$". The message from the next step
#   is missing. (And for columns, the matrix must be $V^\top$.)
# * [C29](../claims.md): "the second message is $W^\top g\,(1 - h_{t+1}^2)$". The slope comes before the matrix.
# * [C41](../claims.md): the powers of $W$ apart from the slopes, as above.
# * [C59](../claims.md): "a product in ascending order, with $W^\top$". The last step comes first. And $W$ is transposed
#   for rows, as here, but not in the layout of that source.
# * [C60](../claims.md): "$\partial L/\partial h_1$ is the chain applied to $\partial L/\partial h_T$". This is right
#   with one loss, at the last step. Otherwise every step adds its own message.
#
# > **What textbooks say, and what is measured.** "The gradient at a state comes from the losses at $t$ and $t + 1$", or
# > even from the loss at $t$ alone. In this small net, the gradient of $W$ is then wrong by about a quarter: this
# > answers the first guess. The next cell shows why it is easy to overlook this.

# %%
own, exact = for_weights(G)["C27"], gradients["W"]
cosine = float((own * exact).sum() / (np.linalg.norm(own) * np.linalg.norm(exact)))
print(f"cosine between the exact gradient and that of C27: {cosine:.2f}")

# %% [markdown]
# The wrong gradient points nearly the same way as the exact one. A small step against it still lowers the loss, so
# training does not reveal the mistake. A comparison with an engine does.
#
# ## Summary
#
# * Two messages come back to every state: from its own output, and from the next step. The message from the next step
#   is multiplied by the slope first, then by the matrix.
# * The gradient of $W$ is a double sum over losses and steps. The recursion computes it in $O(T)$ time.
# * Each chain of Jacobians is a product of matrices in turn, and their order counts. The gradient of a weight is a sum.
# * Test every formula that you write or copy against an engine.
#
# ## Exercises
#
# **Exercise 1.** Set $h_0 = 0$. Predict: how many of the nine terms of $W$, and how many of $U$, are not zero?

# %% tags=["hide-cell"]
zero_start = head(nn.unroll(cell, x[1:], np.zeros((B, H)))[0])
terms = viz.shares(nn.cross_entropy(zero_start, y[1:]), {"W": cell.W, "U": cell.U})
counts = {name: int((share.norms > 0).sum()) for name, share in terms.items()}
print(counts)  # at the first step W multiplies h_0, and U multiplies x_1

# %% [markdown]
# **Exercise 2.** One source says that the gradient does not depend on the outputs, only on the states. Replace $V$ by
# $-3V$. Predict what changes: the states, the chain of Jacobians, the gradient of $W$? ([C38](../claims.md))

# %% tags=["hide-cell"]
other = nn.Linear(H, K, rng=1)
other.V.data = -3 * V
loss_of_other = nn.cross_entropy(other(hs), y[1:], reduction="sum")
before, after = (viz.step_jacobians(root).arrays for root in (loss, loss_of_other))
same_chain = np.array_equal(before, after)
change = error(mg.grad(loss_of_other, cell.W), gradients["W"])
print(f"same chain: {same_chain}; relative change of the gradient of W: {change:.2f}")

# %% [markdown]
# **Exercise 3.** Keep only the loss of the last step. Predict which of the printed formulas become right.

# %% tags=["hide-cell"]
only_last = np.zeros_like(G)
only_last[T] = G[T]
still_wrong = errors_of(only_last)
print({name: round(found, 2) for name, found in still_wrong.items()})  # C25 and C60 are right now
