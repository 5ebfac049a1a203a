"""Textbook claims about recurrent nets: each one as it should be stated, and a picture that supports it.

Many textbook sentences are true under a condition that they leave out. The titles here state the condition; the check
of each entry asserts it on the data of the picture.
"""

from __future__ import annotations

from demos.gallery import Entry

# A simple net whose recurrent matrix is Gaussian with a given gain, and the norm of ∂L_T/∂z_k at every step k.
GAIN = """
def net_with(gain, activation="tanh", T=50, H=50, seed=0):
    rng = np.random.default_rng(seed)
    cell = nn.RNNCell(1, H, activation=activation, rng=seed)
    cell.W.data = gain * rng.standard_normal((H, H)) / np.sqrt(H)
    hs, h = nn.unroll(cell, rng.standard_normal((T, 1, 1)), 0.1 * rng.standard_normal((1, H)))
    return cell, hs, (h * rng.standard_normal((1, H))).sum()
"""

CLAIMS = [
    Entry("claim_shared", "Weights are shared over time: their number does not depend on T",
          "The last of ten steps, and all {n} weights, named once; for {T} steps there are just as many.", """
          net = nn.RNN(3, 4, rng=0)
          hs, h = net(np.ones((10, 1, 3)))
          viz.draw_unrolled(h.sum())
          """, """
          n, T = sum(p.data.size for p in net.parameters()), 1000
          def weights(T):
              graph = viz.trace(net(np.ones((T, 1, 3)))[1].sum())
              return sorted(said["shape"] for _, said in graph.nodes(data=True) if said["kind"] == "parameter")
          assert weights(10) == weights(T)
          """),
    Entry("claim_sum", "The gradient of a shared weight is the sum of the gradients of its copies",
          "A bar for each copy of W; as vectors they add up to the gradient of norm {whole:.3g}, their norms to "
          "{apart:.3g}: copies partly cancel.", """
          hs, h = nn.RNN(3, 8, rng=0)(np.random.default_rng(1).standard_normal((12, 2, 3)))
          loss = nn.cross_entropy(nn.Linear(8, 4, rng=0)(hs), np.ones((12, 2), int), reduction="sum")
          copies = viz.shares(loss)["W"]
          viz.plot_shares(copies)
          """, """
          whole, apart = np.linalg.norm(copies.total), copies.norms.sum()
          assert whole < apart
          """),
    Entry("claim_generic", "Back-propagation through time is back-propagation on the unrolled graph",
          "Nothing but a graph that grows with T: {rnn:.0f} nodes a step for the simple net, {lstm:.0f} for the "
          "LSTM.", """
          Ts = [1, 2, 5, 10, 20, 50]
          def nodes(kind, T):
              return len(viz.trace(kind(3, 4, rng=0)(np.ones((T, 1, 3)))[0].sum()))
          counts = {"simple net": [nodes(nn.RNN, T) for T in Ts], "LSTM": [nodes(nn.LSTM, T) for T in Ts]}
          charts.curves({name: (Ts, n) for name, n in counts.items()}, "T: steps", "nodes of the graph")
          """, """
          rnn, lstm = (np.diff(n)[-1] / np.diff(Ts)[-1] for n in counts.values())
          for n in counts.values():
              assert np.allclose(np.diff(n)[1:] / np.diff(Ts)[1:], (n[-1] - n[-2]) / (Ts[-1] - Ts[-2]))
          """),
    Entry("claim_mask", "A batch of unequal lengths needs padding and a mask, and then is exact",
          "No gradient reaches an input in the padding, hatched: all {n} entries there are exactly 0, no other is.", """
          lengths, T = [9, 3, 6, 1], 9
          x = Tensor(np.random.default_rng(0).standard_normal((T, 4, 3)))
          hs, h = nn.GRU(3, 5, rng=0)(x, lengths=lengths)
          (hs ** 2).sum().backward()
          size = np.linalg.norm(x.grad, axis=-1).T
          padding = np.arange(T) >= np.array(lengths)[:, None]
          charts.grid(size, "step t", "sequence", "‖∂L/∂x‖", missing=padding)
          """, "n = padding.sum()\nassert (size[padding] == 0).all() and (size[~padding] > 0).all()"),
    Entry("claim_bottleneck", "Feeding back the output instead of the state is a bottleneck of K numbers",
          "Singular values of one step from h to the next h: the output net hands on {K} directions of {H}.",
          """
          H, K = 8, 3
          xs = np.random.default_rng(0).standard_normal((6, 1, 2))
          elman, jordan = nn.RNNCell(2, H, rng=0), nn.JordanCell(2, H, K, rng=0)
          J = viz.step_jacobians(nn.unroll(elman, xs)[1].sum()).arrays[-1]
          o = Tensor(np.ones((1, K)))
          slope = 1 - jordan.activation((xs[-1] @ jordan.U + jordan.b + o @ jordan.W)).data[0] ** 2
          P = jordan.V.data @ jordan.W.data * slope
          spectra = {"state fed back": np.linalg.svd(J)[1], "output fed back": np.linalg.svd(P)[1]}
          charts.bars(spectra, "the largest first", "singular value", names=range(1, H + 1))
          """, "assert np.linalg.matrix_rank(P) == K and np.linalg.matrix_rank(J) == H"),
    Entry("claim_order", "A sum over inputs loses their order; a recurrent state does not",
          "The last state, two of its units, for all {n} orders of the same five inputs: one point for the "
          "additive net, "
          "a cloud for the simple net.", """
          from itertools import permutations
          xs = np.random.default_rng(0).standard_normal((5, 2))
          batch = np.array([xs[list(order)] for order in permutations(range(5))]).transpose(1, 0, 2)
          ends = {"additive, reads x alone": nn.unroll(nn.AdditiveCell(2, 4, rng=0), batch)[1].data,
                  "simple net": nn.unroll(nn.RNNCell(2, 4, rng=0), batch)[1].data}
          charts.points({name: h[:, :2] for name, h in ends.items()}, "unit 1", "unit 2")
          """, """
          n = batch.shape[1]
          spread = {name: np.ptp(h, axis=0).max() for name, h in ends.items()}
          assert spread["additive, reads x alone"] < 1e-14 and spread["simple net"] > 0.1
          """),
    Entry("claim_depth", "An unrolled net is deep in time and shallow within a step",
          "The longest way from the first input to the last output grows by {slope:.0f} operations a step; from the "
          "last input it is {short} long, whatever T is.", """
          def longest(T):
              xs = [mark(Tensor(np.ones((1, 2))), f"x{t}") for t in range(T)]
              h = np.zeros((1, 3))
              cell = nn.RNNCell(2, 3, rng=0)
              for x in xs:
                  h = cell(x, h)
              graph = nx.DiGraph(viz.trace(h.sum()))
              ways = [nx.dag_longest_path_length(graph.subgraph(
                          {x} | nx.descendants(graph, x)), weight=None, default_weight=1) for x in ("x0", f"x{T - 1}")]
              return ways
          Ts = [1, 2, 4, 8, 16]
          lengths = np.array([longest(T) for T in Ts])
          charts.curves({"from the first input": (Ts, lengths[:, 0]), "from the last input": (Ts, lengths[:, 1])},
                        "T: steps", "longest way to the loss: operations")
          """, """
          slope, short = (lengths[-1, 0] - lengths[-2, 0]) / (Ts[-1] - Ts[-2]), lengths[-1, 1]
          assert (lengths[:, 1] == short).all()
          assert (np.diff(lengths[:, 0]) == slope * np.diff(Ts)).all()
          """),
    Entry("claim_likelihood", "The sum of logarithms is the logarithm of the product, until the product underflows",
          "Both agree up to {end} steps; then the product is 0 in double precision, while the sum goes on to "
          "{total:.0f}.",
          """
          rng, T, K = np.random.default_rng(0), 400, 50
          p = rng.dirichlet(np.ones(K) / 2, size=T)[np.arange(T), rng.integers(0, K, T)].clip(1e-12)
          sums = -np.log(p).cumsum()
          with np.errstate(divide="ignore"):
              products = -np.log(p.cumprod())
          charts.curves({"− Σ log p": sums, "− log Π p": products}, "T: steps", "negative log-likelihood, nats")
          """, """
          good = np.isfinite(products)
          end, total = int(good.sum()), sums[-1]
          assert 0 < end < T and not good[end:].any()
          assert np.allclose(sums[sums < 700], products[sums < 700], rtol=1e-12)
          """),
    Entry("claim_all_losses", "The gradient at a step comes from all later losses, not from the next one alone",
          "‖∂L_t/∂z_k‖: column k is filled from the diagonal down. Losses more than one step later make up "
          "{later:.0%} of "
          "the sum of norms.", """
          hs, _ = nn.RNN(3, 8, rng=0)(np.random.default_rng(1).standard_normal((12, 2, 3)))
          loss = nn.cross_entropy(nn.Linear(8, 4, rng=0)(hs), np.ones((12, 2), int), reduction="sum")
          errors = viz.local_errors(loss)
          viz.plot_local_errors(errors)
          """, """
          lag = np.subtract.outer(errors.losses, errors.steps)
          later = errors.norms[lag > 1].sum() / errors.norms.sum()
          assert (errors.norms[lag >= 0] > 0).all() and later > 0.01
          """),
    Entry("claim_diagonal", "The Jacobian of h = tanh(z) is diagonal, with 1 − h² on it",
          "All entries off the diagonal are exactly 0; those on it lie between {low:.2g} and {high:.2g}.", """
          z = np.random.default_rng(0).standard_normal(8)
          J = jacobian(lambda z: z.tanh(), z)
          charts.grid(J, "z: unit", "h: unit", "∂h/∂z")
          """, """
          low, high = np.diag(J).min(), np.diag(J).max()
          assert (J[~np.eye(8, dtype=bool)] == 0).all() and np.allclose(np.diag(J), 1 - np.tanh(z) ** 2)
          """),
    Entry("claim_sum_of_products", "Each Jacobian through time is a product; the gradient of a weight is a sum of them",
          "The gradient of W as bars, one for each lag: lag 0 alone is {first:.0%} of the sum of norms.", """
          hs, _ = nn.RNN(3, 8, rng=0)(np.random.default_rng(1).standard_normal((15, 2, 3)))
          loss = nn.cross_entropy(nn.Linear(8, 4, rng=0)(hs), np.ones((15, 2), int), reduction="sum")
          lags = viz.shares(loss, by="lag")["W"]
          viz.plot_shares(lags)
          """, """
          first = lags.norms[lags.keys.index(0)] / lags.norms.sum()
          loss.backward()
          assert np.allclose(lags.total, viz.shares(loss)["W"].total, rtol=1e-10)
          """),
    Entry("claim_eigenvalue", "The largest eigenvalue of each step does not decide what explodes",
          "Every step has spectral radius {rho:.3f} < 1, yet after 40 steps the product has norm {end:.1e}; the "
          "product of "
          "the largest singular values is never less.", """
          W = np.array([[0.0, 2.0], [2.0, 0.0]])
          steps = [W @ np.diag([1.0, 0.2] if k % 2 else [0.2, 1.0]) for k in range(40)]
          P, grown = np.eye(2), [1.0]
          for J in steps:
              P = J @ P
              grown.append(np.linalg.norm(P, 2))
          radii = [np.abs(np.linalg.eigvals(J)).max() for J in steps]
          norms = [np.linalg.norm(J, 2) for J in steps]
          charts.curves({"product of spectral radii": np.cumprod([1, *radii]), "norm of the product": grown,
                         "product of largest singular values": np.cumprod([1, *norms])}, "steps", "growth", log="y",
                        level=1.0)
          """, """
          rho, end = max(radii), grown[-1]
          assert rho < 1 < end and (np.array(grown) <= np.cumprod([1, *norms]) * (1 + 1e-9)).all()
          """),
    Entry("claim_total_alive", "The far terms of the gradient vanish; the whole gradient does not",
          "‖∂L_T/∂W‖ lag by lag: {near:.2g} at lag 0 and {far:.0e} at lag 50, while the sum of all is {total:.2g}.",
          GAIN + """
cell, hs, loss = net_with(0.5, T=80)
terms = viz.shares({79: loss}, by="lag")["W"]
viz.plot_shares(terms, log=True)
""", """
near, far = (terms.norms[terms.keys.index(lag)] for lag in (0, 50))
total = np.linalg.norm(terms.total)
assert far < 1e-10 * near and total > 0.5 * near
"""),
    Entry("claim_gains", "Whether gradients vanish or explode on the way back depends on the size of W",
          "‖∂L_T/∂h_k‖ against the lag for three gains: after 49 steps, {words}.", GAIN + """
profiles = {f"gain {g}": viz.gradient_flow(net_with(g)[2]).profile("h").norms for g in (0.5, 1.0, 3.0)}
charts.curves(profiles, "lag: steps back from the loss", "‖∂L/∂h‖", log="y")
""", """
ratio = {name: p[49] / p[0] for name, p in profiles.items()}
words = ", ".join(f"× {r:.0e} at {name}" for name, r in ratio.items())
assert ratio["gain 0.5"] < 1e-8 and ratio["gain 3.0"] > 1e2
"""),
    Entry("claim_saturation", "With weak inputs, saturation of tanh slows an explosion and does not prevent it",
          "Growth of the gradient per step (largest Lyapunov exponent) against the gain: at gain 3 it is {tanh:+.2f} "
          "for tanh, {relu:+.2f} for ReLU, {linear:+.2f} without either.", GAIN + """
gains = [0.5, 0.9, 1.5, 2.0, 3.0]
kinds = {"linear": lambda z: z, "ReLU": "relu", "tanh": "tanh"}
def rate(kind, gain):
    _, hs, loss = net_with(gain, kind, T=80)
    return viz.step_jacobians(loss).lyapunov(1)[0]
rates = {name: (gains, [rate(kind, g) for g in gains]) for name, kind in kinds.items()}
charts.curves(rates, "gain of W", "growth per step, natural log", level=0.0)
""", """
linear, relu, tanh_ = (r[1][-1] for r in rates.values())
tanh = tanh_
assert 0 < tanh < relu < linear and rates["ReLU"][1][0] < rates["tanh"][1][0]
"""),
    Entry("claim_orthogonal", "Lossless transport needs all singular values near 1, not the spectral radius",
          "Largest and smallest singular value of W^n: exactly 1 for an orthogonal W; for a Gaussian W scaled "
          "to spectral "
          "radius 1 the smallest is {small:.0e} at n = {n}.", """
          rng, H = np.random.default_rng(0), 32
          Q = np.linalg.qr(rng.standard_normal((H, H)))[0]
          G = rng.standard_normal((H, H))
          G /= np.abs(np.linalg.eigvals(G)).max()
          n, power = 50, np.linalg.matrix_power
          def largest(W):
              return np.array([np.linalg.norm(power(W, k), 2) for k in range(n + 1)])
          def smallest(W):  # of W^k: 1 over the largest of its inverse, which rounding does not hide
              return 1 / largest(np.linalg.inv(W))
          charts.curves({"orthogonal, largest": largest(Q), "Gaussian, largest": largest(G),
                         "orthogonal, smallest": smallest(Q), "Gaussian, smallest": smallest(G)},
                        "n", "singular value of the product", log="y")
          """, """
          small = smallest(G)[-1]
          assert np.allclose([largest(Q), smallest(Q)], 1, rtol=1e-10) and small < 1e-20 and largest(G)[1] > 1.2
          assert np.isclose(smallest(G)[3], np.linalg.svd(power(G, 3))[1][-1], rtol=1e-6)
          """),
    Entry("claim_rare", "Whether vanishing or exploding is the rule depends on the initial weights",
          "log₁₀ of the gradient's growth over 49 steps in {n} random nets: {vanish} of them shrink at gain 1, "
          "{explode} "
          "grow at gain 3.", GAIN + """
seeds = range(12)
def grown(gain):
    logs = []
    for seed in seeds:
        p = viz.gradient_flow(net_with(gain, seed=seed)[2]).profile("h").norms
        logs.append(np.log10(p[49] / p[0]))
    return sorted(logs)
logs = {f"gain {g}": grown(g) for g in (0.5, 1.0, 3.0)}
charts.bars(logs, "random nets, sorted", "log₁₀ growth in 49 steps", level=0.0)
""", """
n = len(seeds)
vanish, explode = sum(x < 0 for x in logs["gain 1.0"]), sum(x > 0 for x in logs["gain 3.0"])
assert max(logs["gain 0.5"]) < -8 and explode > n / 2
"""),
    Entry("claim_clip", "Clipping by norm keeps the direction and tames an explosion",
          "Near a cliff, one unclipped step of length {jump:.1f} throws the weights to where the loss stays at "
          "{stays:.2g}; "
          "clipped to norm 1 it meets the cliff again and again and comes back, down to {low:.1e}.", """
          def train(clip):
              w, b = Value(4.67), Value(-2.375)
              losses, longest = [], 0.0
              for _ in range(60):
                  x = Value(0.5)
                  for t in range(50):
                      x = w * x.sigmoid() + b
                  loss = (x.sigmoid() - 0.7) ** 2
                  losses.append(loss.data)
                  w.zero_grad(), b.zero_grad()
                  loss.backward()
                  if clip:
                      optim.clip_grad_norm([w, b], 1.0)
                  longest = max(longest, 0.1 * np.hypot(w.grad, b.grad))
                  w.data, b.data = w.data - 0.1 * w.grad, b.data - 0.1 * b.grad
              return losses, longest
          (plain, jump), (clipped, _) = train(False), train(True)
          charts.curves({"unclipped": plain, "clipped to norm 1": clipped}, "update", "loss", log="y")
          """, """
          stays, low = plain[-1], min(clipped)
          assert jump > 5 and np.ptp(plain[-20:]) < 1e-6 and low < min(plain)
          """),
    Entry("claim_additive", "h + g(x) carries gradients without loss, and pays with blindness to order",
          "‖∂L/∂h‖ against the lag: exactly flat for the additive net, falling to {left:.0e} for the simple net.", """
          xs = np.random.default_rng(0).standard_normal((60, 1, 3))
          profiles = {name: viz.gradient_flow(net(xs)[0][-1].sum()).profile("h").norms for name, net in {
              "additive": nn.Recurrent(nn.AdditiveCell(3, 16, rng=0)), "simple net": nn.RNN(3, 16, rng=0)}.items()}
          charts.curves(profiles, "lag: steps back from the loss", "‖∂L/∂h‖", log="y")
          """, """
          left = profiles["simple net"][-1] / profiles["simple net"][0]
          assert len(set(profiles["additive"])) == 1 and left < 1e-6
          """),
    Entry("claim_cell_path", "Along the cell path the gradient is a product of forget gates; the whole has more ways",
          "At lag 40 the carry alone has norm {carry:.0e}, the whole gradient at c {whole:.0e}: most came "
          "through h and "
          "the gates, where W is.", """
          rng, H = np.random.default_rng(0), 32
          cell = nn.LSTMCell(3, H, forget_bias=0.0, rng=0)
          cell.W.data = rng.standard_normal((H, 4 * H)) / np.sqrt(H)
          _, (h, c) = nn.unroll(cell, rng.standard_normal((60, 1, 3)))
          found = viz.ways(c.sum(), "c")
          carried = np.array([np.linalg.norm(part) for part in found.parts["carry"]])
          charts.curves({"cell path": (found.lags, carried), "all ways together": (found.lags, found.whole_norms)},
                        "lag: steps back from the loss", "‖∂L/∂c‖", log="y")
          """, """
          at = found.lags.index(40)
          carry, whole = carried[at], found.whole_norms[at]
          assert whole > 10 * carry
          """),
    Entry("claim_forget_bias", "A forget bias of 1 or 2 helps memory at the start, and ensures nothing",
          "What is left of c after n steps, σ(b_f)^n: at n = 100 it is {one:.0e} for b_f = 1 and {two:.0e} for 2.", """
          n = np.arange(101)
          kept = {f"forget bias {b}": (1 / (1 + np.exp(-b))) ** n for b in (0, 1, 2, 5)}
          charts.curves(kept, "n: steps", "fⁿ: what is left of c", log="y")
          """, """
          one, two = kept["forget bias 1"][-1], kept["forget bias 2"][-1]
          cell = nn.LSTMCell(1, 1, forget_bias=2.0, rng=0)
          cell.U.data, cell.W.data = 0 * cell.U.data, 0 * cell.W.data
          c0 = Tensor(np.ones((1, 1)))
          nn.unroll(cell, np.zeros((100, 1, 1)), (np.zeros((1, 1)), c0))[1][1].sum().backward()
          assert np.isclose(c0.grad.item(), two, rtol=1e-10)
          """),
    Entry("claim_two_ways", "h has two destinations: the output and the next step",
          "Two wires come back to every h but the last: from the loss of its own step and from the step after it.", """
          hs, _ = nn.RNN(3, 8, rng=0)(np.random.default_rng(1).standard_normal((4, 2, 3)))
          head = nn.Linear(8, 4, rng=0)
          loss = sum(nn.cross_entropy(head(hs[t]), [1, 2]) for t in range(4))
          flow = viz.gradient_flow(loss)
          viz.draw_unrolled(flow)
          """, """
          parts = viz.ways(loss, "h", by="last")
          straight = [np.linalg.norm(p) for p in parts.parts["straight"]]
          back = [np.linalg.norm(parts.whole[j] - parts.parts["straight"][j]) for j in range(4)]
          assert min(straight) > 0 and back[parts.lags.index(0)] == 0 and all(
              b > 0 for b, lag in zip(back, parts.lags) if lag)
          """),
    Entry("claim_past_only", "A net in one direction sees the past alone; one in both directions sees everything",
          "‖∂ logit_t/∂x_k‖ for the simple net: exactly 0 for every step k after t.", """
          x, right = np.eye(4)[[0, 1, 2, 3, 1, 0, 2, 3]], [1, 2, 3, 1, 0, 2, 3, 0]
          head = nn.Linear(6, 4, rng=1)
          net = nn.RNN(4, 6, rng=0)
          C = viz.connectivity(lambda x: head(net(x)[0]), x, right)
          charts.grid(C, "k: step read", "t: answer", "‖∂ logit / ∂x‖", log=True)
          """, "assert (np.triu(C, 1) == 0).all() and (np.diag(C) > 0).all()"),
    Entry("claim_both", "The same net in both directions", "The square is full: every answer depends on every "
          "step.", """
          x, right = np.eye(4)[[0, 1, 2, 3, 1, 0, 2, 3]], [1, 2, 3, 1, 0, 2, 3, 0]
          head = nn.Linear(12, 4, rng=1)
          net = nn.RNN(4, 6, bidirectional=True, rng=0)
          C = viz.connectivity(lambda x: head(net(x)[0]), x, right)
          charts.grid(C, "k: step read", "t: answer", "‖∂ logit / ∂x‖", log=True)
          """, "assert (C > 0).all()"),
    Entry("claim_pooling", "With the mean of all states, every step has a short way to the loss",
          "‖∂L/∂h_t‖ against t: the last state alone leaves {last:.0e} of it at the first step, the mean "
          "{mean:.2g}.", """
          xs = np.random.default_rng(0).standard_normal((100, 1, 3))
          net, head = nn.RNN(3, 16, rng=0), nn.Linear(16, 4, rng=1)
          profiles = {}
          for name, pool in {"last state": nn.last_step, "mean of states": nn.mean_over_steps}.items():
              loss = nn.cross_entropy(head(pool(net(xs)[0])), [1])
              profiles[name] = viz.gradient_flow(loss).profile("h").norms[::-1]
          charts.curves(profiles, "step t", "‖∂L/∂h‖", log="y")
          """, """
          last, mean = (p[0] / p[-1] for p in profiles.values())
          assert last < 1e-10 and 0.1 < mean < 10
          """),
    Entry("claim_patterns", "Five patterns of inputs and outputs, one cell",
          "One to one, one to many (zeros are read after the first step), many to one, many to many in step, and "
          "encoder to decoder: {words}.", """
          cell, head = nn.RNNCell(3, 4, rng=0), nn.Linear(4, 2, rng=0)
          x, nothing = np.ones((6, 1, 3)), np.zeros((1, 3))
          def run(xs, read):
              h, loss = None, 0.0
              for t, x_t in enumerate(xs):
                  with scope("rnn", step=t):
                      x_t = mark(Tensor(x_t), "x", role="input")
                  with scope(step=t):
                      h = cell(x_t, h)
                  if t in read:
                      loss = loss + (head(h) ** 2).sum()
              return loss
          nets = {"one to one": run(x[:1], [0]), "one to many": run([x[0], nothing, nothing, nothing], range(4)),
                  "many to one": run(x[:4], [3]), "many to many": run(x[:4], range(4)),
                  "encoder, decoder": run(x, [4, 5])}
          viz.draw_unrolled(nets, last=6)
          """, """
          steps = {name: viz.gradient_flow(net).profile("h").steps for name, net in nets.items()}
          words = ", ".join(f"{len(s)} step{'s' * (len(s) > 1)}" for s in steps.values())
          assert [len(s) for s in steps.values()] == [1, 4, 4, 4, 6]
          """),
]
