"""What people type on their first day: each line works, or is answered by an error that names what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
import microgradrnn.io
from microgradrnn import nn, optim
from microgradrnn.engine import PRIMITIVES

# (what is typed, what is true after it), or, of lines that are answered, (what is typed, words of the error).
MICROGRAD_WORKS = [
    ("from microgradrnn.engine import Value", "Value(1.0).data == 1.0"),
    ("from microgradrnn.nn import Neuron, Layer, MLP", "MLP(3, [4, 4, 1])"),
    ("from microgradrnn import Value", "Value"),
    ("n = Value(2.0, label='n')", "n.label == 'n'"),
    ("n = Value(2.0, (), '', 'n')", "n.label == 'n'"),
    ("c = a * b; c.label = 'c'", "c.label == 'c'"),
    ("c = a + 1", "c.data == 3"),
    ("c = 1 + a", "c.data == 3"),
    ("c = 2 * a - b / 4", "c.data == 4.75"),
    ("c = a ** 2", "c.data == 4"),
    ("c = a ** -1", "c.data == 0.5"),
    ("c = -a", "c.data == -2"),
    ("c = a - b", "c.data == 5"),
    ("c = 1 / a", "c.data == 0.5"),
    ("a += 1", "a.data == 3"),
    ("c = a.relu()", "c.data == 2"),
    ("c = a.tanh()", "abs(c.data - 0.964) < 1e-3"),
    ("c = a.exp()", "abs(c.data - 7.389) < 1e-3"),
    ("c = (2 * a).exp(); d = (c - 1) / (c + 1)", "abs(d.data - a.tanh().data) < 1e-15"),
    ("c = sum([a, b, a * b])", "c.data == -7"),
    ("c = a * b; c.backward()", "a.grad == -3 and b.grad == 2 and c.grad == 1"),
    ("c = a + a; c.backward()", "a.grad == 2"),
    ("c = a * b; c.grad = 1.0; c.backward()", "a.grad == -3"),
    ("text = repr(a)", "text == 'Value(data=2.0, grad=0.0)'"),
    ("children, op = (a * b)._prev, (a * b)._op", "children == {a, b} and op == '*'"),
    ("n = Neuron(2); out = n([1.0, -2.0])", "out.data >= 0"),
    ("n = MLP(3, [4, 4, 1]); out = n([2.0, 3.0, -1.0])", "isinstance(out.data, float)"),
    ("n = MLP(3, [4, 4, 1]); ps = n.parameters()", "len(ps) == 41"),
    ("n = MLP(2, [2, 1]); n([1.0, 2.0]).backward(); n.zero_grad()", "all(p.grad == 0 for p in n.parameters())"),
    ("n = MLP(2, [2, 1]); p = n.parameters()[0]; p.data = 1.0; p.data += -0.1 * 2.0", "p.data == 0.8"),
    ("ypred = [MLP(2, [1])([1.0, 2.0])]; loss = sum((yout - ygt)**2 for ygt, yout in zip([1.0], ypred))", "loss.op"),
    ("from viz import draw_dot; dot = draw_dot(a * b)", "'digraph' in dot.source"),
    ("f = mg.Primitive.define(lambda x: x ** 3, lambda g, y, x: g * 3 * x ** 2, name='cubed'); f(a).backward()",
     "a.grad == 12"),
]
MICROGRAD_ANSWERED = [
    ("out = Value(a.data + b.data, (a, b), '+')", "an operation of your own is mg.Primitive.define"),
    ("a._backward = lambda: None", "an operation of your own is mg.Primitive.define"),
    ("a._backward()", "backward() does the whole pass"),
    ("(a * b).data = 3.0", "cannot be rebound"),
    ("a == 2.0", "to compare the numbers, use .data"),
    ("Value('2')", "a Value holds one real number"),
    ("Value([1.0, 2.0])", "For arrays use Tensor"),
]
TORCH_WORKS = [
    ("net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)); out = net(x)", "out.shape == (3, 2)"),
    ("net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5)); net.train(); out = net(x)", "net.training"),
    ("net.eval(); out = net(x)", "not net.training"),
    ("criterion = nn.CrossEntropyLoss(); loss = criterion(x, [0, 1, 2])", "loss.role == 'loss'"),
    ("loss = nn.CrossEntropyLoss(weight=np.ones(4), label_smoothing=0.1)(x, [0, 1, 2])", "loss.item() > 0"),
    ("loss = nn.CrossEntropyLoss(ignore_index=-100)(x, [0, -100, 2])", "loss.item() > 0"),
    ("loss = nn.MSELoss()(x, np.zeros((3, 4)))", "loss.item() > 0"),
    ("loss = nn.BCEWithLogitsLoss()(x, np.zeros((3, 4)))", "loss.item() > 0"),
    ("opt = optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4, amsgrad=True)", "opt.lr"),
    ("opt = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, dampening=0.5)", "opt.dampening == 0.5"),
    ("opt = optim.RMSprop(net.parameters(), lr=0.1, momentum=0.9, centered=True)", "opt.centered"),
    ("opt = optim.SGD(net.parameters(), lr=0.1); opt.zero_grad(); net(x).sum().backward(); opt.step()", "opt.steps"),
    ("with mg.no_grad():\n    y = net(x)", "not y.requires_grad"),
    ("emb = nn.Embedding(10, 3, padding_idx=0); e = emb([[0, 1]])", "not e.data[0, 0].any()"),
    ("norm = nn.LayerNorm(4)(x)", "norm.shape == (3, 4)"),
    ("y = x.detach()", "not y.requires_grad"),
    ("y = x.sum().item()", "y == 66.0"),
    ("y = x.softmax(-1)", "abs(y.data.sum() - 3) < 1e-12"),
    ("y = x.retain_grad()", "y is x"),
    ("net.load_state_dict(net.state_dict())", "True"),
    ("h = x.register_hook(lambda g: 2 * g)", "callable(h)"),
    ("rnn = nn.LSTM(4, 5, num_layers=2, bidirectional=True, dropout=0.1, bias=False)", "rnn.num_layers == 2"),
    ("rnn = nn.LSTM(input_size=4, hidden_size=5)", "(rnn.input_size, rnn.hidden_size) == (4, 5)"),
    ("out, (h, c) = nn.LSTM(4, 5, batch_first=True)(np.ones((2, 7, 4)))", "out.shape == (2, 7, 5)"),
]
TORCH_ANSWERED = [
    ("x.sum(dim=1)", "sum: dim= is not an option here: say axis="),
    ("x.mean(dim=1, keepdim=True)", "dim= is not an option here: say axis="),
    ("x.mean(axis=1, keepdim=True)", "say keepdims="),
    ("mg.softmax(x, dim=-1)", "softmax: dim= is not an option here: say axis="),
    ("mg.concat([x, x], dim=0)", "concat: dim= is not an option here: say axis="),
    ("mg.cat([x, x])", "write concat"),
    ("x.cuda()", "everything is on the CPU here"),
    ("x.to('cuda')", "use .astype(dtype); there is one device"),
    ("x.cpu().numpy()", "everything is on the CPU here"),
    ("x.numpy()", "use .data"),
    ("x.view(4, 3)", "use .reshape"),
    ("x.requires_grad_()", "give requires_grad=True when making it"),
    ("mg.tensor([1.0, 2.0])", "write Tensor(data)"),
    ("mg.zeros(3)", "write Tensor(np.zeros(...))"),
    ("mg.manual_seed(0)", "give a seed where numbers are drawn: rng=0"),
    ("net.to('cuda')", "say dtype= where a layer is made"),
    ("nn.GRU(3, 5, proj_size=2)", "put an nn.Linear(hidden_size, proj_size) on the outputs"),
    ("nn.GRU(3, 5, forget_bias=1.0)", "no forget gate"),
    ("nn.LSTM(3, 5, bias=False, forget_bias=5)", "give one of the two"),
    ("nn.functional.relu(x)", "mg.relu"),
    ("nn.ModuleList([net])", "a plain list in an attribute does"),
    ("optim.lr_scheduler.StepLR(None, 10)", "rates are functions"),
    ("loss = x.sum(); loss.backward(retain_graph=True)", "a graph is there as long as you hold its root"),
    ("x.backward()", "Reduce it, for example with .sum()"),
    ("nn.CrossEntropyLoss()(x, [0, -100, 2])", "give ignore_index=-100"),
    ("opt = optim.Adam(net)", "give module.parameters()"),
]
NUMPY_WORKS = [
    ("y = np.tanh(x)", "y.op.name == 'tanh'"),
    ("y = np.sum(x, axis=0)", "y.shape == (4,)"),
    ("y = x[1:, ::2]", "y.shape == (2, 2)"),
    ("y = x @ np.ones((4, 2))", "y.shape == (3, 2)"),
    ("y = np.ones((2, 3)) @ x", "y.shape == (2, 4)"),
    ("y = np.concatenate([x, x], axis=1)", "y.shape == (3, 8)"),
    ("y = x.T.reshape(2, 6)", "y.shape == (2, 6)"),
    ("y = np.where(x > 3, x, 0.0)", "y.data.sum() == 60"),
    ("y = x.mean(axis=(0, 1), keepdims=True)", "y.shape == (1, 1)"),
    ("y = np.argmax(x)", "y == 11"),
]
NUMPY_ANSWERED = [
    ("x[0, 0] = 3.0", "index_update"),
    ("x.data[0, 0] = 3.0", "rebind it"),
    ("np.array([x, x])", "microgradrnn.array"),
    ("np.tanh(x, out=np.zeros((3, 4)))", "assign the result"),
    ("np.fft.fft(x)", "microgradrnn"),
]
KERAS_WORKS = [
    ("rnn = nn.LSTM(4, 5, batch_first=True); out, _ = rnn(np.ones((2, 7, 4)), mask=np.ones((2, 7), bool))",
     "out.shape == (2, 7, 5)"),
    ("rnn = nn.GRU(4, 5, reset='after'); mg.io.load_keras(rnn, [np.ones((4, 15)), np.ones((5, 15)), np.ones((2, 15))])",
     "rnn.cell.b_n.data.all()"),
    ("weights = list(mg.io.to_keras_weights(nn.LSTM(4, 5)).values())", "len(weights) == 3"),
    ("emb = nn.Embedding(10, 3); e = emb(np.array([[1, 2, 3]]))", "e.shape == (1, 3, 3)"),
]
KERAS_ANSWERED = [
    ("nn.LSTM(units=5)", "say input_size= and hidden_size="),
    ("nn.LSTM(4, 5, return_sequences=True)", "all outputs come back: hs, state = layer(xs)"),
    ("nn.LSTM(4, 5, return_state=True)", "the last state always comes back"),
    ("nn.GRU(4, 5, reset_after=True)", "say reset='after'"),
    ("nn.LSTM(4, 5, recurrent_dropout=0.2)", "in the loop nn.VariationalDropout"),
    ("nn.LSTM(4, 5, stateful=True)", "hs, state = layer(xs, nn.detach(state))"),
    ("nn.Bidirectional(nn.LSTM(4, 5))", "say bidirectional=True"),
    ("nn.Dense(10)", "write nn.Linear(in_features, out_features)"),
    ("nn.SimpleRNN(5)", "write nn.RNN(input_size, hidden_size)"),
    ("nn.Masking(mask_value=0.0)", "say mask= in the call of a layer"),
    ("nn.TimeDistributed(net)", "layers work on the last axis"),
]
WORKS = MICROGRAD_WORKS + TORCH_WORKS + NUMPY_WORKS + KERAS_WORKS
ANSWERED = MICROGRAD_ANSWERED + TORCH_ANSWERED + NUMPY_ANSWERED + KERAS_ANSWERED


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What stands in the notebook before the line. Operations that it defines are forgotten."""
    table = dict(PRIMITIVES)
    yield {"mg": mg, "np": np, "nn": nn, "optim": optim, "Value": mg.Value, "Tensor": mg.Tensor, "MLP": nn.MLP,
           "Neuron": nn.Neuron, "a": mg.Value(2.0), "b": mg.Value(-3.0),
           "x": mg.Tensor(np.arange(12.0).reshape(3, 4)), "net": nn.Sequential(nn.Linear(4, 2, rng=0), nn.Tanh())}
    PRIMITIVES.clear()
    PRIMITIVES.update(table)


@pytest.mark.parametrize(("line", "claim"), WORKS, ids=[line for line, _ in WORKS])
def test_the_line_works(line: str, claim: str, names: dict[str, Any]) -> None:
    exec(line, names)
    assert eval(claim, names)


@pytest.mark.parametrize(("line", "words"), ANSWERED, ids=[line for line, _ in ANSWERED])
def test_the_line_is_answered(line: str, words: str, names: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError), match=re.escape(words)):
        exec(line, names)


def test_the_list_has_as_many_lines_of_each_origin_as_it_should() -> None:
    assert len(MICROGRAD_WORKS + MICROGRAD_ANSWERED) == 40
    assert len(TORCH_WORKS + TORCH_ANSWERED) == 50
    assert len(NUMPY_WORKS + NUMPY_ANSWERED) == 15
    assert len(KERAS_WORKS + KERAS_ANSWERED) == 15
    assert len({line for line, _ in WORKS + ANSWERED}) == 120
