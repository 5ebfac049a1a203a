"""Ways through a cell: classes of paths add up to the gradient, and each holds the paths that it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Tensor, nn
from viz.ways import RULES

CELLS: dict[str, Any] = {
    "rnn": lambda: nn.RNNCell(3, 4, rng=0),
    "irnn": lambda: nn.IRNNCell(3, 4, rng=0),
    "jordan": lambda: nn.JordanCell(3, 4, 2, rng=0),
    "additive": lambda: nn.AdditiveCell(3, 4, rng=0),
    "additive reading": lambda: nn.AdditiveCell(3, 4, reads_state=True, rng=0),
    "lstm": lambda: nn.LSTMCell(3, 4, rng=0),
    "carousel": lambda: nn.CarouselLSTMCell(3, 4, rng=0),
    "coupled": lambda: nn.CoupledLSTMCell(3, 4, rng=0),
    "update": lambda: nn.UpdateGateLSTMCell(3, 4, rng=0),
    "gru before": lambda: nn.GRUCell(3, 4, rng=0),
    "gru after": lambda: nn.GRUCell(3, 4, reset="after", rng=0),
    "mgu": lambda: nn.MGUCell(3, 4, rng=0),
}


def first_state(cell: Any, B: int = 2) -> Any:
    """A state that is not 0, and takes a gradient."""
    rng = np.random.default_rng(2)
    parts = tuple(Tensor(rng.standard_normal((B, cell.state_size)) / 2) for _ in cell.state)
    return parts if len(parts) > 1 else parts[0]


def unrolled(name: str, T: int, **options: Any) -> tuple[Any, Any]:
    """The outputs of all steps, and the last state."""
    cell = CELLS[name]()
    return nn.unroll(cell, np.random.default_rng(1).standard_normal((T, 2, 3)), first_state(cell), **options)


def loss_of(hs: Any) -> Any:
    """A loss at every step, none like another."""
    return (hs * np.random.default_rng(3).standard_normal(hs.shape)).sum()


# ------------------------------------------------------------------------------------------------ the parts add up
@pytest.mark.parametrize("by", RULES)
@pytest.mark.parametrize("name", CELLS)
def test_the_classes_add_up_to_the_gradient(name: str, by: str) -> None:
    for T in (1, 2, 3, 10, 50, 200):
        hs, _ = unrolled(name, T)
        for root in (loss_of(hs), loss_of(hs[-1])):
            if T == 1:
                with pytest.raises(ValueError, match="hands on nothing"):
                    viz.ways(root, by=by)
                continue
            for state in CELLS[name]().state:
                found = viz.ways(root, state, by)
                assert found.whole.shape == (T, 2, CELLS[name]().state_size)
                assert np.linalg.norm(found.whole[0]) > 0
                assert found.check() < 1e-10
