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
# # 第 3 课 逐项反向传播，以及印错的公式
#
# 一个网络在每一步都有一个损失。一个权重的梯度需要其中哪些损失？怎样写下来才不会出错？
# 有些讲义里的公式是错的，而且不止一个。这一课来测量它们错了多少。
#
# > **先猜一猜。** 一个网络有九步、九个损失。计算状态 $h_t$ 处的梯度时，推导甲只用第 $t$ 步的损失，
# > 推导乙用第 $t$ 步和第 $t + 1$ 步的损失。两种推导都是错的。用甲和用乙算出的 $W$ 的梯度，相对误差各有多大：
# > 大约 1 %，大约 10 %，还是更大？另外，有多少个组合（第 $t$ 步的损失，第 $k$ 步对 $W$ 的使用）对 $W$
# > 的精确梯度有贡献：9，45，还是 81？

# %%
# %load_ext microgradrnn
import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from microgradrnn import Tensor, nn, optim

viz.set_theme(page=830)
rng = np.random.default_rng(0)
T, B, D, H, K = 9, 2, 3, 5, 4
cell, head = nn.RNNCell(D, H, rng=0), nn.Linear(H, K, rng=1)
x, y = rng.standard_normal((T + 1, B, D)), rng.integers(0, K, (T + 1, B))  # entry 0 is not used
h0 = Tensor(rng.standard_normal((B, H)))
hs, _ = nn.unroll(cell, x[1:], h0)
losses = [nn.cross_entropy(head(hs[t - 1]), y[t], reduction="sum") for t in range(1, T + 1)]
loss = mg.stack(losses).sum()
viz.draw_unrolled(viz.gradient_flow(loss), steps=(6, 8))

# %% [markdown]
# ## 递推公式
#
# 彩色箭头是正在往回走的梯度。看方框里的状态 $h_7$。（图中的步从 0 开始数，公式从 1 开始数。）
# 它有两个去处：输出和下一步，所以有两个消息回到它这里，两者相加：
#
# $$\frac{\partial L}{\partial h_t} = (\hat y_t - y_t) V^\top + \varepsilon_{t+1} W^\top, \qquad
# \varepsilon_t = \frac{\partial L}{\partial z_t} = \frac{\partial L}{\partial h_t} \odot (1 - h_t^2).$$
#
# 其中 $L = \sum_t L_t$ 是总损失，$\hat y_t = \mathrm{softmax}(o_t)$ 是由输出 $o_t = h_t V + d$
# 得到的预测，$\odot$ 表示逐个元素相乘。最后一步之后没有消息回来：$\varepsilon_{T+1} = 0$。
#
# 第二个消息常常被忘记（[C28](../../claims.md)）。左边的 $t$ 是固定的，所以右边没有对 $t$ 的求和。
# 有一份资料印了求和号，那是错的（[C30](../../claims.md)）。tanh 的雅可比矩阵是对角矩阵，所以因子
# $1 - h_t^2$ 逐个元素地起作用（[C31](../../claims.md)）。每个权重的梯度是一个和，每一步贡献一个乘积：
#
# $$\frac{\partial L}{\partial W} = \sum_t h_{t-1}^\top \varepsilon_t, \qquad
# \frac{\partial L}{\partial U} = \sum_t x_t^\top \varepsilon_t, \qquad
# \frac{\partial L}{\partial b} = \sum_t \varepsilon_t, \qquad
# \frac{\partial L}{\partial V} = \sum_t h_t^\top (\hat y_t - y_t).$$
#
# 这些公式就是完整的反向传播：

# %%
U, W, b, V = (p.data for p in (*cell.parameters(), head.V))
h = np.concatenate([h0.data[None], hs.data])                     # h[t] is the state after step t
slope, steps = 1 - h**2, range(1, T + 1)
G = mg.softmax(head(h)).data - np.eye(K)[y]                      # G[t] is ŷ_t − y_t


def backward(G: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The gradient at every state, and of every weight."""
    at_h, eps, from_next = np.zeros_like(h), np.zeros_like(h), np.zeros((B, H))
    for t in reversed(steps):
        at_h[t] = G[t] @ V.T + from_next
        eps[t] = at_h[t] * slope[t]
        from_next = eps[t] @ W.T
    terms = [{"U": x[t].T @ eps[t], "W": h[t - 1].T @ eps[t], "b": eps[t].sum(axis=0),
              "V": h[t].T @ G[t]} for t in steps]
    return at_h, {name: np.sum([term[name] for term in terms], axis=0) for name in "UWbV"}


def error(found: np.ndarray, right: np.ndarray) -> float:
    """The relative error."""
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


at_h, gradients = backward(G)
weights = dict(zip("UWbV", (*cell.parameters(), head.V), strict=True))
against_engine = {name: error(gradients[name], mg.grad(loss, weights[name])) for name in weights}
print("relative errors:", {name: f"{found:.0e}" for name, found in against_engine.items()})

# %% [markdown]
# 引擎只认得图，算出的数却与这里一致，只差舍入误差。这些和是对的，
# 因为 $\varepsilon_t$ 包含了第 $t$ 步*以及后面所有步*的损失的梯度
# （[C32](../../claims.md)）。与普通的反向传播相比，新的只有两点：展开网络，对各步求和（[C35](../../claims.md)）。
#
# 在本课的网页上，可以一个消息一个消息地观看这个反向传播：

# %%
viz.explore(loss, name="Nine steps, nine losses")

# %% [markdown]
# ## 逐个损失：45 项
#
# 把梯度再拆细一些。记 $\delta_{t,k} = \partial L_t / \partial z_k$ 为*局部误差*，它表示第 $t$ 步的损失怎样依赖于第
# $k \le t$ 步。先在 $k = t$ 处计算，再依次在 $k = t - 1$，$t - 2$，……，1 处计算（[C33](../../claims.md)）：
#
# $$\delta_{t,t} = \big((\hat y_t - y_t) V^\top\big) \odot (1 - h_t^2), \qquad
# \delta_{t,k} = \big(\delta_{t,k+1} W^\top\big) \odot (1 - h_k^2).$$

# %%
delta = {}
for t in steps:
    delta[t, t] = (G[t] @ V.T) * slope[t]
    for k in range(t - 1, 0, -1):
        delta[t, k] = (delta[t, k + 1] @ W.T) * slope[k]
double_sum = sum(h[k - 1].T @ delta[t, k] for t, k in delta)
error_of_double_sum = error(double_sum, gradients["W"])
print(f"{len(delta)} terms, relative error {error_of_double_sum:.0e}")
errors = viz.local_errors(loss)
viz.plot_local_errors(errors)

# %% [markdown]
# 这就回答了第二个问题：$1 + 2 + \dots + 9 = 45$ 个组合，也就是 45 项 $h_{k-1}^\top \delta_{t,k}$。
# 它们的二重和就是 $W$ 的梯度（[C34](../../claims.md)）。图中的每一列从对角线到底部都有值：
# 第 $k$ 步从自己的损失和后面的*每一个*损失得到一部分梯度，
# 而不是只从 $k$ 和 $k + 1$ 两步的损失得到（[C26](../../claims.md)）。在每一行里，颜色越往左越淡，第 4 课就讲这件事。
#
# 在第 $t$ 步，递推把 $L_t$ 的消息加到后面所有损失的总和里，再带着新的总和往回走，所以它需要 $O(T)$ 的时间。
# 二重和单独跟踪每一个损失，需要 $O(T^2)$ 的时间（[C19](../../claims.md)）。

# %%
def messages(T: int) -> tuple[int, int]:
    """Messages of one reverse pass, and of a pass for each loss alone."""
    os = [head(h) for h in nn.unroll(cell, rng.standard_normal((T, B, D)))[0]]
    each = [(o**2).sum() for o in os]
    whole = mg.stack(each).sum()
    together, *apart = [len(viz.gradient_flow(root).messages) for root in (whole, *each)]
    return together, sum(apart)


work = {n: messages(n) for n in (30, 60)}
factors = [work[60][k] / work[30][k] for k in (0, 1)]
print(f"twice the steps, {factors[0]:.1f} times the messages; {factors[1]:.1f} loss by loss")

# %% [markdown]
# ## 逐步：同一个权重的各个副本
#
# 现在把这 45 项按照使用 $W$ 的步 $k$ 来整理，就好像每一步都有自己的副本。
# $k$ 相同的各项加起来，就是九个副本之一的梯度；九个副本的梯度之和就是共享权重的梯度（[C2](../../claims.md)）。

# %%
by_step = viz.shares(loss, {"W": cell.W})["W"]
whole = np.linalg.norm(by_step.total)
along = (by_step.arrays * by_step.total).sum(axis=(1, 2))
against = [t for t in steps if along[t - 1] < 0]
print(f"norm of the sum {whole:.2f}, sum of the norms {by_step.norms.sum():.2f}")
print(f"steps whose copies point against the sum: {against}")
viz.plot_shares(by_step)

# %% [markdown]
# 各个副本的梯度指向不同的方向，所以它们的和比 6.27 短得多。
# 第 6 步和第 9 步（图中的 5 和 8）的梯度甚至与总和方向相反。
#
# 为什么第 $t$ 步的损失对前面直到第 $t$ 步的每一步都有一项？向量 $z_t$ 以两种方式依赖于 $W$：
# 一种是直接的，把 $h_{t-1}$ 看作固定；另一种是通过 $h_{t-1}$，因为它也是用 $W$ 算出来的（[C36](../../claims.md)）。
# 直接的方式给出一项；对另一种方式，在第 $t - 1$ 步重复同样的论证，依此类推，一共得到 $t$ 项。
# 如果 $h_0 = 0$，第 1 步的那一项就是零，所以有些教材只数出 $t - 1$ 项（[C37](../../claims.md)）。
#
# $V$ 不一样，它有九项，每一项只涉及一步。但梯度仍然是这九项的*和*（[C25](../../claims.md)）。
#
# ## 雅可比矩阵的链
#
# 从第 1 步到第 $T$ 步有一条链。每个环节是一个矩阵（[C40](../../claims.md)），整条链是这些矩阵的乘积
# （[C39](../../claims.md)）：
#
# $$S_t = \mathrm{diag}(1 - h_t^2), \qquad \frac{\partial z_{t+1}}{\partial z_t} = S_t W, \qquad
# \frac{\partial z_T}{\partial z_1} = S_1 W S_2 W \cdots S_{T-1} W.$$
#
# $S_t$ 的对角线上是 tanh 的斜率。这些矩阵的第 $i$ 行对应旧的 $z$ 的第 $i$ 个元素，第 $j$ 列对应新的 $z$ 的第
# $j$ 个元素。使用列向量的教材，矩阵都是这里的转置：它们的 $W$ 是我们的 $W^\top$，写成 $W S_t$，
# 最后一步的因子在最左边。

# %%
def last_z(z: Tensor) -> Tensor:
    """z_T from z_1, for the first sequence."""
    for t in range(2, T + 1):
        z = x[t, 0] @ U + z.tanh() @ W + b
    return z


chain = mg.jacobian(last_z, np.arctanh(h[1, 0])).T               # transposed, for rows
links = [np.diag(slope[t, 0]) @ W for t in range(1, T)]
error_of_chain = error(np.linalg.multi_dot(links), chain)
powers = np.diag(slope[1:T, 0].prod(axis=0)) @ np.linalg.matrix_power(W, T - 1)
error_of_powers = error(powers, chain)
print(f"relative error with the factors in the right order: {error_of_chain:.0e}")
print(f"relative error with the slopes and W collected separately: {error_of_powers:.2f}")

# %% [markdown]
# 有一份资料把因子归到一起：所有 $S_t$ 的乘积，再乘以 $W^{T-1}$。但是矩阵乘法一般不可交换，所以这是另一个矩阵
# （[C41](../../claims.md)）。而“循环网络的梯度是一个乘积”只说对了一部分。每条链是一个乘积；
# 但 $W$ 的梯度是 45 项的*和*，
# 每一项有自己的链。（$k = t$ 时，链里没有因子。）（[C42](../../claims.md)）
#
# ## 印出来的公式
#
# 现在开始测量：误差的范数，除以正确值的范数。所有公式都改写成行向量的形式。先看 $V$ 和 $W$ 的梯度的四个公式：

# %%
def of_w(at_z: dict[int, np.ndarray]) -> np.ndarray:
    """The gradient of W from the gradients at z."""
    return np.sum([h[t - 1].T @ at_z[t] for t in steps], axis=0)


def for_weights(G: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of V and W as printed."""
    alone = {t: (G[t] @ V.T) * slope[t] for t in steps}          # the loss of the step alone
    pair = {t: alone[t] + ((alone[t + 1] @ W.T) * slope[t] if t < T else 0) for t in steps}
    g, swapped = G[T] @ V.T, {T: alone[T]}
    for t in range(T - 1, 0, -1):                                # the matrix before the slope
        g = G[t] @ V.T + (g @ W.T) * slope[t + 1]
        swapped[t] = g * slope[t]
    return {"C25": h[T].T @ G[T], "C26": of_w(pair), "C27": of_w(alone), "C29": of_w(swapped)}


# %% [markdown]
# C41 在上面已经测量过。再看三个沿着链从 $\partial L / \partial h_T$ 得到 $\partial L / \partial h_1$ 的公式：

# %%
def for_chain(g: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient at h_1 from that at h_T, as printed."""
    chain = wrong_order = wrong_matrix = g
    for k in range(T, 1, -1):                                    # the last step first
        chain = (chain * slope[k]) @ W.T
        wrong_matrix = (wrong_matrix * slope[k]) @ W
    for k in range(2, T + 1):
        wrong_order = (wrong_order * slope[k]) @ W.T
    return {"C59 order": wrong_order, "C59 matrix": wrong_matrix, "C60": chain}


def errors_of(G: np.ndarray) -> dict[str, float]:
    """The relative error of each formula."""
    at_h, exact = backward(G)
    weights, chain = for_weights(G), for_chain(at_h[T])
    right = {"C59 order": chain["C60"], "C59 matrix": chain["C60"], "C60": at_h[1]}
    found = {name: error(g, exact["V" if name == "C25" else "W"]) for name, g in weights.items()}
    found["C41"] = error_of_powers
    return found | {name: error(chain[name], right[name]) for name in chain}


wrong = errors_of(G)
print({name: round(found, 2) for name, found in wrong.items()})
ax = charts.bars({"relative error": [*wrong.values()]}, "", "relative error", names=[*wrong])
low, high = min(wrong.values()), max(wrong.values())
charts.titled(ax, f"Formulas as printed: the errors here are between {low:.2f} and {high:.2f}")

# %% [markdown]
# 下表列出资料印出来的公式和正确的公式，编号来自我们的[说法清单](../../claims.md)。
# 与代码中一样，$G_t = \hat y_t - y_t$。
# 状态处的梯度记作 $g_t = \partial L / \partial h_t$。C29 说的是第二个消息。
#
# | 编号 | 印出来的 | 正确的 | 误差 |
# |---|---|---|---|
# | C25 | $\partial L/\partial V = h_T^\top G_T$ | $\sum_t h_t^\top G_t$ | 1.17 |
# | C26 | $\varepsilon_t$ 是 $L_t + L_{t+1}$ 的梯度 | 是 $L_t + L_{t+1} + \dots + L_T$ 的梯度 | 0.25 |
# | C27 | $g_t = G_t V^\top$ | $g_t = G_t V^\top + \varepsilon_{t+1} W^\top$ | 0.29 |
# | C29 | $(g_{t+1} W^\top) \odot (1 - h_{t+1}^2)$ | $\big(g_{t+1} \odot (1 - h_{t+1}^2)\big) W^\top$ | 0.16 |
# | C41 | $S_1 S_2 \cdots S_{T-1}\, W^{T-1}$ | $S_1 W S_2 W \cdots S_{T-1} W$ | 0.68 |
# | C59 次序 | $g_T\, S_2 W^\top \cdots S_T W^\top$ | $g_T\, S_T W^\top \cdots S_2 W^\top$ | 0.74 |
# | C59 矩阵 | $g_T\, S_T W \cdots S_2 W$ | $g_T\, S_T W^\top \cdots S_2 W^\top$ | 1.00 |
# | C60 | $g_1 = g_T\, S_T W^\top \cdots S_2 W^\top$ | $g_1 = \sum_t G_t V^\top S_t W^\top \cdots S_2 W^\top$ | 1.00 |
#
# C59 的资料有两个错误，这里分别测量。第一，它先乘第 2 步的因子。（图中的 C59 order。）
# 第二，按照它的列向量写法，矩阵应当是 $W$，它却印了 $W^\top$。（图中的 C59 matrix。
# 用行向量时正好相反，$W^\top$ 才是对的。）
# C27 的资料还把 $V^\top$ 印成了 $V$。如果只有最后一步有损失，C60 是对的。
# 这里每一步都有损失，C60 几乎漏掉了 $h_1$ 处的全部梯度，所以误差接近 1。
#
# > **教科书怎么说，测量结果怎么说。** “一个状态处的梯度来自 $t$ 和 $t + 1$ 两步的损失”，甚至“只来自第 $t$ 步的损失”。
# > 用这里的权重，$W$ 的梯度的误差分别是 0.25（推导乙）和 0.29（推导甲）：这就回答了第一个问题。
# > 换成别的权重，误差会更小或更大。为什么这个错误很容易被忽略？

# %%
own, exact = for_weights(G)["C27"], gradients["W"]
cosine = float((own * exact).sum() / (np.linalg.norm(own) * np.linalg.norm(exact)))
print(f"cosine between the exact gradient and that of C27: {cosine:.2f}")

# %% [markdown]
# 在这个网络里，错误的梯度与精确的梯度方向几乎相同。逆着它更新一点，损失仍然下降；
# 所以，*损失下降并不能证明梯度是对的*。用它训练，能走多远？让网络学习重复同一步的输入（delay 0），
# 或者前一步的输入（delay 1）。
# `nn.detach` 把状态变成常数：这样就没有消息从下一步回来，正如 C27。

# %%
def learned(delay: int, exact: bool) -> float:
    """The loss of a net after training it to repeat the input of some steps ago."""
    rng = np.random.default_rng(0)
    cell, head = nn.RNNCell(4, 16, rng=rng), nn.Linear(16, 4, rng=rng)
    adam = optim.Adam([*cell.parameters(), *head.parameters()], lr=0.02)
    for _ in range(400):
        symbols = rng.integers(0, 4, (T, 32))
        h, hs = np.zeros((32, 16)), []
        for x_t in np.eye(4)[symbols]:
            h = cell(x_t, h if exact else nn.detach(h))
            hs.append(h)
        loss = nn.cross_entropy(head(mg.stack(hs[delay:])), symbols[:T - delay])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


trained = {delay: {"exact": learned(delay, True), "C27": learned(delay, False)}
           for delay in (0, 1)}
for delay, reached in trained.items():
    print(f"delay {delay}:", {name: round(found, 2) for name, found in reached.items()})
print(f"guessing: {np.log(4):.2f}")

# %% [markdown]
# 没有延迟时，用两种梯度都能学会。延迟一步时，用精确的梯度仍然能学会；用 C27 的梯度，损失却停在瞎猜的损失
# $\ln 4 = 1.39$ 附近。所以，只有当任务不需要过去时，训练才会掩盖这个错误。
# 如果任务需要过去，训练就会失败，但不会说明原因。
# 与引擎比较，就能发现错误。没有引擎时，把一个权重改变一个很小的 $\pm s$，再把两个损失之差除以 $2s$（*有限差分*）。
#
# ## 小结
#
# * 每个状态都会收到两个消息：一个来自自己的输出，一个来自下一步。来自下一步的消息先乘斜率，再乘矩阵。
# * $W$ 的每一次使用，都从自己那一步的损失和后面每一个损失各得到一项：这是一个二重和。递推用 $O(T)$ 的时间算出它。
# * 雅可比矩阵的每条链是矩阵的乘积，次序不能改变。$W$ 的梯度是这样的项之和。
# * 损失下降不是证明。自己写的或抄来的每一个公式，都要用引擎或有限差分检验。
#
# ## 练习
#
# **练习 1.** 令 $h_0 = 0$。请预测：$W$ 的九项中有多少项不是零？$U$ 的九项呢？

# %% tags=["hide-cell"]
zero_start = head(nn.unroll(cell, x[1:], np.zeros((B, H)))[0])
terms = viz.shares(nn.cross_entropy(zero_start, y[1:]), {"W": cell.W, "U": cell.U})
counts = {name: int((share.norms > 0).sum()) for name, share in terms.items()}
print(counts)  # at the first step W multiplies h_0, and U multiplies x_1

# %% [markdown]
# **练习 2.** 有一份资料说，梯度不依赖于输出，只依赖于状态。把 $V$ 换成 $-3V$。
# 请预测什么会改变：状态，雅可比矩阵的链，还是 $W$ 的梯度？（[C38](../../claims.md)）

# %% tags=["hide-cell"]
other = nn.Linear(H, K, rng=1)
other.V.data = -3 * V
loss_of_other = nn.cross_entropy(other(hs), y[1:], reduction="sum")
before, after = (viz.step_jacobians(root).arrays for root in (loss, loss_of_other))
same_chain = np.array_equal(before, after)
change = error(mg.grad(loss_of_other, cell.W), gradients["W"])
print(f"same chain: {same_chain}; relative change of the gradient of W: {change:.2f}")

# %% [markdown]
# **练习 3.** 只保留最后一步的损失。请预测：印出来的公式中，哪些变成正确的？C26 和 C27 的误差变大还是变小？

# %% tags=["hide-cell"]
only_last = np.zeros_like(G)
only_last[T] = G[T]
still_wrong = errors_of(only_last)
print({name: round(found, 2) for name, found in still_wrong.items()})
# C25 and C60 are right now. The loss reaches all nine uses of W, and its message fades on the
# way back. C27 keeps only the last use: its error grows. C26 keeps the last two, and here these
# are most of the gradient: its error shrinks.
