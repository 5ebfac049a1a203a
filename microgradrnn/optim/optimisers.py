"""Optimisers: each is its update rule, θ ← θ − λ d, and a line that says what d is.

A step rebinds ``p.data``; arrays that a graph has used stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from microgradrnn.engine.answers import answered, answered_constructor
from microgradrnn.engine.node import Node, plain
from microgradrnn.optim.clip import listed
from microgradrnn.optim.schedules import need_rates

# Options of PyTorch's optimisers, and what to do here.
OPTIONS = {
    "maximize": "minimise minus the loss", "params": "it is parameters, the first argument",
    "learning_rate": "say lr=", "lr_decay": "set opt.lr before a step, see microgradrnn.optim.schedules",
    "initial_accumulator_value": "sums start at 0", "beta_1": "say betas=(β₁, β₂)", "beta_2": "say betas=(β₁, β₂)",
    "rho": "say alpha=", "clipnorm": "clip_grad_norm clips, before the step", "decay": "say weight_decay=",
    **dict.fromkeys(("foreach", "fused", "capturable", "differentiable"), "there is one way to step; leave it out"),
}  # fmt: skip
SHARES = ("momentum", "dampening", "alpha", "betas")  # settings that lie in [0, 1)


class Optimiser:
    """Base: holds the parameters, walks over those that have a gradient.

    Attributes:
        parameters: the nodes that are trained.
        lr: the learning rate λ; set it before any step, for example from `schedules`.
        weight_decay: γ; the gradient is then that of L + γ/2 ‖θ‖².
        steps: how many steps were taken.
        counts: how many of them each parameter took part in; one without a gradient stands aside.

    Raises:
        ValueError: if there are no parameters, one of them was computed, or lr is not positive.

    >>> import numpy as np
    >>> from microgradrnn import Value
    >>> class Signs(Optimiser):
    ...     def direction(self, k, g):
    ...         return np.sign(g)
    >>> w = Value(1.0)
    >>> (w * w).backward()
    >>> Signs([w], lr=0.1).step()
    >>> w.data
    0.9
    """

    settings: ClassVar[tuple[str, ...]] = ()  # attributes with the numbers of the update rule
    memory: tuple[str, ...] = ()  # attributes with one array for each parameter, which start at zero

    def __init__(self, parameters: Iterable[Node], lr: float, weight_decay: float = 0.0) -> None:
        who = type(self).__name__
        self.parameters = listed(parameters, who)
        if not self.parameters:
            raise ValueError(f"{who}: no parameters to optimise")
        if any(not p.is_leaf for p in self.parameters):
            raise ValueError(f"{who}: a computed node cannot be trained, only leaves, such as module.parameters()")
        need_rates(who, lr=lr)
        if not lr > 0:
            raise ValueError(f"{who}: lr must be positive, got {lr!r}")
        need_rates(who, weight_decay=weight_decay)
        self.lr = lr
        self.weight_decay = float(weight_decay)
        self.steps = 0
        self.counts = [0] * len(self.parameters)
        for name in self.memory:
            setattr(self, name, [np.zeros_like(p.data) for p in self.parameters])

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = answered_constructor(cls.__init__, OPTIONS)  # type: ignore[method-assign]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            hint = ": there is one group; set opt.lr" if name in ("param_groups", "add_param_group") else ""
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}", name=name, obj=self)

    @answered
    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters:
            p.zero_grad()

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        self.steps += 1
        lr = float(self.lr)  # a NumPy float64 would turn float32 parameters into float64
        for k, p in enumerate(self.parameters):
            if p.grad is not None:
                self.counts[k] += 1
                p.data = p.data - lr * self.direction(k, self.regularised(k, plain(p.grad)))

    def regularised(self, k: int, g: Any) -> Any:
        """g + γ θ, for the k-th parameter: the gradient with that of γ/2 ‖θ‖²."""
        return g + self.weight_decay * self.parameters[k].data if self.weight_decay else g

    def direction(self, k: int, g: Any) -> Any:
        """d, the direction to go down in, for the k-th parameter, whose gradient is g."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Everything the next steps depend on, beside the parameters: the kind, lr and settings, the counts of steps,
        and the running arrays.
        """
        running = {name: [np.array(a) for a in getattr(self, name)] for name in self.memory}
        settings = {name: getattr(self, name) for name in self.settings}
        return {"kind": type(self).__name__, "lr": float(self.lr), "steps": self.steps, "counts": list(self.counts),
                **settings, **running}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where the optimiser that made this `state_dict` stood. Nothing is changed unless all of it fits.

        Raises:
            KeyError: if it comes from another kind of optimiser.
            ValueError: if it comes from other parameters, or holds a number that the optimiser would refuse.
        """
        who = type(self).__name__
        if state.get("kind", who) != who:
            raise KeyError(f"{who}.load_state_dict: the state is one of {state['kind']}")
        if wrong := sorted(self.state_dict().keys() ^ state.keys()):
            raise KeyError(f"{who}.load_state_dict: these names are on one side only: {', '.join(wrong)}")
        own = [np.shape(p.data) for p in self.parameters]
        if len(state["counts"]) != len(own):
            raise ValueError(f"{who}.load_state_dict: made for {len(state['counts'])} parameters, not for {len(own)}")
        need_counts(who, [*state["counts"], state["steps"]])
        need_rates(who, lr=state["lr"])  # 0 is right here: some schedules end there
        for name in self.settings:
            need_setting(who, name, getattr(self, name), state[name])
        for name in self.memory:
            if [np.shape(a) for a in state[name]] != own:
                raise ValueError(f"{who}.load_state_dict: {name} was made for parameters of other shapes than {own}")
        self.lr, self.steps, self.counts = float(state["lr"]), int(state["steps"]), [int(n) for n in state["counts"]]
        for name in self.settings:
            setattr(self, name, state[name])
        for name in self.memory:
            setattr(self, name, [np.array(a, dtype=np.asarray(p.data).dtype)
                                 for a, p in zip(state[name], self.parameters, strict=True)])


class SGD(Optimiser):
    """Gradient descent, with momentum μ and L2 weight decay γ if asked for (Sutskever et al. 2013; PyTorch's form)::

        g ← ∂L/∂θ + γ θ                 v ← μ v + (1 − δ) g, at the first step v ← g
        d = v, or g + μ v (Nesterov: the gradient where the momentum is about to lead)

    With γ, the loss is in effect L + γ/2 ‖θ‖²: a parameter without any other gradient shrinks by 1 − λγ a step.

    Args:
        parameters: the nodes to train.
        lr: the learning rate λ.
        momentum: μ in [0, 1).
        dampening: δ in [0, 1), how much of each new gradient the momentum leaves out; with δ = μ, v is a running mean.
        nesterov: look ahead; needs momentum, and no dampening.
        weight_decay: γ.

    Raises:
        ValueError: if a number is out of range, or nesterov comes without momentum or with dampening.

    >>> from microgradrnn import Value
    >>> w = Value(1.0)
    >>> for _ in range(50):
    ...     w.zero_grad(); ((w - 3) ** 2).backward(); SGD([w], lr=0.1).step()
    >>> round(w.data, 3)
    3.0
    """

    settings, memory = ("momentum", "dampening", "nesterov", "weight_decay"), ("v",)
    v: list[Any]

    def __init__(self, parameters: Iterable[Node], lr: float, *, momentum: float = 0.0, dampening: float = 0.0,
                 nesterov: bool = False, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, lr, weight_decay)
        need_share("SGD", momentum=momentum, dampening=dampening)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov looks ahead along the momentum, so it needs momentum > 0 (0.9, say)")
        if nesterov and dampening:
            raise ValueError(f"SGD: nesterov takes the whole gradient, so dampening must be 0, got {dampening!r}")
        self.momentum, self.dampening, self.nesterov = float(momentum), float(dampening), bool(nesterov)

    def direction(self, k: int, g: Any) -> Any:
        """v, or g + μ v."""
        if not self.momentum:
            return g
        first = self.counts[k] == 1
        self.v[k] = g if first else self.momentum * self.v[k] + (1 - self.dampening) * g
        return g + self.momentum * self.v[k] if self.nesterov else self.v[k]


class Adagrad(Optimiser):
    """Adagrad (Duchi, Hazan & Singer 2011): s ← s + g², d = g / (√s + ε). Steps shrink as gradients add up.

    Args:
        parameters: the nodes to train.
        lr: the learning rate λ.
        eps: added to the root of the sum.
        weight_decay: γ, an L2 term in the loss.

    >>> from microgradrnn import Value
    >>> w = Value(1.0)
    >>> (5 * w).backward()
    >>> Adagrad([w], lr=0.1).step()
    >>> round(w.data, 6)
    0.9
    """

    settings, memory = ("eps", "weight_decay"), ("s",)
    s: list[Any]

    def __init__(self, parameters: Iterable[Node], lr: float = 1e-2, *, eps: float = 1e-10,
                 weight_decay: float = 0.0) -> None:
        super().__init__(parameters, lr, weight_decay)
        need_rates("Adagrad", eps=eps)
        self.eps = float(eps)

    def direction(self, k: int, g: Any) -> Any:
        """g / (√s + ε)."""
        self.s[k] = self.s[k] + g * g
        return g / (np.sqrt(self.s[k]) + self.eps)


class RMSprop(Optimiser):
    """RMSprop (Hinton's lecture 6e, 2012): steps of about lr, whatever the scale of the gradient. In PyTorch's form::

        g ← ∂L/∂θ + γ θ                 s ← α s + (1 − α) g²
        d = g / (√s + ε)                if centered: m ← α m + (1 − α) g, and √(s − m²) in place of √s (Graves 2013)
        with momentum: v ← μ v + g / (√s + ε), and d = v

    Args:
        parameters: the nodes to train.
        lr: the learning rate λ.
        alpha: α in [0, 1), how much of the running mean square is kept.
        eps: added to the root mean square.
        momentum: μ in [0, 1).
        centered: divide by the running standard deviation of the gradient, not by its root mean square.
        weight_decay: γ, an L2 term in the loss.

    Raises:
        ValueError: if a number is out of range.

    >>> from microgradrnn import Value
    >>> w = Value(1.0)
    >>> (5 * w).backward()
    >>> RMSprop([w], lr=0.1, alpha=0.75).step()      # √s = √(0.25 · 25) = 2.5
    >>> round(w.data, 6)
    0.8
    """

    settings = ("alpha", "eps", "momentum", "centered", "weight_decay")
    s: list[Any]
    m: list[Any]
    v: list[Any]

    def __init__(self, parameters: Iterable[Node], lr: float = 1e-2, *, alpha: float = 0.99, eps: float = 1e-8,
                 momentum: float = 0.0, centered: bool = False, weight_decay: float = 0.0) -> None:
        self.memory = ("s", *["m"] * centered, *["v"] * (momentum != 0))
        super().__init__(parameters, lr, weight_decay)
        need_share("RMSprop", alpha=alpha, momentum=momentum)
        need_rates("RMSprop", eps=eps)
        self.alpha, self.eps = float(alpha), float(eps)
        self.momentum, self.centered = float(momentum), bool(centered)

    def direction(self, k: int, g: Any) -> Any:
        """g / (√s + ε), or the momentum of that."""
        self.s[k] = self.alpha * self.s[k] + (1 - self.alpha) * g * g
        square = self.s[k]
        if self.centered:
            self.m[k] = self.alpha * self.m[k] + (1 - self.alpha) * g
            square = np.maximum(square - self.m[k] * self.m[k], 0.0)  # rounding may take a variance of 0 below it
        d = g / (np.sqrt(square) + self.eps)
        if not self.momentum:
            return d
        self.v[k] = self.momentum * self.v[k] + d
        return self.v[k]


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015, algorithm 1): steps of about lr, whatever the scale of the gradient.

    m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², d = m̂ / (√v̂ + ε), where m̂ = m / (1 − β₁ⁿ) and v̂ likewise make
    up for the start at zero; n counts the parameter's own steps, those for which it had a gradient.

    Args:
        parameters: the nodes to train.
        lr: the step size α.
        betas: the decay rates β₁, β₂ of the running mean and mean square of the gradient.
        eps: added to the root mean square.
        amsgrad: take the largest v so far in place of v, so that steps never grow again (Reddi, Kale & Kumar 2018).
        weight_decay: γ; g is then ∂L/∂θ + γ θ, an L2 term in the loss. It is divided by √v̂ with the rest of the
            gradient; `AdamW` decays all weights alike.

    Raises:
        ValueError: if a number is out of range.

    >>> from microgradrnn import Value
    >>> w = Value(1.0)
    >>> (5 * w).backward()
    >>> Adam([w], lr=0.1).step()
    >>> round(w.data, 6)
    0.9
    """

    settings = ("betas", "eps", "amsgrad", "weight_decay")
    m: list[Any]
    v: list[Any]
    v_max: list[Any]

    def __init__(self, parameters: Iterable[Node], lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, amsgrad: bool = False, weight_decay: float = 0.0) -> None:
        self.memory = ("m", "v", *["v_max"] * amsgrad)
        super().__init__(parameters, lr, weight_decay)
        if np.shape(betas) != (2,):
            raise ValueError(f"{type(self).__name__}: betas are two numbers, (β₁, β₂), got {betas!r}")
        need_share(type(self).__name__, beta1=betas[0], beta2=betas[1])
        need_rates(type(self).__name__, eps=eps)
        self.betas, self.eps = (float(betas[0]), float(betas[1])), float(eps)
        self.amsgrad = bool(amsgrad)

    def direction(self, k: int, g: Any) -> Any:
        """m̂ / (√v̂ + ε)."""
        beta1, beta2 = self.betas
        self.m[k] = beta1 * self.m[k] + (1 - beta1) * g
        self.v[k] = v = beta2 * self.v[k] + (1 - beta2) * g * g
        if self.amsgrad:
            self.v_max[k] = v = np.maximum(self.v_max[k], v)
        m_hat = self.m[k] / (1 - beta1 ** self.counts[k])
        v_hat = v / (1 - beta2 ** self.counts[k])
        return m_hat / (np.sqrt(v_hat) + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay γ (Loshchilov & Hutter 2019): d is Adam's, plus γ θ.

    An L2 term in the loss would be divided by √v̂ with the rest of the gradient; here every weight decays alike.

    Args:
        parameters: the nodes to train.
        lr, betas, eps, amsgrad: as in `Adam`.
        weight_decay: γ.

    >>> from microgradrnn import Value
    >>> w = Value(1.0)
    >>> (5 * w).backward()
    >>> AdamW([w], lr=0.1, weight_decay=0.5).step()  # 1 - 0.1 (1 + 0.5)
    >>> round(w.data, 6)
    0.85
    """

    def __init__(self, parameters: Iterable[Node], lr: float = 1e-3, *, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, amsgrad: bool = False, weight_decay: float = 1e-2) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, amsgrad=amsgrad, weight_decay=weight_decay)

    def regularised(self, k: int, g: Any) -> Any:
        """g: the loss stays as it is."""
        return g

    def direction(self, k: int, g: Any) -> Any:
        """Adam's direction + γ θ."""
        return super().direction(k, g) + self.weight_decay * self.parameters[k].data


def need_share(who: str, **numbers: float) -> None:
    """Raise unless every number lies in [0, 1)."""
    need_rates(who, **numbers)
    for name, x in numbers.items():
        if not 0 <= x < 1:
            raise ValueError(f"{who}: {name} must lie in [0, 1), got {x!r}")


def need_counts(who: str, counts: list[Any]) -> None:
    """Raise unless all are whole numbers from 0 to the last of them."""
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 0 <= n <= counts[-1] for n in counts):
        raise ValueError(f"{who}.load_state_dict: counts are whole numbers from 0 to the number of steps, got "
                         f"{counts[:-1]} for steps={counts[-1]!r}")


def need_setting(who: str, name: str, own: Any, loaded: Any) -> None:
    """Raise unless a number, or a tuple of numbers, may take the place of the optimiser's own."""
    if isinstance(own, bool) or not isinstance(own, (int, float, tuple)):
        if not isinstance(loaded, type(own)):
            raise TypeError(f"{who}.load_state_dict: {name} is a {type(own).__name__}, got {loaded!r}")
        return
    if np.shape(loaded) != np.shape(own):
        raise ValueError(f"{who}.load_state_dict: {name} is like {own!r}, got {loaded!r}")
    for x in loaded if isinstance(own, tuple) else (loaded,):
        (need_share if name in SHARES else need_rates)(who, **{name: x})
