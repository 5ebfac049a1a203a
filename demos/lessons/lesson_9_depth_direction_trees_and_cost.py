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
# What lies between an input and an output? In this lesson the nets get several layers, run in both directions, and
# become trees. One question stays the same: how long is the way?
#
# > **Guess first.** A net with 4 recurrent layers reads 5 steps. A signal goes from the first input to the last
# > output of the top layer. How many cells does it pass: 5, 8 or 20? And how many different ways can it take: 4, 20
# > or 35?

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
# Each layer reads the layer below at the same step, and itself at the step before. So a way makes two kinds of moves:
# one step in time, or one layer up.
#
# The gradient can count the ways. Make a net with one unit a layer, without an activation, and give every weight the
# same value $w$. Each way then contributes $w$ once for each cell that it passes:
#
# $$\frac{\partial h}{\partial x_1} = \text{ways} \cdot w^{\text{cells}}$$

# %%
def gradient_of_ones(w: float, T: int, layers: int) -> float:
    """∂(last output of the top layer)/∂x_1, in a linear net in which all weights are w."""
    h: list[Any] = [None] * layers
    cells: list[Any] = [nn.RNNCell(1, 1, activation=lambda z: z, rng=0) for _ in range(layers)]
    for cell in cells:
        cell.U.data, cell.W.data, cell.b.data = [[w]], [[w]], [0.0]
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
# The answer to the guess: 8 cells and 35 ways. A way makes $T - 1$ moves in time and $L - 1$ moves up, in any order.
# So *all* ways have the same length, $T + L - 1$ cells, and there are $\binom{T+L-2}{L-1}$ of them. In one step of
# time, a stack is a feed-forward net with $L$ layers. In this sense stacking is like deepening an ordinary net
# ([C104](../claims.md)).

# %%
x = normal((1, D))
h = x
for _layer, _direction, cell in stack.cells():
    h = np.tanh(h @ cell.U.data + cell.b.data)
feed_forward = abs(h - stack(x[None])[0].data[0]).max()
print(f"one step of the stack, and a feed-forward net of 4 layers: difference {feed_forward:.0e}")

# %% [markdown]
# ## Do higher layers remember longer?
#
# "Higher layers capture longer dependencies", says one source. Before training this can be measured. How strongly
# does the last state of each layer depend on the input $k$ steps before? The mean of $k$, weighted by that gradient,
# is a *mean lag*:

# %%
T = 40


def responses(seed: int) -> np.ndarray:
    """‖∂h_T/∂x_(T-k)‖ for four layers and all k. Every W is 0.8 times an orthogonal matrix."""
    rng, net = np.random.default_rng(seed), nn.RNN(D, H, num_layers=4, init=0.8, rng=seed)
    xs, v = Tensor(0.1 * rng.standard_normal((T, 1, D))), rng.standard_normal((1, H))
    grads = [mg.grad(h, xs, seed=v) for h in net(xs)[1]]
    return np.linalg.norm(np.array(grads), axis=(2, 3))[:, ::-1]


profiles = np.array([responses(seed) for seed in range(20)])
shares = profiles / profiles.sum(axis=-1, keepdims=True)
mean_lag = np.median((shares * np.arange(T)).sum(axis=-1), axis=0)
curves = {f"layer {k + 1}": share for k, share in enumerate(np.median(shares, axis=0))}
ax = charts.curves(curves, "k: steps before", "share of the gradient")
charts.titled(ax, "Mean lag, from layer 1 to 4: " + ", ".join(f"{lag:.1f}" for lag in mean_lag))

# %% [markdown]
# Each layer adds a delay of its own, so the mean lag grows from layer to layer ([C103](../claims.md)). This is true
# of random weights; training may change it. The page below shows a stack of two LSTMs. Shut the carry in one layer,
# and see what is left:

# %%
viz.explore(nn.LSTM(D, 6, num_layers=2, rng=0)(normal((30, 1, D)))[0][-1].sum())

# %% [markdown]
# One source gives two rules. "With few layers, an LSTM with tanh is much better than one with ReLU." "In a deep LSTM
# with tanh the gradient vanishes; use ReLU and a smaller learning rate." The records of delayed recall over 20 steps
# (lesson 7) have all eight cases, three nets each. (The printed number compares the gradient at the first input with
# that at the last.)

# %%
solved: dict[str, list[int]] = {"tanh": [], "relu": []}
cases = [(layers, rate) for layers in (1, 4) for rate in (0.003, 0.01)]
for activation, counts in solved.items():
    for layers, rate in cases:
        found = records.read("recall", T=20, activation=activation, layers=layers, lr=rate)
        counts.append(sum(run["solved_at"] is not None for run in found))
deep_tanh = records.read("recall", T=20, activation="tanh", layers=4)
first_to_last = np.median([run["first_to_last_before"] for run in deep_tanh])
print(f"4 layers, tanh, before training: first to last input {short(first_to_last)}")
ax = charts.bars(solved, "layers, learning rate", "nets that learned it",
                 names=[f"{layers}, {rate}" for layers, rate in cases])
ax.set_yticks(range(4))
charts.titled(ax, f"Only four layers at rate 0.01 differ: tanh {solved['tanh'][3]} of 3, "
                  f"ReLU {solved['relu'][3]} of 3")

# %% [markdown]
# > **What textbooks say, and what is measured.** With one layer, tanh is not better than ReLU: all nets learn
# > ([C77](../claims.md)). With four layers nothing vanishes: the first input gets *more* gradient than the last. The
# > smaller learning rate does help, and here only the nets with tanh needed it ([C78](../claims.md)). Three nets a
# > case are few: enough to contradict "always", not enough for a new rule.
#
# ## Both directions
#
# A net that runs forwards knows only the past. Some tasks need the future: in "he said *bank*, because the river
# ...", the word is clear only later. A *bidirectional* net runs a second net from the end to the beginning, and joins
# both outputs. The gradient of a loss at step 2, on two of five steps:

# %%
both = nn.RNN(D, 4, bidirectional=True, rng=0)
loss = (both(normal((5, 1, D)))[0][2] ** 2).sum()
viz.draw_unrolled(viz.gradient_flow(loss), steps=(2, 3))

# %% [markdown]
# In the layer that runs forwards the gradient goes to the left, to earlier steps; nothing comes from step 3. In the
# layer that runs backwards it goes to the right, to later steps. Now for all pairs of an output and an input:

# %%
T = 8
sentence, one = Tensor(normal((T, 1, D))), nn.RNN(D, 4, rng=0)
depends = {}
for name, net in {"one direction": one, "both": both}.items():
    outputs = net(sentence)[0]
    grads = [mg.grad(outputs[t].sum(), sentence) for t in range(T)]
    depends[name] = np.linalg.norm(np.array(grads), axis=(2, 3))
ax = charts.grid(depends["one direction"], "k: input", "t: output", "‖∂h_t/∂x_k‖", log=True)
charts.titled(ax, "One direction: an output depends on the past alone")

# %%
ax = charts.grid(depends["both"], "k: input", "t: output", "‖∂h_t/∂x_k‖", log=True)
charts.titled(ax, "Both directions: every output depends on every input")

# %% [markdown]
# In one direction the upper triangle is exactly 0 ([C102](../claims.md)). In both directions the square is full.
# There is a price: a bidirectional net must have the whole sequence before it can give its first output, so it cannot
# predict the next symbol.
#
# ## Trees
#
# A *recursive* net joins two vectors at every node of a tree:
# $\text{parent} = \tanh(\text{left}\, U_l + \text{right}\, U_r + b)$. The weights are shared by all nodes.

# %%
tree = nn.TreeCell(16, rng=0)
a, b, c, d = (mark(Tensor(normal((1, 16))), letter, role="input") for letter in "abcd")
viz.draw_unrolled(nn.recurse(tree, ((a, b), (c, d))).sum())

# %% [markdown]
# Now let the tree branch to the left only, $(((h_0, x_1), x_2), \dots)$. With $U_l = W$ and $U_r = U$ that is a
# simple net:

# %%
def chain(leaves: list[Any]) -> Any:
    """(((l_1, l_2), l_3), ...)"""
    return leaves[0] if len(leaves) == 1 else (chain(leaves[:-1]), leaves[-1])


def balanced(leaves: list[Any]) -> Any:
    """((..., ...), (..., ...)): halves of halves."""
    half = len(leaves) // 2
    return leaves[0] if len(leaves) == 1 else (balanced(leaves[:half]), balanced(leaves[half:]))


leaves = [Tensor(normal((1, 16))) for _ in range(64)]
rnn: Any = nn.RNNCell(16, 16, rng=0)
rnn.W.data, rnn.U.data, rnn.b.data = tree.U_l.data, tree.U_r.data, tree.b.data
h = leaves[0].data
for leaf in leaves[1:]:
    h = rnn(leaf.data, h).data
is_chain = np.array_equal(nn.recurse(tree, chain(leaves)).data, h)
print(f"the chain-shaped tree and the simple net are equal bit for bit: {is_chain}")

# %% [markdown]
# The recurrent net is the special case of a tree that is a chain ([C105](../claims.md)). And a chain is the worst
# shape for the gradient. Compare 64 leaves, in a chain and in a balanced tree with the same weights:

# %%
def deeper(left: int, right: int) -> int:
    """A cell that counts cells: one more than its deeper child."""
    return max(left, right) + 1


sizes, depth = {}, {}
for name, shape in (("chain", chain), ("balanced", balanced)):
    depth[name] = nn.recurse(deeper, shape(leaves), leaf=lambda leaf: 0)
    root = nn.recurse(tree, shape(leaves)).sum()
    sizes[name] = [np.linalg.norm(g) for g in mg.grad(root, leaves)]
ax = charts.curves(sizes, "leaf", "‖∂L/∂leaf‖", log="y")
charts.titled(ax, f"The deepest leaf: {depth['chain']} cells deep in the chain, "
                  f"{depth['balanced']} in the balanced tree")

# %% [markdown]
# With $n$ leaves a chain is $n - 1$ cells deep, and a balanced tree $\log_2 n$. The gradient shrinks with the number
# of cells on the way, not with the number of leaves.
#
# ## What does it cost?
#
# "The forward pass takes $O(T)$ time and cannot be parallelised." The first part is right: count the operations.

# %%
net = nn.RNN(D, 4, rng=0)
operations = {T: len(viz.trace(net(normal((T, 1, D)))[1].sum())) for T in (20, 40, 80)}
print(operations)

# %% [markdown]
# Each step adds the same number. The second part is not always right ([C18](../claims.md)). In a *linear* net, one
# step is the map $h \mapsto h W + v$. Two steps in a row are again such a map, with $W W'$ and $v W' + v'$. So the
# steps can be combined in pairs, then pairs of pairs: a balanced tree.

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
print(f"{rounds} rounds in place of {T} steps, largest difference {scan_error:.0e}")

# %% [markdown]
# Each round treats all steps at once. (In total there is more work, so this helps if there are many processors.) With
# tanh it fails, since two steps are no longer a map of the same kind. But one can guess all states, compute *all*
# steps from that guess at once, and repeat with the result. Call this a *sweep*:

# %%
def errors_of_sweeps(norm: float, T: int = 200) -> list[float]:
    """How wrong all states are after 1, 2, 3, ... sweeps over all steps at once."""
    cell: Any = nn.RNNCell(D, H, rng=0)
    cell.W.data = norm * cell.W.data / np.linalg.norm(cell.W.data, 2)
    xs = np.random.default_rng(0).standard_normal((T, 1, D))
    exact, hs, errors = nn.unroll(cell, xs)[0].data, np.zeros((T, 1, H)), []
    for _sweep in range(T):
        before = np.concatenate([np.zeros((1, 1, H)), hs[:-1]])
        hs = np.tanh(before @ cell.W.data + xs @ cell.U.data + cell.b.data)
        errors.append(abs(hs - exact).max())
    return errors

# %%
def needed(errors: list[float]) -> int:
    """How many sweeps it takes until all states are right."""
    return next(n for n, error in enumerate(errors, 1) if error < 1e-12)


errors = {norm: errors_of_sweeps(norm) for norm in (0.5, 1, 2)}
sweeps = {norm: needed(errors[norm]) for norm in errors}
curves = {f"‖W‖ = {norm}": (range(1, 201), errors[norm]) for norm in errors}
ax = charts.curves(curves, "sweeps", "largest error", log="y")
charts.titled(ax, f"200 steps of tanh: {sweeps[0.5]} sweeps with ‖W‖ = 0.5, {sweeps[2]} with ‖W‖ = 2")

# %% [markdown]
# After $k$ sweeps the first $k$ steps are right, so 200 sweeps always suffice. If the net contracts ($‖W‖ < 1$), far
# fewer suffice, because wrong guesses are forgotten. So the same property makes such a net easy to parallelise and
# hard to train: it forgets.
#
# ## Summary
#
# * In a stack of $L$ layers over $T$ steps all ways from the first input to the last output pass $T + L - 1$ cells.
# * Before training, a higher layer answers to inputs longer ago.
# * A net in one direction depends on the past alone; one in both directions on everything.
# * A recurrent net is a tree that is a chain. A balanced tree is only $\log_2 n$ cells deep.
# * The forward pass costs $O(T)$. A linear net needs $\log_2 T$ rounds, a contracting tanh net a few sweeps.
#
# ## Exercises
#
# **1.** Change the net to 2 layers and 100 steps. Predict the number of cells on each way, and of ways.

# %% tags=["hide-cell"]
many = gradient_of_ones(1.0, T=100, layers=2)
long = np.log2(gradient_of_ones(2.0, T=100, layers=2) / many)
print(f"{long:.0f} cells, and {many:.0f} ways; the formula says {comb(100, 1)}")

# %% [markdown]
# **2.** A balanced tree gets 128 leaves in place of 64. Predict by what factor the smallest gradient of a leaf
# shrinks, and how the depth changes.

# %% tags=["hide-cell"]
more = leaves + [Tensor(normal((1, 16))) for _ in range(64)]
smallest = min(np.linalg.norm(g) for g in mg.grad(nn.recurse(tree, balanced(more)).sum(), more))
shrinks = smallest / min(sizes["balanced"])
print(f"one cell deeper; the smallest gradient is {shrinks:.2f} times what it was")

# %% [markdown]
# **3.** Predict the number of sweeps for $‖W‖ = 1.5$: about 50, 100 or 200?

# %% tags=["hide-cell"]
between = needed(errors_of_sweeps(1.5))
print(f"{between} sweeps")
