"""`fit`: a training loop around a step that you write, which can be killed at any moment and goes on exactly.

The step is yours, because it is what a learner should see::

    def step(batch):
        x, y = batch
        loss = nn.mse(net(x), y)
        adam.zero_grad()
        loss.backward()
        norm = optim.clip_grad_norm(adam.parameters, 1.0)
        adam.step()
        return loss.item(), norm

`fit` calls it, counts, logs, evaluates, stops, and saves everything that the next step depends on.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microgradrnn import io
from microgradrnn.files import held
from microgradrnn.nn import compiling

__all__ = ["History", "fit"]

Batches = Sequence[Any] | Callable[[int], Any]


@dataclass
class History:
    """What happened, step by step.

    Attributes:
        losses: what each step returned.
        norms: the gradient norms, if steps return them; they show explosions, and where clipping sets in.
        evaluations: pairs (steps done, what `evaluate` returned).
    """

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> tuple[int, float] | None:
        """The first of the lowest evaluations, if there was any. NaN is worse than any number."""
        return min(self.evaluations, key=lambda pair: (math.isnan(pair[1]), pair[1]), default=None)

    def without_improvement(self) -> int:
        """How many evaluations came after the best one.

        >>> History(evaluations=[(10, 0.5), (20, 0.4), (30, 0.6), (40, 0.4)]).without_improvement()
        2
        """
        return 0 if self.best is None else len(self.evaluations) - 1 - self.evaluations.index(self.best)

    def state_dict(self) -> dict[str, Any]:
        """The history as arrays."""
        at = [n for n, _ in self.evaluations], [value for _, value in self.evaluations]
        return {"losses": np.array(self.losses, float), "norms": np.array(self.norms, float),
                "evaluated_at": np.array(at[0], int), "evaluations": np.array(at[1], float)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The history from arrays.

        Raises:
            ValueError: if it is no history's.
        """
        wrong = [name for name, own in History().state_dict().items()
                 if not isinstance(a := state.get(name), np.ndarray) or (a.ndim, a.dtype.kind) != (1, own.dtype.kind)]
        if wrong or len(state["evaluated_at"]) != len(state["evaluations"]):
            raise ValueError(f"this is no history of fit; look at {', '.join(wrong) or 'the evaluations'}")
        self.losses, self.norms = state["losses"].tolist(), state["norms"].tolist()
        self.evaluations = list(zip(state["evaluated_at"].tolist(), state["evaluations"].tolist(), strict=True))


def fit(
    step: Callable[[Any], float | tuple[float, float]], batches: Batches, steps: int, *, every: int = 100,
    evaluate: Callable[[], float] | None = None, patience: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None, saved: dict[str, Any] | None = None, bar: str | None = None,
    compiled: bool | str = "auto",
) -> History:  # fmt: skip
    """Call ``step(batch)`` until it was called `steps` times in all, in this run and those before it.

    A run that is killed at any moment, and started again with the same arguments, goes on from its last checkpoint,
    and ends with the same bits as a run that was never killed. For that, `saved` must hold everything that a step
    changes and a later step reads: modules, optimisers, every random generator that is drawn from, and a dict with
    whatever else is carried on, such as the state in truncated BPTT. (Same bits on the same machine: other
    processors, numbers of threads or versions of NumPy round differently.)

    Args:
        step: does one update and returns the loss, or the loss and the norm of the gradient.
        batches: a sequence, walked through again and again (step n gets ``batches[n % len(batches)]``), or a function
            of n. Not an iterator: nobody can say where it stood.
        steps: how many.
        every: evaluate and save after so many steps, and after the last.
        evaluate: what is to become small on data that is not trained on.
        patience: stop after so many evaluations in a row that were no better than the best so far. The weights are
            then those of the last step.
        checkpoint: the file to save to, and to go on from if it is there. It is written once before the first step
            too, so that what cannot be saved is known at once. One run at a time has it: a lock is held, which ends
            with the process, however that ends. A link is followed. Needs the extra ``io``.
        saved: by name, what `microgradrnn.io.save` takes.
        bar: what to write before the progress bar; None shows none. Needs the extra ``progress``.
        compiled: how loops over time in a step run; by default compiled for NumPy if possible, see `nn.compiling`.

    Returns:
        The history of all steps, those of earlier runs too.

    Raises:
        FloatingPointError: as soon as a loss, or a returned norm, is not finite. The last checkpoint is from before.
        ValueError, TypeError: if arguments do not fit together, or something in `saved` cannot be saved.
        BlockingIOError: if another run has the checkpoint.
        FileNotFoundError: if the checkpoint is a link to a file that is not there, or its folder is missing.
        OSError: if the checkpoint cannot be written.
        ImportError: before the first step, if there is a checkpoint and no safetensors, or a bar and no tqdm.
        microgradrnn.io.DamagedFileError: if the checkpoint is not whole. (`fit` itself never leaves such a file.)

    >>> from microgradrnn import Value, optim
    >>> w = Value(1.0)
    >>> sgd = optim.SGD([w], lr=0.1)
    >>> def step(x):
    ...     loss = (w * x - 3) ** 2
    ...     sgd.zero_grad(); loss.backward(); sgd.step()
    ...     return loss.data
    >>> history = fit(step, [1.0, 0.5], 200)
    >>> len(history.losses), history.losses[0]
    (200, 4.0)
    """
    history = History()
    things = checked(step, batches, steps, every, evaluate, patience, checkpoint, saved, history)
    draw: Callable[[int], Any] = batches if callable(batches) else lambda n: batches[n % len(batches)]
    with compiling(compiled), nullcontext() if checkpoint is None else held(checkpoint):
        if checkpoint is not None:
            if Path(checkpoint).exists():
                io.load(checkpoint, **things)
            if len(history.losses) < steps:  # what cannot be saved, or not there, fails before the first step
                io.save(checkpoint, **things)
        with progress(bar, steps, len(history.losses)) as shown:
            for n in range(len(history.losses), steps):
                if patience is not None and history.without_improvement() >= patience:
                    break
                said = step(draw(n))
                loss, *norm = numbers(said)
                if not all(map(math.isfinite, (loss, *norm))):
                    raise FloatingPointError(
                        f"fit: the loss is {loss} at step {n}{f', the gradient norm {norm[0]}' if norm else ''}; lower "
                        "the learning rate, clip the gradient, or look for the cause with detect_anomaly()"
                    )
                history.losses.append(loss)
                history.norms += norm
                if (n + 1) % every == 0 or n + 1 == steps:
                    if evaluate is not None:
                        history.evaluations.append((n + 1, evaluation(evaluate())))
                    if checkpoint is not None:
                        io.save(checkpoint, **things)
                shown(history)
    return history


def numbers(said: Any) -> list[float]:
    """What a step returned: the loss, or the loss and the norm."""
    parts = said if isinstance(said, tuple) else (said,)
    try:
        if len(parts) in (1, 2):
            return [float(x) for x in parts]
    except (TypeError, ValueError):  # no numbers
        pass
    raise TypeError(f"fit: step must return the loss, or the pair (loss, norm), as numbers; got {said!r}")


def evaluation(said: Any) -> float:
    """What `evaluate` returned, as a number."""
    try:
        return float(said)
    except (TypeError, ValueError):
        raise TypeError(f"fit: evaluate must return a number, got {said!r}") from None


def checked(
    step: Any, batches: Batches, steps: int, every: int, evaluate: Any, patience: int | None, checkpoint: Any,
    saved: dict[str, Any] | None, history: History,
) -> dict[str, Any]:  # fmt: skip
    """What goes to the checkpoint, if the arguments fit together."""
    for name, function in (("step", step), ("evaluate", evaluate)):
        if not callable(function) and (name == "step" or function is not None):
            raise TypeError(f"fit: {name} must be a function, got {type(function).__name__}")
    row = hasattr(batches, "__getitem__") and hasattr(batches, "__len__") and not isinstance(batches, Mapping)
    if not callable(batches) and not row:
        raise TypeError(f"fit: batches must be a sequence, or a function of the step's number; a "
                        f"{type(batches).__name__} cannot be taken up again in the middle")
    if not callable(batches) and not len(batches):
        raise ValueError("fit: there are no batches")
    if not all(isinstance(n, (int, np.integer)) for n in (steps, every)) or steps < 1 or every < 1:
        raise ValueError(f"fit: steps and every must be whole numbers, at least 1, got {steps} and {every}")
    if patience is not None and (evaluate is None or patience < 1):
        raise ValueError("fit: patience counts evaluations: it must be at least 1, and needs evaluate=")
    if (checkpoint is None) != (not saved):
        raise ValueError("fit: checkpoint= is where, saved= is what: give both or none, for example "
                         "checkpoint='run.safetensors', saved={'net': net, 'adam': adam, 'rng': rng}")
    if "history" in (saved or {}):
        raise ValueError("fit: the name history is taken, by the history of this run")
    return {**(saved or {}), "history": history}


class progress:  # noqa: N801
    """A progress bar on stderr, as a context that gives a function to call after every step."""

    def __init__(self, bar: str | None, steps: int, done: int) -> None:
        self.tqdm: Any = None
        if bar is not None:
            try:
                from tqdm import tqdm
            except ImportError:
                raise ImportError('the progress bar needs tqdm: pip install "microgradrnn[progress]"') from None
            every = 0.1 if sys.stderr.isatty() else 10.0  # seconds; a log file wants few lines
            self.tqdm = tqdm(total=steps, initial=done, desc=bar, unit="step", file=sys.stderr, dynamic_ncols=True,
                             mininterval=every)

    def __enter__(self) -> Callable[[History], None]:
        return self.show if self.tqdm is not None else lambda history: None

    def show(self, history: History) -> None:
        """One step more, and the last figures."""
        words = f"loss {history.losses[-1]:.4g}"
        words += f", norm {history.norms[-1]:.3g}" if history.norms else ""
        words += f", evaluation {history.evaluations[-1][1]:.4g}" if history.evaluations else ""
        self.tqdm.set_postfix_str(words, refresh=False)
        self.tqdm.update()

    def __exit__(self, *_: object) -> None:
        if self.tqdm is not None:
            self.tqdm.close()
