"""Keywords and options of other libraries are answered by name; errors of another kind pass as they are."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import microgradrnn as mg
from microgradrnn import Tensor, nn, optim
from microgradrnn.engine.functions import FUNCTIONS

X = np.ones((2, 3))


@pytest.mark.parametrize("name", [
    "sum", "mean", "max", "min", "prod", "var", "std", "norm", "cumsum", "cumprod", "logsumexp", "softmax",
    "log_softmax", "flip", "squeeze", "expand_dims", "roll"])  # fmt: skip
def test_dim_is_answered_as_function_and_as_method(name: str) -> None:
    for call in (lambda: getattr(mg, name)(X, dim=0), lambda: getattr(Tensor(X), name)(dim=0)):
        with pytest.raises(TypeError, match=rf"^{name}: dim= is not an option here: say axis=, as in NumPy$"):
            call()


def test_functions_that_answer_are_the_same_otherwise() -> None:
    x = Tensor(X)
    for name in ("sum", "logsumexp", "stack"):
        answering, own = getattr(mg, name), FUNCTIONS[name]
        assert (answering.__name__, answering.__doc__) == (own.__name__, own.__doc__)
        assert pickle.loads(pickle.dumps(answering)) is answering
    assert mg.sum(x, axis=0, keepdims=True).shape == (1, 3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'axes'"):
        mg.sum(x, axes=0)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        mg.sum()


def test_an_error_inside_that_speaks_of_another_call_passes() -> None:
    class Net(nn.Module):
        def __init__(self, H: int) -> None:
            self.layer = self.other(dim=H)

        def other(self, size: int) -> int:
            return size

    with pytest.raises(TypeError, match=r"other\(\) got an unexpected keyword argument 'dim'"):
        Net(H=3)


OPTIONS: list[Any] = [
    (lambda: nn.LSTMCell(3, 5, input_bias=True),
     "LSTMCell: input_bias= .* there are input_size=, hidden_size=, proj_size=, forget_bias=, "),
    (lambda: nn.CarouselLSTMCell(3, 5, forget_bias=1.0), r"CarouselLSTMCell: forget_bias= .* no forget gate"),
    (lambda: nn.CarouselLSTMCell(3, 5, x=1),
     r"x= .* there are input_size=, hidden_size=, activation=, bias=, init=, rng=, dtype=$"),
    (lambda: nn.Embedding(input_dim=3, output_dim=5), "Embedding: input_dim= .* say num_embeddings="),
    (lambda: nn.LSTMCell(units=3), "LSTMCell: units= .* say input_size= and hidden_size="),
    (lambda: optim.Adam([Tensor(X)], maximize=True), "Adam: maximize= .* minimise minus the loss"),
    (lambda: optim.Adam(params=[Tensor(X)]), "Adam: params= .* it is parameters"),
    (lambda: optim.SGD([Tensor(X)], lr=0.1, rate=1), "SGD: rate= .* there are parameters=, lr=, momentum=, dampening="),
    (lambda: optim.SGD([Tensor(X)], lr=0.1).zero_grad(set_to_none=True), "zero_grad: set_to_none= .* leave it out"),
    (lambda: nn.LSTMCell(3, 5, bias=False, forget_bias=5), "forget_bias=5 .* bias=False .* give one of the two"),
]


@pytest.mark.parametrize(("call", "words"), OPTIONS)
def test_options_are_answered_by_the_class_that_was_called(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()


def test_names_of_modules_are_answered_and_others_are_not_there() -> None:
    for module, name, words in ((mg, "tensor", r"write Tensor\(data\)"), (mg, "c_", "write column_stack"),
                                (mg, "elementwise_grad", r"write y\.sum\(\)\.backward\(\)"),
                                (mg, "defvjp", r"write Primitive.define\(forward, rule\)"),
                                (nn, "Conv2d", "about recurrent nets"),
                                (optim, "lr_scheduler", "rates are functions"), (optim, "Optimizer", "Optimiser")):
        with pytest.raises(AttributeError, match=f"no attribute '{name}': .*{words}"):
            getattr(module, name)
        with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
            module.nothing  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'param_groups': there is one group; set opt\.lr"):
        optim.SGD([Tensor(X)], lr=0.1).param_groups  # noqa: B018


def test_every_answer_is_to_a_name_that_is_not_there() -> None:
    from microgradrnn.nn import names

    assert not [name for name in names.LAYERS if name in vars(nn)]
    assert not [name for name in mg.NAMES if name in vars(mg)]
    assert not [name for name in optim.NAMES if name in vars(optim)]


def test_every_loss_of_pytorch_is_here_or_is_answered_and_so_are_its_options() -> None:
    torch = pytest.importorskip("torch")
    from microgradrnn.nn import names

    losses = [name for name in dir(torch.nn) if name.endswith("Loss")]
    assert not [name for name in losses if not hasattr(nn, name) and name not in names.LAYERS]
    for loss in (nn.MSELoss, nn.BCEWithLogitsLoss):
        with pytest.raises(TypeError, match="weight= is not an option here: give the losses weights"):
            loss(weight=[1.0, 2.0])
    for option in ("norm_type", "scale_grad_by_freq"):
        with pytest.raises(TypeError, match=rf"Embedding: {option}= is not an option here: .*the rows"):
            nn.Embedding(3, 4, **{option: 2})
