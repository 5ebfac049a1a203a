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
# # Lesson 6. Cures without gates, and their price
#
# Gradients explode or vanish. Which simple change cures which, and what does it cost?
#
# > **Guess first.** Tanh nets must learn in which order two symbols came. $W$ starts as 0.5, 0.95 or 1.2 times an
# > orthogonal matrix. Without gradient clipping most nets fail. With clipping, which starts succeed: (a) all three,
# > (b) 0.95 and 1.2, (c) none?

# %%
from collections.abc import Callable
from typing import Any

import numpy as np

import viz
from demos import charts
from demos.experiments import cliff
from demos.experiments.records import read
from microgradrnn import Tensor, grad, nn, no_grad, optim

# %load_ext microgradrnn
theme = viz.set_theme(page=830)

# %% [markdown]
# ## A cliff
#
# Parameters are updated by gradient descent with a learning rate $\lambda$ ([C112](../claims.md)): $\theta \leftarrow
# \theta - \lambda\, g$, with $g = \partial L/\partial\theta$. Take the smallest recurrent net, one unit and 50 steps
# without input (Pascanu, Mikolov and Bengio 2013). Here $\sigma$ is the sigmoid:
#
# $$z_{t+1} = w\,h_t + b, \qquad h_t = \sigma(z_t), \qquad z_0 = 0.5, \qquad L = (h_{50} - 0.7)^2.$$
#
# Compute the loss for all $w$ and $b$ between the limits of this picture:

# %%
def loss_map(w: np.ndarray, b: np.ndarray) -> Any:
    """The loss for all w and b, as colours."""
    ax, at = charts.empty(), np.meshgrid(w, b)
    loss = cliff.loss_at(Tensor(at[0].copy()), Tensor(at[1].copy())).data
    colours = ax.pcolormesh(w, b, loss, cmap="cividis", rasterized=True)
    ax.figure.colorbar(colours, label="loss")
    return charts.finished(ax, "w", "b", grid=False)


loss_map(np.linspace(3, 8, 301), np.linspace(-4, -1, 301))

# %%
surface = cliff.surface(201)
steepest, typical = surface.slope.max(), np.median(surface.slope)
share = np.mean(surface.slope > 10)
print(f"norm of the gradient: median {typical:.3f}, largest {steepest:.0f}")
print(f"above 10 at {share:.2%} of the points")

# %% [markdown]
# The loss is nearly flat, and it has a *cliff*: along a thin line the gradient is thousands of times as large, because
# there the gradient explodes on its way through the 50 steps. Now start gradient descent beside the cliff, 60 updates
# with $\lambda = 0.1$: once without a cure, and once with *clipping by norm* ([C62](../claims.md)):
#
# $$\text{if } \lVert g\rVert > \tau: \quad g \leftarrow g\,\frac{\tau}{\lVert g\rVert}, \qquad \tau = 1.$$

# %%
plain, clipped = cliff.descend(None), cliff.descend(1.0)
ax = loss_map(np.linspace(4.4, 4.8, 301), np.linspace(-2.5, -2.15, 301))
ax.plot(*plain.points.T, "s-", color="#d55e00", markersize=6, label="not clipped")
ax.plot(*clipped.points.T, "o-", color="#56b4e9", markersize=3, label="clipped")
ax.set(xlim=(4.4, 4.8), ylim=(-2.5, -2.15))  # a piece of the first picture
ax.legend(loc="lower right")
ax

# %%
charts.curves({"not clipped": plain.losses, "clipped": clipped.losses},
              "update", "loss", log="y")

# %%
same = int((plain.points == clipped.points).all(axis=1).sum()) - 1
print(f"the two paths are the same for {same} updates")
print(f"longest step: not clipped {plain.longest:.1f}, clipped {clipped.longest:.1f}")
print(f"where they end: {plain.points[-1].round(1)} and {clipped.points[-1].round(1)}")
lowest = [descent.losses[-20:].min() for descent in (plain, clipped)]
print(f"lowest loss of the last 20 updates: {lowest[0]:.2f} and {lowest[1]:.0e}")

# %% [markdown]
# As long as the norm of no gradient is above $\tau$, the paths are the same: they jump back and forth over the cliff
# and by chance do not land on its steep part. Then one point does, and its gradient is huge. The path without clipping
# leaves the picture in a single step, and ends where the loss is flat: exploding gradients make parameters jump
# ([C58](../claims.md)). The clipped path never moves by more than $\lambda\tau = 0.1$, and comes back.
#
# Is a smaller $\lambda$ a cure? A rate that is too small is slow, and one that is too large diverges
# ([C109](../claims.md)): on a parabola with curvature $k$ the limit is $\lambda < 2/k$. A *loss* with a cliff has flat
# and steep regions, so no single rate fits both. "Between $10^{-2}$ and $10^{-4}$" is a rule of thumb
# ([C111](../claims.md)). A *schedule* lowers the rate with the epoch $n$, $\lambda_n = \alpha^n \lambda_0$ with $\alpha
# < 1$. Some texts print $\lambda \leftarrow \alpha^n \lambda$ ([C110](../claims.md)). If one applies this at every
# epoch, $\lambda$ falls much faster, like $\alpha^{n(n+1)/2}$:

# %%
k, ends = 5.0, {}
for factor in (0.98, 1.02):
    theta, rate = 1.0, factor * 2 / k
    for _ in range(500):
        theta -= rate * k * theta  # the loss k θ²/2 has the curvature k
    ends[factor] = abs(theta)
    print(f"λ = {factor} · 2/k: |θ| = {ends[factor]:.0e} after 500 updates")
meant, printed = 0.9**10, np.prod([0.9**n for n in range(1, 11)])
print(f"λ after 10 epochs, α = 0.9: {meant:.4f} λ_0; as those texts print it {printed:.4f} λ_0")

# %% [markdown]
# Clipping by norm keeps the direction of the gradient. Some programs clip each *entry* instead, which changes the
# direction:

# %%
def exploding() -> Any:
    """A tanh net of gain 3, with the gradient of a loss after 40 steps."""
    rng = np.random.default_rng(0)
    cell = nn.RNNCell(3, 30, rng=rng)
    cell.W.data = 3 * rng.standard_normal((30, 30)) / np.sqrt(30)
    _, h = nn.unroll(cell, 0.1 * rng.standard_normal((40, 2, 3)))
    (h * rng.standard_normal((2, 30))).sum().backward()
    return cell.parameters()


def together(parameters: Any) -> np.ndarray:
    """The gradients of all parameters as one vector."""
    return np.concatenate([p.grad.ravel() for p in parameters])


# %%
cosines = {}
for name, clip in {"norm": optim.clip_grad_norm, "entry": optim.clip_grad_value}.items():
    parameters = exploding()
    before = together(parameters)
    clip(parameters, 0.1)
    after = together(parameters)
    cosines[name] = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    print(f"clipped by {name}: the cosine with the gradient is {cosines[name]:.3f}")

# %% [markdown]
# ## Clipping cures explosion, not vanishing
#
# Now the guess. In *temporal order*, two symbols, each A or B, stand among distractors, and the net must name the two
# in their order. The bars are means of stored results of 36 nets: two lengths and three seeds for each bar. Chance is
# 1/4.

# %%
def records(gain: float, clip: float | None) -> list[Any]:
    """Temporal order over 20 and 30 steps, 4,000 updates at most."""
    return [r for r in read("order", gain=gain) if r["clip"] == clip]


gains = (0.5, 0.95, 1.2)
accuracy = {name: [np.mean([r["accuracy"] for r in records(gain, clip)]) for gain in gains]
            for name, clip in {"not clipped": None, "clipped": 1.0}.items()}
largest = {gain: max(r["largest_norm"] for r in records(gain, None)) for gain in gains}
charts.bars(accuracy, "W starts as so many times an orthogonal matrix",
            "fraction of right answers", names=[str(gain) for gain in gains], level=0.25)

# %%
for gain, norm in largest.items():
    print(f"{gain}: without clipping, the largest norm of a gradient is {norm:.1f}")

# %% [markdown]
# The answer is (b). At 0.95 and 1.2 the gradient explodes during training (training changes $W$), and with clipping all
# nets of these two starts learn. At 0.5 no norm is ever above 1. There is nothing to clip: the runs with and without
# clipping are the same, and both stay at chance.
# **Clipping makes large gradients small. It does not make small ones large.**
#
# ## Weight decay
#
# "L2 weight decay helps against exploding" ([C63](../claims.md)). With a decay rate $\gamma$, it multiplies $W$ by
# $1 - \lambda\gamma$ at each update. Follow what 30 steps do to a gradient, in a net where gradients explode and in one
# where they vanish:

# %%
def after_30(W: np.ndarray) -> float:
    """By what factor 30 steps multiply a gradient."""
    cell, rng = nn.RNNCell(3, 30, rng=0), np.random.default_rng(1)
    cell.W.data = W
    h0, g = Tensor(0.1 * rng.standard_normal((1, 30))), rng.standard_normal((1, 30))
    _, h = nn.unroll(cell, 0.1 * rng.standard_normal((30, 1, 3)), h0)
    return float(np.linalg.norm(grad(h, h0, seed=g)) / np.linalg.norm(g))


G = np.random.default_rng(0).standard_normal((30, 30)) / np.sqrt(30)
counts = range(0, 151, 5)
decayed = {gain: [after_30(gain * 0.99**n * G) for n in counts] for gain in (2.5, 0.7)}
charts.curves({f"gain {gain}": (counts, line) for gain, line in decayed.items()},
              "updates with λγ = 0.01", "growth in 30 steps", log="y", level=1.0)

# %% [markdown]
# Weight decay helps, but slowly. In the first updates the gradient explodes as before, because weight decay does not
# limit the size of any single gradient. After many updates both gradients vanish, and the one that vanished from the
# start vanishes faster. (Here decay acts alone. In training, the gradient of the loss can make $W$ larger again.)
#
# ## A different activation, a different start
#
# "Against vanishing, use ReLU or gates" ([C64](../claims.md)). Gates come in the next lesson. ReLU alone makes
# vanishing worse at gain 1, because half of the units are off (lesson 5). A ReLU net needs a different *start*, $W = I$
# and $b = 0$. This is the **IRNN** (Le, Jaitly and Hinton 2015): at the start $h_t = \mathrm{ReLU}(h_{t-1} + x_t U)$,
# and an active unit (one whose state is above 0) passes its gradient back unchanged.

# %%
def profile(make: Callable[[int], Any], T: int = 100) -> np.ndarray:
    """‖∂L/∂h‖ by lag, as a multiple of that at lag 0; the median of ten nets."""
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        xs, h0 = 0.1 * rng.standard_normal((T, 1, 3)), np.abs(rng.standard_normal((1, 30)))
        _, h = nn.unroll(make(seed), xs, h0)
        sizes = viz.gradient_flow((h * rng.standard_normal((1, 30))).sum()).profile().norms
        found.append(np.array(sizes) / sizes[0])
    return np.asarray(np.median(found, axis=0))


# %%
def gain_1(activation: str) -> Callable[[int], Any]:
    """Nets whose W has gain 1."""
    def make(seed: int) -> Any:
        cell = nn.RNNCell(3, 30, activation=activation, rng=seed)
        cell.W.data = np.random.default_rng(seed).standard_normal((30, 30)) / np.sqrt(30)
        return cell
    return make


starts = {"ReLU": profile(gain_1("relu")), "tanh": profile(gain_1("tanh")),
          "IRNN": profile(lambda seed: nn.IRNNCell(3, 30, rng=seed))}
charts.curves(starts, "lag: steps back from the loss", "‖∂L/∂h‖", log="y", level=1.0)

# %% [markdown]
# Does the IRNN learn better? In the *adding problem* a net reads 50 or 100 numbers and must say the sum of two marked
# ones. Each bar is one net: the updates until it has learned the task. A bar up to the line, 3000, means that the net
# has not learned it.

# %%
kinds = {"rnn": "tanh", "irnn": "IRNN", "lstm": "LSTM"}


def needed(kind: str, T: int, seed: int) -> int:
    """Updates until the error is below 0.02; 3000 if it never is."""
    return read("sums", kind=kind, T=T, seed=seed)[0]["updates"] or 3000


updates = {f"T = {T}, net {seed + 1}": [needed(kind, T, seed) for kind in kinds]
           for T in (50, 100) for seed in (0, 1)}
charts.bars(updates, "net", "updates until learned", names=list(kinds.values()), level=3000)

# %%
def scaled(factor: float) -> Callable[[int], Any]:
    """IRNNs whose W is not I, but factor · I."""
    def make(seed: int) -> Any:
        cell = nn.IRNNCell(3, 30, rng=seed)
        cell.W.data = factor * np.eye(30)
        return cell
    return make


edge = {factor: profile(scaled(factor))[-1] for factor in (0.95, 1.0, 1.05)}
for factor, left in edge.items():
    print(f"W = {factor} I: × {left:.2g} in 99 steps")

# %% [markdown]
# No tanh net learns the task. Both IRNNs do, and on average they need fewer updates than the LSTMs
# ([C54](../claims.md)). The price: the IRNN is on the edge between vanishing and exploding. If $W$ changes by 5 %, the
# gradient is multiplied or divided by about 100 or more in 99 steps. And the state has no upper limit.
#
# ## Add instead of multiply
#
# If products are the problem, add: $h_t = h_{t-1} + g(x_t)$, with $g = \tanh(x_t U + b)$. No weight is on the way from
# $h_{t-1}$ to $h_t$, so the Jacobian of a step is exactly $I$ ([C66](../claims.md)). Residual nets use the same idea in
# depth ([C65](../claims.md)).

# %%
viz.draw_cell(nn.AdditiveCell(3, 30, rng=0))

# %% [markdown]
# Compare this net with its more flexible form, in which $g = \tanh(x_t U + h_{t-1} W)$ reads the state too, and with a
# tanh net of gain 1 (from the picture above):

# %%
def adder(seed: int) -> Any:
    """h + g(x, h) with W = -I/2 and no bias."""
    cell = nn.AdditiveCell(3, 30, reads_state=True, bias=False, rng=seed)
    cell.W.data = -0.5 * np.eye(30)
    return cell


flows = {"h + g(x)": profile(lambda seed: nn.AdditiveCell(3, 30, rng=seed)),
         "h + g(x, h), W = −I/2": profile(adder), "tanh": starts["tanh"]}
charts.curves(flows, "lag: steps back from the loss", "‖∂L/∂h‖", log="y", level=1.0)

# %%
xs = np.random.default_rng(0).standard_normal((100, 1, 3))
shuffled = np.random.default_rng(1).permutation(xs)
changes = {}
for name, net in {"h + g(x)": nn.AdditiveCell(3, 30, rng=0), "h + g(x, h)": adder(0)}.items():
    one, other = (nn.unroll(net, inputs)[1].data for inputs in (xs, shuffled))
    changes[name] = np.linalg.norm(one - other) / np.linalg.norm(one)
    print(f"{name:>12}: shuffled inputs change the last state by {changes[name]:.0e}")

# %% [markdown]
# > **What textbooks say, and what is measured.** "$h + g(x)$ passes gradients back without shrinking them, and
# > $h + g(x, h)$ is its more flexible version." The first half is true, but it has a price: the state is a sum, so the
# > net cannot see the *order* of its inputs. The second half is misleading: when $g$ reads the state, the Jacobian is
# > $I + \partial g/\partial h$, and the gradient may vanish or explode as in any other net ([C67](../claims.md)).
#
# The second price of $h + g(x)$ is that its state grows ([C68](../claims.md)). Measure the mean size of the state over
# 100 sequences, once with a $g$ whose mean is not 0, and once with a $g$ whose mean is 0:

# %%
cells: dict[str, Any] = {"mean of g not 0": nn.AdditiveCell(3, 30, rng=0),
                         "mean of g is 0": nn.AdditiveCell(3, 30, bias=False, rng=0),
                         "GRU": nn.GRUCell(3, 30, rng=0), "LSTM": nn.LSTMCell(3, 30, rng=0)}
cells["mean of g not 0"].b.data = np.full(30, 0.5)
inputs, steps = np.random.default_rng(0).standard_normal((800, 100, 3)), np.arange(1, 801)
states = {}
with no_grad():
    for name in ("mean of g not 0", "mean of g is 0", "GRU"):
        hs, _ = nn.unroll(cells[name], inputs)
        states[name] = np.abs(hs.data).mean(axis=(1, 2))
charts.curves({name: (steps, line) for name, line in states.items()},
              "step", "mean |h|", log="y")

# %%
late = slice(99, None)
powers = {name: np.polyfit(np.log(steps[late]), np.log(line[late]), 1)[0]
          for name, line in states.items()}
for name, power in powers.items():
    print(f"{name}: the state grows like t to the power {abs(power):.1f}")
cells["LSTM"].b.data = np.full(120, 1e3)  # all gates are 1, and so is the candidate
_, (_, c) = nn.unroll(cells["LSTM"], inputs[:200, :1])
print(f"cell state of an LSTM with open gates after 200 steps: {c.data.max():.0f}")

# %% [markdown]
# "Gates stop the growth" is true of the GRU: its state is a weighted mean of numbers within ±1. The cell state of an
# LSTM is sure to be bounded only if its forget gates stay below a fixed number smaller than 1. (Each gate is below 1,
# but it may come as close to 1 as it likes: in the last line above, rounding makes it 1.)
#
# ## Summary
#
# | cure | against exploding | against vanishing | price |
# |---|---|---|---|
# | clipping by norm | **yes** | no | one more number to choose, $\tau$ |
# | smaller learning rate, schedule | hardly | no | slow where the loss is flat |
# | weight decay | slowly | makes it worse | the net forgets everything faster |
# | ReLU alone | makes it worse at large gain | makes it worse at gain 1 | half of the units are off |
# | ReLU with $W = I$ (IRNN) | no | **yes, before training** | on the edge; state without limit |
# | $h + g(x)$ | **yes** | **yes** | blind to order; the state grows |
# | $h + g(x, h)$ | no | no | none, but no cure |
#
# * Exploding has a simple cure, clipping. Vanishing has no cure as cheap.
# * An additive state passes gradients back unchanged only if $g$ does not read the state, and then the net cannot see
#   order.
# * No cure here prevents both problems and also keeps the order of the inputs. The next lesson asks whether gates can.
#
# ## Exercises
#
# **Exercise 1.** Clip to $\tau = 0.1$ on the cliff. Predict the length of the longest step. Does the loss get as low as
# with $\tau = 1$?

# %% tags=["hide-cell"]
careful = cliff.descend(0.1)
print(f"longest step {careful.longest:.2f}, lowest loss {careful.losses.min():.0e}")  # λτ = 0.01

# %% [markdown]
# **Exercise 2.** An IRNN has $W = 1.02\,I$. Predict by what factor 99 steps multiply the gradient of active units.

# %% tags=["hide-cell"]
slightly = profile(scaled(1.02))[-1]
print(f"{slightly:.2f}; 1.02⁹⁹ = {1.02**99:.2f}")  # a few units are not active

# %% [markdown]
# **Exercise 3.** In $h + g(x, h)$, take $W = -I$ instead of $-I/2$, no inputs and the first state 0. Predict the
# gradient of the sum of $h_1$ with respect to $h_0$.

# %% tags=["hide-cell"]
cell, h0 = adder(0), Tensor(np.zeros((1, 30)))
cell.W.data = -np.eye(30)
_, h = nn.unroll(cell, np.zeros((1, 1, 3)), h0)
single = grad(h.sum(), h0)
print(np.abs(single).max())  # I - I = 0: after one step nothing is left of the gradient
