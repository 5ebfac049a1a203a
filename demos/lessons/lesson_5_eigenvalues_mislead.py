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
# # Lesson 5. Eigenvalues mislead
#
# On its way back through time, a gradient is multiplied by one matrix at each step. It *vanishes* if it shrinks towards
# 0, and *explodes* if it grows without limit. Which number of these matrices says what happens?
#
# > **Guess first.** In a tanh net, the largest |eigenvalue| of the Jacobian is 0.89 at each step. What happens to a
# > gradient in 40 steps? (a) It shrinks to about $0.89^{40} = 0.01$. (b) It keeps its size. (c) It grows to $10^{12}$.

# %%
from typing import Any

import numpy as np

import viz
from demos import charts
from demos.experiments import norms
from microgradrnn import Tensor, nn, where

# %load_ext microgradrnn
theme = viz.set_theme(page=830)

# %% [markdown]
# ## A net with small eigenvalues that explodes
#
# States are rows: $z_t = x_t U + h_{t-1} W$ and $h_t = \varphi(z_t)$. So the Jacobian of step $t$ is
#
# $$J_t = \frac{\partial h_t}{\partial h_{t-1}} = W\,\mathrm{diag}(\varphi'(z_t)), \qquad
# \frac{\partial h_T}{\partial h_0} = J_1 J_2 \cdots J_T .$$
#
# For tanh, the slope $\varphi'(z_t)$ is $1 - h_t^2$. (A gradient is multiplied by $J_T^\top$ first and by $J_1^\top$
# last.)
#
# The net below has two units. $W$ doubles their values and swaps them. The inputs are chosen so that one unit has the
# value 0, where tanh has slope 1, and the other $\sqrt{0.8}$, where it has slope 0.2. At the next step the two *values*
# are swapped.

# %%
W, s = np.array([[0.0, 2.0], [2.0, 0.0]]), np.sqrt(0.8)
cell = nn.RNNCell(2, 2, bias=False, rng=0)
cell.U.data, cell.W.data = np.eye(2), W
states = [Tensor([[0.0, s]])]
for t in range(40):
    wanted = [[s, 0.0]] if t % 2 == 0 else [[0.0, s]]
    x = np.arctanh(wanted) - states[-1].data @ W
    states.append(cell(x, states[-1]))
J = viz.step_jacobians(states)
viz.plot_eigenvalues(J)

# %%
radii, growth = J.spectral_radii(), 10 ** J.transport()
print(f"largest |eigenvalue| of each step: {radii.max():.3f}")
print(f"growth of the gradient in 40 steps: {growth[-1]:.2g}")
charts.curves({"product of the largest |eigenvalues|": np.cumprod([1, *radii]),
               "the gradient": growth}, "steps back", "growth (a factor)", log="y", level=1.0)

# %% [markdown]
# The answer is (c). Look at two successive steps:
#
# $$J_1 = \begin{pmatrix} 0 & 2 \\ 0.4 & 0 \end{pmatrix}, \quad J_2 = \begin{pmatrix} 0 & 0.4 \\ 2 & 0 \end{pmatrix},
# \quad J_1 J_2 = \begin{pmatrix} 4 & 0 \\ 0 & 0.16 \end{pmatrix}.$$
#
# If $J_1$ were repeated, a gradient would be multiplied by 2 and by 0.4 in turn, on average by
# $\sqrt{2 \cdot 0.4} = 0.89$, the |eigenvalue|. But at the next step the slopes are swapped. The part that was
# doubled moves to the other unit and is doubled again.
#
# **An eigenvalue says what happens when the *same* matrix is applied again and again. In a net each step has a
# *different* matrix, because the slopes change with the state. So a direction that is doubled at one step can be
# doubled again at the next.**
#
# The common rule ("above 1 explodes, below 1 vanishes") fails in three more ways ([C43](../claims.md)):

# %%
def product(*matrices: np.ndarray) -> float:
    return float(np.linalg.norm(np.linalg.multi_dot(matrices), 2))


shear = np.array([[0.9, 10.0], [0.0, 0.9]])
vanished = product(*[1.5 * np.diag(d) for _ in range(20) for d in ((1, 0.1), (0.1, 1))])
after_10, after_200 = product(*[shear] * 10), product(*[shear] * 200)
other_unit = product(np.diag([0.0, 1.0]), *[np.diag([1.2, 0.5])] * 50)
print(f"1. eigenvalue 1.5 at each of 40 steps, slopes change: {vanished:.1e}")
print(f"2. eigenvalue 0.9, one fixed matrix: {after_10:.1f} after 10 steps")
print(f"   and {after_200:.1e} after 200 steps")
print(f"3. eigenvalues 1.2 and 0.5, the loss reads unit 2: {other_unit:.1e} after 50")

# %% [markdown]
# 1. $W = 1.5\,I$. At each step one unit has slope 1 (factor 1.5), the other 0.1 (factor 0.15); they alternate. Over two
#    steps each unit is multiplied by 0.225.
# 2. For *one* fixed matrix the rule is right in the long run, but at first the gradient may grow.
# 3. The loss reads only unit 2, so the gradient has no component along unit 1, the one that grows.
#
# ## The number that bounds a step
#
# The largest *singular value* $\sigma_{\max}$ of a matrix is the largest factor by which it can stretch a vector. For
# $J_1$ it is 2, and the |eigenvalue| is only 0.89. Singular values, unlike eigenvalues, can be multiplied to a bound:
#
# $$\lVert J_1 \cdots J_T \rVert \;\le\; \prod_t \sigma_{\max}(J_t)
# \;\le\; \big(\sigma_{\max}(W)\,\max|\varphi'|\big)^T.$$
#
# ($\max|\varphi'|$ is the largest slope of the activation.) Some texts say that slopes above 1 make gradients explode.
# But the slopes of tanh, ReLU and the sigmoid are at most 1, 1 and 1/4. Only $W$ can make their gradients explode
# ([C56](../claims.md)). For tanh and ReLU the bound is $\sigma_{\max}(W)^T$.

# %%
def random_net(gain: float, activation: Any = "tanh", H: int = 50, T: int = 50, seed: int = 0) -> Any:
    """W has entries of standard deviation gain/√H; no input, a random first state."""
    rng = np.random.default_rng(seed)
    cell = nn.RNNCell(1, H, activation=activation, bias=False, rng=rng)
    cell.W.data = gain * rng.standard_normal((H, H)) / np.sqrt(H)
    hs, h = nn.unroll(cell, np.zeros((T, 1, 1)), Tensor(rng.standard_normal((1, H))))
    return cell, hs, (h * rng.standard_normal((1, H))).sum()


nets = {f"a net of gain {gain}": random_net(gain) for gain in (0.4, 0.8, 3.0)}
jacobians = {name: viz.step_jacobians(loss) for name, (_, _, loss) in nets.items()}
matrices = {name: net.W for name, (net, _, _) in nets.items()}
stretch = {name: np.linalg.norm(W.data, 2) for name, W in matrices.items()}
for name, value in stretch.items():
    print(f"{name}: the largest singular value of W is {value:.2f}")
viz.plot_transport(jacobians, W=matrices)

# %% [markdown]
# The measured (solid) lines are never above the dotted bound. At gain 0.4, $\sigma_{\max}(W) < 1$, so vanishing
# is certain. At gain 0.8 it is above 1, and the gradient vanishes all the same:
#
# | $\sigma_{\max}(W)\max\lvert\varphi'\rvert$ | vanishing | exploding |
# |---|---|---|
# | below 1 | certain: this is **sufficient**, not necessary | impossible |
# | above 1 | possible | possible: this is **necessary**, not sufficient |
#
# > **What textbooks say, and what is measured.** "If the largest eigenvalue is above 1 the gradient explodes, if below
# > 1 it vanishes." Both halves are false for a net. With $\sigma_{\max}(W)\max|\varphi'|$ in place of the eigenvalue,
# > the second half becomes true. The first half stays false, but its reverse is true: if the gradient explodes, this
# > number is above 1.
#
# ## At which gain does a random net start to explode?
#
# For wide random nets one can say more. Let the entries of $W$ have the standard deviation gain$/\sqrt H$. The *growth*
# per step is the factor by which one step multiplies the gradient. Measure its logarithm (200 units, no inputs). Where
# it is above 0, the gradient explodes:

# %%
kinds = {"linear": lambda z: z, "tanh": "tanh", "ReLU": "relu"}
gains = [0.5, 0.8, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0]


def fitted(loss: Any) -> float:
    """The logarithm of the growth per step: the slope of a line through ln ‖∂L/∂h‖."""
    sizes = viz.gradient_flow(loss).profile().norms
    return float(np.polyfit(range(len(sizes)), np.log(sizes), 1)[0])


def rate(kind: str, gain: float) -> Any:
    """The mean of this logarithm over three nets of 200 units."""
    return np.mean([fitted(random_net(gain, kinds[kind], 200, 80, seed)[2]) for seed in range(3)])


rates = {kind: [rate(kind, gain) for gain in gains] for kind in kinds}
crossing = {kind: np.interp(0.0, line, gains) for kind, line in rates.items()}
charts.curves({kind: (gains, line) for kind, line in rates.items()},
              "gain", "ln of the growth per step", level=0.0)

# %% [markdown]
# Now the gains at which the curves cross 0, and a second experiment (50 units, small inputs):

# %%
for kind, gain in crossing.items():
    print(f"{kind:>8} starts to explode at gain {gain:.2f}")
print("\ngrowth in 49 steps, 50 units, median of 10 nets, at gain", norms.GAINS)
for kind in ("linear", "tanh", "relu"):
    print(f"{kind:>8}", "  ".join(f"{ratio:8.1e}" for ratio in norms.medians(kind)))

# %% [markdown]
# In very wide nets the border is **gain 1 for tanh** and **gain $\sqrt 2 = 1.41$ for ReLU**. The printed values differ
# a little: three nets are a small sample, and just above gain 1 tanh gradients grow by only about 1 % per step.
#
# Why these borders? A step multiplies a gradient by the slopes, and then by $W^\top$, whose entries have the variance
# gain²$/H$. So the mean square is multiplied by gain² times the mean squared slope:
#
# $$\text{growth per step} \;\approx\; \text{gain} \cdot \sqrt{\text{mean of } \varphi'(z)^2}
# \qquad (1 \text{ at the border}).$$
#
# * Linear: all slopes are 1, so the border is gain 1.
# * tanh: near gain 1 the state becomes small, so slopes are nearly 1, and the border is gain 1 again. Above it, units
#   saturate and the growth is slower than in the linear net.
# * ReLU: about **half of the units are off**. The mean of the squared slopes is 1/2, so half of the squared gradient
#   is lost at each step. To make up for that, gain² must be 2.
#
# So ReLU explodes faster than tanh at large gain, and vanishes *faster* at small gain. Some texts say that the Jacobian
# of a ReLU net depends on $W$ alone. They ignore the units that are off ([C49](../claims.md)). The product of $n$ steps
# is $W^n$ only if all units are on ([C52](../claims.md)). And a ReLU state can grow until it overflows
# ([C55](../claims.md)).

# %%
on = nn.RNNCell(1, 5, activation="relu", bias=False, rng=0)
on.U.data, on.W.data = np.abs(on.U.data), np.abs(on.W.data)
_, h = nn.unroll(on, np.ones((12, 1, 1)), Tensor(np.ones((1, 5))))
W_12 = np.linalg.matrix_power(on.W.data, 12)
error = np.abs(viz.step_jacobians(h.sum()).product() / W_12 - 1).max()
overflow = np.abs(random_net(2.5, "relu", 100, 400)[1].data).max()
print(f"all units on: the product differs from W¹² by {error:.0e}")
print(f"gain 2.5: the state after 400 steps is {overflow:.0e}")

# %% [markdown]
# Move the slider "recurrent gain", which multiplies $W$, until the left end of the curve is as high as the right end.
# (With 16 units the borders are only roughly 1 and 1.4.)

# %%
small = {kind: random_net(1.0, kinds[kind], 16, 60, seed=2)[2] for kind in ("tanh", "ReLU")}
viz.explore(small)

# %% [markdown]
# ## Saturation is no guarantee
#
# "Large weights make $z$ large, tanh z comes close to 1 (or to −1, [C50](../claims.md)), the slope $1-h^2$ comes
# close to 0, so the Jacobian cannot be large." Measure the slopes, without inputs:

# %%
wide = [2.0, 3.0, 5.0, 10.0, 20.0]
slopes = {gain: 1 - random_net(gain, H=200)[1].data[20:] ** 2 for gain in wide}
mean_square = np.array([np.mean(slope**2) for slope in slopes.values()])
awake = {gain: np.mean(slope > 0.5) for gain, slope in slopes.items()}
growing = np.array(wide) ** 2 * mean_square
charts.curves({"mean of φ′²": (wide, mean_square), "gain² · mean of φ′²": (wide, growing)},
              "gain", "factor per step on the squared gradient", log="y", level=1.0)

# %%
predicted, measured = np.log(10 * np.sqrt(mean_square[3])), rate("tanh", 10.0)
zero, W = Tensor(np.zeros((1, 200))), random_net(10.0, H=200)[0].W
at_zero = viz.step_jacobians([zero, (zero @ W).tanh()]).arrays[0]
print("slope above 1/2, by gain:", {gain: f"{share:.0%}" for gain, share in awake.items()})
print(f"gain 10: growth per step exp({predicted:.2f}) predicted, exp({measured:.2f}) measured")
print("at h = 0 the Jacobian is W, bit for bit:", np.array_equal(at_zero, W.data))

# %% [markdown]
# Most units saturate. But $z$ is spread around 0, so at each step some units are near 0, with a slope near 1. The share
# of these units, and with it the mean of $\varphi'^2$, falls only about like 1/gain. The factor gain² grows faster: the
# product grows about like gain. **So the gradient still grows.** Tanh adds no better bound than $\sigma_{\max}(W)^T$:
# where $h_t = 0$, the Jacobian is $W$ itself ([C48](../claims.md)).
#
# Strong inputs change this. Give each unit of a net of gain 3 an input of its own:

# %%
def with_inputs(std: float) -> float:
    """The logarithm of the growth per step at gain 3, with inputs of this standard deviation."""
    rng, driven = np.random.default_rng(0), nn.RNNCell(200, 200, bias=False, rng=0)
    driven.U.data, driven.W.data = np.eye(200), random_net(3.0, H=200)[0].W.data
    xs, h0 = std * rng.standard_normal((80, 1, 200)), Tensor(rng.standard_normal((1, 200)))
    return fitted(nn.unroll(driven, xs, h0)[1].sum())


strong = {std: with_inputs(std) for std in (0, 5, 20)}
for std, line in strong.items():
    print(f"gain 3, inputs of standard deviation {std:>2}: growth per step exp({line:+.2f})")

# %% [markdown]
# Strong inputs push nearly all units far from 0, and the gradient **vanishes**. So in a wide random net *without strong
# inputs*, saturation slows an explosion but does not prevent it.
#
# ## What to keep: all singular values
#
# "Choose the weights so that the Jacobian is near 1." Near 1 in which sense ([C51](../claims.md))? Compare an
# orthogonal $W$ with a Gaussian $W$ that is scaled to *spectral radius* (largest |eigenvalue|) 1:

# %%
H, n = 32, 50
Q = nn.init.orthogonal(0, (H, H))
G = np.random.default_rng(0).standard_normal((H, H))
G /= np.abs(np.linalg.eigvals(G)).max()


def extremes(W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest and the smallest singular value of W⁰, W¹, ..., Wⁿ."""
    def largest(W: np.ndarray) -> np.ndarray:
        return np.array([np.linalg.norm(np.linalg.matrix_power(W, k), 2) for k in range(n + 1)])
    return largest(W), 1 / largest(np.linalg.inv(W))


kept, scaled = extremes(Q), extremes(G)
charts.curves({"orthogonal: all": kept[0], "Gaussian: largest": scaled[0],
               "Gaussian: smallest": scaled[1]}, "k", "singular values of Wᵏ", log="y")

# %% [markdown]
# The orthogonal matrix keeps the length of **every** gradient, because all singular values of its powers are 1. The
# Gaussian matrix first stretches some gradients. In the long run it keeps only one direction (if its largest eigenvalue
# is real) or two (if it is one of a complex pair). In a net, these two statements hold only while the slopes are
# near 1.
#
# "Unless $W$ is the identity, $W^n$ is very small or very large" is false ([C53](../claims.md)). Four counterexamples
# are a rotation, a permutation, a projection and diag(1, ½). All their powers have norm 1:

# %%
rotation = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
examples = [rotation, np.array([[0, 1], [1, 0]]), np.diag([1.0, 0.0]), np.diag([1.0, 0.5])]
powers = [np.linalg.norm(np.linalg.matrix_power(W, 1000), 2) for W in examples]
print("norm of the 1000th power:", np.round(powers, 12))

# %% [markdown]
# ## PyTorch's default
#
# PyTorch (and `nn.RNN` here) draws the entries of $W$ uniformly from $\pm 1/\sqrt H$. Their standard deviation
# is $1/\sqrt{3H}$, so **the gain is $1/\sqrt 3 = 0.58$**. Is that vanishing or exploding ([C57](../claims.md))?

# %%
H, several = 50, [nn.RNN(10, 50, rng=seed) for seed in range(10)]
Ws = [net.cell.W.data for net in several]
gain = np.mean([W.std() * np.sqrt(H) for W in Ws])
radius = np.mean([np.abs(np.linalg.eigvals(W)).max() for W in Ws])
largest = np.mean([np.linalg.norm(W, 2) for W in Ws])


def factor(net: nn.RNN) -> float:
    """The growth per step, with inputs of standard deviation 1."""
    _, h = net(np.random.default_rng(0).standard_normal((60, 1, 10)))
    return float(np.exp(fitted(h.sum())))


left = np.mean([factor(net) for net in several])
print(f"gain {gain:.2f}, spectral radius {radius:.2f}, largest singular value {largest:.2f}")
print(f"measured: × {left:.2f} per step, so × {left**50:.0e} in 50 steps")

# %% [markdown]
# It **vanishes**. One sees it from the **gain, 0.58, which is below the border 1 of tanh**. (That border was measured
# without inputs, but inputs only make slopes smaller.) The largest singular value, about 1.1, is above 1 and decides
# nothing. The spectral radius, about 0.6, gives the right answer here mainly because in a wide random matrix it is
# about equal to the gain.
#
# "Vanishing is common, exploding is rare" holds only for small gains such as this default. At gain 3 exploding is the
# rule.
#
# ## Summary
#
# * Each step has a different Jacobian, so the eigenvalues of single steps do not bound the product.
# * The largest singular values do bound it: $\sigma_{\max}(W)\max|\varphi'| < 1$ is sufficient for vanishing (not
#   necessary), $> 1$ is necessary for exploding (not sufficient).
# * A wide random net without inputs starts to explode at gain 1 (tanh) or $\sqrt 2$ (ReLU: half of the units are off).
# * Saturation slows an explosion but does not prevent it, unless strong inputs saturate nearly all units.
# * An orthogonal matrix keeps the length of every gradient. A *Gaussian* matrix scaled to spectral radius 1 keeps only
#   one or two directions.
# * PyTorch's default has gain 0.58: before training, the gradient of a tanh net vanishes.
#
# ## Exercises
#
# **Exercise 1.** In the first net, let the state be $(\sqrt{0.8}, 0)$ at every step. The largest |eigenvalue| is
# 0.89, as before. Predict the growth in 40 steps.

# %% tags=["hide-cell"]
same = [Tensor([[s, 0.0]])]
while len(same) <= 40:
    same.append(cell(np.arctanh([[s, 0.0]]) - same[-1].data @ cell.W.data, same[-1]))
fixed = 10 ** viz.step_jacobians(same).transport()[-1]
print(f"{fixed:.4f}; 0.89⁴⁰ = 0.8²⁰ = {0.8**20:.4f}")  # one matrix: the eigenvalue is right

# %% [markdown]
# **Exercise 2.** A leaky ReLU has slope 1 above 0 and slope 1/2 below. Predict at which gain a wide net starts to
# explode, then measure the growth there.

# %% tags=["hide-cell"]
border = 1 / np.sqrt((1 + 0.5**2) / 2)  # the mean of the squared slopes is (1 + 1/4)/2
kinds["leaky"] = lambda z: where(z.data > 0, z, 0.5 * z)
at_border = rate("leaky", border)
print(f"border at gain {border:.2f}; growth there exp({at_border:+.2f}) per step")

# %% [markdown]
# **Exercise 3.** Multiply PyTorch's default $W$ by $\sqrt 3$: the gain becomes 1. Predict: with inputs of standard
# deviation 1, does the gradient keep its size?

# %% tags=["hide-cell"]
for net, W in zip(several, Ws, strict=True):
    net.cell.W.data = np.sqrt(3) * W
rescaled = np.mean([factor(net) for net in several])
print(f"× {rescaled:.2f} per step")  # no: inputs saturate units, so slopes are below 1
