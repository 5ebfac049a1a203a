"""Optimisers, learning-rate schedules and gradient clipping."""

from typing import TYPE_CHECKING, Any

from microgradrnn.optim import schedules
from microgradrnn.optim.clip import clip_grad_norm, clip_grad_value, global_norm
from microgradrnn.optim.optimisers import SGD, Adagrad, Adam, AdamW, Optimiser, RMSprop

__all__ = [
    "SGD", "Adagrad", "Adam", "AdamW", "Optimiser", "RMSprop", "clip_grad_norm", "clip_grad_value", "global_norm",
    "schedules",
]  # fmt: skip

OTHERS = "it is not here; there are SGD, Adagrad, RMSprop, Adam and AdamW"
NAMES = {
    "lr_scheduler": "rates are functions: opt.lr = schedules.cosine(opt.steps, 0.01, 1000), from microgradrnn.optim",
    "Optimizer": "it is called Optimiser",
    **dict.fromkeys(("Adadelta", "Adamax", "NAdam", "RAdam", "LBFGS", "Rprop", "ASGD", "Muon"), OTHERS),
}

if not TYPE_CHECKING:  # else nothing would be checked

    def __getattr__(name: str) -> Any:
        hint = f": {NAMES[name]}" if name in NAMES else ""
        raise AttributeError(f"module 'microgradrnn.optim' has no attribute {name!r}{hint}")
