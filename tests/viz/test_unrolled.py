"""Unrolled nets of more than one direction."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

import viz
from microgradrnn import nn


def test_a_layer_that_runs_backwards_is_drawn_in_the_order_it_ran() -> None:
    net = nn.LSTM(3, 5, bidirectional=True, rng=0)
    hs, _ = net(np.random.default_rng(0).standard_normal((9, 2, 3)))
    loss = (hs * hs).sum()
    flow = viz.gradient_flow(loss)
    drawing = viz.unrolled(loss, flow=flow)
    words = [e.text for e in ElementTree.fromstring(drawing.svg).iter() if e.text and e.text.startswith("t = ")]
    assert words.index("t = 7") < words.index("t = 0")  # the backwards lane, ...
    assert words[-1] == "t = 8"  # ... and the forwards one
