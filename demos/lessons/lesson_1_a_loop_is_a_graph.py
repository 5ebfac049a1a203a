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
# # Lesson 1. A loop is a graph
#
# A recurrent net is a `for` loop: it reads a sequence one step at a time and keeps a state. How can back-propagation,
# which knows only graphs of operations, train a loop?
#
# > **Guess first.** Take the cell of a simple recurrent net, without the output layer. It has 3 inputs and 5 units. If
# > it reads one step, it has $3 \cdot 5 + 5 \cdot 5 + 5 = 45$ trainable numbers, and 5 operations lie between the input
# > and the loss. Now it reads 1000 steps, with a loss at the end. How many trainable numbers does it have? How many
# > operations lie between the first input and the loss: still 5, about 50, or some thousands?

# %%
# %load_ext microgradrnn
import networkx as nx
import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from microgradrnn import Tensor, Value, mark, nn

viz.set_theme(page=830)
normal = np.random.default_rng(0).standard_normal

# %% [markdown]
# ## The loop leaves a graph behind
#
# Begin with one unit and one weight $w$. The loop below runs three times. Every operation makes a new node and
# remembers its inputs, so the loop leaves a graph behind.

# %%
w, h = Value(0.9, label="w"), Value(0.5, label="h0")
for _ in range(3):
    h = (w * h).tanh()
h.label = "h3"
h.backward()
viz.draw_graph(h)

# %% [markdown]
# No node in this graph is called "loop", and no arrow goes back in time. The loop has been *unrolled*: the graph is a
# feed-forward net with three layers. One thing is special: $w$ is one node that three layers use. (In the picture, a
# dotted $w$ is the same node again.)
#
# Test this idea. Build the same three layers with three separate weights that start with the same value, and add up
# their gradients:

# %%
copies = [Value(0.9) for _ in range(3)]
y = Value(0.5)
for copy in copies:
    y = (copy * y).tanh()
y.backward()
summed = sum(copy.grad for copy in copies)
print(f"gradients of the copies: {[round(copy.grad, 4) for copy in copies]}")
print(f"their sum: {summed:.6f}   gradient of the shared w: {w.grad:.6f}")

# %% [markdown]
# The numbers agree. So *back-propagation through time is ordinary back-propagation on the unrolled graph*
# ([C3](../claims.md)). The reverse pass of this library knows nothing of time. The method became known through
# Rumelhart, Hinton and Williams in 1986.
#
# ## One step with arrays
#
# Now the state is a row of $H$ numbers, and one step of the simple net is
#
# $$z_t = x_t U + h_{t-1} W + b, \qquad h_t = \tanh(z_t), \qquad o_t = h_t V + d.$$
#
# $U$ is applied to the input, $W$ to the previous state, and $V$ gives the output. $b$ and $d$ are biases. The first
# state, $h_0$, is zero here. A net has $D$ inputs, $H$ units and $K$ outputs, and the sequence has $T$ steps.

# %%
D, H, K, T = 3, 5, 4, 10
cell, head = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)
x = normal((T, 1, D))
hs, last = nn.unroll(cell, x)
viz.draw_unrolled(nn.cross_entropy(head(hs), np.ones((T, 1), int)), last=3)

# %% [markdown]
# Each tile is one step, and all tiles are the same cell. The picture names the weights of the cell once, because there
# is only one of each. It does not list those of the output layer, the box "linear". (Pictures of graphs count steps
# from 0, equations from 1.)
#
# What makes this net recurrent? Only the term $h_{t-1} W$. Set $W$ to zero and compare with a feed-forward net that has
# the same $U$ and $b$:

# %%
U, W, b = cell.parameters()
feed_forward = np.tanh(x @ U.data + b.data)
without_w = nn.RNNCell(D, H, rng=0)
without_w.W.data = np.zeros((H, H))
equal = np.array_equal(nn.unroll(without_w, x)[0].data, feed_forward)
equal_with_w = np.array_equal(hs.data, feed_forward)
print(f"exactly equal, without W: {equal};  with W: {equal_with_w}")

# %% [markdown]
# A step is a feed-forward net with one more term ([C4](../claims.md)). The *state* $h_t$, which the hidden layer
# computes at step $t$, is read again at step $t+1$. "Recurrent" means "coming back".
#
# The function of the hidden layer may be tanh or ReLU ([C23](../claims.md)). The output layer has another function.
# Some texts write one symbol $f$ for both, as if they were the same ([C24](../claims.md)). Use tanh for the output,
# too, and compare with softmax:

# %%
o = head(hs).data[-1, 0]
as_hidden, probabilities = np.tanh(o), mg.softmax(Tensor(o)).data
print(f"tanh:    {as_hidden.round(2)}, sum {as_hidden.sum():.2f}")
print(f"softmax: {probabilities.round(2)}, sum {probabilities.sum():.2f}")

# %% [markdown]
# Tanh gives a negative number, and the sum is not 1, so these are not probabilities. Softmax gives probabilities.
#
# ## What is shared, and what returns
#
# Count the numbers to train, for three lengths, from the graphs themselves:

# %%
def trained(T: int) -> int:
    """How many numbers can be trained in the graph of T steps."""
    nodes = viz.trace(nn.unroll(cell, normal((T, 1, D)))[1].sum()).nodes(data=True)
    return sum(getattr(cell, name).size for name, node in nodes if node["kind"] == "parameter")


numbers = {T: trained(T) for T in (1, 10, 1000)}
print(numbers)

# %% [markdown]
# This answers the first guess: still 45. The number of parameters does not depend on $T$ ([C1](../claims.md)). If each
# of the 1000 steps had its own cell, there would be 45,000 numbers: sharing divides the number for the cell by exactly
# $T$ ([C7](../claims.md)). An output layer with $K = 4$ outputs adds 24, once. The size of the state does not depend on
# $T$ either: our state of 5 numbers has just read 1000 steps.
#
# A common sentence says that "the output is a function of earlier outputs". More exactly, the output is a function of
# the present input and the earlier *state* ([C12](../claims.md)). A *Jordan* net really does feed back its $K$ outputs.
# The difference can be measured. The Jacobian matrix of one step says how the new state depends on the old state. Its
# *rank* is the number of independent directions in which a change of the old state changes the new state. It is also
# the number of *singular values* of this matrix that are not zero:

# %%
W_h, V, W_o, h0 = normal((8, 8)), normal((8, 3)), normal((3, 8)), 0.1 * normal(8)
jacobians = {"state of 8 numbers fed back": mg.jacobian(lambda h: (h @ W_h).tanh(), h0),
             "3 outputs fed back": mg.jacobian(lambda h: (h @ V @ W_o).tanh(), h0)}
spectra = {name: list(np.linalg.svd(J)[1]) for name, J in jacobians.items()}
ranks = {name: int(np.linalg.matrix_rank(J)) for name, J in jacobians.items()}
print("rank:", ranks)
ax = charts.bars(spectra, "the largest first", "singular value", names=list("12345678"))
charts.titled(ax, "Three outputs pass on only three of eight directions")

# %% [markdown]
# A state of 8 numbers passes 8 directions to the next step. Three outputs pass only 3.
#
# ## Deep in time, shallow in a step
#
# Now the second guess. Count the operations on the longest way through the graph to a loss at the last step, from the
# first input and from the last one. The loss is as simple as possible here: the sum of the outputs.

# %%
def longest(T: int) -> list[int]:
    """The most operations between the first, and the last, input and the sum of the last outputs."""
    xs, h = [mark(Tensor(x), f"x{t}") for t, x in enumerate(normal((T, 1, D)))], None
    for x in xs:
        h = cell(x, h)
    graph = nx.DiGraph(viz.trace(head(h).sum()))
    after = [graph.subgraph({x, *nx.descendants(graph, x)}) for x in ("x0", f"x{T - 1}")]
    return [nx.dag_longest_path_length(part, weight=None) for part in after]


Ts = [1, 2, 5, 10, 20]
operations = np.array([longest(T) for T in Ts])
at_1000 = longest(1000)
print("from the input of a single step:", longest(1)[0])
print("from the first and from the last input at 1000 steps:", at_1000)
first, end = operations.T
both = {"from the first input": (Ts, first), "from the last input": (Ts, end)}
ax = charts.curves(both, "T: steps", "operations on the longest way")
charts.titled(ax, "The way from the first input grows with T, the way from the last does not")

# %% [markdown]
# In this engine, each step adds two operations to the longest way. The first is $(x_t U + b) + h_{t-1} W$: the engine
# computes the product and the sum together, as one operation. The second is the tanh. Three more operations are made
# only once: $x_1 U + b$, $h_T V + d$ and the sum of the outputs. So the way has $3 + 2 = 5$ operations for one step,
# and $3 + 2 \cdot 1000 = 2003$ for 1000 steps, not 5000. From the last input it is still 5. A different loss, or an
# engine with smaller operations, changes these numbers, but the way still grows in proportion to $T$. The net is deep
# in time and shallow within a step ([C17](../claims.md)). Lessons 4 and 5 show what this depth does to a gradient.
#
# ## One cell, five patterns
#
# The loop decides at which steps it reads an input and at which steps it has an output. This makes five patterns
# ([C107](../claims.md)). Where there is no input, the cell reads zeros.

# %%
patterns = {"one to one": (1, [0]), "one to many": (1, [0, 1, 2]), "many to one": (3, [2]),
            "many to many": (3, [0, 1, 2]), "encoder and decoder": (3, [3, 4])}
ax, left = charts.empty(), 0.0
for name, (inputs, outputs) in patterns.items():
    last_step = max(outputs)
    ways = [((t, 0), (t, 1)) for t in range(inputs)] + [((t, 1), (t, 2)) for t in outputs]
    for (t0, y0), (t1, y1) in ways + [((t, 1), (t + 1, 1)) for t in range(last_step)]:
        ax.annotate("", (left + t1, y1), (left + t0, y0),
                    arrowprops={"arrowstyle": "->", "shrinkA": 7, "shrinkB": 7})
    rows = [range(inputs), range(last_step + 1), outputs]
    for row, (letter, steps) in enumerate(zip("xho", rows, strict=True)):
        for t in steps:
            ax.text(left + t, row, f"${letter}_{t + 1}$", ha="center", va="center")
    ax.text(left + last_step / 2, 2.6, name.replace(" and ", "\nand "), ha="center")
    left += last_step + 1.8
ax.set(xlim=(-0.9, left - 0.9), ylim=(-0.4, 3))
ax.set_axis_off()
charts.titled(ax, "One cell, five patterns of inputs x, states h and outputs o")

# %% [markdown]
# The same five loops, and what their graphs contain:

# %%
def contained(inputs: int, outputs: list[int]) -> dict[str, int]:
    """How many inputs, states and outputs there are in the graph of a loop."""
    h, read = None, []
    for t in range(max(outputs) + 1):
        h = cell(mark(Tensor(normal((1, D))), "x") if t < inputs else np.zeros((1, D)), h)
        if t in outputs:
            read.append(mark(head(h), "o"))
    symbols = [symbol for _, symbol in viz.trace(mg.concat(read).sum()).nodes(data="symbol")]
    return {letter: symbols.count(letter) for letter in "xho"}


counts = {name: contained(*pattern) for name, pattern in patterns.items()}
for name, count in counts.items():
    print(f"{name:20} {count}")

# %% [markdown]
# *Tagging* (for each of ten words, say whether it is a noun, a verb, …) has the pattern "many to many". One source says
# that feed-forward nets need ten nets for ten words. They do not: one net can be used at all positions. A net that
# reads one word sees this word alone; with a window it also sees a few neighbours. But it has no state
# ([C5](../claims.md)).
#
# > **What textbooks say, and what is measured.** "Feed-forward nets share no weights; they and convolutional nets need
# > inputs of a fixed length; recurrent nets take any length." For a fully connected net that reads the whole sequence
# > at once, this is right. For a convolutional net it is not. A convolution uses one kernel at every position
# > ([C10](../claims.md)). If the mean over all positions follows, it takes any length that is not shorter than its
# > kernel ([C9](../claims.md)). The next cell shows one kernel of width 3 at work on lengths from 3 to 500.

# %%
def convolution(xs: np.ndarray, kernel: Tensor) -> Tensor:
    """A tanh convolution over time, width 3, and the mean over its positions."""
    return (mg.concat([Tensor(xs[:-2]), xs[1:-1], xs[2:]], axis=-1) @ kernel).tanh().mean(axis=0)


kernel = Tensor(normal((3 * D, H)))
features = {T: convolution(normal((T, 1, D)), kernel).shape for T in (3, 50, 500)}
print(f"{kernel.size} numbers in the kernel; shape of the result by length: {features}")

# %% [markdown]
# > **Mistakes in print**, in case you meet them. One source calls back-propagation "direction propagation"
# > ([C113](../claims.md)). One prints that the *input* of the hidden layer, not its state, is read again
# > ([C6](../claims.md)). One translates "recurrent" as "concurrent" ([C14](../claims.md)). One concludes from
# > "sentences have at most 50 characters" that the state has 50 numbers ([C8](../claims.md)). All four are wrong. It is
# > also often said that recurrent nets are closer to the brain; nothing here can measure that ([C13](../claims.md)).
#
# ## Summary
#
# * A loop leaves a graph behind. Back-propagation through time is ordinary back-propagation on that graph.
# * A step is a feed-forward net with one more term, $h_{t-1} W$. The state $h_t$ returns, not the
#   output $o_t$.
# * All steps share their weights, so neither their number nor the size of the state depends on $T$.
# * The graph is deep in time, with two more operations for each step, and shallow within a step.
# * The same cell serves all five patterns of inputs and outputs.
#
# ## Exercises
#
# **Exercise 1.** The graph of 10 steps becomes one of 20 steps. Predict: does the number of nodes double? Does the
# number of parameters?

# %% tags=["hide-cell"]
nodes = {T: len(viz.trace(nn.unroll(cell, normal((T, 1, D)))[1].sum())) for T in (10, 20)}
print(f"nodes: {nodes}; parameters: {trained(10)} and {trained(20)}")
# Each step adds its own nodes, and no parameter. The rest, such as the weights, is there once: so the graph of 20 steps
# has a little less than twice as many nodes.

# %% [markdown]
# **Exercise 2.** Set $W = 0$, and take a loss at the last step only. Predict: for which of the ten inputs is its
# gradient not zero? And if $W$ is not zero?

# %% tags=["hide-cell"]
seen = {}
for name, net in {"W = 0": without_w, "W": cell}.items():
    xs = Tensor(normal((T, 1, D)))
    gradient = mg.grad(nn.unroll(net, xs)[1].sum(), xs)
    seen[name] = [t for t in range(1, T + 1) if gradient[t - 1].any()]
print(seen)  # without W there is no way back in time

# %% [markdown]
# **Exercise 3.** A Jordan net with 8 units feeds back a *softmax* over its 3 outputs. Predict the rank of the Jacobian
# of a step: 8, 3, or less? (Probabilities sum to 1.)

# %% tags=["hide-cell"]
J_softmax = mg.jacobian(lambda h: (mg.softmax(h @ V) @ W_o).tanh(), h0)
rank_softmax = int(np.linalg.matrix_rank(J_softmax))
print(rank_softmax)  # two of three probabilities determine the third
