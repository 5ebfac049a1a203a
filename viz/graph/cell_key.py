"""The key of a cell: what each part is for, in words, read from its equations and never guessed from a letter.

A gate that multiplies a state's own past is what keeps it; one that multiplies a candidate lets it in; one that
multiplies the read-out of another state puts it out; one that works inside a candidate decides what that sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from viz.graph.equations import Equation, Equations, Expr


@dataclass
class Uses:
    """What a gate multiplies: texts of the other factors, by what that does. ``un`` is for 1 minus the gate."""

    keeps: list[str] = field(default_factory=list)
    unkeeps: list[str] = field(default_factory=list)
    lets_in: list[str] = field(default_factory=list)
    unlets_in: list[str] = field(default_factory=list)
    puts_out: list[str] = field(default_factory=list)
    shows: list[tuple[str, str]] = field(default_factory=list)  # to which candidate
    else_: list[str] = field(default_factory=list)


def cell_key(found: Equations) -> dict[str, str]:
    """A few words on every symbol that the equations define, and on the inputs.

    >>> from microgradrnn import nn
    >>> from viz.graph.equations import equations
    >>> cell_key(equations(nn.LSTMCell(3, 4, rng=0)))["f"]
    'forget gate: how much of c_{t-1} is kept'
    """
    words = {}
    for line in found.lines:
        if line.role == "gate":
            words[line.symbol] = _gate(uses(line.symbol, found))
        elif line.role == "candidate":
            words[line.symbol] = _candidate(line.symbol, found)
        elif line.node in found.probe.after:
            words[line.symbol] = _state(line, found)
        elif line.role is not None:
            words[line.symbol] = {"hidden": "hidden layer", "output": "output"}.get(line.role, line.role)
        elif _is_weighted_sum(line.expr):
            words[line.symbol] = "net input: the weighted sum"
    return words


def uses(gate: str, found: Equations) -> Uses:
    """Everything that a gate multiplies."""
    result = Uses()
    candidates = {line.symbol for line in found.lines if line.role == "candidate"}
    states = set(found.probe.symbols)
    for line in found.lines:
        is_state = line.node in found.probe.after
        for product in line.expr.walk():
            if product.kind != "product":
                continue
            for factor in product.parts:
                direct, turned = _is(factor, gate), _is_rest_of(factor, gate)
                if not (direct or turned):
                    continue
                others = [part for part in product.parts if part is not factor]
                said = " ⊙ ".join(found.text(part) for part in others)
                names = {part.word for other in others for part in other.walk() if part.kind == "name"}
                if line.role == "candidate":
                    result.shows.append((said, line.symbol))
                elif is_state and f"{line.symbol}_{{t-1}}" in names:
                    (result.keeps if direct else result.unkeeps).append(said)
                elif is_state and names & candidates:
                    (result.lets_in if direct else result.unlets_in).append(said)
                elif is_state and product is line.expr and names & {f"{state}_t" for state in states}:
                    result.puts_out.append(said)
                else:
                    result.else_.append(said)
    return result


def _gate(use: Uses) -> str:
    if use.unkeeps and use.lets_in:
        kept, new = use.unkeeps[0], use.lets_in[0]
        if use.shows:
            return f"gate: how much of {kept} is replaced by {new}, and how much of it {new} sees"
        return f"update gate: how much of {kept} is replaced by {new}"
    if use.keeps and use.unlets_in:
        return f"update gate: how much of {use.keeps[0]} is kept; the rest is taken from {use.unlets_in[0]}"
    kinds = [
        ("forget gate", [f"how much of {x} is kept" for x in use.keeps]),
        ("input gate", [f"how much of {x} is let in" for x in use.lets_in]),
        ("output gate", [f"how much of {x} is put out" for x in use.puts_out]),
        ("reset gate", [f"how much of {x} goes into {n}" for x, n in use.shows]),
        ("gate", [f"how much of {x} passes" for x in use.else_]
         + [f"1 minus it is how much of {x} passes" for x in (*use.unkeeps, *use.unlets_in)]),
    ]
    said = [(name, words) for name, words in kinds if words]
    if not said:
        return "gate"
    return f"{said[0][0] if len(said) == 1 else 'gate'}: {', and '.join(word for _, words in said for word in words)}"


def _candidate(symbol: str, found: Equations) -> str:
    into = [line.left for line in found.lines if line.node in found.probe.after
            and any(_is(part, symbol) for part in line.expr.walk())]
    return f"candidate: what may come into {' and '.join(into)}" if into else "candidate"


def _state(line: Equation, found: Equations) -> str:
    name = {"cell": "cell state", "hidden": "hidden state", "output": "output"}.get(line.role or "", "state")
    past = f"{line.symbol}_{{t-1}}"
    said = []
    if line.node is found.probe.after[0]:
        said.append("what the cell puts out")
    if any(part.word == past for other in found.lines for part in other.expr.walk()):
        said.append("what the next step reads" if said else "handed on to the next step")
    return f"{name}: {' and '.join(said)}" if said else name


def _is(e: Expr, symbol: str) -> bool:
    return e.kind == "name" and e.word == symbol


def _is_rest_of(e: Expr, symbol: str) -> bool:
    """Is it 1 minus the symbol?"""
    return (e.kind == "sum" and e.word == "+-" and e.parts[0].kind == "number" and e.parts[0].word == "1"
            and _is(e.parts[1], symbol))


def _is_weighted_sum(e: Expr) -> bool:
    terms: Iterable[Expr] = e.parts if e.kind == "sum" else (e,)
    return all(term.kind in ("weight", "beside") for term in terms)
