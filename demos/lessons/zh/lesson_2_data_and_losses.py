# ---
# jupyter:
#   mystnb:
#     code_prompt_show: 显示答案
#     code_prompt_hide: 隐藏答案
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
# # 第 2 课 数据与损失
#
# 一个网络逐个字符地读文本，并且预测下一个字符。它还什么都没有学到。
# 它的损失有多大？这个损失的梯度又说明什么？
#
# > **先猜一猜。** 词表里有 $K = 85$ 个符号。损失是交叉熵，即网络给正确字符的概率的负对数 $-\ln$（自然对数）。
# > 一个未经训练的网络，最初每个字符的损失是多少：大约 0.01，大约 1，大约 4.4，还是 85？
# > 如果符号的数目加倍，最初的损失会改变多少？

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
# ## 下一个字符就是目标
#
# 给每个不同的字符一个编号，另外留出一个编号给未知的字符：有 12 个字符时，一共有 $K = 13$ 个符号。
# 第 $t$ 步的输入是一行零，只在第 $t$ 个字符的编号处是 1（*独热*，one-hot）。目标是第 $t + 1$ 个字符的编号。
# 所以，目标就是错开一步的输入：什么是对的，文本自己会说。

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
# 输出权重很小时，$K$ 个符号得到的概率几乎相同，都接近 $1/K$，一步的损失接近 $-\ln(1/K) = \ln K$。
# 这就回答了开头的问题：$\ln 85 = 4.44$，符号的数目加倍，损失增加 $\ln 2 = 0.69$。
# 训练之前，先检查这个数。如果最初的损失大得多，比如大了 1 以上，那么数据、目标或初始权重的大小一定有问题。
#
# 现在来训练。下面的曲线是一次训练的记录：与程序 *min-char-rnn* 一样，一个有 100 个神经元的网络反复读 35,000 个字符的
# Python 代码，每次更新权重读 25 个字符，一共更新 20,000 次（[D7](../../claims.md)）。
# 每个点是最近 1,000 次更新的平均损失，所以曲线上看不到最初的损失。
#
# 从同一份文本里算出来的两个数，适合用来比较。*一元*（unigram）熵是只知道每个字符有多常见的模型的损失；
# *二元*（bigram）熵是还知道前一个字符、也知道每一对字符有多常见的模型的损失。
# （单位是*奈特*（nat），因为用的是自然对数。）

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
# 更新 1,000 次时，网络比一元模型好；更新 5,000 次时，也就是再过两个点，又比二元模型好。所以它用到的过去不止一个字符。
# （这是在训练用的文本上；换成新的文本，它会差一些。）
# 第 $t$ 步的输出确实可以看作对第 $t + 1$ 步输入的预测，并且用预测的误差来训练（[C15](../../claims.md)）。
#
# ## 总损失是一个和
#
# 每一步有自己的损失 $L_t$。总损失是 $L = \sum_t L_t$，于是梯度也相加（[C20](../../claims.md)）：

# %%
W = net.cell.W
by_step = [mg.grad(one, W) for one in losses]
difference = np.abs(mg.grad(loss, W) - sum(by_step)).max()
print(f"total gradient minus the sum of {len(by_step)} gradients: at most {difference:.0e}")

# %% [markdown]
# 对数之和是乘积的对数。这个乘积就是整段文本的概率。为什么不直接计算这个乘积呢？

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
# $-\ln \Pi p$ 的曲线在乘积变成 0 的地方结束。（细线只是引向它的名称。）在此之前，
# 两条曲线相等（[C21](../../claims.md)）。
# 但是，最小的正双精度数大约是 $5 \cdot 10^{-324}$，它的 $-\ln$ 是 744.4。对数之和没有这样的限制。
#
# ## logits 处的梯度
#
# 把 softmax 之前的输出记作 $o$（称为 *logits*），概率记作 $\hat y = \mathrm{softmax}(o)$，目标记作
# $y$，它在正确答案处是 1，在其他地方是 0。梯度非常简单：
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
# 逆着梯度更新一次，正确答案的 logit 升高，幅度与 $1 - \hat y$ 成正比；
# 其余每个 logit 降低，幅度与它自己的 $\hat y$ 成正比。
# 这个公式需要一个条件：目标之和必须是 1（[C22](../../claims.md)）。让目标之和等于 1.8 试试：

# %%
too_much = 1.8 * y_one
g_too_much = mg.grad(-(too_much * mg.log_softmax(o)).sum(), o)
printed = np.abs(g_too_much - (y_hat - too_much)).max()
correct = np.abs(g_too_much - (1.8 * y_hat - too_much)).max()
without_minus = mg.grad((y_one * mg.log_softmax(o)).sum(), o)
print(f"largest error of ŷ − y: {printed:.2f}; of (Σy) ŷ − y: {correct:.0e}")
print(f"at the right answer: {g[2]:+.2f}; without the minus sign: {without_minus[2]:+.2f}")

# %% [markdown]
# 一般地，梯度是 $(\sum y)\,\hat y - y$。有一份资料还漏掉了损失前面的负号。
# $\sum y \ln \hat y$ 的梯度是 $y - \hat y$；逆着它更新一次，正确答案的概率反而变小。
#
# ## 顺序有意义
#
# 许多较早的方法用*词袋*表示文本，也就是对所有的词求和或求平均。循环网络则按顺序读词。
# 把同样的五个向量按全部 120 种顺序交给两者：

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
# 词袋丢掉了顺序。循环网络的状态*可以*保留顺序（[C16](../../claims.md)）。但是能保留很久吗？
# 交换 $n$ 个输入中的前两个，看看最后的状态改变多少：

# %%
exchanged = {}
for n in (5, 20, 50):
    one = np.random.default_rng(n).standard_normal((n, 1, 3))
    other = one[[1, 0, *range(2, n)]]
    last_states = [nn.RNN(3, 5, rng=0)(inputs)[1].data for inputs in (one, other)]
    exchanged[n] = float(np.abs(last_states[0] - last_states[1]).max())
print({n: f"{change:.0e}" for n, change in exchanged.items()})

# %% [markdown]
# 在这个未经训练的网络里，读完 50 个输入之后，从最后的状态已经看不出前两个输入的顺序。第 4 课说明为什么。
#
# ## 长度不等的序列
#
# 一个批次是一个数组，其中所有的序列一样长，而文本有长有短。把短的*在末尾*用零补齐（*填充*，padding），目标也一样。
# *掩码*（mask）说明哪些步是真实的：只有这些步计入损失。

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
# > **教科书怎么说，测量结果怎么说。** “小批量要求所有序列一样长。”它要求的其实是一个各行一样长的*数组*。
# > 在末尾填充并且使用掩码时，梯度与逐个序列计算的结果一致，只差舍入误差。
# > 没有掩码时，误差几乎是梯度本身的五倍，而且不会出现任何错误信息（[C11](../../claims.md)）。
#
# 为什么要在末尾？如果在开头填充，网络先读到零，它的偏置会改变状态。于是真实的步从错误的状态开始，掩码无法补救。
#
# 在末尾填充，状态同样会被改变。带掩码的损失不用这些状态，但*最后的*状态就是其中之一。
# `lengths=` 告诉网络每个序列有多少步：读完最后一个真实的步之后，状态就保持不变（[填充](../../padding.md)）。

# %%
last = np.concatenate([gru(sequence[:, None])[1].data for sequence in sequences])
wrong_by = {name: float(np.abs(gru(xs, lengths=given)[1].data - last).max())
            for name, given in {"without lengths=": None, "with lengths=": lengths}.items()}
print("error of a last state:", {name: f"{found:.0e}" for name, found in wrong_by.items()})

# %% [markdown]
# ## 整个序列只有一个答案
#
# 给文本分类时，可以用最后的状态 $h_T$ 作特征，也可以用全部 $T$ 个状态的平均。两种做法都有人用。
# 区别在于，梯度沿着哪些路到达前面的步：

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
# 在这个网络里，只用最后的状态时，第一步的梯度不到最后一步的 $10^{-24}$ 倍。第 4 课就讲这件事。
# 用平均时，$T$ 个状态相加再除以 $T$，每个状态都是其中之一，所以都有一条到达损失的直接通路。
# 各步的梯度几乎一样大：最大的不到最小的两倍（[C106](../../claims.md)）。两种做法哪一种分类更好，取决于任务。
#
# ## 小结
#
# * 语言模型预测自己的下一个输入：目标就是错开一步的输入。未经训练、
#   输出权重很小的网络，每一步的损失接近 $\ln K$。
# * 总损失是各步损失之和，它的梯度也是各步梯度之和。要把对数相加，不要把概率相乘。
# * 如果目标之和是 1，logits 处的梯度就是 $\hat y - y$。
# * 循环网络的状态可以保留输入的顺序，虽然不一定很久；词袋不能。
# * 长度不等的序列既需要在末尾填充，*也*需要掩码；要得到最后的状态，还需要 `lengths=`。
# * 对状态取平均，每一步就都有一条到达损失的直接通路。
#
# ## 练习
#
# **练习 1.** 词表甲有 10 个符号，词表乙有 10,000 个。请预测两者最初的损失。

# %% tags=["hide-cell"]
first_losses = {}
for n in (10, 10_000):
    untrained = 0.01 * rng.standard_normal((20, n))
    first_losses[n] = nn.cross_entropy(untrained, rng.integers(0, n, 20)).item()
print({n: f"{found:.3f}, ln {n} = {np.log(n):.3f}" for n, found in first_losses.items()})

# %% [markdown]
# **练习 2.** 把 NaN（不是数）写进 `xs` 的填充部分。请预测：给出 `lengths=` 时，不给出时，四个最后的状态中哪些是 NaN？
# （长度是 9，3，6 和 1。）

# %% tags=["hide-cell"]
spoiled = np.where(mask[..., None], xs, np.nan)
is_nan = {name: np.isnan(gru(spoiled, lengths=given)[1].data).any(axis=1).tolist()
          for name, given in {"with lengths=": lengths, "without": None}.items()}
print(is_nan)  # with lengths= no state takes anything from the padding; the first sequence has no padding

# %% [markdown]
# **练习 3.** 用状态的平均时，沿着直接通路（不经过 $h_{t+1}$）到达 $h_t$ 的梯度是 $(\hat y - y) V^\top / T$。
# 把 $T$ 从 100 改成 50，平均保持不变。请预测这个梯度怎样改变。

# %% tags=["hide-cell"]
direct = {}
for T in (100, 50):
    hs = Tensor(np.tile(rnn(long)[0].data.mean(axis=0), (T, 1, 1)))  # the same mean for both T
    answer = nn.cross_entropy(classify(nn.mean_over_steps(hs)), [1])
    direct[T] = float(np.linalg.norm(mg.grad(answer, hs)[0]))
print(direct, "ratio:", direct[50] / direct[100])  # half as many states share it, so each gets twice as much
