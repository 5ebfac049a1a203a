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
# > **先猜一猜。** 词表里有 85 个符号。损失是交叉熵，即网络给正确字符的概率的负对数 $-\log$。
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
# 给文本中的字符编号。（词表还留出一个编号，给从未见过的字符。）
# 第 $t$ 步的输入是一行零，只在第 $t$ 个字符的编号处是 1。目标是第 $t + 1$ 个字符的编号。
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
# 输出权重很小时，$K$ 个符号得到的概率几乎相同，都接近 $1/K$，一步的损失接近 $-\log(1/K) = \log K$。
# 这就回答了开头的问题：$\log 85 = 4.44$，符号的数目加倍，损失增加 $\log 2 = 0.69$。
# 训练之前，先检查这个数。如果最初的损失与它相差很远，那么数据、目标或初始权重一定有问题。
#
# 现在来训练。下面的曲线是一次训练的记录：按照 *min-char-rnn* 的设置，一个有 100 个神经元的网络读 35,000 个字符的
# Python 代码，更新 20,000 次（[D7](../../claims.md)）。从同一份文本里统计出来的两个数，可以显示网络学到了什么。
# *一元*（unigram）熵是只知道每个字符有多常见的模型的损失；*二元*（bigram）熵是还知道前一个字符的模型的损失。
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
# 更新 1,000 次之后，网络比一元模型好；更新 5,000 次之后，又比二元模型好。所以它用到的过去不止一个字符。
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
# 对数之和是乘积的对数，这个乘积就是整段文本的概率。为什么不直接计算这个乘积呢？

# %%
T, classes = 400, 50
logits, answers = 3 * rng.standard_normal((T, classes)), rng.integers(0, classes, T)
p = mg.softmax(Tensor(logits)).data[np.arange(T), answers]
sums = -np.log(p).cumsum()
with np.errstate(divide="ignore"):
    products = -np.log(p.cumprod())
underflow = int(np.isfinite(products).sum())
print(f"the product is 0 after {underflow} steps; the sum goes on to {sums[-1]:.0f}")
charts.titled(charts.curves({"− Σ log p": sums, "− log Π p": products}, "steps", "nats"),
              "The product of the probabilities underflows, the sum does not")

# %% [markdown]
# 第二条曲线在乘积变成 0 的地方结束；在此之前，两条曲线相等（[C21](../../claims.md)）。
# 但是，双精度数不可能小于大约 $10^{-324}$，而它的 $-\log$ 是 745。对数之和没有这样的限制。
#
# ## logits 处的梯度
#
# 把 softmax 之前的输出记作 $o$（称为 *logits*），概率记作 $\hat y = \mathrm{softmax}(o)$，目标记作
# $y$，它在正确答案处是 1。梯度简单得不能再简单：
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
# 逆着梯度走一步，正确答案的 logit 升高，其余的降低，降低的幅度与各自的概率成正比。
# 这个公式需要一个条件：目标之和必须是 1（[C22](../../claims.md)）。让目标之和等于 1.8 试试：

# %%
too_much = 1.8 * y_one
g_too_much = mg.grad(-(too_much * mg.log_softmax(o)).sum(), o)
printed = np.abs(g_too_much - (y_hat - too_much)).max()
correct = np.abs(g_too_much - (1.8 * y_hat - too_much)).max()
without_minus = mg.grad((y_one * mg.log_softmax(o)).sum(), o)
print(f"error of ŷ − y: {printed:.2f}; of (Σy) ŷ − y: {correct:.0e}")

# %% [markdown]
# 一般地，梯度是 $(\sum y)\,\hat y - y$。有一份资料还漏掉了损失前面的负号。
# $\sum y \log \hat y$ 的梯度是 $y - \hat y$；逆着它走一步，正确答案的概率反而变小。
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
print(f"{distinct[0]} different states, {distinct[1]} bag")
charts.titled(charts.points(clouds, "first number", "second number"),
              "120 orders of five vectors: 120 states, one bag")

# %% [markdown]
# 词袋丢掉了顺序，循环网络没有（[C16](../../claims.md)）。
#
# ## 长度不等的序列
#
# 一个批次是一个矩形的数组，而文本有长有短。把短的补齐（*填充*，padding），再用一个*掩码*（mask）记住哪些元素是真实的。

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

# %%
inputs = Tensor(xs)
masked = nn.cross_entropy(out(gru(inputs)[0]), ys, mask=mask, reduction="sum")
at_inputs = np.linalg.norm(mg.grad(masked, inputs), axis=-1).T
charts.titled(charts.grid(at_inputs, "step", "sequence", "‖∂L/∂x‖", missing=~mask.T),
              "With the mask, no gradient reaches the padding")

# %% [markdown]
# > **教科书怎么说，测量结果怎么说。** “小批量要求所有序列一样长。”它要求的其实是一个*矩形*。
# > 有填充和掩码时，梯度与逐个序列计算的结果一致，直到最后几位数字。
# > 没有掩码时，梯度的误差比梯度本身还大，而且不会出现任何错误信息（[C11](../../claims.md)）。
#
# ## 整个序列只有一个答案
#
# 给文本分类时，可以用最后的状态 $h_T$ 作特征，也可以用所有状态的平均。两种做法都有人用。
# 区别在于，梯度怎样到达前面的步：

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
              "From the last state alone, almost nothing reaches the first step")

# %% [markdown]
# 只用最后的状态时，第一步的梯度不到最后一步的 $10^{-20}$ 倍。第 4 课就讲这件事。
# 用平均时，每一步都有一条权重为 $1/T$ 的直接通路到达损失，所以每一步得到的梯度差不多大（[C106](../../claims.md)）。
#
# ## 小结
#
# * 语言模型预测自己的下一个输入：目标就是错开一步的输入。未经训练的网络，损失是 $\log K$。
# * 总损失是各步损失之和，它的梯度也是各步梯度之和。要把对数相加，不要把概率相乘。
# * 如果目标之和是 1，logits 处的梯度就是 $\hat y - y$。
# * 循环网络的状态知道输入的顺序，词袋不知道。
# * 长度不等的序列既需要填充，*也*需要掩码。
# * 对状态取平均，每一步就都有一条到达损失的直接通路。
#
# ## 练习
#
# **练习 1.** 一个词表有 10 个符号，另一个有 10,000 个。请预测两者最初的损失。

# %% tags=["hide-cell"]
first_losses = {}
for n in (10, 10_000):
    untrained = 0.01 * rng.standard_normal((20, n))
    first_losses[n] = nn.cross_entropy(untrained, rng.integers(0, n, 20)).item()
print({n: f"{found:.3f}, ln {n} = {np.log(n):.3f}" for n, found in first_losses.items()})

# %% [markdown]
# **练习 2.** 把 NaN 写进 `xs` 的填充部分，并且把 `lengths=` 告诉网络。请预测：带掩码的损失会改变吗？

# %% tags=["hide-cell"]
spoiled = np.where(mask[..., None], xs, np.nan)
clean, dirty = (nn.cross_entropy(out(gru(a, lengths=lengths)[0]), ys, mask=mask).item()
                for a in (xs, spoiled))
print(clean, dirty)  # the net stops at the end of each sequence, so the padding is never read

# %% [markdown]
# **练习 3.** 用状态的平均时，把 $T$ 从 100 改成 50。请预测 $\partial L / \partial h_t$ 的直接部分
# $(\hat y - y) V^\top / T$ 怎样改变。

# %% tags=["hide-cell"]
direct = {}
for T in (100, 50):
    hs = Tensor(np.tile(rnn(long)[0].data.mean(axis=0), (T, 1, 1)))  # the same mean for both T
    answer = nn.cross_entropy(classify(nn.mean_over_steps(hs)), [1])
    direct[T] = float(np.linalg.norm(mg.grad(answer, hs)[0]))
print(direct, "ratio:", direct[50] / direct[100])
