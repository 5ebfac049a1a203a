"""Claims about learning rates and updates."""

from __future__ import annotations

import numpy as np
import pytest

from microgradrnn import nn, optim
from microgradrnn.optim.schedules import exponential, inverse
from tests.claims.ledger import number


def test_c110_a_schedule_multiplies_the_first_rate_not_the_current_one() -> None:
    literal = [1.0, 1.0]
    for n in range(1, 11):
        literal = [exponential(n, literal[0], 0.9), inverse(n, literal[1], 0.1)]
    assert exponential(10, 1.0, 0.9) == pytest.approx(0.9**10)
    assert inverse(10, 1.0, 0.1) == 0.5
    assert literal[0] == pytest.approx(0.9**55)
    assert literal[1] == pytest.approx(1 / np.prod(1 + 0.1 * np.arange(1, 11)))
    assert number("C110") == (f"{exponential(10, 1.0, 0.9):.4f} and 0.5 after 10 epochs; as printed "
                              f"{literal[0]:.4f} and {literal[1]:.4f}")


def test_c112_parameters_move_against_the_gradient_and_the_loss_falls() -> None:
    rng = np.random.default_rng(0)
    net, head = nn.RNN(3, 5, rng=0), nn.Linear(5, 4, rng=1)
    xs, y = rng.standard_normal((6, 2, 3)), rng.integers(0, 4, (6, 2))
    sgd = optim.SGD([*net.parameters(), *head.parameters()], lr=0.01)
    losses = []
    for _ in range(20):
        loss = nn.cross_entropy(head(net(xs)[0]), y)
        losses.append(loss.item())
        sgd.zero_grad()
        loss.backward()
        before = [np.array(p.data) for p in sgd.parameters]
        sgd.step()
        for p, old in zip(sgd.parameters, before, strict=True):
            np.testing.assert_allclose(p.data, old - 0.01 * p.grad, rtol=1e-14)
    assert (np.diff(losses) < 0).all()
