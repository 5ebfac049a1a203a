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
# # Lesson 4. The gradient forgets, it does not vanish
#
# "The gradient of a recurrent net vanishes." Which gradient is meant, and how small does it get?
#
# > **Guess first.** A tanh net with small weights reads 80 numbers and has a loss at the last step. A second net with
# > the same weights reads only the last 10 of these numbers. Compare the gradient of $W$ in both nets. Is the gradient
# > over 80 steps (a) about $10^{-20}$ times that over 10 steps, (b) eight times as large, or (c) nearly the same?

# %%
from typing import Any

import numpy as np

import viz
from demos import charts
from demos.experiments import latch, recall
from demos.experiments.records import read
from microgradrnn import Tensor, Value, grad, nn, optim, scope

# %load_ext microgradrnn
theme = viz.set_theme(page=830)

# %% [markdown]
# ## One gradient, many terms
#
# The entries of $W$ have the standard deviation gain$/\sqrt H$. Here the gain is 0.5.

# %%
def net_with(gain: float, T: int = 80, H: int = 30, seed: int = 0) -> Any:
    """The net, and its loss at the last of T steps. The net reads only the last T of 80 numbers."""
    rng = np.random.default_rng(seed)
    cell = nn.RNNCell(1, H, rng=rng)
    cell.W.data = gain * rng.standard_normal((H, H)) / np.sqrt(H)
    head, xs = rng.standard_normal((1, H)), rng.standard_normal((80, 1, 1))
    _, h = nn.unroll(cell, xs[80 - T :])
    return cell, (h * head).sum()


long, short = (grad(loss, cell.W) for cell, loss in (net_with(0.5, 80), net_with(0.5, 10)))
size, difference = np.linalg.norm(long), np.linalg.norm(long - short)
print(f"‖∂L/∂W‖ over 80 steps {size:.4f}, over 10 steps {np.linalg.norm(short):.4f}")
print(f"norm of their difference {difference:.1e}")

# %% [markdown]
# The answer is (c): the gradients are nearly equal. The gradient over 80 steps does not vanish, but it contains almost
# nothing of the first 70 steps. We say that **the gradient *forgets***: it contains almost nothing of early steps.
#
# The reason is that the gradient of a shared weight is a *sum*, with a term for each step $k$ that used the weight:
#
# $$\frac{\partial L_T}{\partial W} = \sum_{k \le T} h_{k-1}^\top\, \delta_{T,k}, \qquad
# \delta_{T,k} = \frac{\partial L_T}{\partial z_k}.$$
#
# Here $z_k$ is the net input of step $k$: $h_k = \tanh(z_k)$. The *lag* of a term is $T-k$, the number of steps between
# the loss and step $k$. Look at all terms:

# %%
cell, loss = net_with(0.5)
terms = viz.shares({79: loss}, {"W": cell.W}, by="lag")["W"]
viz.plot_shares(terms, log=True)

# %%
near, far = terms.norms[0], terms.norms[terms.keys.index(50)]
print(f"term of lag 0: {near:.2g}   term of lag 50: {far:.1e}   sum: {size:.2g}")

# %% [markdown]
# The black line is the norm of the sum. It is about as high as the terms of short lag (left), because a sum is not
# small when only some of its terms are small. Only the terms of long lag vanish ([C44](../claims.md)). A feed-forward
# net with 80 layers is different: each layer has weights of its own, so the first layer gets *only* such a tiny term,
# and does not learn.
#
# > **What textbooks say, and what is measured.** "The gradient is near 0, and the model does not learn." The measured
# > gradient of $W$ is not near 0, and the model learns, but only from the last steps. The gradient of $W$ does not
# > vanish. It *forgets*.
#
# In the forward pass, early information is lost in the same way ([C108](../claims.md)). How much does the last state
# depend on each input?

# %%
x = Tensor(np.random.default_rng(1).standard_normal((80, 1, 1)))
_, h = nn.unroll(cell, x)
reaches = np.abs(grad(h.sum(), x)).ravel()
for k in (80, 70, 1):
    print(f"effect of input {k} of 80 on the last state: {reaches[k - 1]:.1e}")

# %% [markdown]
# ## Further back is not always smaller
#
# The net above *contracts*: each step back makes a gradient smaller. So terms get smaller the further back they come
# from. Now take other gains:

# %%
profiles = {f"gain {gain}": viz.gradient_flow(net_with(gain)[1]).profile().norms
            for gain in (0.5, 1.0, 3.0)}
charts.curves(profiles, "lag: steps back from the loss", "‖∂L/∂h‖", log="y")

# %%
shear = nn.RNNCell(1, 2, activation=lambda z: z, rng=0)
shear.W.data = np.array([[0.9, 10.0], [0.0, 0.9]])
_, h = nn.unroll(shear, np.zeros((200, 1, 1)), Tensor(np.ones((1, 2))))
left = 10 ** viz.step_jacobians(h.sum()).transport()
print(f"two linear units: at most × {left[10]:.1f} after 10 steps, × {left[200]:.1e} after 200")

# %% [markdown]
# At gain 3 the gradient *explodes*: on average, steps further from the loss get a larger gradient
# ([C47](../claims.md)). And a net that contracts in the long run may make a gradient larger at first: the two linear
# units make it up to 38.7 times as large in 10 steps, and leave nearly nothing of it after 200. So "terms get smaller
# the further back they come from" is true only for nets that contract, and only in the long run ([C46](../claims.md)).
# Lesson 5 asks when a net contracts.
#
# ## Can the whole gradient be zero?
#
# One text says that the gradient of $W$ "can never be 0", because the sum contains $h_{k-1}$. Take one unit and three
# steps, $x = (0.8, x_2, 0.3)$, $w = 0.6$ and $L_3 = (h_3 - 1)^2$. The gradient has two terms, one of lag 0 and one of
# lag 1. (The term of lag 2 is 0, because $h_0 = 0$.) Vary $x_2$:

# %%
def terms_at(x_2: float) -> np.ndarray:
    """The terms of ∂L_3/∂w, where L_3 = (h_3 - 1)²: those of step 2 and of step 3."""
    w, h = Value(0.6, label="w"), Value(0.0)
    for t, x_t in enumerate((0.8, x_2, 0.3), start=1):
        with scope("unit", step=t):
            h = (w * h + x_t).tanh()
    return np.asarray(viz.shares((h - 1) ** 2, {"w": w})["w"].arrays).ravel()[1:]


places = np.linspace(-2, 0.5, 41)
parts = np.array([terms_at(x_2) for x_2 in places])
charts.curves({"lag 1": (places, parts[:, 0]), "lag 0": (places, parts[:, 1]),
               "sum": (places, parts.sum(axis=1))}, "x₂", "∂L₃/∂w", level=0.0)

# %%
low, high = -2.0, 0.0
while high - low > 1e-15:
    middle = (low + high) / 2
    low, high = (middle, high) if terms_at(middle).sum() > 0 else (low, middle)
at_zero = terms_at(low)
print(f"at x₂ = {low:.4f} the terms are {at_zero.round(3)}, their sum {at_zero.sum():.0e}")

# %% [markdown]
# The terms cancel and the whole gradient is 0, up to rounding, although the loss is not 0 ([C45](../claims.md)). The
# true sentence is: the gradient is not small *merely because* the sequence is long.
#
# ## A safe memory makes the gradient forget
#
# Can a net simply keep what it has read? One unit with $w > 1$ can hold one bit: $h_t = \tanh(w h_{t-1})$ has two
# stable points, one positive and one negative. Start at $h = 1$, near the positive one. A constant negative input
# pushes the unit down. Let $u$ be the largest size of this input that the unit resists:

# %%
w, u = 2.0, latch.largest_opposing_input(2.0)


def pushed(share: float) -> list[float]:
    """80 states of a unit that starts at 1, with the input -share · u."""
    states = [1.0]
    for _ in range(80):
        states.append(float(np.tanh(w * states[-1] - share * u)))
    return states


holds, flips = pushed(0.98), pushed(1.02)
charts.curves({"0.98 u: holds": holds, "1.02 u: flips": flips}, "step", "h", level=0.0)

# %%
rest = pushed(0.0)[-1]
slope = w * (1 - rest**2)
print(f"u = {u:.4f}; without input h = {rest:.3f}; a gradient: × {slope:.3f} per step")

# %% [markdown]
# Up to the limit $u$ the unit holds its bit. A small change of $h$ is multiplied by $w(1-h^2)$ at each step. At a
# stable point this factor is below 1, so the change dies out, and the memory is safe. But a gradient is the effect of a
# small change, so it is multiplied by the same factor. **The safer the memory, the faster the gradient forgets**
# (Bengio, Simard and Frasconi 1994). In their *latch* experiment, a unit learns to hold a bit against noise. The bars
# are stored results, 20 units for each bar, with noise of standard deviation 0.1:

# %%
lengths = [2, 5, 10, 20, 50]
latches = {first: [read("latch", noise=0.1, w=first, T=T)[0]["solved"] for T in lengths]
           for first in (0.5, 1.0, 1.5)}
solved = {f"w = {first} before training": counts for first, counts in latches.items()}
charts.bars(solved, "T: steps", "units of 20 that learn it", names=[str(T) for T in lengths])

# %%
noiseless = latch.run(noise=0.0, w=0.5, T=10)["solved"]
print(f"w = 0.5, T = 10: {latches[0.5][2]} of 20 learn it with noise, {noiseless} without")

# %% [markdown]
# Units that start with $w = 0.5$ contract to a single point. Most of them learn to hold a bit for 5 steps, and none
# learns it for 10 or more. At 10 steps the term of the first step is not 0, but it is small, about $0.5^9 = 0.002$ of
# that of the last step. Without noise it is enough for some units. With noise, a smaller $w$ reduces the loss sooner:
# it lets less noise through. So training makes $w$ smaller, and with it the term of the first step.
#
# ## A net that forgets can learn to remember
#
# "In practice only short dependencies are learned" ([C61](../claims.md)). How short? In *delayed recall*, the first of
# $T$ symbols is A, B, C or D, distractors follow, and the net must name the first symbol at the "?". Train a tanh net
# of 32 units with $T = 20$. The shades show how strongly the score of the right answer depends on each symbol (the
# *connectivity* of Madsen 2019):

# %%
T, rng = 20, np.random.default_rng([1, 20])
net, head = recall.make("tanh", T, rng)
x_test, y_test = recall.problems(T, 1, np.random.default_rng(5))
text = "".join("ABCDwxyz?"[k] for k in x_test[:, 0].argmax(-1)) + "ABCD"[y_test[0]]


def dependence() -> np.ndarray:
    """‖∂(right answer at step t)/∂x_k‖, a row for each t."""
    return viz.connectivity(lambda x: head(net(x)[0]), x_test[:, 0], [int(y_test[0])] * T)


before = dependence()
scale = viz.Scale(-6, 1)  # the same colours before and after training
viz.draw_text(before, text, steps=[T - 1], scale=scale)

# %%
adam = optim.Adam([*net.parameters(), *head.parameters()], lr=0.003)
with nn.compiling():
    for _ in range(300):
        x_batch, y = recall.problems(T, 32, rng)
        loss = nn.cross_entropy(head(net(x_batch)[0][-1]), y)
        adam.zero_grad()
        loss.backward()
        optim.clip_grad_norm(adam.parameters, 1.0)
        adam.step()
after = dependence()
viz.draw_text(after, text, steps=[T - 1], scale=scale)

# %%
first_over_last = [C[-1, 0] / C[-1, -1] for C in (before, after)]
print("gradient of the first symbol / of the last:", end=" ")
print("before training {:.0e}, after {:.1f}".format(*first_over_last))
final = loss.item()
print(f"loss {final:.3f} (chance: {np.log(4):.3f})")
for length in (20, 50):
    for kind in ("tanh", "gru", "lstm"):
        records = read("recall", cell=kind, T=length, updates=3000)
        start = np.median([record["first_to_last_before"] for record in records])
        count = sum(record["solved_at"] is not None for record in records)
        print(f"T = {length}, {kind:>4}: {count} of 3 learn it; first / last before training {start:.0e}")

# %% [markdown]
# Before training, the gradient of the first symbol is about $10^{-5}$ of that of the last. That is little, but not 0,
# and here training makes it grow. With 50 steps it is about $10^{-13}$, and no tanh net learns the task. So "only short
# dependencies" needs a number: here 20 steps are learned (by 2 of 3 nets), 50 are not.
#
# A large gradient of the first symbol before training does not guarantee success. The LSTM at 50 steps has the largest
# by far, and it fails too. (Lesson 7 shows which bias it needs.)
#
# ## Summary
#
# * The gradient of a weight is a sum over lags. Terms of long lag vanish in a net that contracts; the sum does not.
# * So such a net learns, but from the last steps only: its gradient *forgets*.
# * The whole gradient can still be 0, where its terms cancel.
# * In nets that contract, terms shrink with the lag in the long run. In nets that explode, they grow.
# * A unit that holds a bit against noise multiplies small changes by a factor below 1, so its gradient forgets.
# * Training made a weak dependence on the first symbol ($10^{-5}$) strong; where it was $10^{-13}$, training failed.
#
# ## Exercises
#
# **Exercise 1.** In the first experiment, take gain 1.5 instead of 0.5. Predict: is the gradient over 80 steps still
# nearly that over 10 steps?

# %% tags=["hide-cell"]
long_2, short_2 = (grad(loss, cell.W) for cell, loss in (net_with(1.5, 80), net_with(1.5, 10)))
relative = np.linalg.norm(long_2 - short_2) / np.linalg.norm(long_2)
print(f"they differ by {relative:.0%}")  # terms of long lag count here

# %% [markdown]
# **Exercise 2.** Put a loss at every step; the total loss is their sum. Predict: does the term of lag 50 become larger
# relative to that of lag 0?

# %% tags=["hide-cell"]
hs, _ = nn.unroll(cell, np.random.default_rng(0).standard_normal((80, 1, 1)))
loss = (hs * np.random.default_rng(2).standard_normal(30)).sum()
every = viz.shares(loss, {"W": cell.W}, by="lag")["W"]
ratio_last, ratio_every = far / near, every.norms[50] / every.norms[0]
print(f"{ratio_last:.0e} and {ratio_every:.0e}")  # more losses add terms of all lags alike

# %% [markdown]
# **Exercise 3.** A unit holds its bit with $w = 1.2$ instead of 2. Predict: does it resist larger or smaller inputs,
# and does its gradient forget faster or more slowly?

# %% tags=["hide-cell"]
w, u = 1.2, latch.largest_opposing_input(1.2)
weak_slope = w * (1 - pushed(0.0)[-1] ** 2)
print(f"u = {u:.4f}, factor per step {weak_slope:.2f}")  # smaller inputs, more slowly: a less safe memory
