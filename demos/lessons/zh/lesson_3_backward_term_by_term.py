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
# > **先猜一猜。** 一个网络有九步、九个损失。一种推导只用第 $t$ 步的损失计算状态 $h_t$ 处的梯度，
# > 另一种用第 $t$ 步和第 $t + 1$ 步的损失。这样算出的 $W$ 的梯度错了多少：1 %，10 %，还是更多？
# > $W$ 的精确梯度又有多少项：9，45，还是 81？

# %%
# %load_ext microgradrnn
import numpy as np

import microgradrnn as mg
import viz
from demos import charts
from microgradrnn import Tensor, nn

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
# 粗线是正在往回走的梯度。看中间的一个状态。它有两个去处：输出和下一步，所以有两个消息回到它这里，两者相加：
#
# $$\frac{\partial L}{\partial h_t} = (\hat y_t - y_t) V^\top + \varepsilon_{t+1} W^\top, \qquad
# \varepsilon_t = \frac{\partial L}{\partial z_t} = \frac{\partial L}{\partial h_t} \odot (1 - h_t^2).$$
#
# 第二个消息常常被忘记（[C28](../../claims.md)）。左边的 $t$ 是固定的，所以右边没有对 $t$ 的求和，
# 尽管有一份资料印了求和号（[C30](../../claims.md)）。因子 $1 - h_t^2$ 逐个元素地起作用：
# tanh 的雅可比矩阵是对角矩阵（[C31](../../claims.md)）。有了这两个公式，再加上外积，就是完整的反向传播：

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
# 引擎只认得图，算出的数却与这里一致，直到最后几位数字。$W$、$U$ 和 $b$ 的梯度是外积之和：$\varepsilon_t$ 分别与
# $h_{t-1}$、$x_t$ 和 1 作外积。这样做是对的，因为 $\varepsilon_t$ 包含了*所有*后面的损失的梯度
# （[C32](../../claims.md)）。与普通的反向传播相比，新的只有两点：展开网络，对各步求和（[C35](../../claims.md)）。
#
# 这个反向传播可以播放，一个消息一个消息地看：

# %%
viz.explore(loss, name="Nine steps, nine losses")

# %% [markdown]
# ## 逐个损失：45 项
#
# 把梯度再拆细一些。记 $\delta_{t,k} = \partial L_t / \partial z_k$ 为*局部误差*，它表示第 $t$ 步的损失怎样依赖于第
# $k \le t$ 步。它从自己的那一步出发，往回走（[C33](../../claims.md)）：
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
# 这就回答了第二个问题：$1 + 2 + \dots + 9 = 45$ 项，它们的二重和就是梯度（[C34](../../claims.md)）。
# 第 $k$ 列从对角线到底部都有值：第 $k$ 步从*每一个*后面的损失得到一部分梯度，
# 而不是只从 $k$ 和 $k + 1$ 两步的损失得到（[C26](../../claims.md)）。颜色随着 $t - k$ 变淡，第 4 课就讲这件事。
#
# 递推在每一步把一个损失的消息加到所有后面的损失的总和里，再带着新的总和往回走，所以它需要 $O(T)$ 的时间。
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
# 现在把同样这些项按照使用 $W$ 的步 $k$ 来整理，就好像每一步都有自己的副本。
# 共享权重的梯度等于各个副本的梯度之和（[C2](../../claims.md)）。

# %%
by_step = viz.shares(loss, {"W": cell.W})["W"]
whole = np.linalg.norm(by_step.total)
print(f"norm of the sum {whole:.2f}, sum of the norms {by_step.norms.sum():.2f}")
viz.plot_shares(by_step)

# %% [markdown]
# 各个副本的梯度指向不同的方向，有一部分互相抵消。（图中的步从 0 开始数，公式从 1 开始数。）为什么每一步恰好有一项？
# $z_t$ 以两种方式依赖于 $W$：一种是直接的，把 $h_{t-1}$ 看作固定；另一种是通过
# $h_{t-1}$，因为它也是用 $W$ 算出来的（[C36](../../claims.md)）。直接的方式给出一项；
# 另一种方式通到前一步，在那里可以重复同样的论证。第一步的这一项是 $h_0^\top \varepsilon_1$。
# 如果 $h_0 = 0$，它就是零，所以有些教材只数出 $t - 1$ 项（[C37](../../claims.md)）。
#
# $V$ 不一样，它的每一项只涉及当前这一步。但梯度仍然是全部九项的*和*（[C25](../../claims.md)）。
#
# ## 雅可比矩阵的链
#
# 从第 1 步到第 $T$ 步有一条链。每个环节是一个矩阵（[C40](../../claims.md)），整条链是这些矩阵的乘积
# （[C39](../../claims.md)）：
#
# $$\frac{\partial z_{t+1}}{\partial z_t} = \mathrm{diag}(1 - h_t^2)\, W, \qquad
# \frac{\partial z_T}{\partial z_1} = D_1 W D_2 W \cdots D_{T-1} W, \quad D_t = \mathrm{diag}(1 - h_t^2).$$
#
# （这里用的是行向量。使用列向量的教材写成 $W D_t$，乘积从右到左。）

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
print(f"relative error in turn {error_of_chain:.0e}, with the powers apart {error_of_powers:.2f}")

# %% [markdown]
# 有一份资料把因子归到一起：$W^n$ 乘以所有对角矩阵的乘积。但是矩阵乘法不可交换，所以这是另一个矩阵
# （[C41](../../claims.md)）。而“循环网络的梯度是一个乘积”只说对了一半。每条链是一个乘积；权重的梯度是这种乘积的*和*，
# 45 项中的每一项各有一个（[C42](../../claims.md)）。
#
# ## 印出来的公式
#
# 现在开始测量：误差的范数，除以正确值的范数。先看 $V$ 和 $W$ 的梯度的四个公式，照原样，只是改写成行向量的形式：

# %%
def of_w(at_z: dict[int, np.ndarray]) -> np.ndarray:
    """The gradient of W from the gradients at z."""
    return np.sum([h[t - 1].T @ at_z[t] for t in steps], axis=0)


def for_weights(G: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of V and W as printed."""
    own = {t: (G[t] @ V.T) * slope[t] for t in steps}            # the loss of the step alone
    two = {t: own[t] + ((own[t + 1] @ W.T) * slope[t] if t < T else 0) for t in steps}
    g, swapped = G[T] @ V.T, {T: own[T]}
    for t in range(T - 1, 0, -1):                                # the matrix before the slope
        g = G[t] @ V.T + (g @ W.T) * slope[t + 1]
        swapped[t] = g * slope[t]
    return {"C25": h[T].T @ G[T], "C26": of_w(two), "C27": of_w(own), "C29": of_w(swapped)}


# %% [markdown]
# 再看三种沿着链从 $\partial L / \partial h_T$ 得到 $\partial L / \partial h_1$ 的方法：

# %%
def for_chain(g: np.ndarray) -> dict[str, np.ndarray]:
    """The gradient at h_1 from that at h_T, as printed."""
    right = ascending = transposed = g
    for k in range(T, 1, -1):                                    # the last step first
        right = (right * slope[k]) @ W.T
        transposed = (transposed * slope[k]) @ W
    for k in range(2, T + 1):
        ascending = (ascending * slope[k]) @ W.T
    return {"C59 order": ascending, "C59 Wᵀ": transposed, "C60": right}


def errors_of(G: np.ndarray) -> dict[str, float]:
    """The relative error of each formula."""
    at_h, exact = backward(G)
    weights, chain = for_weights(G), for_chain(at_h[T])
    right = {"C59 order": chain["C60"], "C59 Wᵀ": chain["C60"], "C60": at_h[1]}
    found = {name: error(g, exact["V" if name == "C25" else "W"]) for name, g in weights.items()}
    found["C41"] = error_of_powers
    return found | {name: error(chain[name], right[name]) for name in chain}


wrong = errors_of(G)
print({name: round(found, 2) for name, found in wrong.items()})
ax = charts.bars({"relative error": [*wrong.values()]}, "", "relative error", names=[*wrong])
charts.titled(ax, "Formulas as printed: none of these errors is small")

# %% [markdown]
# * [C25](../../claims.md)：“$V$ 的梯度只有一项。”少了对各步的求和。
# * [C26](../../claims.md)：“$t$ 和 $t+1$ 两步的损失决定 $W$ 的梯度。”其实由所有后面的损失决定。
# * [C27](../../claims.md)：“$\partial L/\partial h_t = V (\partial L/\partial o_t)^\top$。”少了来自下一步的消息。
#   （而且对列向量来说，矩阵应当是 $V^\top$。）
# * [C29](../../claims.md)：“第二个消息是 $W^\top g\,(1 - h_{t+1}^2)$。”应当先乘斜率，再乘矩阵。
# * [C41](../../claims.md)：把 $W$ 的幂与斜率分开，如上所述。
# * [C59](../../claims.md)：“按升序的乘积，用 $W^\top$。”应当从最后一步开始。
#   另外，用行向量时，$W$ 要转置，就像这里一样；但在那份资料的写法里不需要转置。
# * [C60](../../claims.md)：“把链作用于 $\partial L/\partial h_T$，就得到 $\partial L/\partial h_1$。”
#   如果只有最后一步有损失，这是对的。否则，每一步都要加上自己的消息。
#
# > **教科书怎么说，测量结果怎么说。** “一个状态处的梯度来自 $t$ 和 $t + 1$ 两步的损失”，甚至“只来自第 $t$ 步的损失”。
# > 在这个小网络里，这样算出的 $W$ 的梯度错了大约四分之一：这就回答了第一个问题。
# > 下一段代码说明，为什么这个错误很容易被忽略。

# %%
own, exact = for_weights(G)["C27"], gradients["W"]
cosine = float((own * exact).sum() / (np.linalg.norm(own) * np.linalg.norm(exact)))
print(f"cosine between the exact gradient and that of C27: {cosine:.2f}")

# %% [markdown]
# 错误的梯度与精确的梯度方向几乎相同。逆着它走一小步，损失仍然下降，所以训练不会暴露这个错误。与引擎比较才会。
#
# ## 小结
#
# * 每个状态都会收到两个消息：一个来自自己的输出，一个来自下一步。来自下一步的消息先乘斜率，再乘矩阵。
# * $W$ 的梯度是对损失和步的二重和。递推用 $O(T)$ 的时间算出它。
# * 雅可比矩阵的每条链是矩阵依次相乘的积，次序不能改变。权重的梯度是一个和。
# * 自己写的或抄来的每一个公式，都要用引擎检验。
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
# **练习 3.** 只保留最后一步的损失。请预测：印出来的公式中，哪些变成正确的？

# %% tags=["hide-cell"]
only_last = np.zeros_like(G)
only_last[T] = G[T]
still_wrong = errors_of(only_last)
print({name: round(found, 2) for name, found in still_wrong.items()})  # C25 and C60 are right now
