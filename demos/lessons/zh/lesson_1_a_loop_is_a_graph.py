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
# # 第 1 课 循环就是图
#
# 循环网络就是一个 `for` 循环：它一步一步地读一个序列，并且保留一个状态。
# 反向传播只认得由运算组成的图。它怎么能训练一个循环呢？
#
# > **先猜一猜。** 一个简单循环网络的单元（不算输出层）有 3 个输入、5 个神经元；
# > 只读一步时，它有 $3 \cdot 5 + 5 \cdot 5 + 5 = 45$ 个可训练的数。读 1000 步时，它有多少个可训练的数？
# > 再猜：如果序列只有一步，输入与末尾的损失之间隔着 5 个运算。如果有 1000 步，第一个输入与损失之间隔着多少个运算：
# > 还是 5 个，大约 50 个，还是几千个？

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
# ## 循环会留下一张图
#
# 先看一个神经元、一个权重 $w$。下面的循环执行三次。每个运算都产生一个新节点，并且记住自己的输入；
# 所以循环结束之后，留下了一张图。

# %%
w, h = Value(0.9, label="w"), Value(0.5, label="h0")
for _ in range(3):
    h = (w * h).tanh()
h.label = "h3"
h.backward()
viz.draw_graph(h)

# %% [markdown]
# 这张图里没有哪个节点叫作“循环”，也没有哪个箭头指向过去。循环已经被*展开*：这张图就是一个三层的前馈网络。
# 只有一点特别：$w$ 是同一个节点，三层都用它。（图中虚线框里的 $w$ 就是同一个节点。）
#
# 验证一下这个想法。用三个彼此独立、初值相同的权重搭出同样的三层，再把它们的梯度加起来：

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
# 两个数一致。所以，*随时间反向传播就是在展开的图上做普通的反向传播*（[C3](../../claims.md)）。
# 这个库的反向传播根本不知道什么是时间。1986 年，Rumelhart、Hinton 和 Williams 使这个方法广为人知。
#
# ## 用数组写一步
#
# 现在，状态是一行 $H$ 个数，简单循环网络的一步是
#
# $$z_t = x_t U + h_{t-1} W + b, \qquad h_t = \tanh(z_t), \qquad o_t = h_t V + d.$$
#
# $U$ 作用于输入，$W$ 作用于前一个状态，$V$ 给出输出；$b$ 和 $d$ 是偏置。最初的状态 $h_0$ 在这里是零。
# 网络有 $D$ 个输入、$H$ 个神经元、$K$ 个输出，序列有 $T$ 步。

# %%
D, H, K, T = 3, 5, 4, 10
cell, head = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)
x = normal((T, 1, D))
hs, last = nn.unroll(cell, x)
viz.draw_unrolled(nn.cross_entropy(head(hs), np.ones((T, 1), int)), last=3)

# %% [markdown]
# 每个方块是一步，所有方块都是同一个单元。单元的权重在图中只写一次，因为每个权重只有一个。
# 图中没有列出输出层（linear 框）的权重。
# （计算图中的步从 0 开始数，公式从 1 开始数。）
#
# 这个网络的“循环”从哪里来？只来自 $h_{t-1} W$ 这一项。把 $W$ 设为零，再与 $U$、$b$ 都相同的前馈网络比较：

# %%
U, W, b = cell.parameters()
feed_forward = np.tanh(x @ U.data + b.data)
without_w = nn.RNNCell(D, H, rng=0)
without_w.W.data = np.zeros((H, H))
equal = np.array_equal(nn.unroll(without_w, x)[0].data, feed_forward)
equal_with_w = np.array_equal(hs.data, feed_forward)
print(f"exactly equal, without W: {equal};  with W: {equal_with_w}")

# %% [markdown]
# 循环网络的一步，就是前馈网络再加一项（[C4](../../claims.md)）。
# 隐藏层在第 $t$ 步算出的*状态* $h_t$，在第 $t+1$ 步又被读入。Recurrent 的意思是“再次出现”。
#
# 隐藏层的函数可以是 tanh，也可以是 ReLU（[C23](../../claims.md)）。输出层用另一个函数；有些教材用同一个符号
# $f$ 表示两者，好像它们是同一个函数（[C24](../../claims.md)）。输出层也用 tanh 试试，再与 softmax 比较：

# %%
o = head(hs).data[-1, 0]
as_hidden, probabilities = np.tanh(o), mg.softmax(Tensor(o)).data
print(f"tanh:    {as_hidden.round(2)}, sum {as_hidden.sum():.2f}")
print(f"softmax: {probabilities.round(2)}, sum {probabilities.sum():.2f}")

# %% [markdown]
# tanh 给出了一个负数，而且总和不是 1，所以这些数不是概率。softmax 给出的才是概率。
#
# ## 共享的是什么，返回的是什么
#
# 直接从图上数一数，三种长度下各有多少个可训练的数：

# %%
def trained(T: int) -> int:
    """How many numbers can be trained in the graph of T steps."""
    nodes = viz.trace(nn.unroll(cell, normal((T, 1, D)))[1].sum()).nodes(data=True)
    return sum(getattr(cell, name).size for name, node in nodes if node["kind"] == "parameter")


numbers = {T: trained(T) for T in (1, 10, 1000)}
print(numbers)

# %% [markdown]
# 这就回答了第一个问题：还是 45 个。参数的数目与 $T$ 无关（[C1](../../claims.md)）。
# 如果 1000 步中的每一步都有自己的单元，就有 45,000 个数：共享恰好把单元的参数数目除以 $T$（[C7](../../claims.md)）。
# 有 $K = 4$ 个输出的输出层另有 24 个数，也只有一份。
# 状态的大小也与 $T$ 无关：我们的状态只有 5 个数，刚刚读完了 1000 步。
#
# 常有人说：“输出是先前输出的函数。”更准确地说，输出是当前输入和先前*状态*的函数（[C12](../../claims.md)）。
# 真正把 $K$ 个输出送回来的是 *Jordan* 网络。两者的差别可以测量。
# 一步的雅可比矩阵说明新状态怎样依赖于旧状态。它的*秩*是独立方向的个数：旧状态沿这些方向改变时，新状态也会改变。
# 秩也等于这个矩阵的非零*奇异值*的个数：

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
# 8 个数的状态把 8 个方向传给下一步，3 个输出只传 3 个方向。
#
# ## 沿时间很深，一步之内很浅
#
# 现在看第二个问题。分别从第一个输入和最后一个输入出发，数一数到最后一步的损失为止，图中最长的路上有多少个运算。
# 这里的损失尽量简单：各个输出之和。

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
# 在这个引擎里，每一步给最长的路增加两个运算。第一个是 $(x_t U + b) + h_{t-1} W$，
# 引擎把乘积与和一起作为一个运算来计算；
# 第二个是 tanh。其余三个运算只出现一次：$x_1 U + b$，$h_T V + d$，以及各个输出之和。
# 所以一步有 $3 + 2 = 5$ 个运算，1000 步有 $3 + 2 \cdot 1000 = 2003$ 个，而不是 5000 个；
# 从最后一个输入出发仍然只有 5 个。
# 换一种损失，或者换一个运算分得更细的引擎，这些数会改变，但路的长度仍然与 $T$ 成比例地增长。
# 网络沿时间很深，一步之内很浅（[C17](../../claims.md)）。第 4 课和第 5 课会说明，这样的深度对梯度做了什么。
#
# ## 一个单元，五种模式
#
# 在哪些步读输入，在哪些步给出输出，由循环来决定。由此得到五种模式（[C107](../../claims.md)）。
# 没有输入的步，单元读到的是零。

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
# 还是这五个循环，看看它们的图里有什么：

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
# *标注*（说出十个词中的每一个是名词、动词，还是别的词）属于“多对多”（many to many）模式。
# 有一份资料说，用前馈网络标注十个词需要十个网络。其实不需要：同一个网络可以用在所有位置上。
# 每次读一个词的网络只看到这个词；有窗口的网络还能看到几个相邻的词。但它没有状态（[C5](../../claims.md)）。
#
# > **教科书怎么说，测量结果怎么说。** “前馈网络不共享权重；前馈网络和卷积网络的输入长度必须固定；
# > 循环网络可以接受任意长度。”对一次读入整个序列的全连接网络，这是对的；对卷积网络就不对了。
# > 卷积在每个位置上用同一个卷积核（[C10](../../claims.md)）。如果后面再对所有位置取平均，
# > 只要序列不比卷积核短，任何长度都可以（[C9](../../claims.md)）。
# > 下一段代码把同一个宽度为 3 的卷积核用于从 3 到 500 的长度。

# %%
def convolution(xs: np.ndarray, kernel: Tensor) -> Tensor:
    """A tanh convolution over time, width 3, and the mean over its positions."""
    return (mg.concat([Tensor(xs[:-2]), xs[1:-1], xs[2:]], axis=-1) @ kernel).tanh().mean(axis=0)


kernel = Tensor(normal((3 * D, H)))
features = {T: convolution(normal((T, 1, D)), kernel).shape for T in (3, 50, 500)}
print(f"{kernel.size} numbers in the kernel; shape of the result by length: {features}")

# %% [markdown]
# > **印出来的错误**，供你遇到时查对。有一份资料把反向传播叫作“方向传播”（[C113](../../claims.md)）。
# > 有一份说，再次读入的是隐藏层的*输入*，而不是状态（[C6](../../claims.md)）。
# > 有一份把 recurrent 译成“并发”（[C14](../../claims.md)）。
# > 有一份从“句子最多 50 个字符”推出“状态有 50 个数”（[C8](../../claims.md)）。这四处都是错的。
# > 还常有人说，循环网络更接近大脑；这里没有什么办法可以测量这一点（[C13](../../claims.md)）。
#
# ## 小结
#
# * 循环会留下一张图。随时间反向传播就是在这张图上做普通的反向传播。
# * 循环网络的一步是前馈网络再加一项 $h_{t-1} W$。返回来的是状态 $h_t$，不是输出 $o_t$。
# * 所有的步共享权重，所以权重的数目和状态的大小都与 $T$ 无关。
# * 图沿时间很深，每一步增加两个运算；一步之内很浅。
# * 同一个单元可以用于输入和输出的全部五种模式。
#
# ## 练习
#
# **练习 1.** 把 10 步的图变成 20 步的图。请预测：节点的数目会翻倍吗？参数的数目会翻倍吗？

# %% tags=["hide-cell"]
nodes = {T: len(viz.trace(nn.unroll(cell, normal((T, 1, D)))[1].sum())) for T in (10, 20)}
print(f"nodes: {nodes}; parameters: {trained(10)} and {trained(20)}")
# Each step adds its own nodes, and no parameter. The rest, such as the weights, is there once: so the graph of 20 steps
# has a little less than twice as many nodes.

# %% [markdown]
# **练习 2.** 令 $W = 0$，并且只在最后一步有损失。请预测：对十个输入中的哪些，损失的梯度不是零？如果 $W$ 不是零呢？

# %% tags=["hide-cell"]
seen = {}
for name, net in {"W = 0": without_w, "W": cell}.items():
    xs = Tensor(normal((T, 1, D)))
    gradient = mg.grad(nn.unroll(net, xs)[1].sum(), xs)
    seen[name] = [t for t in range(1, T + 1) if gradient[t - 1].any()]
print(seen)  # without W there is no way back in time

# %% [markdown]
# **练习 3.** 一个有 8 个神经元的 Jordan 网络，把 3 个输出经过 *softmax* 之后送回来。
# 请预测一步的雅可比矩阵的秩：8，3，还是更小？（概率之和是 1。）

# %% tags=["hide-cell"]
J_softmax = mg.jacobian(lambda h: (mg.softmax(h @ V) @ W_o).tanh(), h0)
rank_softmax = int(np.linalg.matrix_rank(J_softmax))
print(rank_softmax)  # two of three probabilities determine the third
