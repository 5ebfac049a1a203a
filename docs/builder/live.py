"""The explorer on the start page: two small nets that learned to remember the first of 24 inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sphinx.application import Sphinx

import viz
from microgradrnn import nn, optim
from microgradrnn.data import latch
from microgradrnn.engine import Tensor

T, H = 24, 8
UPDATES = 150


def trained(layer: Any) -> Tensor:
    """The loss of one sequence, at its last step, after training: was the first input -1 or +1?"""
    rng, head = np.random.default_rng(0), nn.Linear(H, 2, rng=1)
    adam = optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    for _ in range(UPDATES):
        x, y = latch(T, 16, rng)
        loss = nn.cross_entropy(head(layer(x)[0][-1]), y)
        adam.zero_grad()
        loss.backward()
        optim.clip_grad_norm(adam.parameters, 1.0)
        adam.step()
    x, y = latch(T, 1, rng)
    return nn.cross_entropy(head(layer(x)[0][-1]), y)


def written(app: Sphinx, error: Exception | None) -> None:
    """Write the page of the explorer beside the start page."""
    path = Path(app.outdir, "live", "explorer.html")
    if error is None and not path.exists():
        nets = {"LSTM": nn.LSTM(1, H, rng=0), "tanh RNN": nn.RNN(1, H, rng=0)}
        viz.explore({name: trained(layer) for name, layer in nets.items()}, path)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("build-finished", written)
    return {"parallel_read_safe": True, "version": "1"}
