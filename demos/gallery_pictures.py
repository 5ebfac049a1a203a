"""The gallery's pictures: cells, unrolled nets, and the ways to show a gradient."""

from __future__ import annotations

from demos.gallery import Entry


def one_cell(name: str, title: str, caption: str, call: str, check: str = "") -> Entry:
    """The picture of one cell, by ``viz.draw_cell``; the caption's equations are compared with those on the picture."""
    return Entry(f"cell_{name}", title, caption, f"viz.draw_cell({call})", check)


def says(call: str, *lines: str) -> str:
    """A check: the equations of this cell include these lines."""
    return f"said = str(viz.equations({call})).splitlines()\nassert set({list(lines)!r}) <= set(said), said"


CELLS = [
    one_cell("rnn", "The simple (Elman) net", "One layer: the state goes through a matrix and tanh at every step.",
             "nn.RNNCell(3, 4, rng=0)", says("nn.RNNCell(3, 4, rng=0)", "h_t = tanh(z)")),
    one_cell("relu", "The simple net with ReLU", "The same with ReLU in place of tanh.",
             'nn.RNNCell(3, 4, activation="relu", rng=0)',
             says('nn.RNNCell(3, 4, activation="relu", rng=0)', "h_t = relu(z)")),
    one_cell("irnn", "IRNN", "ReLU, and W starts as the identity: the graph is that of the simple net.",
             "nn.IRNNCell(3, 4, rng=0)", "assert (nn.IRNNCell(3, 4, rng=0).W.data == np.eye(4)).all()"),
    one_cell("jordan", "Jordan's net", "What a step hands on is its output o: the past must pass through 2 numbers.",
             "nn.JordanCell(3, 4, 2, rng=0)", says("nn.JordanCell(3, 4, 2, rng=0)", "z = x U + o_{t-1} W + b")),
    one_cell("additive", "Additive recurrence", "Each step adds to the state; no weight stands between h and h.",
             "nn.AdditiveCell(3, 4, rng=0)", says("nn.AdditiveCell(3, 4, rng=0)", "h_t = h_{t-1} + g", "z = x U + b")),
    one_cell("additive_state", "Additive recurrence that reads its state", "What is added depends on the state now.",
             "nn.AdditiveCell(3, 4, reads_state=True, rng=0)",
             says("nn.AdditiveCell(3, 4, reads_state=True, rng=0)", "z = x U + h_{t-1} W + b")),
    one_cell("lstm", "LSTM", "The cell state c runs straight along the top, through one product and one sum.",
             "nn.LSTMCell(3, 4, rng=0)", says("nn.LSTMCell(3, 4, rng=0)", "c_t = f ⊙ c_{t-1} + i ⊙ g")),
    Entry("cell_lstm_flow", "LSTM: the gradient through one cell",
          "A gradient of norm {enters:.2g} at h leaves as {c:.2g} at the last c and {h:.2g} at the last h.",
          "viz.draw_cell(nn.LSTMCell(3, 4, rng=0), flow=True)", """
          from viz.graph.cell_parts import cell_parts
          from viz.graph.probe import probe
          from viz.pictures.cell import from_outside
          step = probe(nn.LSTMCell(3, 4, rng=0))
          parts, flow = cell_parts(step), viz.gradient_flow(step.whole)
          enters = from_outside(parts, flow, parts.output)
          by = {parts.cell.symbols[s]: flow.gradients[parts.before[s]] for s in parts.cell.states}
          c, h = by["c"], by["h"]
          assert c > h
          """),
    Entry("cell_lstm_dark", "LSTM, dark", "The same picture in the dark theme.",
          "viz.draw_cell(nn.LSTMCell(3, 4, rng=0), flow=True, theme=viz.DARK)", "assert viz.DARK.paper in picture.svg"),
    Entry("derivative_lstm", "LSTM: a step and its derivative",
          "Each row has a line of the step, and beside it what the chain rule gets from it: {lines} lines in all.", """
          import microgradrnn as mg

          step = mg.compile(nn.LSTMCell(3, 4, rng=0))
          step(np.ones((2, 3)), (np.zeros((2, 4)), np.zeros((2, 4))))
          viz.draw_derivative(step.equations(time=True))
          """, "lines = len(step.equations().backward)\nassert lines == 16"),
    one_cell("update_gate", "LSTM with a gate that is not read",
             "The fifth gate is not in the picture, because nothing leads from it to the state: its columns are named.",
             "nn.UpdateGateLSTMCell(3, 4, rng=0)",
             "assert len(viz.equations(nn.UpdateGateLSTMCell(3, 4, rng=0)).unread) == 3"),
    one_cell("carousel", "LSTM of 1997", "No forget gate: c goes through one sum only.",
             "nn.CarouselLSTMCell(3, 4, rng=0)", says("nn.CarouselLSTMCell(3, 4, rng=0)", "c_t = c_{t-1} + i ⊙ g")),
    one_cell("coupled", "LSTM with coupled gates", "One gate u forgets and writes: 1 − u keeps, u lets in.",
             "nn.CoupledLSTMCell(3, 4, rng=0)",
             says("nn.CoupledLSTMCell(3, 4, rng=0)", "c_t = (1 − u) ⊙ c_{t-1} + u ⊙ g")),
    one_cell("peephole", "LSTM with peepholes", "i and f see the last c, o the new one, through one weight a unit.",
             "nn.PeepholeLSTMCell(3, 4, rng=0)",
             says("nn.PeepholeLSTMCell(3, 4, rng=0)", "o = σ(x U_o + h_{t-1} W_o + b_o + p_o ⊙ c_t)")),
    one_cell("projected", "LSTM with a projection", "c has 4 entries, h only 2: a large memory behind a small output.",
             "nn.LSTMCell(3, 4, proj_size=2, rng=0)",
             says("nn.LSTMCell(3, 4, proj_size=2, rng=0)", "h_t = (o ⊙ tanh(c_t)) P")),
    one_cell("layer_norm", "LSTM with layer normalisation", "Net inputs and what is read of c are normalised.",
             "nn.LayerNormLSTMCell(3, 4, rng=0)",
             says("nn.LayerNormLSTMCell(3, 4, rng=0)", "c_t = f ⊙ c_{t-1} + i ⊙ g", "h_t = o ⊙ tanh(n_c)")),
    one_cell("zoneout", "Zoneout", "Around a GRU: where d is 1, h stays as it was.",
             "nn.Zoneout(nn.GRUCell(3, 4, rng=0), 0.5).train(rng=0)",
             says("nn.Zoneout(nn.GRUCell(3, 4, rng=0), 0.5).train(rng=0)", "h_t = d ⊙ h_{t-1} + (1 - d) ⊙ h'")),
    one_cell("variational", "Variational dropout", "Around an LSTM: the same masks on x and h at all steps, none on c.",
             "nn.VariationalDropout(nn.LSTMCell(3, 4, rng=0), 0.5, 0.5).train(rng=0)",
             says("nn.VariationalDropout(nn.LSTMCell(3, 4, rng=0), 0.5, 0.5).train(rng=0)",
                  "c_t = f ⊙ c_{t-1} + i ⊙ g")),
    one_cell("gru", "GRU, reset before the product", "z says how much of h is kept, r how much of the past n sees.",
             "nn.GRUCell(3, 4, rng=0)", says("nn.GRUCell(3, 4, rng=0)", "h_t = z ⊙ h_{t-1} + (1 − z) ⊙ n")),
    one_cell("gru_after", "GRU, reset after the product", "PyTorch's form: r acts on h W, which has a bias of its own.",
             'nn.GRUCell(3, 4, reset="after", rng=0)',
             says('nn.GRUCell(3, 4, reset="after", rng=0)',
                  "n = tanh(x U_n + b_n + r ⊙ (h_{t-1} W_n + b_{hn}))")),
    one_cell("gru_replaces", "GRU whose z replaces", "z is how much of h is replaced; PyTorch's z is how much is kept.",
             'nn.GRUCell(3, 4, z="replaces", rng=0)',
             says('nn.GRUCell(3, 4, z="replaces", rng=0)', "h_t = (1 − z) ⊙ h_{t-1} + z ⊙ n")),
    one_cell("mgu", "Minimal gated unit", "One gate does both jobs of the GRU's two.",
             "nn.MGUCell(3, 4, rng=0)", says("nn.MGUCell(3, 4, rng=0)", "h_t = (1 − f) ⊙ h_{t-1} + f ⊙ n")),
    one_cell("lstm_unit", "LSTM of a single unit", "On plain numbers every gate has its own three weights.",
             "scalar.LSTMNeuron(1), x=[0.7]",
             says("scalar.LSTMNeuron(1), x=[0.7]", "f = σ(x u_f + h_{t-1} w_f + b_f)")),
    Entry("cell_own", "A cell of your own",
          "A plain function: what its gate does is read from its graph.", """
          U, W = (Tensor(np.random.default_rng(k).standard_normal((4, 4)) / 2) for k in range(2))

          def leaky(x, h):
              a = mark(sigmoid(x @ U), "a", role="gate")
              n = mark(tanh(h @ W), "n", role="candidate")
              return mark(a * h + (1 - a) * n, "h", role="hidden")

          viz.draw_cell(leaky, x=np.ones((1, 4)), state=np.ones((1, 4)))
          """, 'assert "update gate: how much of" in picture.svg'),
    Entry("cell_unmarked", "A cell of your own, without a single mark",
          "Nothing is marked, so nothing has a colour; what is used twice is given the name a1.", """
          W = Tensor(np.random.default_rng(0).standard_normal((5, 8)) / 2)

          def fused(x, h):
              both = concat([h, x], axis=-1) @ W
              a = sigmoid(both[:, :4])
              return a * h + (1 - a) * tanh(both[:, 4:])

          viz.draw_cell(fused, x=np.ones((1, 1)), state=np.ones((1, 4)))
          """, 'assert viz.Theme().roles["gate"] not in picture.svg'),
]

GRAPHS = [
    Entry("scalar", "A graph of single numbers",
          "micrograd's picture: every number with its value and its gradient; here ∂y/∂a is {g:.3g}.", """
          a, b = Value(2.0, label="a"), Value(-3.0, label="b")
          y = (a * b + a).tanh()
          y.label = "y"
          y.backward()
          viz.draw_graph(y)
          """, "g = a.grad\nassert abs(g + 2 * (1 - y.data ** 2)) < 1e-15"),
    Entry("film", "The reverse pass as a film", "{n} messages, one after another: upstream gradient times local "
          "derivative. (Open the picture itself to see it run.)", """
          a, b = Value(2.0, label="a"), Value(-3.0, label="b")
          y = (a * b + a).tanh()
          y.label = "y"
          viz.draw_film(y)
          """, "n = len(picture.messages)\nassert n == len(viz.gradient_flow(y).messages)"),
    Entry("scalar_rnn", "Two steps of one recurrent unit",
          "w is drawn once and used twice: its gradient, {g:.2g}, is the sum of what both steps send it.", """
          w, h = Value(0.9, label="w"), Value(0.5, label="h0")
          for t in range(2):
              h = (w * h).tanh()
          h.backward()
          viz.draw_graph(h)
          """, """
          g = w.grad
          h1 = np.tanh(0.45)
          assert abs(g - (1 - h.data ** 2) * (h1 + 0.9 * (1 - h1 ** 2) * 0.5)) < 1e-15
          """),
]

LAST = """
xs = np.random.default_rng(1).standard_normal((10, 2, 3))
net, head = nn.{net}(3, 8, rng=0), nn.Linear(8, 4, rng=0)
hs, state = net(xs)
loss = nn.cross_entropy(head(hs[-1]), [1, 2])
"""


def unrolled_pair(net: str, state: str) -> list[Entry]:
    """A net unrolled, as structure and with the gradient on it."""
    setup = LAST.replace("{net}", net)
    return [
        Entry(f"unrolled_{net.lower()}", f"{net}, unrolled",
              "The same cell at each of the last steps, time from left to right; weights are named once.",
              setup + "viz.draw_unrolled(loss)", "assert len(viz.trace(loss)) > 10 * 4"),
        Entry(f"flow_{net.lower()}", f"{net}, unrolled, with the gradient",
              f"The gradient of the last loss on its way back: ‖∂L/∂{state}‖ is {{new:.2g}} at the last step and "
              "{old:.2g} nine steps before.",
              setup + "flow = viz.gradient_flow(loss)\nviz.draw_unrolled(flow)",
              f"profile = flow.profile({state!r})\nnew, old = profile.at(0), profile.at(9)\nassert new > old"),
    ]


UNROLLED = [
    *unrolled_pair("RNN", "h"), *unrolled_pair("LSTM", "c"), *unrolled_pair("GRU", "h"),
    Entry("stacked", "Stacked layers", "Two layers: each step of the upper one reads the lower one at the same "
          "step.", """
          hs, state = nn.LSTM(3, 4, num_layers=2, rng=0)(np.random.default_rng(1).standard_normal((5, 1, 3)))
          viz.draw_unrolled(hs[-1].sum())
          """, 'assert picture.svg.count("layer") >= 2'),
    Entry("bidirectional", "Both directions",
          "One net runs forwards, the other backwards; a loss at step {t} depends on steps before and after it.", """
          x = Tensor(np.random.default_rng(1).standard_normal((4, 1, 3)))
          hs, states = nn.RNN(3, 4, bidirectional=True, rng=0)(x)
          loss = (hs[2] ** 2).sum()
          viz.draw_unrolled(viz.gradient_flow(loss))
          """, "t = 2\nloss.backward()\nassert (abs(x.grad).max(axis=(1, 2)) > 0).all()"),
    Entry("many_to_many", "A loss at every step", "Many to many: what comes back to a state is the sum of two "
          "wires.", """
          xs = np.random.default_rng(1).standard_normal((5, 2, 3))
          hs, _ = nn.GRU(3, 4, rng=0)(xs)
          loss = nn.cross_entropy(nn.Linear(4, 3, rng=0)(hs), np.ones((5, 2), int))
          viz.draw_unrolled(viz.gradient_flow(loss))
          """),
    Entry("tree", "A recursive net over a tree", "The same cell at every node of a tree, ((a b) (c d)).", """
          cell = nn.TreeCell(2, rng=0)
          a, b, c, d = (mark(Tensor(np.ones((1, 2)) * k), "abcd"[k], role="input") for k in range(4))
          viz.draw_unrolled(nn.recurse(cell, ((a, b), (c, d))).sum())
          """),
    Entry("encoder_decoder", "Encoder and decoder",
          "The whole source reaches the decoder through one state: its gradient there is {norm:.2g}.", """
          net = nn.EncoderDecoder(nn.GRU(4, 5, rng=0), nn.GRU(4, 5, rng=1), nn.Embedding(6, 4, rng=2),
                                  nn.Embedding(6, 4, rng=3), nn.Linear(5, 6, rng=4), start=0)
          source, target = np.array([[1], [2], [3]]), np.array([[3], [2]])
          flow = viz.gradient_flow(nn.cross_entropy(net(source, target), target))
          viz.draw_unrolled(flow)
          """, """
          encoder = [part for part in flow.gradients if part.startswith("encoder/gru/t2/") and part.endswith("/h")]
          (norm,) = (flow.gradients[part] for part in encoder)
          assert norm > 0
          """),
    Entry("rolled", "Rolled up", "One cell, and what it hands on goes round in a loop with a delay of one step.",
          LAST.replace("{net}", "LSTM") + "viz.draw_rolled(loss)", "assert viz.roll(loss).number_of_nodes() < 40"),
    Entry("rolled_beside", "Rolled up, and unrolled beside it",
          "The same cell twice; colours on the loop show the mean message of all {T} steps.",
          LAST.replace("{net}", "GRU") + "flow = viz.gradient_flow(loss)\nviz.draw_rolled(flow, beside=True, steps=2)",
          "T = len(flow.profile('h').steps)"),
    Entry("long", "A thousand steps",
          "Three cells, from where the gradient changes; below, every step: ‖∂L/∂c‖ 999 steps back is {left:.0e} of "
          "what it is at the last.", """
          xs = np.random.default_rng(1).standard_normal((1000, 1, 3))
          hs, _ = nn.LSTM(3, 8, forget_bias=5.0, rng=0)(xs)
          flow = viz.gradient_flow(hs[-1].sum())
          viz.draw_long(flow)
          """, """
          profile = flow.profile("c")
          left = profile.at(999) / profile.at(0)
          assert "lag 999" in picture.svg
          """),
    Entry("two_nets", "Several nets on one scale",
          "Width and colour mean the same in both: the LSTM's last state to its first, {lstm:.1g} of the gradient; the "
          "simple net's, {rnn:.1g}.", """
          xs = np.random.default_rng(1).standard_normal((30, 1, 3))
          flows = {name: viz.gradient_flow(kind(3, 16, rng=0)(xs)[0][-1].sum())
                   for name, kind in {"rnn": nn.RNN, "lstm": nn.LSTM}.items()}
          viz.draw_unrolled(flows)
          """, """
          def left(flow, state):
              norms = flow.profile(state).norms
              return norms[-1] / norms[0]
          lstm, rnn = left(flows["lstm"], "h"), left(flows["rnn"], "h")
          """),
]

FAR = """
xs = np.random.default_rng(1).standard_normal((100, 1, 3))
nets = {"rnn": nn.RNN(3, 32, rng=0), "lstm": nn.LSTM(3, 32, forget_bias=1.0, rng=0), "gru": nn.GRU(3, 32, rng=0)}
losses = {name: net(xs)[0][-1].sum() for name, net in nets.items()}
flows = {name: viz.gradient_flow(loss) for name, loss in losses.items()}
"""

FLOWS = [
    Entry("profiles", "The norm against the lag", "Straight lines mean exponential decay: with untrained "
          "weights, after "
          "90 steps {words}.", FAR + "viz.plot_norms(flows)", """
          left = {name: flow.profile("h").at(90) / flow.profile("h").at(0) for name, flow in flows.items()}
          words = ", ".join(f"{share:.0e} is left in the {name}" for name, share in left.items())
          """),
    Entry("compare", "Gates against tanh", "{verdict}", FAR + "found = viz.compare_flow(losses, lags=60)\nfound.draw()",
          "verdict = found.verdict"),
    Entry("ways", "By which ways the gradient came to c",
          "Of the gradient at the LSTM's cell state {lag} steps back, the largest part went through “{best}” first; "
          "the parts add up to the whole.",
          FAR + 'found = viz.ways(losses["lstm"])\nviz.draw_ways(found, lags=60)', """
          lag = 30
          sizes = {name: np.linalg.norm(part[found.lags.index(lag)]) for name, part in found.parts.items()}
          best = max(sizes, key=sizes.get)
          assert best != "carry" and found.check() < 1e-12
          """),
    Entry("ways_last", "By which ways it takes each single step",
          "From h to the h before, in the GRU: {carry:.0%} of the sum of norms is carried over, at lag 1.",
          FAR + 'found = viz.ways(losses["gru"], by="last")\nviz.draw_ways(found, lags=60)', """
          sizes = {name: np.linalg.norm(part[found.lags.index(1)]) for name, part in found.parts.items()}
          carry = sizes["carry"] / sum(sizes.values())
          """),
    Entry("singular_values", "Singular values of every step's Jacobian",
          "A single step can multiply the norm of the gradient by up to {largest:.2f}. Over all steps it shrinks by a "
          "factor of {together:.2f} per step (geometric mean): no gradient is stretched the most at every step.",
          FAR + 'jacobians = viz.step_jacobians(losses["rnn"])\nviz.plot_singular_values(jacobians)', """
          values = jacobians.singular_values()
          largest, together = values.max(), 10 ** (jacobians.transport()[-1] / len(values))
          assert together < values[:, 0].min()
          """),
    Entry("transport", "What happens to a gradient on its way back",
          "The truth is never above the product of the norms, which is never above the bound.",
          FAR + 'jacobians = viz.step_jacobians(losses["rnn"])\n'
          'viz.plot_transport({"rnn": jacobians}, W={"rnn": nets["rnn"].cell.W})', """
          truth, norms, bound = (jacobians.transport(), jacobians.product_of_norms(),
                                 jacobians.bound(nets["rnn"].cell.W))
          assert (truth <= norms + 1e-9).all() and (norms <= bound + 1e-9).all()
          """),
    Entry("eigenvalues", "Eigenvalues of every step's Jacobian", "In the complex plane: the largest modulus is "
          "{rho:.2f}, but a step can multiply a gradient by {stretch:.2f}, the largest singular value.",
          """
          hs, h = nn.RNN(3, 16, rng=0)(np.random.default_rng(1).standard_normal((12, 1, 3)))
          jacobians = viz.step_jacobians(h.sum())
          viz.plot_eigenvalues(jacobians)
          """, "rho, stretch = jacobians.spectral_radii().max(), jacobians.singular_values().max()"),
]

EVERY = """
xs = np.random.default_rng(1).standard_normal((20, 2, 3))
net, head = nn.RNN(3, 8, rng=0), nn.Linear(8, 4, rng=0)
hs, _ = net(xs)
loss = nn.cross_entropy(head(hs), np.ones((20, 2), int), reduction="sum")
"""

FLOWS.append(Entry(
    "recorder", "While a net is trained",
    "A GRU learns to recall its first symbol after 20 steps: the last lag with more than 1 % of the gradient goes from "
    "{before:.0f} to {after:.0f}, and the loss from {first:.2f} to {last:.3f}.",
    """
    net, head = nn.GRU(5, 16, rng=0), nn.Linear(16, 4, rng=1)
    adam, rng = optim.Adam([*net.parameters(), *head.parameters()], lr=0.01), np.random.default_rng(0)
    recorder, losses = viz.Recorder(every=10), []
    for update in range(250):
        y, x = rng.integers(0, 4, 32), np.zeros((20, 32, 5))
        x[0, np.arange(32), y] = x[1:, :, 4] = 1
        loss = nn.cross_entropy(head(net(x)[0][-1]), y)
        recorder(loss)
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    recorder.draw()
    """, """
    before, after = recorder.horizons[0], recorder.horizons[-1]
    first, last = losses[0], losses[-1]
    assert after > before and last < first / 2
    """))
FLOWS.append(Entry(
    "torch", "A graph that PyTorch recorded",
    "PyTorch's own GRU cell, {T} steps, found in the graph like the gates: ‖∂L/∂h‖ falls from {new:.2g} to {old:.1g}.",
    """
    import torch
    torch.manual_seed(0)
    cell, h = torch.nn.GRUCell(3, 8), torch.zeros(1, 8)
    for x in torch.randn(20, 1, 3):
        h = cell(x, h)
    flow = viz.from_torch(h.sum(), cell)
    viz.draw_unrolled(flow)
    """, """
    profile = flow.profile()
    T, new, old = len(profile.steps), profile.norms[0], profile.norms[-1]
    assert new > old
    """, needs="torch"))

BLAME = [
    Entry("blame", "How each loss depends on each step: ‖δ‖",
          "Row t holds the steps k ≤ t; above the diagonal there is no way. The dependence fades with t − k.",
          EVERY + "errors = viz.local_errors(loss)\nviz.plot_local_errors(errors)", """
          assert not np.triu(errors.reached, 1).any()
          lags = errors.by_lag()
          assert lags[0] > lags[5] > lags[15] > 0
          """),
    Entry("shares_step", "The gradient of W, step by step",
          "The shares of the steps add up to the gradient as vectors: {left:.0%} of the sum of their norms is left.",
          EVERY + 'by_step = viz.shares(loss)\nviz.plot_shares(by_step["W"])',
          'left = by_step["W"].cancellation()\nassert left < 1'),
    Entry("shares_lag", "The gradient of W, by lag", "Most of it is from lag 0: {near:.2g}; from lag 10, {far:.1g}.",
          EVERY + 'by_lag = viz.shares(loss, by="lag")\nviz.plot_shares(by_lag["W"], log=True)', """
          share = by_lag["W"]
          near, far = share.norms[share.keys.index(0)], share.norms[share.keys.index(10)]
          assert near == share.norms.max() and far < near / 10
          """),
]

TEXT = """
words = "the old cat sat on the old mat"
letters = sorted(set(words))
codes = [letters.index(c) for c in words]
net, head = nn.GRU(len(letters), 24, rng=0), nn.Linear(24, len(letters), rng=1)
x = np.eye(len(letters))[codes[:-1]]
C = viz.connectivity(lambda x: head(net(x)[0]), x, codes[1:])
"""

MEMORY = [
    Entry("text_map", "Which step depends on which", "In an untrained net, each answer depends on the last few "
          "characters: the same step counts {ratio:.0f} times as much as ten steps before.",
          TEXT + "viz.draw_text_map(C, words)", """
          T = len(C)
          ratio = np.mean([C[t, t] for t in range(10, T)]) / np.mean([C[t, t - 10] for t in range(10, T)])
          assert (np.triu(C, 1) == 0).all() and ratio > 2
          """),
    Entry("shaded_text", "The text, shaded", "What the prediction of the boxed character depends on.",
          TEXT + "viz.draw_text(C, words, steps=[18, 28])", "assert C[18, 18] > 0"),
]

PICTURES: dict[str, list[Entry]] = {
    "One cell": CELLS, "Graphs of numbers": GRAPHS, "Unrolled nets": UNROLLED,
    "The gradient's way back": FLOWS, "Which step did what": BLAME, "Memory on text": MEMORY,
}
