"""DOT: a small graph as micrograd draws it, a record for every number and a circle for every operation.

The text can always be made; only ``render`` and notebook display run the ``dot`` program. Names in the text are n0,
n1, ... so that no label can be taken for a port (``a:b``), and every label is escaped: in a record ``{ } | < >`` and
the backslash have a meaning of their own, and a label in angle brackets would be HTML.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import graphviz
import networkx as nx

from microgradrnn.engine import Node
from viz.flow import Flow
from viz.scale import short
from viz.theme import DEFAULT, Theme
from viz.trace import trace

NO_DOT = (
    "Graphviz' dot program was not found. Install it (apt install graphviz, brew install graphviz, "
    "winget install Graphviz.Graphviz) and see that it is on the PATH. Without it: viz.unrolled(...).save(\"x.svg\") "
    "draws, and .source holds the DOT text."
)
RENDERED = (".svg", ".png", ".pdf")


class DotNotFoundError(graphviz.ExecutableNotFound):  # type: ignore[misc]
    """The dot program is missing; says what to do."""

    def __str__(self) -> str:
        return NO_DOT


class Digraph(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph` that says what to do where the ``dot`` program is missing.

    ``save("x.svg")`` (or ``.png``, ``.pdf``) renders; under any other name the DOT text is written. A notebook without
    the program shows that text.
    """

    _writing = False  # inside render(), which calls save() to write the text

    def save(self, filename: Any = None, directory: Any = None, **how: Any) -> str:
        """Write the picture, if the name ends in .svg, .png or .pdf, else the DOT text. Returns the path."""
        ending = Path(filename).suffix.lower() if filename is not None else ""
        if self._writing or ending not in RENDERED:
            return str(super().save(filename, directory=directory, **how))
        path = Path(directory or self.directory or "", filename)
        picture = self.pipe(format=ending[1:])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
        return str(path)

    def render(self, *args: Any, **how: Any) -> str:
        """As in graphviz."""
        self._writing = True
        try:
            return str(super().render(*args, **how))
        except graphviz.ExecutableNotFound as error:
            raise DotNotFoundError(["dot"]) from error
        finally:
            self._writing = False

    def pipe(self, *args: Any, **how: Any) -> Any:
        """As in graphviz."""
        try:
            return super().pipe(*args, **how)
        except graphviz.ExecutableNotFound as error:
            raise DotNotFoundError(["dot"]) from error

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        try:
            bundle: dict[str, str] = super()._repr_mimebundle_(*args, **kwargs)
        except graphviz.ExecutableNotFound:
            note = "// Graphviz' dot program was not found, so here is the text it would draw.\n"
            return {"text/plain": note + str(self.source)}
        return bundle


def draw(root: Node | nx.MultiDiGraph, *, flow: Flow | None = None, rankdir: str = "LR",
         theme: Theme = DEFAULT) -> graphviz.Digraph:
    """Every value, gradient and operation of a graph. Meant for small graphs; see `viz.unrolled` for long ones.

    Args:
        root: a `Value` or a `Tensor`, or a graph from `trace`.
        flow: shows the norms of a `gradient_flow` where ``.grad`` holds nothing, and on every edge.
        rankdir: ``LR``, left to right, or ``TB``, downwards.
        theme: colours.

    Returns:
        A `graphviz.Digraph`. ``.source`` is the DOT text; ``.save("x.svg")`` and ``.render()`` need the ``dot``
        program.

    Raises:
        ValueError: if rankdir is neither.

    >>> from microgradrnn import Value
    >>> y = Value(2.0, label="a") * Value(3.0, label="b")
    >>> y.backward()
    >>> "a | data 2.0000 | grad 3.0000" in draw(y).source
    True
    """
    if rankdir not in ("LR", "TB"):
        raise ValueError(f"draw: rankdir is 'LR' or 'TB', got {rankdir!r}")
    graph = root if isinstance(root, nx.MultiDiGraph) else trace(root)
    dot = Digraph(
        graph_attr={"rankdir": rankdir},
        node_attr={"fontname": "Helvetica", "fontsize": "11"},
        edge_attr={"color": theme.wire, "fontname": "Helvetica", "fontsize": "9"},
    )
    names = {node: f"n{j}" for j, node in enumerate(graph)}
    for node, said in graph.nodes(data=True):
        colour = theme.colour(said.get("symbol"), said.get("role")) or theme.ink
        fields = " | ".join(map(record_text, fields_of(node, said, flow)))
        record = f"{{ {fields} }}" if rankdir == "LR" else fields  # braces turn a record round
        dot.node(names[node], label=record, shape="record", color=colour, tooltip=graphviz.nohtml(plain_text(node)),
                 style="dashed" if said["kind"] == "constant" else "solid")
        if "op" in said:
            dot.node(names[node] + "op", label=graphviz.nohtml(plain_text(said["sign"])), shape="circle",
                     margin="0.02", tooltip=graphviz.nohtml(plain_text(said["op"])))
            dot.edge(names[node] + "op", names[node])
    for u, v, k in graph.edges(keys=True):
        size = None if flow is None else flow.messages.get((v, k))  # type: ignore[call-overload]
        dot.edge(names[u], names[v] + "op", label="" if size is None else short(size))
    return dot


draw_dot = draw  # micrograd's name


def fields_of(node: str, said: dict[str, Any], flow: Flow | None) -> list[str]:
    """What a record says: the symbol, the data, the gradient."""
    fields = [said["symbol"]] if "symbol" in said else []
    if "value" in said:
        fields.append(f"data {said['value']:.4f}")
    else:
        fields += [f"{said['shape']} {said['dtype']}", f"‖data‖ {short(said['norm'])}"]
    if "grad" in said:
        fields.append(f"grad {said['grad']:.4f}")
    elif "grad_norm" in said:
        fields.append(f"‖grad‖ {short(said['grad_norm'])}")
    elif flow is not None and node in flow.gradients:
        fields.append(f"‖grad‖ {short(flow.gradients[node])}")
    return fields


def plain_text(text: str) -> str:
    """Text for an ordinary label: a backslash is a backslash, a new line is a new line."""
    return str(text).replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n").replace("\0", "\ufffd")


def record_text(text: str) -> str:
    r"""Text for a field of a record.

    >>> print(record_text("a|b {c}"))
    a\|b \{c\}
    """
    return re.sub(r"([{}|<>])", r"\\\1", plain_text(text))
