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
# # Lesson 9. Depth, direction, trees and cost
#
# How long is the way from an input to an output? This lesson asks this of nets with several layers, of nets that run
# in both directions, and of nets that are trees.
#
# > **Guess first.** A net with 4 recurrent layers reads 5 steps. A signal goes from the first input to the last
# > output of the top layer. How many cells does it pass: 5, 8 or 20? And how many different ways can it take: 4, 20
# > or 35?
#
# The picture shows the last two of the five steps. (Pictures count the steps from 0.)

# %%
# %load_ext microgradrnn
from math import comb
from typing import Any

import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from demos.experiments import records
from microgradrnn import Tensor, mark, nn
from viz.numbers import short

_ = viz.set_theme(page=830)
D, H = 3, 30
normal = np.random.default_rng(0).standard_normal
stack = nn.RNN(D, 4, num_layers=4, rng=0)
viz.draw_unrolled(stack(normal((5, 1, D)))[0][-1].sum(), last=2)

# %% [markdown]
# ## Stacked layers
#
# Each layer reads the output of the layer below at the same step, and its own state of the step before. So a way
# consists of two kinds of moves: one step in time, or one layer up.
#
# The gradient can count the ways. Make a net with one unit per layer and no activation function, and give every
# weight the same value $w$. Each cell on a way multiplies by $w$. So each way contributes $w^{\text{cells}}$ to the
# gradient of the last output $h$ of the top layer:
#
# $$\frac{\partial h}{\partial x_1} = \text{ways} \cdot w^{\text{cells}}$$
#
# With $w = 1$ this is the number of ways. Then $w = 2$ gives the number of cells:

# %%
def gradient_of_ones(w: float, T: int, layers: int) -> float:
    """∂(last output of the top layer)/∂x_1, in a linear net whose weights are all w."""
    h: list[Any] = [None] * layers
    cells: list[Any] = []
    for _ in range(layers):
        cells.append(nn.RNNCell(1, 1, activation=lambda z: z, rng=0))
        cells[-1].U.data, cells[-1].W.data, cells[-1].b.data = [[w]], [[w]], [0.0]
    xs = [Tensor(np.ones((1, 1))) for _ in range(T)]
    for x in xs:
        below = x
        for layer, cell in enumerate(cells):
            h[layer] = below = cell(below, h[layer])
    return mg.grad(h[-1].sum(), xs[0]).item()


ways = gradient_of_ones(1.0, T=5, layers=4)
cells_passed = np.log2(gradient_of_ones(2.0, T=5, layers=4) / ways)
print(f"{ways:.0f} ways, each through {cells_passed:.0f} cells")

# %% [markdown]
# The answer to the guess: 8 cells and 35 ways. With $T$ steps and $L$ layers, a way makes $T - 1$ moves in time and
# $L - 1$ moves up, in any order. So *all* ways have the same length, $T + L - 1$ cells, and there are
# $\binom{T+L-2}{L-1}$ of them. If there is only one step, a stack is a feed-forward net with $L$ layers. In this sense
# stacking is like deepening an ordinary net ([C104](../claims.md)).

# %%
x = normal((1, D))
h = x
for _layer, _direction, cell in stack.cells():
    h = np.tanh(h @ cell.U.data + cell.b.data)
feed_forward = abs(h - stack(x[None])[0].data[0]).max()
print(f"one step of the stack minus a feed-forward net: {feed_forward:.0e}")

# %% [markdown]
# ## Do higher layers remember longer?
#
# "Higher layers capture longer dependencies", says one source. For nets that are not trained yet, we can measure
# this. How strongly does the last state of each layer depend on the input $k$ steps before? Take the norms of these
# gradients as weights. The weighted mean of $k$ is the *mean lag* of the layer:

# %%
T = 40


def responses(seed: int) -> np.ndarray:
    """‖∂(v·h_T)/∂x_(T-k)‖ of each layer, for all k. W is 0.8 · an orthogonal matrix."""
    rng = np.random.default_rng(seed)
    net = nn.RNN(D, H, num_layers=4, init=0.8, rng=seed)
    xs, v = Tensor(0.1 * rng.standard_normal((T, 1, D))), rng.standard_normal((1, H))
    grads = [mg.grad(h, xs, seed=v) for h in net(xs)[1]]
    return np.linalg.norm(np.array(grads), axis=(2, 3))[:, ::-1]


profiles = np.array([responses(seed) for seed in range(20)])
shares = profiles / profiles.sum(axis=-1, keepdims=True)
mean_lag = np.median((shares * np.arange(T)).sum(axis=-1), axis=0)
curves = {f"layer {k + 1}": share for k, share in enumerate(np.median(shares, axis=0))}
ax = charts.curves(curves, "k: steps before", "share of the gradient")
lags = ", ".join(f"{lag:.1f}" for lag in mean_lag)
charts.titled(ax, f"Mean lag, from layer 1 to 4: {lags}")

# %% [markdown]
# Each layer adds its own delay, so the mean lag grows from layer to layer ([C103](../claims.md)). This holds for random
# weights; training may change it. Below is a stack of two LSTMs. Untick "carry" (the product with the forget gate) in
# one layer, and see how much of the gradient is left:

# %%
viz.explore(nn.LSTM(D, 6, num_layers=2, rng=0)(normal((30, 1, D)))[0][-1].sum())

# %% [markdown]
# One source gives two rules for LSTMs. "With few layers, tanh is much better than ReLU." "In a deep LSTM with tanh the
# gradient vanishes; use ReLU and a smaller learning rate." The stored results of delayed recall over 20 steps (lesson
# 7) contain all eight cases, three nets each, trained for up to 1000 updates. The printed ratio is the gradient of the
# answer at the first input, divided by that at the last input:

# %%
solved: dict[str, list[int]] = {"tanh": [], "relu": []}
cases = [(layers, rate) for layers in (1, 4) for rate in (0.003, 0.01)]
for activation, counts in solved.items():
    for layers, rate in cases:
        case: dict[str, Any] = {"activation": activation, "layers": layers, "lr": rate}
        found = records.read("recall", T=20, **case)
        counts.append(sum(run["solved_at"] is not None for run in found))
deep_tanh = records.read("recall", T=20, activation="tanh", layers=4)
first_to_last = np.median([run["first_to_last_before"] for run in deep_tanh])
print(f"4 layers, tanh, before training: first / last input {short(first_to_last)}")
print(f"ways to the answer: first input {comb(20 + 4 - 2, 4 - 1)}, last input 1")
ax = charts.bars(solved, "layers, learning rate", "nets that learned it",
                 names=[f"{layers}, {rate}" for layers, rate in cases])
ax.set_yticks(range(4))
charts.titled(ax, "4 layers at rate 0.01: "
                  f"tanh learns in {solved['tanh'][3]} of 3 nets, "
                  f"ReLU in {solved['relu'][3]}")

# %% [markdown]
# > **What textbooks say, and what is measured.** With one layer, tanh is not better than ReLU: all nets learn
# > ([C77](../claims.md)). With four layers the gradient does not vanish over time: at the first input it is 12 times
# > *larger* than at the last, which has a single way to the answer. The smaller learning rate does help, and here only
# > the nets with tanh needed it ([C78](../claims.md)). Three nets per case are few. They can show that a rule does not
# > always hold, but they do not prove a new one.
#
# ## Both directions
#
# A net that runs forwards knows only the past. Some tasks need the future: in "he sat on the *bank* of the river", the
# last word shows which bank is meant. A *bidirectional* net runs a second net from the end to the beginning, and puts
# the two outputs side by side. The picture shows steps 2 and 3 of five, and the gradient of a loss at step 2:

# %%
both = nn.RNN(D, 4, bidirectional=True, rng=0)
loss = (both(normal((5, 1, D)))[0][2] ** 2).sum()
viz.draw_unrolled(viz.gradient_flow(loss), steps=(2, 3))

# %% [markdown]
# In the layer that runs forwards the gradient goes to the left, to earlier steps; at step 3 it is exactly 0. In the
# layer that runs backwards it goes to the right, to later steps. Now the same for all pairs of an output $h_t$ and an
# input $x_k$:

# %%
T = 8
sentence, one = Tensor(normal((T, 1, D))), nn.RNN(D, 4, rng=0)
depends = {}
for name, net in {"one direction": one, "both": both}.items():
    outputs = net(sentence)[0]
    grads = [mg.grad(outputs[t].sum(), sentence) for t in range(T)]
    depends[name] = np.linalg.norm(np.array(grads), axis=(2, 3))
labels = "k: input", "t: output", "‖∂h_t/∂x_k‖"
ax = charts.grid(depends["one direction"], *labels, log=True)
charts.titled(ax, "One direction: an output depends on the past alone")

# %%
ax = charts.grid(depends["both"], *labels, log=True)
charts.titled(ax, "Both directions: outputs depend on all inputs")

# %% [markdown]
# In one direction the upper triangle is exactly 0 ([C102](../claims.md)): no output depends on a later input. In both
# directions no entry is 0. This has a price. A bidirectional net needs the whole sequence before it can give its first
# output. And it cannot be used to predict the next symbol, because it reads that symbol.
#
# ## Trees
#
# A *recursive* net computes one vector from two at every node of a tree:
# $\text{parent} = \tanh(\text{left}\, U_l + \text{right}\, U_r + b)$. All nodes share the weights.

# %%
tree = nn.TreeCell(16, rng=0)
a, b, c, d = (mark(Tensor(normal((1, 16))), letter, role="input") for letter in "abcd")
viz.draw_unrolled(nn.recurse(tree, ((a, b), (c, d))).sum())

# %% [markdown]
# Now let the tree branch to the left only: $(((h_0, x_1), x_2), \dots)$. With $U_l = W$ and $U_r = U$ this tree is a
# simple net:

# %%
def chain(leaves: list[Any]) -> Any:
    """(((l_1, l_2), l_3), ...)"""
    if len(leaves) == 1:
        return leaves[0]
    return chain(leaves[:-1]), leaves[-1]


def balanced(leaves: list[Any]) -> Any:
    """((..., ...), (..., ...)): halves of halves."""
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return balanced(leaves[:half]), balanced(leaves[half:])


leaves = [Tensor(normal((1, 16))) for _ in range(64)]
rnn: Any = nn.RNNCell(16, 16, rng=0)
rnn.W.data, rnn.U.data, rnn.b.data = tree.U_l.data, tree.U_r.data, tree.b.data
h = leaves[0].data
for leaf in leaves[1:]:
    h = rnn(leaf.data, h).data
is_chain = np.array_equal(nn.recurse(tree, chain(leaves)).data, h)
print(f"the chain-shaped tree and the simple net are equal bit for bit: {is_chain}")

# %% [markdown]
# So a recurrent net is a special case of a recursive net: its tree is a chain ([C105](../claims.md)). A chain is the
# deepest tree, and so the worst one for a gradient that shrinks at every cell. Compare 64 leaves, in a chain and in a
# balanced tree with the same weights ($L$ is the sum of the entries of the root):

# %%
def deeper(left: int, right: int) -> int:
    """A cell that computes its own depth: one more than that of its deeper child."""
    return max(left, right) + 1


sizes, depth = {}, {}
for name, shape in (("chain", chain), ("balanced", balanced)):
    depth[name] = nn.recurse(deeper, shape(leaves), leaf=lambda leaf: 0)
    root = nn.recurse(tree, shape(leaves)).sum()
    sizes[name] = [np.linalg.norm(g) for g in mg.grad(root, leaves)]
ax = charts.curves(sizes, "leaf", "‖∂L/∂leaf‖", log="y")
charts.titled(ax, f"Deepest leaf: {depth['chain']} cells in the chain, "
                  f"{depth['balanced']} in the balanced tree")

# %% [markdown]
# With $n$ leaves a chain is $n - 1$ cells deep, and a balanced tree $\log_2 n$ (if $n$ is a power of 2). With these
# weights the gradient shrinks at every cell on the way; the number of leaves does not matter by itself. In the chain,
# the last leaf is only one cell away from the root, and the first leaf 63 cells.
#
# ## What does it cost?
#
# "The forward pass takes $O(T)$ time and cannot be parallelised", says one source. The first part is right: count the
# operations for 20, 40 and 80 steps.

# %%
net = nn.RNN(D, 4, rng=0)
operations = {T: len(viz.trace(net(normal((T, 1, D)))[1].sum())) for T in (20, 40, 80)}
print(operations)

# %% [markdown]
# Each step adds the same number of operations. The second part is not always right ([C18](../claims.md)). In a
# *linear* net, step $t$ is the map $h \mapsto h W_t + v_t$ with $v_t = x_t U + b$ (all $W_t$ are $W$). Steps 1 and 2
# together are again such a map: $h \mapsto h W_1 W_2 + (v_1 W_2 + v_2)$. So one can combine the steps in pairs, then
# the pairs in pairs, as in a balanced tree:

# %%
T = 100
linear: Any = nn.RNNCell(D, H, activation=lambda z: z, rng=0)
xs = normal((T, 1, D))
v, W = xs @ linear.U.data + linear.b.data, np.repeat(linear.W.data[None], T, axis=0)
rounds, reach = 0, 1
while reach < T:  # entry t holds the map of the last `reach` steps
    v = np.concatenate([v[:reach], v[:-reach] @ W[reach:] + v[reach:]])
    W = np.concatenate([W[:reach], W[:-reach] @ W[reach:]])
    rounds, reach = rounds + 1, 2 * reach
scan_error = abs(v - nn.unroll(linear, xs)[0].data).max()
print(f"{rounds} rounds instead of {T} steps, largest difference {scan_error:.0e}")

# %% [markdown]
# Each round treats all steps at once. (In total this is more work, so it helps only with many processors.) With tanh
# this method fails, because two steps together are no longer a map of the same form. But one can start with a guess of
# all states (here 0), compute *all* steps at once from the guessed states, and take the results as the next guess.
# Call this a *sweep*, and repeat it:

# %%
def errors_of_sweeps(norm: float, T: int = 200) -> list[float]:
    """How wrong all states are after 1, 2, 3, ... sweeps over all steps at once."""
    cell: Any = nn.RNNCell(D, H, rng=0)
    cell.W.data = norm * cell.W.data / np.linalg.norm(cell.W.data, 2)
    xs = np.random.default_rng(0).standard_normal((T, 1, D))
    exact, hs, errors = nn.unroll(cell, xs)[0].data, np.zeros((T, 1, H)), []  # guess: 0
    for _sweep in range(T):
        before = np.concatenate([np.zeros((1, 1, H)), hs[:-1]])
        hs = np.tanh(before @ cell.W.data + xs @ cell.U.data + cell.b.data)
        errors.append(abs(hs - exact).max())
    return errors

# %%
def needed(errors: list[float]) -> int:
    """How many sweeps it takes until all states are right, up to rounding."""
    return next(n for n, error in enumerate(errors, 1) if error < 1e-12)


errors = {norm: errors_of_sweeps(norm) for norm in (0.5, 1, 2)}
sweeps = {norm: needed(errors[norm]) for norm in errors}
longer = needed(errors_of_sweeps(0.5, T=800))
print(f"‖W‖ = 0.5: {sweeps[0.5]} sweeps for 200 steps, {longer} for 800 steps")
curves = {f"‖W‖ = {norm}": (range(1, 201), errors[norm]) for norm in errors}
ax = charts.curves(curves, "sweeps", "largest error", log="y")
charts.titled(ax, f"200 steps of tanh: {sweeps[0.5]} sweeps with ‖W‖ = 0.5, "
                  f"{sweeps[2]} with ‖W‖ = 2")

# %% [markdown]
# After $k$ sweeps the first $k$ steps are right. So, without rounding errors, 200 sweeps are always enough. If
# $‖W‖ < 1$, the net contracts: at each step the error of a wrong guess is multiplied by at most $‖W‖$. Then far fewer
# sweeps are enough, and their number does not grow with $T$. So one property has two effects. A net that forgets is
# easy to compute in parallel, and hard to train on long dependencies.
#
# ## Summary
#
# * In a stack of $L$ layers over $T$ steps all ways from the first input to the last output pass $T + L - 1$ cells.
# * Before training, the mean lag is larger in higher layers.
# * In one direction, an output depends on the past alone; in both directions, on the whole sequence.
# * A recurrent net is a recursive net whose tree is a chain. A balanced tree is only $\log_2 n$ cells deep.
# * The forward pass costs $O(T)$ operations. In parallel, a linear net needs $\log_2 T$ rounds, and a contracting tanh
#   net a number of sweeps that does not grow with $T$.
#
# ## Exercises
#
# **1.** Change the net to 2 layers and 100 steps. Predict the number of ways, and the number of cells on each way.

# %% tags=["hide-cell"]
many = gradient_of_ones(1.0, T=100, layers=2)
long = np.log2(gradient_of_ones(2.0, T=100, layers=2) / many)
print(f"{long:.0f} cells, and {many:.0f} ways; the formula says {comb(100, 1)}")

# %% [markdown]
# **2.** A balanced tree gets 128 leaves instead of 64. Predict how the depth changes. Does the smallest gradient of a
# leaf change by a factor near 1/100, or between 1/10 and 1?

# %% tags=["hide-cell"]
more = leaves + [Tensor(normal((1, 16))) for _ in range(64)]
grads = mg.grad(nn.recurse(tree, balanced(more)).sum(), more)
shrinks = min(np.linalg.norm(g) for g in grads) / min(sizes["balanced"])
new_depth = nn.recurse(deeper, balanced(more), leaf=lambda leaf: 0)
print(f"depth {new_depth}; the smallest gradient is {shrinks:.2f} times what it was")

# %% [markdown]
# **3.** Predict the number of sweeps for $‖W‖ = 1.5$: about 50, 100 or 200?

# %% tags=["hide-cell"]
between = needed(errors_of_sweeps(1.5))
print(f"{between} sweeps")
