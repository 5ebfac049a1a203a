"""Optimisers, learning-rate schedules and gradient clipping."""

from microgradrnn.optim import schedules
from microgradrnn.optim.clip import clip_grad_norm, clip_grad_value, global_norm
from microgradrnn.optim.optimisers import SGD, Adagrad, Adam, AdamW, Optimiser, RMSprop

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "Optimiser", "RMSprop", "clip_grad_norm", "clip_grad_value", "global_norm",
    "schedules",
]  # fmt: skip
