"""Weights from PyTorch and back: outputs and all gradients are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.twins import in_our_biases
from microgradrnn import Tensor, io, nn
from microgradrnn.io.torch_nets import from_torch
from tests.numerics import relative_error

torch = pytest.importorskip("torch")

KINDS: dict[str, tuple[Any, Any]] = {
    "RNN tanh": (nn.RNN, torch.nn.RNN),
    "RNN relu": (lambda *a, **k: nn.RNN(*a, activation="relu", **k),
                 lambda *a, **k: torch.nn.RNN(*a, nonlinearity="relu", **k)),
    "LSTM": (nn.LSTM, torch.nn.LSTM),
    "GRU": (lambda *a, **k: nn.GRU(*a, reset="after", **k), torch.nn.GRU),
}
PRECISIONS = {"float64": 1e-12, "float32": 1e-5}
D, H, T, B = 3, 5, 7, 4


def pair(kind: str, dtype: str, layers: int, bidirectional: bool, bias: bool = True) -> tuple[Any, Any]:
    ours, theirs = KINDS[kind]
    torch.manual_seed(0)
    mine = ours(D, H, num_layers=layers, bidirectional=bidirectional, bias=bias, rng=0, dtype=np.dtype(dtype))
    peer = theirs(D, H, num_layers=layers, bidirectional=bidirectional, bias=bias).to(getattr(torch, dtype))
    return mine, peer


def arrays(peer: Any) -> dict[str, np.ndarray]:
    return {name: p.numpy() for name, p in peer.state_dict().items()}


def check(ours: Any, theirs: Any, dtype: str) -> None:
    assert relative_error(np.asarray(getattr(ours, "data", ours)), theirs.detach().numpy()) < PRECISIONS[dtype]


def last_states(state: Any, layers: int, bidirectional: bool) -> list[list[Any]]:
    """Our states in PyTorch's order: for h (and c), one for each layer and direction."""
    per_layer = list(state) if layers > 1 else [state]
    flat = [s for one in per_layer for s in (one if bidirectional else [one])]
    return [list(part) for part in zip(*[s if isinstance(s, tuple) else (s,) for s in flat], strict=True)]


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_all_gradients_equal_pytorch(kind: str, layers: int, bidirectional: bool,
                                                        dtype: str) -> None:
    mine, peer = pair(kind, dtype, layers, bidirectional)
    io.load_torch(mine, arrays(peer))
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((T, B, D)).astype(dtype)
    weights = rng.standard_normal((T, B, H * (1 + bidirectional))).astype(dtype)
    x, x_t = Tensor(xs), torch.tensor(xs, requires_grad=True)
    hs, state = mine(x)
    hs_t, state_t = peer(x_t)
    check(hs, hs_t, dtype)
    for s, s_t in zip(last_states(state, layers, bidirectional),
                      state_t if isinstance(state_t, tuple) else (state_t,), strict=True):
        check(np.stack([part.data for part in s]), s_t, dtype)
    (hs * weights).sum().backward()
    (hs_t * torch.tensor(weights)).sum().backward()
    check(x.grad, x_t.grad, dtype)
    theirs = {name: p.grad.numpy() for name, p in peer.named_parameters()}
    for p, g in from_torch(mine, in_our_biases(mine, theirs)):
        assert relative_error(p.grad, g) < PRECISIONS[dtype], p


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_takes_our_weights_back(kind: str, layers: int, bidirectional: bool) -> None:
    mine, peer = pair(kind, "float64", layers, bidirectional)
    peer.load_state_dict({name: torch.from_numpy(a) for name, a in io.to_torch_state_dict(mine).items()})
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    check(mine(xs)[0], peer(torch.tensor(xs))[0], "float64")
    again = pair(kind, "float64", layers, bidirectional)[0]
    for p in again.parameters():
        p.data = np.zeros_like(p.data)
    io.load_torch(again, io.to_torch_state_dict(mine))
    for name, a in mine.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], a)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_biases_are_exchanged_too(kind: str) -> None:
    xs = np.random.default_rng(0).standard_normal((T, B, D))
    mine, peer = pair(kind, "float64", 2, True, bias=False)
    io.load_torch(mine, arrays(peer))
    check(mine(xs)[0], peer(torch.tensor(xs))[0], "float64")
    with_bias = pair(kind, "float64", 2, True)[0]
    io.load_torch(with_bias, arrays(peer))
    check(with_bias(xs)[0], peer(torch.tensor(xs))[0], "float64")


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_embedding_equal_pytorch(dtype: str, bias: bool) -> None:
    mine, peer = nn.Linear(D, H, bias=bias, dtype=dtype), torch.nn.Linear(D, H, bias=bias, dtype=getattr(torch, dtype))
    io.load_torch(mine, peer.state_dict())  # its tensors will do as well
    xs = np.random.default_rng(0).standard_normal((T, D)).astype(dtype)
    y, y_t = mine(xs), peer(torch.tensor(xs))
    check(y, y_t, dtype)
    (y * y).sum().backward()
    (y_t * y_t).sum().backward()
    for p, g in from_torch(mine, {name: p.grad.numpy() for name, p in peer.named_parameters()}):
        assert relative_error(p.grad, g) < PRECISIONS[dtype]
    rows, rows_t = nn.Embedding(9, D, dtype=dtype), torch.nn.Embedding(9, D, dtype=getattr(torch, dtype))
    io.load_torch(rows, rows_t.state_dict())
    np.testing.assert_array_equal(rows([[1, 8]]).data, rows_t(torch.tensor([[1, 8]])).detach().numpy())
    for layer, other in ((mine, peer), (rows, rows_t)):
        other.load_state_dict({name: torch.from_numpy(a) for name, a in io.to_torch_state_dict(layer).items()})


def test_a_part_of_a_model_is_read_from_a_safetensors_file(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    model = torch.nn.ModuleDict({"rnn": torch.nn.GRU(D, H), "out": torch.nn.Linear(H, 2)})
    safetensors.save_file(model.state_dict(), tmp_path / "model.safetensors")
    safetensors.save_file(model["rnn"].state_dict(), tmp_path / "rnn.safetensors")
    mine, again = (nn.GRU(D, H, reset="after", dtype=np.float32) for _ in range(2))
    io.load_torch(mine, tmp_path / "rnn.safetensors")
    with pytest.raises(KeyError, match=r'Perhaps names=\{"": "rnn"\}'):
        io.load_torch(mine, tmp_path / "model.safetensors")
    torch.save(model.state_dict(), tmp_path / "model.pt")
    with pytest.raises(io.DamagedFileError, match=r"torch\.save seems to have .*safetensors\.torch\.save_file"):
        io.load_torch(mine, tmp_path / "model.pt")
    io.load_torch(again, tmp_path / "model.safetensors", names={"": "rnn"})
    for name, a in mine.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], a)


def test_an_irnn_is_one_of_pytorchs_relu_nets() -> None:
    irnn = io.to_torch_state_dict(nn.IRNN(D, H, rng=0))
    np.testing.assert_array_equal(irnn["weight_hh_l0"], np.eye(H))
    io.load_torch(nn.RNN(D, H, activation="relu"), irnn)


@pytest.mark.parametrize(("make", "words"), [
    (lambda: nn.GRU(D, H), 'reset="after"'), (lambda: nn.MGU(D, H), "counterpart of this MGUCell"),
    (lambda: nn.LSTMCell(D, H, proj_size=2), r"make this one nn\.LSTM\("),
    (lambda: nn.LSTM(D, H, activation="relu"), "LSTMCell"),
    *((lambda cell=cell: nn.Recurrent(cell(D, H)), cell.__name__)  # type: ignore[misc]
      for cell in (nn.UpdateGateLSTMCell, nn.CarouselLSTMCell, nn.CoupledLSTMCell, nn.AdditiveCell)),
    (lambda: nn.RNN(D, H, activation=lambda z: z.sin()), "RNNCell"),
    (lambda: nn.Recurrent(nn.RNNCell(D, H), nn.LSTMCell(H, H)), "this one has several"),
    (lambda: nn.Recurrent(lambda x, h: h), "counterpart of this function"),
])
def test_what_has_no_counterpart_is_refused(make: Any, words: str) -> None:
    for call in (io.to_torch_state_dict, lambda layer: io.load_torch(layer, {})):
        with pytest.raises(TypeError, match=words):
            call(make())


def test_names_or_shapes_that_do_not_fit_are_refused_and_change_nothing() -> None:
    mine = nn.LSTM(D, H, rng=0)
    before = mine.state_dict()
    theirs = arrays(torch.nn.LSTM(D, H))
    with pytest.raises(KeyError, match="weight_ih_l1"):
        io.load_torch(mine, arrays(torch.nn.LSTM(D, H, num_layers=2)))
    with pytest.raises(KeyError, match="weight_hh_l0"):
        io.load_torch(mine, {name: a for name, a in theirs.items() if name != "weight_hh_l0"})
    with pytest.raises(ValueError, match=r"weight_ih_l0 of shape \(20, 3\), got \(15, 3\)"):
        io.load_torch(mine, arrays(torch.nn.GRU(D, H)))
    with pytest.raises(KeyError, match="bias"):
        io.load_torch(nn.Linear(D, H), arrays(torch.nn.Linear(D, H, bias=False)))
    for name, a in before.items():
        np.testing.assert_array_equal(mine.state_dict()[name], a)


def test_one_missing_bias_is_an_error_and_complex_weights_too() -> None:
    mine, theirs = nn.LSTM(D, H, rng=0), arrays(torch.nn.LSTM(D, H))
    with pytest.raises(KeyError, match="bias_hh_l0"):
        io.load_torch(mine, {name: a for name, a in theirs.items() if name != "bias_hh_l0"})
    before = mine.state_dict()
    with pytest.raises(TypeError, match="weight_hh_l0 is an array of complex"):
        io.load_torch(mine, {**theirs, "weight_hh_l0": theirs["weight_hh_l0"] * 1j})
    for name, a in before.items():
        np.testing.assert_array_equal(mine.state_dict()[name], a)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_file_in_any_precision_of_pytorch_is_read_exactly(tmp_path: Path, dtype: Any) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    theirs = torch.nn.LSTM(D, H, dtype=dtype)
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    mine = nn.LSTM(D, H)
    io.load_torch(mine, tmp_path / "theirs.safetensors")
    for name, a in io.to_torch_state_dict(mine).items():
        expected = getattr(theirs, name).detach().double().numpy()
        if name == "bias_ih_l0":
            expected = expected + theirs.bias_hh_l0.detach().double().numpy()
        np.testing.assert_array_equal(a, 0 * expected if name == "bias_hh_l0" else expected)


def test_numbers_that_cannot_be_read_are_named_and_the_file_is_not_called_damaged(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"a": torch.zeros(3, dtype=torch.float8_e4m3fn)}, tmp_path / "f8")
    with pytest.raises(TypeError, match="a holds numbers of the kind F8_E4M3"):
        io.read(tmp_path / "f8")


@pytest.mark.parametrize(("state", "words"), [
    (torch.nn.Linear(D, H), r"give its state_dict\(\)"),
    ({"weight": torch.eye(H).to_sparse()}, r"weight is no array .*detach\(\)\.to_dense\(\)"),
    ({"weight": [[1.0, 2.0], [3.0]]}, "weight is no array"), ({0: np.ones(3)}, "a dict by name, got the key 0"),
    (None, "a dict of arrays or a file's path, got NoneType"),
])
def test_what_is_no_dict_of_arrays_is_told_how_to_become_one(state: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        io.load_torch(nn.Linear(D, H), state)
