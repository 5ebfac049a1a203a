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
# # Lesson 7. The LSTM: what it promises and what it keeps
#
# The LSTM was made to carry a gradient over a long time. How much of a gradient is left after 50 steps, in an LSTM
# that has not been trained yet?
#
# > **Guess first.** The bias of the forget gate starts at 1, as is usual, so the forget gate is about 0.73. A
# > gradient goes back along the cell state alone, and 50 forget gates multiply it. What is left of it: a half, a
# > hundredth, or less than a millionth?

# %%
# %load_ext microgradrnn
from typing import Any

import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from demos.experiments import records
from microgradrnn import Tensor, nn
from viz.numbers import short

_ = viz.set_theme(page=830)
D, H, T = 3, 32, 50
normal = np.random.default_rng(0).standard_normal
xs = normal((T, 1, D))
cell = nn.LSTMCell(D, H, rng=0)
viz.draw_cell(cell)

# %% [markdown]
# ## One cell, four layers
#
# The straight line on top is the cell state $c$. From $c_{t-1}$ to $c_t$ there is one product, with the forget gate
# $f$, and one sum. `viz.equations` reads the equations from the graph of the cell ($σ$ is the sigmoid, $⊙$ the
# product entry by entry):

# %%
print(viz.equations(cell))
h, c = cell(normal((1, D)), (normal((1, H)), normal((1, H))))
nodes = viz.trace(h.sum()).nodes
functions = {gate: nodes[f"lstm/{gate}"]["op"] for gate in "ifog"}
print(functions)

# %% [markdown]
# A cell has four layers with weights: the three gates with a sigmoid, and the candidate $g$ with tanh
# ([C81](../claims.md)). One source says that the gates use different activations; they do not ([C88](../claims.md)).
# A *gate* is a sigmoid followed by an elementwise product ([C89](../claims.md)). So a gate is between 0 and 1, and
# only rounding makes it exactly 0 or 1 ([C74](../claims.md)).
#
# The candidate $g$ reads $h_{t-1}$. One source prints $h_t$ in its place. Then $g$ needs $h_t$, $h_t$ needs $c_t$, and
# $c_t$ needs $g$: nothing could be computed ([C69](../claims.md)). Some sources stack $U$ and $W$ into one matrix for
# $[h, x]$. It computes the same ([C82](../claims.md)):

# %%
x, h = normal((1, D)), normal((1, H))
apart = x @ cell.U.data + h @ cell.W.data
stacked = np.concatenate([h, x], axis=1) @ np.concatenate([cell.W.data, cell.U.data])
layouts_differ = abs(apart - stacked).max()
print(f"largest difference, from rounding: {layouts_differ:.0e}")

# %% [markdown]
# ## What the gates can do
#
# With a bias of ±1000 a gate is exactly 0 or 1. This shows what each gate is for.

# %%
def with_biases(cell: Any, **biases: float) -> Any:
    """The cell, with the biases of some gates replaced."""
    b = np.array(cell.b.data)
    for gate, bias in biases.items():
        k = "ifgo".index(gate)  # the blocks of b
        b[k * H : (k + 1) * H] = bias
    cell.b.data = b
    return cell


c0, copied, gradients = Tensor(normal((1, H))), {}, {}
for f in (1, 0):
    clamped = with_biases(nn.LSTMCell(D, H, rng=0), f=2000 * f - 1000, i=-1000 * f)
    _, (_, c) = nn.unroll(clamped, xs, (np.zeros((1, H)), c0))
    copied[f], gradients[f] = np.array_equal(c.data, c0.data), mg.grad(c.sum(), c0)
    values = np.unique(abs(gradients[f]))
    print(f"f = {f}: is c_50 = c_0? {copied[f]}; entries of the gradient at c_0: {values}")

# %% [markdown]
# With $f = 1$ and $i = 0$ the cell state and its gradient are copied, bit for bit. With $f = 0$ the gradient is
# exactly 0 ([C83](../claims.md)). So the *forget* gate says how much is *kept*. One source says that the cell may
# later "restore" what was forgotten. It cannot: if $f_t = 0$, then $c_t$ does not contain $c_{t-1}$, and no later step
# reads $c_{t-1}$ ([C86](../claims.md)). Only $h_{t-1}$, which was computed before, may still hold a part of it.
#
# Two more experiments. The first sets $i = 1$, $f = 0$ and $o = 1$. The second builds the LSTM of one source, with an
# "update gate" $u$ that decides "what to forget and what to add". But no other equation of that source reads $u$.

# %%
clamped = with_biases(nn.LSTMCell(D, H, rng=0), i=1000, f=-1000, o=1000)
s = np.zeros((1, H))
for x in xs:
    z = s @ clamped.W.data + (x @ clamped.U.data + clamped.b.data)
    s = np.tanh(np.tanh(z[:, 2 * H : 3 * H]))  # the block of g
is_simple = np.array_equal(nn.unroll(clamped, xs)[1][0].data, s)
print(f"i = 1, f = 0, o = 1: equal to a simple net with one more tanh? {is_simple}")

five_gates = nn.UpdateGateLSTMCell(D, H, rng=0)
(nn.unroll(five_gates, xs)[0] ** 2).sum().backward()
unused = abs(five_gates.W.grad[:, 4 * H :]).max()
print(f"largest gradient of the update gate's weights: {unused}")

# %% [markdown]
# With the first setting the LSTM *is* a simple net with one more tanh, bit for bit ([C79](../claims.md)). In the
# second, the weights of the update gate get a gradient of exactly 0: it decides nothing ([C85](../claims.md)).
#
# ## The cell path, and the other ways
#
# Along the cell state alone, $\partial c_t / \partial c_{t-1} = f_t$, entry by entry. Over many steps this is the
# product $f_T ⊙ \dots ⊙ f_1$, with no $W$ in it. But the gates and the candidate read $h_{t-1}$, and $h_{t-1}$
# depends on $c_{t-1}$. So there are other ways, and these go through $W$. `viz.ways` splits the gradient at $c$ into
# the *cell path* (only products with forget gates) and the rest; the parts add up exactly. Here the forget bias is 0,
# $W$ is random, and $L$ is the sum of the entries of $c_{50}$:

# %%
def last_c(W: np.ndarray) -> Tensor:
    """The last cell state of an LSTM with forget bias 0 and these recurrent weights."""
    cell = nn.LSTMCell(D, H, forget_bias=0, rng=0)
    cell.W.data = W
    return nn.unroll(cell, xs, (np.zeros((1, H)), c0))[1][1]


random, ones = normal((H, 4 * H)) / np.sqrt(H), np.ones((1, H))
ways, closed = (viz.ways(last_c(W), "c", seed=ones) for W in (random, 0 * random))
is_product = np.allclose(closed.norms["carry"], closed.whole_norms, rtol=1e-12, atol=0)
print(f"W = 0: is the cell path the whole gradient? {is_product}")
carry, whole = ways.norms["carry"], ways.whole_norms
curves = {"all ways": whole, "cell path alone": carry}
ax = charts.curves(curves, "lag: steps back", "‖∂L/∂c‖", log="y")
times = short(whole[-1] / carry[-1])
charts.titled(ax, f"50 steps back: all ways bring {times} times the cell path")

# %% [markdown]
# So gradients do flow along the cell, but not only there ([C70](../claims.md)). With $W = 0$ the other ways are
# closed, and the gradient *is* the product of the forget gates.
#
# What makes a gradient small on the other ways? Among other factors, a slope: at a gate that of the sigmoid, at most
# 1/4, and at the candidate that of tanh, at most 1. Near 0 tanh has the larger slope, further out the sigmoid
# ([C75](../claims.md)):

# %%
z = np.linspace(0, 4, 40001)
tanh_slope, sigmoid_slope = 1 - np.tanh(z) ** 2, np.exp(-z) / (1 + np.exp(-z)) ** 2
crossing = z[np.argmax(sigmoid_slope > tanh_slope)]
slopes = {"tanh": (z, tanh_slope), "sigmoid": (z, sigmoid_slope)}
ax = charts.curves(slopes, "net input z", "slope")
charts.titled(ax, f"At z = 0 the slopes are 1 and 1/4, at z = {crossing:.2f} they are equal")

# %% [markdown]
# > **What textbooks say, and what is measured.** "A simple net multiplies, an LSTM adds." The *state* is a sum:
# > $c_t = f ⊙ c_{t-1} + i ⊙ g$. Its *derivative* is still a product, a product of forget gates ([C72](../claims.md)).
# > The product keeps the whole gradient only if $f = 1$ at every step. The LSTM of 1997 had no forget gate:
# > $c_t = c_{t-1} + i ⊙ g$. Its cell path keeps the gradient exactly ([C114](../claims.md)). The forget gate, and with
# > it the product, came later. (In the next cell $W = 0$, to close the other ways.)

# %%
old = nn.CarouselLSTMCell(D, H, rng=0)
old.W.data = np.zeros((H, 3 * H))
_, (_, c) = nn.unroll(old, xs, (np.zeros((1, H)), c0))
carousel = mg.grad(c.sum(), c0)
print(f"1997: gradient at c_0, 50 steps back: {np.unique(carousel)}")

# %% [markdown]
# ## How much is left?
#
# Let the forget bias be $b_f$, and $U = W = 0$. Then $f = σ(b_f)$ at every step, and after $n$ steps $f^n$ of the
# gradient is left. After the *half-life*, a half is left.

# %%
biases = (0, 1, 2, 3, 5)
kept = {b: 1 / (1 + np.exp(-b)) for b in biases}  # σ(b) is f
left = {b: kept[b] ** np.arange(T + 1) for b in biases}
half_life = {b: np.log(0.5) / np.log(kept[b]) for b in biases}
for b in biases:
    print(f"b_f = {b}: f = {kept[b]:.3f}, half-life {half_life[b]:5.1f} steps")
curves = {f"forget bias {b}": left[b] for b in biases}
ax = charts.curves(curves, "n: steps", "fⁿ: what is left", log="y")
charts.titled(ax, f"After 50 steps: bias 1 leaves {short(left[1][50])}, "
                  f"bias 5 leaves {left[5][50]:.0%}")

# %% [markdown]
# This answers the guess: on the cell path *less than a millionth* is left. Whether the LSTM "solves long-range
# dependencies" depends on the forget bias ([C71](../claims.md)). A bias of 1 or 2 does not "ensure" a long memory, as
# some texts say: it sets a half-life of 2.2 or 5.5 steps ([C73](../claims.md)). Now whole nets of 8 units with random
# weights, and all ways. (From step 50 back to step 1 it is 49 steps.)

# %%
losses = {f"forget bias {b}": nn.LSTM(D, 8, forget_bias=b, rng=0)(xs)[1][0].sum()
          for b in (0, 1, 3)}
losses["tanh RNN"] = nn.RNN(D, 8, rng=0)(xs)[1].sum()
compared = viz.compare_flow(losses)
after_49 = {track.net: track.left(T - 1) for track in compared.tracks}
compared

# %% [markdown]
# Each net has three strips. For each step back they show how much of the gradient is left, which ways it took from the
# step after, and by what factor its norm changed ([more](../flow.md)). The *carry* is one step of the cell path: the
# product with $f$. With a bias of 1, all ways together leave 2·10⁻⁵: more than the cell path alone, but little. In a
# single step the carry brings most of the gradient. But "cell path" above means the carry at all 50 steps.
#
# Move the slider of the forget bias, or untick "carry", and see what is left:

# %%
viz.explore(losses["forget bias 1"])

# %% [markdown]
# ## Is it enough to learn?
#
# In *delayed recall* ([D5](../claims.md)), a net reads 50 symbols and must then name the first, one of four. For each
# forget bias, three nets were trained for up to 1000 updates. The results are stored (`demos/experiments/records`).
# "Chrono" gives every unit a random time $τ$ between 1 and 49 steps, with $b_f = \ln τ$ and $b_i = -b_f$. Then
# $f = τ / (τ + 1)$, and the unit remembers for about $τ$ steps. The last number is a ratio, measured before training:
# the gradient of the right answer at the first input, divided by that at the last input.

# %%
starts = (*biases, "chrono")
runs = {b: records.read("recall", cell="lstm", T=50, forget_bias=b) for b in starts}
solved = {b: [run["solved_at"] for run in runs[b]] for b in starts}
reach = {b: np.median([run["first_to_last_before"] for run in runs[b]]) for b in starts}
for start in starts:
    said = ", ".join(f"{updates or 'never':>5}" for updates in solved[start])
    print(f"{start!s:>6}: solved after {said} updates, first / last {short(reach[start])}")
learned = {b: 3 - solved[b].count(None) for b in starts}
ax = charts.bars({"nets that learned it": [*learned.values()]}, "forget bias",
                 "of three nets", names=[str(b) for b in starts])
ax.set_yticks(range(4))
charts.titled(ax, f"Recall over 50 steps: bias 1, {learned[1]} of 3 nets; "
                  f"bias 3, {learned[3]} of 3")

# %% [markdown]
# Within 1000 updates no net learns with a bias of 0 or 1, one of three with 2, and all with 3 and 5. With chrono all
# learn, although the ratio is smaller than with a bias of 2. So the size of the gradient before training does not
# decide everything. But in this experiment all nets with a ratio below 10⁻³ failed.
#
# ## Short and long memory
#
# The state $h_t$ goes to two places: to the output, and to the next step. So its gradient has two parts, from the loss
# of its own step and from later losses ([C84](../claims.md)). Now every step has a loss:

# %%
head, net = nn.Linear(H, 4, rng=1), nn.LSTMCell(D, H, forget_bias=2, rng=0)
states = [(np.zeros((1, H)), np.zeros((1, H)))]
for x in xs:
    states.append(net(x, states[-1]))
loss = [nn.cross_entropy(head(h), [1]) for h, _ in states[1:]]
parts = {"own loss": loss[24], "later losses": sum(loss[25:]), "all": sum(loss[24:])}
at_h_25 = {name: mg.grad(part, states[25][0]) for name, part in parts.items()}
for name, g in at_h_25.items():
    print(f"norm of the gradient at h_25, {name}: {np.linalg.norm(g):.2f}")

# %% [markdown]
# The parts add as vectors, not as norms.
#
# Textbooks call $h$ a short memory and $c$ a longer one. To test that, feed in white noise and compare a state with
# the state some steps later. Their correlation is called *autocorrelation*: 1 if both are equal, about 0 if they have
# nothing in common:

# %%
(hs, cs), _ = nn.unroll(net, normal((250, 30, D)), states=True)
memory = {}
for name, s in (("c", cs.data[50:]), ("h", hs.data[50:])):
    s = s - s.mean(axis=0)
    memory[name] = [((s[: len(s) - k] * s[k:]).sum(0) / (s * s).sum(0)).mean()
                    for k in range(16)]
ax = charts.curves(memory, "steps later", "autocorrelation")
charts.titled(ax, f"After 5 steps the autocorrelation of c is {memory['c'][5]:.2f}, "
                  f"that of h {memory['h'][5]:.2f}")

# %% [markdown]
# The textbooks are right ([C87](../claims.md)), here with a forget bias of 2. (The parameters are the longest memory:
# they do not change while the net runs.)
#
# ## Exploding
#
# Some sources say that the LSTM also solves exploding gradients. Let the forget bias be 2, multiply random recurrent
# weights (normal, variance $1/H$) by a gain, and measure the gradient at $c_0$ (median of ten nets). At $c_{50}$ the
# gradient has norm 1:

# %%
def gradient_at_start(gain: float, seed: int) -> float:
    """‖∂(v·c_50)/∂c_0‖ for a random v of norm 1."""
    cell, rng = nn.LSTMCell(D, H, forget_bias=2, rng=seed), np.random.default_rng(seed)
    cell.W.data = gain * rng.standard_normal((H, 4 * H)) / np.sqrt(H)
    v, c0 = rng.standard_normal((1, H)), Tensor(np.zeros((1, H)))
    _, (_, c) = nn.unroll(cell, rng.standard_normal((T, 1, D)), (np.zeros((1, H)), c0))
    return float(np.linalg.norm(mg.grad(c, c0, seed=v / np.linalg.norm(v))))


growth = {gain: np.median([gradient_at_start(gain, seed) for seed in range(10)])
          for gain in (0, 1, 2, 4, 8)}
print({f"gain {gain}": short(norm) for gain, norm in growth.items()})

# %% [markdown]
# From gain 1 on, the gradient is larger at $c_0$ than at $c_{50}$; with gain 8, more than 1000 times. The LSTM does not
# prevent exploding ([C115](../claims.md)), and clipping stays useful.
#
# A different activation may replace tanh, in the candidate and in $h_t = o ⊙ \tanh(c_t)$ ([C90](../claims.md)). But
# ReLU has no upper bound. Compare the largest $|h|$ of 100 steps, and the norm of $\partial L / \partial W$, where $L$
# is the sum of the last $h$ (medians of five nets):

# %%
largest, steepest = {}, {}
for case in ((1, "tanh"), (1, "relu"), (4, "tanh"), (4, "relu")):
    sizes, norms = [], []
    for seed in range(5):
        cell = nn.LSTMCell(D, H, activation=case[1], rng=seed)
        rng = np.random.default_rng(seed)
        cell.W.data = case[0] * rng.standard_normal((H, 4 * H)) / np.sqrt(H)
        hs, _ = nn.unroll(cell, rng.standard_normal((100, 1, D)))
        sizes.append(abs(hs.data).max())
        norms.append(np.linalg.norm(mg.grad(hs[-1].sum(), cell.W)))
    largest[case], steepest[case] = np.median(sizes), np.median(norms)
    print(f"gain {case[0]}, {case[1]}: |h| {short(largest[case])}, "
          f"gradient {short(steepest[case])}")

# %% [markdown]
# With gain 1 both work, and ReLU does not explode. With gain 4, the state of the ReLU net grows beyond a million, and
# its gradient grows much more. So ReLU explodes more easily, and needs clipping ([C76](../claims.md)).
#
# ## Summary
#
# * A gate is a sigmoid and an elementwise product. The forget gate says how much of $c$ is kept.
# * Along the cell state the gradient is the product of the forget gates. Other ways go through $h$ and $W$.
# * The forget bias sets how much the cell path keeps: after 50 steps 1.6·10⁻⁷ with a bias of 1, 71 % with a bias of 5.
#   The other ways may add to this.
# * Recall over 50 steps was learned with a bias of 3 or 5 and with chrono, but not with 0 or 1.
# * The LSTM does not prevent exploding gradients.
#
# ## Exercises
#
# **1.** With $U = W = 0$, which forget bias gives a half-life of 100 steps? Predict whether it is nearest to 3, 5 or
# 10.

# %% tags=["hide-cell"]
f_needed = 0.5 ** (1 / 100)
b_needed = np.log(f_needed / (1 - f_needed))
print(f"f = {f_needed:.4f}, so b_f = ln(f / (1 - f)) = {b_needed:.2f}")

# %% [markdown]
# **2.** Change `forget_bias=0` in `last_c` to 3. Predict: does the cell path now bring more or less than a tenth of
# the gradient at lag 50?

# %% tags=["hide-cell"]
better = nn.LSTMCell(D, H, forget_bias=3, rng=0)
better.W.data = random
_, (_, c) = nn.unroll(better, xs, (np.zeros((1, H)), c0))
found = viz.ways(c, "c", seed=np.ones((1, H)))
share_of_carry = found.shares("carry")[-1]
print(f"share of the cell path: {share_of_carry:.0%}")
print(f"whole gradient: {short(whole[-1])} before, {short(found.whole_norms[-1])} now")
# The other ways have grown, too: they contain many forget gates.

# %% [markdown]
# **3.** `nn.CoupledLSTMCell` uses the update gate: $c_t = (1-u) ⊙ c_{t-1} + u ⊙ g$. Predict: after 1000 steps, is the
# largest $|c|$ above 1 in this cell? And in the LSTM of 1997?

# %% tags=["hide-cell"]
far = {}
for Cell in (nn.CoupledLSTMCell, nn.CarouselLSTMCell):
    _, (_, c) = nn.unroll(Cell(D, H, rng=0), normal((1000, 1, D)))
    far[Cell.__name__] = abs(c.data).max()
print({name: f"{size:.2f}" for name, size in far.items()})
# A weighted mean of values of tanh stays between -1 and 1. A sum does not.
