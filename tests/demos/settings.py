"""Functions that sweeps call in other processes. They must be in a module, so that processes find them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn import nn


def train(cell: str, T: int, gain: float, seed: int) -> dict[str, Any]:
    """Ten steps of gradient descent, the matrix products large enough for BLAS to share them out."""
    rng = np.random.default_rng([T, seed])
    net = {"tanh": nn.RNN, "gru": nn.GRU}[cell](40, 60, rng=rng)
    net.cell.W.data = gain * net.cell.W.data
    x, losses = rng.standard_normal((T, 50, 40)), []
    for _ in range(10):
        net.zero_grad()
        loss = ((net(x)[0] - 0.5) ** 2).mean()
        loss.backward()
        for p in net.parameters():
            p.data = p.data - p.grad
        losses.append(loss.item())
    return {"losses": losses}


def square(n: int) -> dict[str, Any]:
    """As it should be."""
    return {"square": n * n}


def odd_ones_fail(n: int, folder: str) -> dict[str, Any]:
    """Odd numbers fail, until there is a file called ``repaired``."""
    if n % 2 and not Path(folder, "repaired").exists():
        raise ArithmeticError(f"{n} is odd")
    return square(n)


def third_dies(n: int, folder: str) -> dict[str, Any]:
    """At n = 3 its process is killed, until there is a file called ``repaired``."""
    if n == 3 and not Path(folder, "repaired").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return square(n)


def victim(n: int, folder: str) -> dict[str, Any]:
    """At n = 3 it says which process it is in, and waits to be killed, until there is a file called ``repaired``."""
    if n == 3:
        Path(folder, f"{os.getpid()}.victim").touch()
        while not Path(folder, "repaired").exists():
            time.sleep(0.05)
    return square(n)


def waits(n: int, folder: str) -> dict[str, Any]:
    """At n = 2 it waits until there is a file called ``go``."""
    Path(folder, f"{n}.begun").touch()
    while n == 2 and not Path(folder, "go").exists():
        time.sleep(0.05)
    return square(n)
