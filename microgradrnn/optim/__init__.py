"""Optimisers and gradient clipping."""

from microgradrnn.optim.clip import clip_grad_norm
from microgradrnn.optim.optimisers import SGD, Adam, Optimiser

__all__ = ["SGD", "Adam", "Optimiser", "clip_grad_norm"]
