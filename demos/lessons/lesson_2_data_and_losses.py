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
# # Lesson 2. Data and losses
#
# A net reads text, one character at a time, and predicts the next one. It has not learned anything yet. How large is
# its loss, and what does the gradient of this loss say?
#
# > **Guess first.** The vocabulary has $K = 85$ symbols. The loss is the cross-entropy: $-\ln$ (the natural logarithm)
# > of the probability that the net gives to the right character. What is the first loss of an untrained net, per
# > character: about 0.01, about 1, about 4.4, or 85? And by how much does it change if there are twice as many symbols?

# %%
# %load_ext microgradrnn
from itertools import permutations

import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from demos.experiments import records
from microgradrnn import Tensor, nn
from microgradrnn.data import Vocabulary, pad

viz.set_theme(page=830)
rng = np.random.default_rng(0)

# %% [markdown]
# ## The next character is the target
#
# Give each different character an index. One more index is for unknown characters: with 12 characters there are
# $K = 13$ symbols. The input at step $t$ is a row of zeros with a 1 at the index of character $t$ (*one-hot*). The
# target is the index of character $t + 1$. So the targets are the inputs, shifted by one step: the text itself says
# what is right.

# %%
text = "the old cat sat on the old mat"
vocabulary = Vocabulary.of_characters(text)
K, ids = len(vocabulary), vocabulary.encode(text)
x, y = np.eye(K)[ids[:-1]][:, None], ids[1:, None]           # (T, 1, K) and (T, 1)
net, head = nn.RNN(K, 16, rng=0), nn.Linear(16, K, bias=False, rng=1)
head.V.data = 0.01 * head.V.data
losses = [nn.cross_entropy(o, target) for o, target in zip(head(net(x)[0]), y, strict=True)]
loss = mg.stack(losses).sum()
viz.draw_unrolled(loss, last=3, labels=list(text[:-1]))

# %%
mean_loss = loss.item() / len(losses)
print(f"{K} symbols, {len(losses)} steps")
print(f"mean loss {mean_loss:.4f}, ln {K} = {np.log(K):.4f}")

# %% [markdown]
# With small output weights all $K$ symbols get nearly the same probability, $1/K$, and the loss of a step is nearly
# $-\ln(1/K) = \ln K$. This answers the guess: $\ln 85 = 4.44$, and twice as many symbols add $\ln 2 = 0.69$. Check this
# number before you train. If the first loss is much larger, by 1 or more, something is wrong with the data, with the
# targets, or with the size of the first weights.
#
# Now train. The curve below is the record of a net with 100 units that read 35,000 characters of Python code again and
# again, 25 characters for each of 20,000 updates of its weights, as in the program *min-char-rnn* ([D7](../claims.md)).
# Each point is the mean loss of the last 1,000 updates, so the curve does not show the first loss.
#
# Two numbers, computed from the same text, are good for comparison. The *unigram* entropy is the loss of a model that
# knows how frequent each character is. The *bigram* entropy is the loss of a model that also knows the previous
# character, and how frequent each pair is. (The unit is the *nat*, because the logarithm is the natural one.)

# %%
[record] = records.read("characters")
updates = [int(n) for n in record["smooth"]]
trained = [*record["smooth"].values()]
lines = {"the net": (updates, trained)}
for name in ("unigram", "bigram"):
    lines[name] = ([updates[0], updates[-1]], [record[name]] * 2)
first, symbols = record["first"], record["symbols"]
print(f"first loss {first:.4f}, ln {symbols} = {np.log(symbols):.4f}")
charts.titled(charts.curves(lines, "update", "loss, nats per character"),
              "The net comes to know more than pairs of characters")

# %% [markdown]
# At 1,000 updates the net is better than the unigram model, and at 5,000, two points later, better than the bigram
# model. So it uses more than one character of its past. (This is the text of the training; on new text it would be less
# good.) The output at step $t$ really can be read as a prediction of the input at
# $t + 1$, and trained on its error ([C15](../claims.md)).
#
# ## The total loss is a sum
#
# Each step has its own loss $L_t$. The total is $L = \sum_t L_t$, and then the gradients add up too
# ([C20](../claims.md)):

# %%
W = net.cell.W
by_step = [mg.grad(one, W) for one in losses]
difference = np.abs(mg.grad(loss, W) - sum(by_step)).max()
print(f"total gradient minus the sum of {len(by_step)} gradients: at most {difference:.0e}")

# %% [markdown]
# A sum of logarithms is the logarithm of a product. This product is the probability of the whole text. Why not compute
# it directly?

# %%
T, classes = 400, 50
logits, answers = 3 * rng.standard_normal((T, classes)), rng.integers(0, classes, T)
p = mg.softmax(Tensor(logits)).data[np.arange(T), answers]
sums = -np.log(p).cumsum()
with np.errstate(divide="ignore"):
    products = -np.log(p.cumprod())
underflow = int(np.isfinite(products).sum())
print(f"the product is 0 from step {underflow + 1} on; after {T} steps, the sum is {sums[-1]:.0f}")
both = {"− Σ ln p": sums[:150], "− ln Π p": products[:underflow]}
charts.titled(charts.curves(both, "steps", "nats"),
              "The product of the probabilities underflows, the sum does not")

# %% [markdown]
# The curve of $-\ln \Pi p$ ends where the product becomes 0. (The thin line only leads to its name.) Before that, both
# are equal ([C21](../claims.md)). But the smallest positive double-precision number is about $5 \cdot 10^{-324}$, and
# its $-\ln$ is 744.4. The sum of logarithms has no such limit.
#
# ## The gradient at the logits
#
# Call the output before the softmax $o$ (the *logits*), the probabilities $\hat y = \mathrm{softmax}(o)$, and the
# target $y$, a 1 at the right answer and 0 elsewhere. The gradient is very simple:
#
# $$\frac{\partial L}{\partial o} = \hat y - y.$$

# %%
o, y_one = Tensor(np.array([2.0, 1.0, 0.0, -1.0])), np.array([0.0, 0.0, 1.0, 0.0])
y_hat = mg.softmax(o).data
g = mg.grad(-(y_one * mg.log_softmax(o)).sum(), o)
error = np.abs(g - (y_hat - y_one)).max()
print(f"gradient {g.round(3)}, its sum {g.sum():.0e}, error of the formula {error:.0e}")
bars = {"prediction": list(y_hat), "target": list(y_one), "gradient": list(g)}
charts.titled(charts.bars(bars, "character", "", names=list("abcd"), level=0),
              "The gradient is prediction minus target")

# %% [markdown]
# An update against the gradient raises the logit of the right answer in proportion to $1 - \hat y$. It lowers every
# other logit in proportion to its own $\hat y$. The formula needs one condition: the targets must sum to 1
# ([C22](../claims.md)). Let them sum to 1.8:

# %%
too_much = 1.8 * y_one
g_too_much = mg.grad(-(too_much * mg.log_softmax(o)).sum(), o)
printed = np.abs(g_too_much - (y_hat - too_much)).max()
correct = np.abs(g_too_much - (1.8 * y_hat - too_much)).max()
without_minus = mg.grad((y_one * mg.log_softmax(o)).sum(), o)
print(f"largest error of ŷ − y: {printed:.2f}; of (Σy) ŷ − y: {correct:.0e}")
print(f"at the right answer: {g[2]:+.2f}; without the minus sign: {without_minus[2]:+.2f}")

# %% [markdown]
# In general the gradient is $(\sum y)\,\hat y - y$. One source also leaves out the minus sign of the loss. The gradient
# of $\sum y \ln \hat y$ is $y - \hat y$. An update against it makes the right answer less probable.
#
# ## Order counts
#
# Many older methods represent a text by a *bag of words*: a sum or mean over its words. A recurrent net reads the words
# in order. Give both the same five vectors, in each of the 120 orders:

# %%
five = rng.standard_normal((5, 3))
orders = np.array([five[list(order)] for order in permutations(range(5))]).transpose(1, 0, 2)
bag = orders.mean(axis=0)
states = nn.RNN(3, 5, rng=0)(orders)[1].data
clouds = {"last state of the net": states[:, :2], "bag": bag[:, :2]}
distinct = [len(np.unique(a.round(6), axis=0)) for a in (states, bag)]
print(f"different states: {distinct[0]}; different means: {distinct[1]}")
charts.titled(charts.points(clouds, "first number", "second number"),
              "120 orders of five vectors: 120 states, one bag")

# %% [markdown]
# A bag loses the order. A recurrent state *can* keep it ([C16](../claims.md)). But does it keep it for long? Exchange
# the first two of $n$ inputs, and look how much the last state changes:

# %%
exchanged = {}
for n in (5, 20, 50):
    one = np.random.default_rng(n).standard_normal((n, 1, 3))
    other = one[[1, 0, *range(2, n)]]
    last_states = [nn.RNN(3, 5, rng=0)(inputs)[1].data for inputs in (one, other)]
    exchanged[n] = float(np.abs(last_states[0] - last_states[1]).max())
print({n: f"{change:.0e}" for n, change in exchanged.items()})

# %% [markdown]
# In this untrained net, the last of 50 states does not show the order of the first two inputs any more. Lesson 4 says
# why.
#
# ## Sequences of unequal length
#
# A batch is an array in which all sequences have the same length, but texts have different lengths. Fill the short ones
# with zeros *at the end* (*padding*), the targets too. A *mask* says which steps are real: only these count in the
# loss.

# %%
lengths, D = [9, 3, 6, 1], 3
sequences = [rng.standard_normal((n, D)) for n in lengths]
labels = [rng.integers(0, 4, n) for n in lengths]
(xs, mask), (ys, _) = pad(sequences), pad(labels)
gru, out = nn.GRU(D, 5, rng=0), nn.Linear(5, 4, rng=1)


def gradients(xs: np.ndarray, ys: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """∂L/∂W, and the loss is a sum over all steps, or over those of the mask."""
    return mg.grad(nn.cross_entropy(out(gru(xs)[0]), ys, mask=mask, reduction="sum"), gru.cell.W)


alone = sum(gradients(x[:, None], y[:, None]) for x, y in zip(sequences, labels, strict=True))
size = np.linalg.norm(alone)
with_mask, without = (np.linalg.norm(gradients(xs, ys, m) - alone) / size for m in (mask, None))
print(f"relative error with the mask {with_mask:.0e}, without it {without:.2f}")
xs_late, ys_late = (pad([s[::-1] for s in group])[0][::-1] for group in (sequences, labels))
at_start = np.linalg.norm(gradients(xs_late, ys_late, mask[::-1]) - alone) / size
print(f"with the padding at the start, and its mask: {at_start:.2f}")

# %%
inputs = Tensor(xs)
masked = nn.cross_entropy(out(gru(inputs)[0]), ys, mask=mask, reduction="sum")
at_inputs = np.linalg.norm(mg.grad(masked, inputs), axis=-1).T
charts.titled(charts.grid(at_inputs, "step", "sequence", "‖∂L/∂x‖", missing=~mask.T),
              "With the mask, no gradient reaches the padding")

# %% [markdown]
# > **What textbooks say, and what is measured.** "A mini-batch needs sequences of one length." It needs an *array* with
# > rows of one length. With padding at the end and a mask, the gradient is that of the sequences one by one, up to
# > rounding. Without the mask, the error is almost five times as large as the gradient, and no error message appears
# > ([C11](../claims.md)).
#
# Why at the end? With padding at the start, the net reads the zeros first, and its biases move the state. So the real
# steps begin with a wrong state, and the mask cannot repair that.
#
# At the end, the padding moves the state too. No masked loss uses these states, but the *last* state is one of them.
# `lengths=` tells the net how many steps each sequence has: the state then stays as it is after the last real step
# ([padding](../padding.md)).

# %%
last = np.concatenate([gru(sequence[:, None])[1].data for sequence in sequences])
wrong_by = {name: float(np.abs(gru(xs, lengths=given)[1].data - last).max())
            for name, given in {"without lengths=": None, "with lengths=": lengths}.items()}
print("error of a last state:", {name: f"{found:.0e}" for name, found in wrong_by.items()})

# %% [markdown]
# ## One answer for the whole sequence
#
# To classify a text, take its last state $h_T$ as a feature, or the mean of its $T$ states. Both are in use. They
# differ in the ways on which the gradient reaches early steps:

# %%
long = rng.standard_normal((100, 1, D))
rnn, classify = nn.RNN(D, 16, rng=0), nn.Linear(16, 4, rng=1)
profiles = {}
for name, pool in {"last state": nn.last_step, "mean of states": nn.mean_over_steps}.items():
    answer = nn.cross_entropy(classify(pool(rnn(long)[0])), [1])
    profiles[name] = viz.gradient_flow(answer).profile("h").norms[::-1]
kept = {name: norms[0] / norms[-1] for name, norms in profiles.items()}
print({name: f"{ratio:.1e}" for name, ratio in kept.items()})
charts.titled(charts.curves(profiles, "step", "‖∂L/∂h‖", log="y"),
              "In this net, the last state sends almost no gradient to the first step")

# %% [markdown]
# With the last state, the gradient at the first step is less than $10^{-24}$ times that at the last, in this net.
# Lesson 4 is about this. With the mean, each state is one of the $T$ that are added and divided by $T$. So it has a
# direct way to the loss, and the gradients at all steps have nearly the same size: the largest is less than twice the
# smallest ([C106](../claims.md)). Which of the two classifies better depends on the task.
#
# ## Summary
#
# * A language model predicts its next input: targets are inputs, shifted by one. An untrained net with small output
#   weights has a loss of nearly $\ln K$ per step.
# * The total loss is the sum of the losses of the steps, and so is its gradient. Sum logarithms; do not multiply
#   probabilities.
# * The gradient at the logits is $\hat y - y$, if the targets sum to 1.
# * A recurrent state can keep the order of its inputs, though not always for long. A bag cannot.
# * Unequal lengths need padding at the end *and* a mask; the last states need `lengths=`.
# * A mean over states gives every step a direct way to the loss.
#
# ## Exercises
#
# **Exercise 1.** Vocabulary A has 10 symbols, vocabulary B has 10,000. Predict the first loss of both.

# %% tags=["hide-cell"]
first_losses = {}
for n in (10, 10_000):
    untrained = 0.01 * rng.standard_normal((20, n))
    first_losses[n] = nn.cross_entropy(untrained, rng.integers(0, n, 20)).item()
print({n: f"{found:.3f}, ln {n} = {np.log(n):.3f}" for n, found in first_losses.items()})

# %% [markdown]
# **Exercise 2.** Write NaN (not a number) into the padding of `xs`. Predict: which of the four last states are NaN,
# with `lengths=` and without? (The lengths are 9, 3, 6 and 1.)

# %% tags=["hide-cell"]
spoiled = np.where(mask[..., None], xs, np.nan)
is_nan = {name: np.isnan(gru(spoiled, lengths=given)[1].data).any(axis=1).tolist()
          for name, given in {"with lengths=": lengths, "without": None}.items()}
print(is_nan)  # with lengths= no state takes anything from the padding; the first sequence has no padding

# %% [markdown]
# **Exercise 3.** With the mean of states, the gradient that comes to $h_t$ on the direct way, not through $h_{t+1}$, is
# $(\hat y - y) V^\top / T$. Change $T$ from 100 to 50 and keep the mean. Predict how this gradient changes.

# %% tags=["hide-cell"]
direct = {}
for T in (100, 50):
    hs = Tensor(np.tile(rnn(long)[0].data.mean(axis=0), (T, 1, 1)))  # the same mean for both T
    answer = nn.cross_entropy(classify(nn.mean_over_steps(hs)), [1])
    direct[T] = float(np.linalg.norm(mg.grad(answer, hs)[0]))
print(direct, "ratio:", direct[50] / direct[100])  # half as many states share it, so each gets twice as much
