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
# # Lesson 8. GRU, MGU, conventions and counts
#
# A file holds the weights of a GRU. Their shapes fit the GRU of your library, and you load them. Does your net now
# compute what the author's net computed?
#
# > **Guess first.** Two people have the same weights, and both call their net a "GRU". Both nets read the same 50
# > steps. Are the last states equal up to rounding? If not, do they differ by less than 1 %, or by more?

# %%
# %load_ext microgradrnn
from timeit import repeat
from typing import Any

import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from microgradrnn import nn
from viz.numbers import short

_ = viz.set_theme(page=830)
D, H, T = 3, 32, 50
normal = np.random.default_rng(0).standard_normal
xs = normal((T, 1, D))
viz.draw_cell(nn.GRUCell(D, H, rng=0))

# %% [markdown]
# ## One state, two gates
#
# A GRU has no cell state $c$. It carries everything in $h$ ([C101](../claims.md)), and all of $h$ is its output: there
# is no output gate ([C99](../claims.md)). It has two gates, the *reset gate* $r$ and the *update gate* $z$, and a
# candidate $n$. ($σ$ is the sigmoid, $⊙$ the product entry by entry.) There are four conventions: two places for $r$,
# and two meanings of $z$. The function below has them all:

# %%
def gru(x: Any, h: Any, weights: Any,
        reset: str = "before", z_is: str = "keeps") -> Any:
    """One step of a GRU: its gates, its candidate and its new state."""
    U, W, b = (np.split(array, 3, axis=-1) for array in weights)
    (U_r, U_z, U_n), (W_r, W_z, W_n), (b_r, b_z, b_n) = U, W, b
    r = mg.sigmoid(x @ U_r + h @ W_r + b_r)
    z = mg.sigmoid(x @ U_z + h @ W_z + b_z)
    past = (r * h) @ W_n if reset == "before" else r * (h @ W_n)
    n = np.tanh(x @ U_n + past + b_n)
    kept = z if z_is == "keeps" else 1 - z
    return {"r": r, "z": z, "n": n, "h": kept * h + (1 - kept) * n}

# %% [markdown]
# The default of the library is the first convention: $r$ acts before the product with $W_n$, and $z$ keeps.

# %%
cell: Any = nn.GRUCell(D, H, rng=0)
weights = cell.U.data, cell.W.data, cell.b.data
x, h = normal((1, D)), normal((1, H))
step = gru(x, h, weights)
as_library = abs(step["h"] - cell(x, h).data).max()
between = ((step["h"] - h) * (step["h"] - step["n"]) <= 0).all()
print(f"difference from nn.GRUCell: {as_library:.0e}")
print(f"is every entry of h_t between those of h_(t-1) and n? {between}")

# %% [markdown]
# $$h_t = z ⊙ h_{t-1} + (1 - z) ⊙ n$$
#
# The update gate is the LSTM's forget gate and input gate in one: $f = z$ and $i = 1 - z$ ([C95](../claims.md)). So
# every entry of the new state is between that of the old state and that of the candidate. The reset gate decides how
# much of the old state the candidate reads. Does it also decide whether $h_t$ depends on the old state? Set $r = 0$:

# %%
def with_biases(cell: Any, **biases: float) -> Any:
    """The cell, with the biases of some gates replaced."""
    b = np.array(cell.b.data)
    for gate, bias in biases.items():
        k = "rzn".index(gate)  # the blocks of b
        b[k * H : (k + 1) * H] = bias
    cell.b.data = b
    return cell


no_reset = with_biases(nn.GRUCell(D, H, rng=0), r=-1000)
clamped = no_reset.U.data, no_reset.W.data, no_reset.b.data
one, other = gru(x, h, clamped), gru(x, normal((1, H)), clamped)
same_n, same_h = (np.array_equal(one[name], other[name]) for name in "nh")
same_z = np.array_equal(one["z"], step["z"])
print(f"two different pasts: the same candidate? {same_n}; the same h_t? {same_h}")
print(f"r = 0 and r as it was: the same z? {same_z}")

# %% [markdown]
# The candidate no longer depends on the past. The new state $h_t$ still does, through $z ⊙ h_{t-1}$ and because $z$
# reads $h_{t-1}$ ([C94](../claims.md)). And $z$ did not change when $r$ did. One source says that the two gates of a
# GRU are "$z$ and $1 - z$". Those are two uses of one gate. The second gate is $r$, with weights of its own
# ([C96](../claims.md)).
#
# ## Three corners
#
# With biases of ±1000 the gates are exactly 0 or 1. What is the Jacobian of one step,
# $\partial h_t / \partial h_{t-1}$, then?

# %%
corners = {"z = 0, r = 1": {"z": -1000.0, "r": 1000.0},
           "z = 0, r = 0": {"z": -1000.0, "r": -1000.0},
           "z = 1": {"z": 1000.0}}
J, to_x = {}, {}
for corner, biases in corners.items():
    at = with_biases(nn.GRUCell(D, H, rng=0), **biases)
    J[corner] = mg.jacobian(lambda h, at=at: at(x, h)[0], h)[:, 0]
    to_x[corner] = abs(mg.jacobian(lambda x, at=at: at(x, h)[0], x)).max()
    size = np.linalg.norm(J[corner], 2)
    print(f"{corner:12}: ‖∂h_t/∂h_(t-1)‖ = {size:.2f}, largest ∂h_t/∂x_t {to_x[corner]:.2f}")
simple: Any = nn.RNNCell(D, H, rng=0)
of_n = (a[..., 2 * H :] for a in weights)  # the third block
simple.U.data, simple.W.data, simple.b.data = of_n
off = abs(J["z = 0, r = 1"] - mg.jacobian(lambda h: simple(x, h)[0], h)[:, 0]).max()
print(f"difference from the Jacobian of the simple net: {off:.0e}")

# %% [markdown]
# * $z = 0$, $r = 1$: the GRU *is* the simple net, with the Jacobian of the simple net ([C91](../claims.md)).
# * $z = 0$, $r = 0$: the state depends on the input alone; the Jacobian is exactly 0 ([C92](../claims.md)).
# * $z = 1$: the state is copied, the Jacobian is exactly the identity, and the input has no effect
#   ([C93](../claims.md)).
#
# So $z$ sets how much a GRU keeps, from nothing to everything. In an untrained GRU $z$ is about one half. The *carry*,
# the product of the gradient with $z$, then about halves the gradient at each step. The other ways bring a little
# more. Move the slider "bias of z" to 3, and see what is left after 49 steps:

# %%
viz.explore(nn.GRU(D, 8, rng=0)(xs)[1].sum())

# %% [markdown]
# ## There is not one GRU
#
# Papers and libraries differ in two points. The first is where $r$ acts: before the product with $W_n$, as above, or
# after it, $r ⊙ (h_{t-1} W_n)$. The second is what $z$ means: how much is *kept* (PyTorch, Keras), or how much is
# *replaced*, $h_t = (1 - z) ⊙ h_{t-1} + z ⊙ n$ (Chung et al. 2014). Now give three GRUs the same weights, and compare
# their last states:

# %%
def gru_with(weights: Any, **options: Any) -> Any:
    """The cell of the library with these weights."""
    cell: Any = nn.GRUCell(D, H, rng=0, **options)
    cell.U.data, cell.W.data, cell.b.data = weights
    if cell.b_n is not None:
        cell.b_n.data = np.zeros(H)  # one more bias, which the other form does not have
    return cell


forms = {"as above": ("before", "keeps"), "reset after": ("after", "keeps"),
         "z replaces": ("before", "replaces")}
cells = {name: gru_with(weights, reset=form[0], z=form[1]) for name, form in forms.items()}
as_cells = max(abs(gru(x, h, weights, *forms[name])["h"] - cells[name](x, h).data).max()
               for name in forms)
print(f"largest difference from the function gru: {as_cells:.0e}")
ends = {name: nn.unroll(cell, xs)[1].data for name, cell in cells.items()}
ours = ends["as above"]
differs = {name: np.linalg.norm(end - ours) / np.linalg.norm(ours)
           for name, end in ends.items()}
print({name: f"{share:.1%}" for name, share in differs.items()})

# %% [markdown]
# The answer to the guess: the last states differ by more than 1 %. Here it is 4 % for the place of $r$, and 27 % for
# the meaning of $z$. No error warns you ([C100](../claims.md)). The same weights compute different functions. And $z$
# decides how long the net remembers. Set the bias of $z$ to 3 in both conventions, and follow the gradient back:

# %%
losses = {}
for meaning in ("keeps", "replaces"):
    biased = with_biases(nn.GRUCell(D, H, z=meaning, rng=0), z=3)
    losses[f"z {meaning}"] = nn.unroll(biased, xs)[1].sum()
compared = viz.compare_flow(losses)
left = {track.net: track.left(T - 1) for track in compared.tracks}
compared

# %% [markdown]
# > **What textbooks say, and what is measured.** Texts speak of "the" GRU and say "the update gate controls how much
# > is kept" without naming the convention. With a bias of 3, $z$ is about 0.95. If $z$ keeps, each step keeps 95 % of
# > the state, and 9 % of the gradient is left after 49 steps. If $z$ replaces, each step keeps 5 % of the state, and
# > less than 10⁻²⁰ of the gradient is left. Before you load weights, compare the equations, not only the shapes.
# > (`io.load_torch` and `io.load_keras` convert the weights, and refuse a convention that does not fit.)
#
# To change the meaning of $z$, change the signs of $U_z$, $W_z$ and $b_z$, since $1 - σ(a) = σ(-a)$. For the place of
# the reset there is no such simple change.
#
# ## The minimal gated unit
#
# The MGU uses one gate $f$ for both jobs. It is the GRU above with $r = f$ and $z = 1 - f$.

# %%
viz.draw_cell(nn.MGUCell(D, H, rng=0))

# %% [markdown]
# The MGU has one gate fewer than a GRU, and two thirds of its weights. "Fewer dimensions", as one source says, is not
# right: $x$ and $h$ are as long as before ([C98](../claims.md)). Note that this $f$ says how much is *replaced*, the
# opposite of the LSTM's $f$. A single gate has a price. To keep the state, $f$ must be near 0. Then the candidate,
# which reads $f ⊙ h_{t-1}$, gets almost nothing of the past.
#
# ## Counting
#
# Let a cell have $D$ inputs and $H$ units. Each gate, and the candidate, is a layer with $DH + H^2 + H$ numbers: those
# of $U$, $W$ and $b$. A simple net has one such layer, an MGU two, a GRU three, an LSTM four.

# %%
def count(*modules: Any) -> int:
    """How many numbers can be trained."""
    return sum(p.size for module in modules for p in module.parameters())


kinds: dict[str, Any] = {"simple net": nn.RNN, "MGU": nn.MGU,
                         "GRU": nn.GRU, "LSTM": nn.LSTM}
sizes = {name: count(kind(100, 128, rng=0)) for name, kind in kinds.items()}
head = count(nn.Linear(128, 1000, rng=0))
alone = [size / sizes["simple net"] for size in sizes.values()]
with_head = [(size + head) / (sizes["simple net"] + head) for size in sizes.values()]
print({name: f"{size:,}" for name, size in sizes.items()})
bars = {"cell alone": alone, "with an output layer of 1000": with_head}
ax = charts.bars(bars, "", "times the simple net", names=[*kinds], level=1)
charts.titled(ax, f"LSTM: {alone[3]:.0f} times the simple net, "
                  f"{with_head[3]:.2f} times with an output layer")

# %% [markdown]
# An LSTM has exactly 4 times, a GRU exactly 3 times the numbers of the simple net ([C80](../claims.md)). (PyTorch
# stores two biases for each layer, so each layer has $H$ numbers more. The ratios are the same.) In the matrix
# products, every entry of $U$ and $W$ is used in one multiplication per step and sequence. So a GRU does exactly 3/4 of
# these multiplications of an LSTM ([C97](../claims.md)). Does it also need 3/4 of the time? Measure it on your machine:

# %%
batch = normal((20, 32, 64))


def best_time(net: Any) -> float:
    """Milliseconds of a forward and a backward pass over 20 steps, the best of five."""
    times = repeat(lambda: net(batch)[0].sum().backward(), number=1, repeat=5)
    return 1000 * min(times)


nets = {name: kind(64, 128, rng=0) for name, kind in kinds.items()}
multiplications = {}
for name, net in nets.items():
    multiplications[name] = net.cell.U.size + net.cell.W.size
    print(f"{name:10}: {multiplications[name]:7,} multiplications per step, "
          f"{best_time(net):.0f} ms")

# %% [markdown]
# Do not expect 3/4. The elementwise operations take time, too. And an LSTM computes its four layers in one matrix
# product. A GRU must know $r$ before it can compute $n$, so it needs two products, one after the other. The same holds
# for an MGU. In this library an MGU or a GRU may take as long as an LSTM. Counts of multiplications are exact; times
# depend on the program and on the machine.
#
# ## Summary
#
# * A GRU carries everything in $h$. The update gate $z$ mixes the old state with the candidate. The reset gate $r$ says
#   how much of the old state the candidate reads.
# * With gates of exactly 0 or 1 the GRU is the simple net, or a net without memory, or it copies its state.
# * "GRU" is the name of several different functions. They differ in the place of the reset and in the meaning of $z$.
#   The shapes of the weights do not show the difference.
# * The MGU uses one gate for both jobs.
# * The cell of a simple net, an MGU, a GRU and an LSTM has 1, 2, 3 and 4 times $DH + H^2 + H$ numbers.
#
# ## Exercises
#
# **1.** In the net whose $z$ replaces, change the signs of $U_z$, $W_z$ and $b_z$. Predict how much its last state then
# differs from `ours`.

# %% tags=["hide-cell"]
signs = np.repeat([1.0, -1.0, 1.0], H)  # of the blocks r, z, n
flipped = gru_with([a * signs for a in weights], z="replaces")
after_flip = abs(nn.unroll(flipped, xs)[1].data - ours).max()
print(f"largest difference: {after_flip:.0e}")

# %% [markdown]
# **2.** A GRU with $D = 100$ shall have at most as many numbers as an LSTM with $D = 100$ and $H = 128$. Predict the
# largest possible $H$ of the GRU: below 140, about 150, or above 170?

# %% tags=["hide-cell"]
grus = {units: count(nn.GRU(100, units, rng=0)) for units in range(128, 200)}
fitting = max(units for units, size in grus.items() if size <= sizes["LSTM"])
print(f"H = {fitting}: {grus[fitting]:,} numbers, the LSTM has {sizes['LSTM']:,}")

# %% [markdown]
# **3.** You want an MGU that remembers for a long time. Must the bias of $f$ be positive or negative? Predict, then
# compare -3, 0 and 3: how much of the gradient is left after 49 steps?

# %% tags=["hide-cell"]
mgu_left: dict[int, Any] = {}
for bias in (-3, 0, 3):
    mgu: Any = nn.MGUCell(D, H, rng=0)
    mgu.b.data = np.concatenate([np.full(H, bias), mgu.b.data[H:]])  # blocks f, n
    (track,) = viz.compare_flow({"mgu": nn.unroll(mgu, xs)[1].sum()}).tracks
    mgu_left[bias] = track.left(T - 1)
print({bias: short(share) for bias, share in mgu_left.items()})
# A negative bias helps, since f says how much is replaced.
