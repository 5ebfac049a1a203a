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
# # Lesson 3. Backward, term by term, and formulas that are wrong in print
#
# A net has a loss at every step. Which of these losses does the gradient of a weight need, and how do we write it down
# without a mistake? Lecture notes contain several formulas that are wrong. This lesson measures how wrong.
#
# > **Guess first.** A net has nine steps and nine losses. For the gradient at the state $h_t$, derivation A uses only
# > the loss of step $t$. Derivation B uses the losses of steps $t$ and $t + 1$. Both are wrong. How large is the
# > relative error of the gradient of $W$ with A, and with B: about 1 %, about 10 %, or more? And how many pairs (a loss
# > at step $t$, a use of $W$ at step $k$) contribute to the exact gradient of $W$: 9, 45 or 81?

# %%
# %load_ext microgradrnn
import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from microgradrnn import Tensor, nn, optim

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
# The coloured arrows are gradients on their way back. Look at the state $h_7$ in its frame. (Pictures count steps from
# 0, equations from 1.) It has two destinations, the output and the next step, so two messages come back to it. They add
# up:
#
# $$\frac{\partial L}{\partial h_t} = (\hat y_t - y_t) V^\top + \varepsilon_{t+1} W^\top, \qquad
# \varepsilon_t = \frac{\partial L}{\partial z_t} = \frac{\partial L}{\partial h_t} \odot (1 - h_t^2).$$
#
# Here $L = \sum_t L_t$ is the total loss, $\hat y_t = \mathrm{softmax}(o_t)$ is the prediction from the output
# $o_t = h_t V + d$, and $\odot$ multiplies entry by entry. Nothing comes back after the last step:
# $\varepsilon_{T+1} = 0$.
#
# The second message is often forgotten ([C28](../claims.md)). On the left side $t$ is fixed, so the right side has no
# sum over $t$. One source prints such a sum; this is a mistake ([C30](../claims.md)). The Jacobian of tanh is diagonal,
# so the factor $1 - h_t^2$ works entry by entry ([C31](../claims.md)). The gradient of each weight is a sum with one
# product for each step:
#
# $$\frac{\partial L}{\partial W} = \sum_t h_{t-1}^\top \varepsilon_t, \qquad
# \frac{\partial L}{\partial U} = \sum_t x_t^\top \varepsilon_t, \qquad
# \frac{\partial L}{\partial b} = \sum_t \varepsilon_t, \qquad
# \frac{\partial L}{\partial V} = \sum_t h_t^\top (\hat y_t - y_t).$$
#
# These formulas are the whole backward pass:

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
# The engine, which knows only graphs, gives the same numbers, up to rounding. The sums are right because
# $\varepsilon_t$ holds the gradient of the losses of step $t$ *and of all later steps* ([C32](../claims.md)). Compared
# with ordinary back-propagation, only two things are new: unroll the net, and sum over the steps
# ([C35](../claims.md)).
#
# On the page of this lesson, you can watch the backward pass, one message after the other:

# %%
viz.explore(loss, name="Nine steps, nine losses")

# %% [markdown]
# ## Loss by loss: 45 terms
#
# Split the gradient further. Let $\delta_{t,k} = \partial L_t / \partial z_k$ be the *local error*: how the loss of
# step $t$ depends on an earlier step $k$, or on step $t$ itself. The computation goes backwards, from $k = t$ down to
# $k = 1$ ([C33](../claims.md)):
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
# This answers the second guess: $1 + 2 + \dots + 9 = 45$ pairs, so 45 terms $h_{k-1}^\top \delta_{t,k}$. Their double
# sum is the gradient of $W$ ([C34](../claims.md)). Each column of the picture is filled from the diagonal to the
# bottom: step $k$ gets something from its own loss and from *every* later loss, not only from the losses at $k$ and
# $k + 1$ ([C26](../claims.md)). Along each row the colours fade to the left: lesson 4 is about this.
#
# At step $t$, the recursion adds the message of $L_t$ to the sum for all later losses and goes back with the new sum.
# So it takes $O(T)$ time. The double sum follows each loss separately and takes $O(T^2)$ ([C19](../claims.md)).

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
# Now sort the 45 terms by the step $k$ that used $W$, as if each step had a copy of its own. The terms with the same
# $k$ add up to the gradient of one of nine copies. These add up to the gradient of the shared weight
# ([C2](../claims.md)).

# %%
by_step = viz.shares(loss, {"W": cell.W})["W"]
whole = np.linalg.norm(by_step.total)
along = (by_step.arrays * by_step.total).sum(axis=(1, 2))
against = [t for t in steps if along[t - 1] < 0]
print(f"norm of the sum {whole:.2f}, sum of the norms {by_step.norms.sum():.2f}")
print(f"steps whose copies point against the sum: {against}")
viz.plot_shares(by_step)

# %% [markdown]
# The gradients of the copies point in different directions, so their sum is much shorter than 6.27. Those of steps 6
# and 9 (5 and 8 in the picture) even point against the sum.
#
# Why has the loss of step $t$ one term for each step up to $t$? The vector $z_t$ depends on $W$ in two ways: directly,
# with $h_{t-1}$ held fixed, and through $h_{t-1}$, which was computed with $W$ too ([C36](../claims.md)). The direct
# way gives one term. For the other way, use the same argument at step $t - 1$, and so on: this makes $t$ terms. The one
# of step 1 is zero if $h_0 = 0$, so some texts count $t - 1$ ([C37](../claims.md)).
#
# $V$ is different. Each of its nine terms involves one step alone. But the gradient is still their *sum*
# ([C25](../claims.md)).
#
# ## The chain of Jacobians
#
# From step 1 to step $T$ there is a chain. Each link is a matrix ([C40](../claims.md)), and the chain is their product
# ([C39](../claims.md)):
#
# $$S_t = \mathrm{diag}(1 - h_t^2), \qquad \frac{\partial z_{t+1}}{\partial z_t} = S_t W, \qquad
# \frac{\partial z_T}{\partial z_1} = S_1 W S_2 W \cdots S_{T-1} W.$$
#
# $S_t$ holds the slopes of tanh. Row $i$ of these matrices belongs to entry $i$ of the old $z$, column $j$ to entry $j$
# of the new one. Texts with column vectors have the transposed matrices: their $W$ is our $W^\top$, they write $W S_t$,
# and the factor of the last step stands on the left.

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
print(f"relative error with the factors in the right order: {error_of_chain:.0e}")
print(f"relative error with the slopes and W collected separately: {error_of_powers:.2f}")

# %% [markdown]
# One source collects the factors: the product of all $S_t$, times $W^{T-1}$. But matrices do not commute in general, so
# this is a different matrix ([C41](../claims.md)). And "the gradient of a recurrent net is a product" is only partly
# right. Each chain is a product, but the gradient of $W$ is a *sum* of 45 terms, each with its own chain. (For $k = t$
# the chain has no factor.) ([C42](../claims.md))
#
# ## The formulas as printed
#
# Now the measurement: the norm of the error, divided by the norm of the right value. All formulas are rewritten for
# rows. First four for the gradients of $V$ and $W$:

# %%
def of_w(at_z: dict[int, np.ndarray]) -> np.ndarray:
    """The gradient of W from the gradients at z."""
    return np.sum([h[t - 1].T @ at_z[t] for t in steps], axis=0)


def for_weights(G: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of V and W as printed."""
    alone = {t: (G[t] @ V.T) * slope[t] for t in steps}          # the loss of the step alone
    pair = {t: alone[t] + ((alone[t + 1] @ W.T) * slope[t] if t < T else 0) for t in steps}
    g, swapped = G[T] @ V.T, {T: alone[T]}
    for t in range(T - 1, 0, -1):                                # the matrix before the slope
        g = G[t] @ V.T + (g @ W.T) * slope[t + 1]
        swapped[t] = g * slope[t]
    return {"C25": h[T].T @ G[T], "C26": of_w(pair), "C27": of_w(alone), "C29": of_w(swapped)}


# %% [markdown]
# C41 was measured above. Three more go from $\partial L / \partial h_T$ to $\partial L / \partial h_1$ along the chain:

# %%
def for_chain(g: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient at h_1 from that at h_T, as printed."""
    chain = wrong_order = wrong_matrix = g
    for k in range(T, 1, -1):                                    # the last step first
        chain = (chain * slope[k]) @ W.T
        wrong_matrix = (wrong_matrix * slope[k]) @ W
    for k in range(2, T + 1):
        wrong_order = (wrong_order * slope[k]) @ W.T
    return {"C59 order": wrong_order, "C59 matrix": wrong_matrix, "C60": chain}


def errors_of(G: np.ndarray) -> dict[str, float]:
    """The relative error of each formula."""
    at_h, exact = backward(G)
    weights, chain = for_weights(G), for_chain(at_h[T])
    right = {"C59 order": chain["C60"], "C59 matrix": chain["C60"], "C60": at_h[1]}
    found = {name: error(g, exact["V" if name == "C25" else "W"]) for name, g in weights.items()}
    found["C41"] = error_of_powers
    return found | {name: error(chain[name], right[name]) for name in chain}


wrong = errors_of(G)
print({name: round(found, 2) for name, found in wrong.items()})
ax = charts.bars({"relative error": [*wrong.values()]}, "", "relative error", names=[*wrong])
low, high = min(wrong.values()), max(wrong.values())
charts.titled(ax, f"Formulas as printed: the errors here are between {low:.2f} and {high:.2f}")

# %% [markdown]
# Here is what the sources print, and what is right, in the order of our [list of claims](../claims.md). As in the code,
# $G_t = \hat y_t - y_t$. The gradient at a state is $g_t = \partial L / \partial h_t$. C29 is about the second message.
#
# | claim | printed | right | error |
# |---|---|---|---|
# | C25 | $\partial L/\partial V = h_T^\top G_T$ | $\sum_t h_t^\top G_t$ | 1.17 |
# | C26 | $\varepsilon_t$ is the gradient of $L_t + L_{t+1}$ | that of $L_t + L_{t+1} + \dots + L_T$ | 0.25 |
# | C27 | $g_t = G_t V^\top$ | $g_t = G_t V^\top + \varepsilon_{t+1} W^\top$ | 0.29 |
# | C29 | $(g_{t+1} W^\top) \odot (1 - h_{t+1}^2)$ | $\big(g_{t+1} \odot (1 - h_{t+1}^2)\big) W^\top$ | 0.16 |
# | C41 | $S_1 S_2 \cdots S_{T-1}\, W^{T-1}$ | $S_1 W S_2 W \cdots S_{T-1} W$ | 0.68 |
# | C59 order | $g_T\, S_2 W^\top \cdots S_T W^\top$ | $g_T\, S_T W^\top \cdots S_2 W^\top$ | 0.74 |
# | C59 matrix | $g_T\, S_T W \cdots S_2 W$ | $g_T\, S_T W^\top \cdots S_2 W^\top$ | 1.00 |
# | C60 | $g_1 = g_T\, S_T W^\top \cdots S_2 W^\top$ | $g_1 = \sum_t G_t V^\top S_t W^\top \cdots S_2 W^\top$ | 1.00 |
#
# The source of C59 makes two mistakes; each is measured alone. It multiplies by the factor of step 2 first. And it
# prints $W^\top$ where its column layout needs $W$. (With rows it is the other way round: $W^\top$ is right.) The
# source of C27 also prints $V$ where its layout needs $V^\top$. C60 is right if only the last step has a loss. Here
# every step has one. C60 misses nearly all of the gradient at $h_1$, so its error is close to 1.
#
# > **What textbooks say, and what is measured.** "The gradient at a state comes from the losses at $t$ and $t + 1$", or
# > even from the loss at $t$ alone. With these weights, the error of the gradient of $W$ is then 0.25 (B) or 0.29 (A):
# > this answers the first guess. Other weights give smaller or larger errors. Why is it easy to overlook this mistake?

# %%
own, exact = for_weights(G)["C27"], gradients["W"]
cosine = float((own * exact).sum() / (np.linalg.norm(own) * np.linalg.norm(exact)))
print(f"cosine between the exact gradient and that of C27: {cosine:.2f}")

# %% [markdown]
# In this net, the wrong gradient points nearly the same way as the exact one. So a small update against it lowers the
# loss, and *a falling loss is no proof that a gradient is right*. How far does training with it get? Train nets to
# repeat the input of the same step (delay 0), or of the step before (delay 1). `nn.detach` makes a state a constant: no
# message comes back from the next step, as in C27.

# %%
def learned(delay: int, exact: bool) -> float:
    """The loss of a net after training it to repeat the input of some steps ago."""
    rng = np.random.default_rng(0)
    cell, head = nn.RNNCell(4, 16, rng=rng), nn.Linear(16, 4, rng=rng)
    adam = optim.Adam([*cell.parameters(), *head.parameters()], lr=0.02)
    for _ in range(400):
        symbols = rng.integers(0, 4, (T, 32))
        h, hs = np.zeros((32, 16)), []
        for x_t in np.eye(4)[symbols]:
            h = cell(x_t, h if exact else nn.detach(h))
            hs.append(h)
        loss = nn.cross_entropy(head(mg.stack(hs[delay:])), symbols[:T - delay])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


trained = {delay: {"exact": learned(delay, True), "C27": learned(delay, False)}
           for delay in (0, 1)}
for delay, reached in trained.items():
    print(f"delay {delay}:", {name: round(found, 2) for name, found in reached.items()})
print(f"guessing: {np.log(4):.2f}")

# %% [markdown]
# Without a delay, both gradients learn the task. With a delay of one step, the exact gradient still does, but the loss
# with C27 stays near that of guessing, $\ln 4 = 1.39$. So training hides the mistake only if the task does not need the
# past. If it does, training fails and does not say why. A comparison with an engine shows the mistake. Without an
# engine, change one weight by a small $\pm s$, and divide the difference of the two losses by $2s$ (*finite
# differences*).
#
# ## Summary
#
# * Two messages come back to every state: from its own output, and from the next step. The message from the next step
#   is multiplied by the slope first, then by the matrix.
# * Each use of $W$ gets a term from the loss of its own step and from every later loss: a double sum. The recursion
#   computes it in $O(T)$ time.
# * Each chain of Jacobians is a product of matrices, and their order counts. The gradient of $W$ is a sum of such
#   terms.
# * A falling loss is no proof. Test every formula that you write or copy against an engine, or with finite differences.
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
# **Exercise 3.** Keep only the loss of the last step. Predict which of the printed formulas become right, and whether
# the errors of C26 and C27 grow or shrink.

# %% tags=["hide-cell"]
only_last = np.zeros_like(G)
only_last[T] = G[T]
still_wrong = errors_of(only_last)
print({name: round(found, 2) for name, found in still_wrong.items()})
# C25 and C60 are right now. The loss reaches all nine uses of W, and its message fades on the
# way back. C27 keeps only the last use: its error grows. C26 keeps the last two, and here these
# are most of the gradient: its error shrinks.
