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
# > **Guess first.** In a tanh net, the Jacobian of every step has a largest eigenvalue of 0.89. What happens to a
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
# States are rows, $h_t = \tanh(x_t U + h_{t-1} W)$, so the Jacobian of a step is
#
# $$J_t = \frac{\partial h_t}{\partial h_{t-1}} = W\,\mathrm{diag}(1 - h_t^2), \qquad
# \frac{\partial h_T}{\partial h_0} = J_1 J_2 \cdots J_T .$$
#
# (A gradient goes the other way: it is multiplied by $J_T^\top$ first, by $J_1^\top$ last.)
#
# The net below has two units. $W$ swaps them and doubles both. The inputs are chosen so that one unit is at 0, where
# tanh has slope 1, and the other is at $\sqrt{0.8}$, where it has slope 0.2. At the next step the units change places.

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
print(f"largest eigenvalue of every step: {radii.max():.3f}")
print(f"growth of the gradient in 40 steps: {growth[-1]:.2g}")
charts.curves({"product of the largest eigenvalues": np.cumprod([1, *radii]),
               "the gradient": growth}, "steps back", "growth", log="y", level=1.0)

# %% [markdown]
# The answer is (c). Why? Write down two steps that follow each other:
#
# $$J_1 = \begin{pmatrix} 0 & 2 \\ 0.4 & 0 \end{pmatrix}, \quad J_2 = \begin{pmatrix} 0 & 0.4 \\ 2 & 0 \end{pmatrix},
# \quad J_1 J_2 = \begin{pmatrix} 4 & 0 \\ 0 & 0.16 \end{pmatrix}.$$
#
# If $J_1$ were repeated, a gradient would be multiplied by 2 and by 0.4 in turn. That is a mean factor of
# $\sqrt{2 \cdot 0.4} = 0.89$, the eigenvalue. But the next step has another matrix, because the units have changed
# their slopes. The part of the gradient that was doubled moves to the other unit, and there it is doubled again.
#
# **An eigenvalue says what happens when one matrix is applied again and again. In a net every step has another
# matrix, because the slopes change with the state, and a factor 2 of one step can follow a factor 2 of the other.**
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
# In case 1, each unit has the slope 0.1 at every second step; the eigenvalue 1.5 belongs to the other unit each time.
# Case 2 is where the rule comes from: for *one* matrix it is right in the long run, but at first the gradient may grow.
# In case 3 the gradient has no part in the direction that grows.
#
# ## The number that bounds a step
#
# The largest *singular value* $\sigma_{\max}$ of a matrix is the largest factor by which it can stretch a vector. For
# $J_1$ it is 2, and the eigenvalue is only 0.89. Unlike eigenvalues, these factors may be multiplied to get a bound:
#
# $$\lVert J_1 \cdots J_T \rVert \;\le\; \prod_t \sigma_{\max}(J_t)
# \;\le\; \big(\sigma_{\max}(W)\,\max|\varphi'|\big)^T.$$
#
# Some texts say that gradients explode when the slopes are above 1. But the slopes of tanh, ReLU and the sigmoid are at
# most 1, 1 and 1/4, so only $W$ can make a gradient explode ([C56](../claims.md)). For tanh and ReLU the bound is
# $\sigma_{\max}(W)^T$.

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
# Solid lines are measured. They are never above the dotted bound. At gain 0.4, $\sigma_{\max}(W) < 1$, so vanishing
# is certain. At gain 0.8 it is above 1, and the gradient vanishes all the same. So:
#
# | $\sigma_{\max}(W)\max\lvert\varphi'\rvert$ | vanishing | exploding |
# |---|---|---|
# | below 1 | certain: the condition is **sufficient** for vanishing (not necessary) | impossible |
# | above 1 | possible | possible: the condition is **necessary** for exploding (not sufficient) |
#
# > **What textbooks say, and what is measured.** "If the largest eigenvalue is above 1 the gradient explodes, if it is
# > below 1 it vanishes." Both halves are false for a net. With "singular value" in place of "eigenvalue", the second
# > half becomes true. Of the first half this is left: *if* the gradient explodes, then the value is above 1.
#
# ## From which gain on does a random net explode?
#
# A bound above 1 leaves everything open. For wide random nets one can say more. Let the entries of $W$ have the
# standard deviation gain$/\sqrt H$, and measure by what factor the gradient grows a step (200 units, no input):

# %%
kinds = {"linear": lambda z: z, "tanh": "tanh", "ReLU": "relu"}
gains = [0.5, 0.8, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 2.0, 3.0]


def fitted(loss: Any) -> float:
    """The growth of the gradient a step: the slope of a line through ln ‖∂L/∂h‖."""
    sizes = viz.gradient_flow(loss).profile().norms
    return float(np.polyfit(range(len(sizes)), np.log(sizes), 1)[0])


def rate(kind: str, gain: float) -> Any:
    """Its mean over three nets of 200 units."""
    return np.mean([fitted(random_net(gain, kinds[kind], 200, 80, seed)[2]) for seed in range(3)])


rates = {kind: [rate(kind, gain) for gain in gains] for kind in kinds}
crossing = {kind: np.interp(0.0, line, gains) for kind, line in rates.items()}
charts.curves({kind: (gains, line) for kind, line in rates.items()},
              "gain", "growth a step, natural logarithm", level=0.0)

# %%
for kind, gain in crossing.items():
    print(f"{kind:>8} begins to explode at gain {gain:.2f}")
print("growth in 49 steps, 50 units, median of 10 nets, at gain", norms.GAINS)
for kind in ("linear", "tanh", "relu"):
    print(f"{kind:>8}", "  ".join(f"{ratio:8.1e}" for ratio in norms.medians(kind)))

# %% [markdown]
# Where does the growth cross 0? The wider the net, the nearer is the border to **gain 1 for tanh** and to
# **gain $\sqrt 2 = 1.41$ for ReLU**. The reason fits in one line. At each step, a gradient is multiplied by the slopes,
# and then by $W^\top$, whose entries have the variance gain²$/H$. So its mean square is multiplied by gain² times the
# mean squared slope, and
#
# $$\text{growth a step} \;\approx\; \text{gain} \cdot \sqrt{\text{mean of } \varphi'(z)^2}.$$
#
# * Linear: all slopes are 1, so the border is gain 1.
# * tanh: near gain 1 the state becomes small, so slopes are nearly 1, and the border is gain 1 again. Above it, units
#   saturate and the growth is slower. (Inputs saturate units too, and move the border up.)
# * ReLU: about **half of the units are off**. The mean of the squared slopes is 1/2, and half of the squared gradient
#   is lost at every step. To make up for that, gain² must be 2.
#
# So ReLU explodes faster than tanh at large gain, and vanishes *faster* at small gain. Some texts say that its Jacobian
# depends on $W$ alone. They forget the units that are off ([C49](../claims.md)). The product of $n$ steps is $W^n$
# only if all units are on ([C52](../claims.md)). And a ReLU state has no upper limit: at large gain it overflows
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
# Try it. The slider "recurrent gain" multiplies $W$. Move it until the left end of the curve is as high as the right
# end. (With 16 units the borders are only roughly 1 and 1.4.)

# %%
small = {kind: random_net(1.0, kinds[kind], 16, 60, seed=2)[2] for kind in ("tanh", "ReLU")}
viz.explore(small)

# %% [markdown]
# ## Why saturation is no bound
#
# "Large weights make $z$ large, tanh z comes close to 1 (or to −1, [C50](../claims.md)), the slope $1-h^2$ comes close
# to 0, so the Jacobian cannot be large." Measure the slopes:

# %%
wide = [2.0, 3.0, 5.0, 10.0, 20.0]
slopes = {gain: 1 - random_net(gain, H=200)[1].data[20:] ** 2 for gain in wide}
mean_square = np.array([np.mean(slope**2) for slope in slopes.values()])
awake = {gain: np.mean(slope > 0.5) for gain, slope in slopes.items()}
growing = np.array(wide) ** 2 * mean_square
charts.curves({"mean of φ′²": (wide, mean_square), "gain² · mean of φ′²": (wide, growing)},
              "gain", "growth of the squared gradient a step", log="y", level=1.0)

# %%
predicted, measured = np.log(10 * np.sqrt(mean_square[3])), rate("tanh", 10.0)
zero, W = Tensor(np.zeros((1, 200))), random_net(10.0, H=200)[0].W
at_zero = viz.step_jacobians([zero, (zero @ W).tanh()]).arrays[0]
print("slope above 1/2, by gain:", {gain: f"{share:.0%}" for gain, share in awake.items()})
print(f"at gain 10: growth predicted exp({predicted:.2f}) a step, measured exp({measured:.2f})")
print("at h = 0 the Jacobian is W, bit for bit:", np.array_equal(at_zero, W.data))

# %% [markdown]
# Most units saturate, as that sentence says. But $z$ is spread around 0, and at every step some units are near 0, where
# the slope is nearly 1. Their share falls about like 1/gain, and the squared factor from $W$ grows like gain². **So the
# product still grows.** And tanh gives no bound of its own: where $h_t = 0$, the Jacobian is $W$ itself
# ([C48](../claims.md)). Saturation slows an explosion. It does not prevent it.
#
# ## What to keep: all singular values
#
# "Choose the weights so that the Jacobian is near 1." Near 1 in which sense ([C51](../claims.md))? Compare an
# orthogonal $W$ with a Gaussian one that is scaled to spectral radius (largest |eigenvalue|) 1:

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
charts.curves({"orthogonal: all": kept[0], "scaled: largest": scaled[0],
               "scaled: smallest": scaled[1]}, "k", "singular values of Wᵏ", log="y")

# %% [markdown]
# Both have spectral radius 1. The orthogonal matrix keeps the length of **every** gradient, because all its singular
# values are 1, and those of its powers too. The matrix scaled to spectral radius 1 keeps only one or two directions: it
# first stretches some gradients, and it loses all the others. (In a net, both hold while the slopes are near 1.)
#
# Another common sentence is "unless $W$ is the identity, $W^n$ is very small or very large". It is false
# ([C53](../claims.md)): here are a rotation, a permutation, a projection and diag(1, ½).

# %%
rotation = np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
examples = [rotation, np.array([[0, 1], [1, 0]]), np.diag([1.0, 0.0]), np.diag([1.0, 0.5])]
powers = [np.linalg.norm(np.linalg.matrix_power(W, 1000), 2) for W in examples]
print("norm of the 1000th power:", np.round(powers, 12))

# %% [markdown]
# ## PyTorch's default
#
# PyTorch draws the entries of $W$ uniformly from $\pm 1/\sqrt H$; `nn.RNN` here does the same. Their standard deviation
# is $1/\sqrt{3H}$, so **the gain is $1/\sqrt 3 = 0.58$**. Is that vanishing or exploding ([C57](../claims.md))?

# %%
H, several = 50, [nn.RNN(10, 50, rng=seed) for seed in range(10)]
Ws = [net.cell.W.data for net in several]
gain = np.mean([W.std() * np.sqrt(H) for W in Ws])
radius = np.mean([np.abs(np.linalg.eigvals(W)).max() for W in Ws])
largest = np.mean([np.linalg.norm(W, 2) for W in Ws])


def factor(net: nn.RNN) -> float:
    """By what factor the gradient is multiplied a step, with inputs of standard deviation 1."""
    _, h = net(np.random.default_rng(0).standard_normal((60, 1, 10)))
    return float(np.exp(fitted(h.sum())))


left = np.mean([factor(net) for net in several])
print(f"gain {gain:.2f}, spectral radius {radius:.2f}, largest singular value {largest:.2f}")
print(f"measured: × {left:.2f} a step, so × {left**50:.0e} in 50 steps")

# %% [markdown]
# It **vanishes**. One sees it from the **gain, 0.58, which is below the border 1 of tanh**. The largest singular value,
# about 1.1, is above 1 and decides nothing. The spectral radius, about 0.6, gives the right answer here for two
# reasons: in a wide random matrix it is about equal to the gain, and the slopes stay near 1, so that every step has
# nearly the same matrix.
#
# "Vanishing is common, exploding is rare" is true of this default only. At gain 3 exploding is the rule: see the table
# of 49 steps above.
#
# ## Summary
#
# * Every step has another Jacobian, so the eigenvalues of single steps do not bound the product.
# * The product of the largest singular values bounds it. $\sigma_{\max}(W)\max|\varphi'| < 1$ is sufficient for
#   vanishing, not necessary; $> 1$ is necessary for exploding, not sufficient.
# * A wide random net begins to explode at gain 1 (tanh) or $\sqrt 2$ (ReLU, because half of the units are off).
# * Saturation slows an explosion and is no bound: at every step some units are near 0, with slopes near 1.
# * An orthogonal matrix keeps the length of every gradient; spectral radius 1 keeps one or two directions.
# * PyTorch's default has gain 0.58, below 1: the gradient of a tanh net vanishes at the start.
#
# ## Exercises
#
# **Exercise 1.** In the first net, let the units keep their places: the state is $(\sqrt{0.8}, 0)$ at every step. Each
# step has the same eigenvalue as before. Predict the growth after 40 steps.

# %% tags=["hide-cell"]
same = [Tensor([[s, 0.0]])]
while len(same) <= 40:
    same.append(cell(np.arctanh([[s, 0.0]]) - same[-1].data @ cell.W.data, same[-1]))
fixed = 10 ** viz.step_jacobians(same).transport()[-1]
print(f"{fixed:.4f}; 0.89⁴⁰ = 0.8²⁰ = {0.8**20:.4f}")  # one matrix: the eigenvalue is right

# %% [markdown]
# **Exercise 2.** A leaky ReLU has slope 1 above 0 and slope 1/2 below. Predict from which gain on a wide net explodes,
# then measure the growth there.

# %% tags=["hide-cell"]
border = 1 / np.sqrt((1 + 0.5**2) / 2)  # the mean of the squared slopes is (1 + 1/4)/2
kinds["leaky"] = lambda z: where(z.data > 0, z, 0.5 * z)
at_border = rate("leaky", border)
print(f"border at gain {border:.2f}; growth there exp({at_border:+.2f}) a step")

# %% [markdown]
# **Exercise 3.** Multiply PyTorch's default $W$ by $\sqrt 3$. The gain is then 1. Predict: with inputs of standard
# deviation 1, does the gradient keep its size?

# %% tags=["hide-cell"]
for net, W in zip(several, Ws, strict=True):
    net.cell.W.data = np.sqrt(3) * W
rescaled = np.mean([factor(net) for net in several])
print(f"× {rescaled:.2f} a step")  # no: inputs saturate units, so slopes are below 1
