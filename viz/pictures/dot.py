"""DOT: a small graph as micrograd draws it, a record for every number and a circle for every operation.

`draw_graph` returns a `graphviz.Digraph`; its text can be changed and given to Graphviz. `viz.pictures.value_graph`
paints what it saves and shows in a notebook, with or without Graphviz; only ``render`` and ``pipe``, Graphviz' own
methods, need the ``dot`` program. Names in the text are n0, n1, ... so that no label can be taken for a port
(``a:b``), and every label is escaped: in a record ``{ } | < >`` and the backslash have a meaning of their own, and a
label in angle brackets would be HTML.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import graphviz
import networkx as nx

from microgradrnn.files import write_whole
from viz.errors import MissingToolError
from viz.flow.messages import Flow
from viz.folding.fold import fold
from viz.graph.root import Root, as_node
from viz.graph.size import need_drawable
from viz.graph.steps import layers
from viz.graph.trace import trace
from viz.layout.arrange import GraphvizError, by_graphviz
from viz.numbers import short
from viz.pictures.value_graph import edges, fields_of, messages, picture
from viz.render.drawing import Drawing
from viz.render.svg import clean
from viz.theme import Theme, need_theme

NO_DOT = (
    "this needs Graphviz' dot program, which was not found. Install it (apt install graphviz, brew install graphviz, "
    "winget install Graphviz.Graphviz) and see that it is on the PATH. Without it: .save(\"x.svg\") draws all the "
    "same, viz.draw_unrolled(...).save(\"x.svg\") draws long graphs, and .source holds the DOT text."
)
RENDERED, TEXT = (".svg", ".png", ".pdf"), (".gv", ".dot")
MOST_WHOLE = 80  # nodes of a net of arrays that are drawn one by one
LABEL, TIP = 200, 12_000  # characters of a label, bytes of a tooltip: Graphviz reads no string of more than 16,384


class Digraph(graphviz.Digraph):  # type: ignore[misc]
    """A `graphviz.Digraph` that can paint itself.

    ``save("x.svg")`` (or ``.png``, ``.pdf``) writes the picture, ``save("x.gv")`` (or ``.dot``) the DOT text.
    """

    _paint: Callable[[], Drawing] | None = None
    _painted: tuple[str, Drawing] | None = None
    _original = ""
    _writing = False  # inside render(), which calls save() to write the text

    @property
    def drawing(self) -> Drawing:
        """The picture.

        Raises:
            MissingToolError: if the text was changed since `draw_graph`, so that only Graphviz can draw it, and there
                is none.
        """
        if self._painted is None or self._painted[0] != self.source:
            if self._paint is not None and self.source == self._original:
                made = self._paint()
            else:
                svg, tool = graphviz_makes(self.source, "svg")
                made = Drawing(svg.decode(), *size_of(svg.decode()), laid_out_by=tool)
            self._painted = self.source, made
        return self._painted[1]

    @property
    def laid_out_by(self) -> str:
        """What found the places: ``dot``, ``pygraphviz`` or ``viz.layout.layered``. A comment in the file says so."""
        return self.drawing.laid_out_by

    def save(self, filename: Any = None, directory: Any = None, **how: Any) -> str:
        """Write the picture (.svg, .png, .pdf) or the DOT text (.gv, .dot; without a name too). Returns the path.

        Raises:
            ValueError: if the name ends otherwise.
            MissingToolError: for .png and .pdf, if there is neither what `Drawing.save` needs nor Graphviz.
        """
        ending = Path(filename).suffix.lower() if filename is not None else ""
        if not self._writing and filename is not None and ending not in (*RENDERED, *TEXT):
            raise ValueError(f"save: {Path(filename).name!r} ends in {ending or 'nothing'}; a graph is saved as .svg, "
                             ".png or .pdf, its DOT text as .gv or .dot")
        if self._writing or ending not in RENDERED:
            return self._save_text(filename, directory, **how)
        path = Path(directory or self.directory or "", filename)
        try:
            self.drawing.save(path)
        except MissingToolError:
            try:
                picture, _ = graphviz_makes(self.source, ending[1:])
            except MissingToolError:
                picture = None
            if picture is None:
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, picture)
        return str(path)

    def _save_text(self, filename: Any, directory: Any, skip_existing: bool | None = False) -> str:
        """The DOT text, as graphviz names and encodes it, written whole."""
        if filename is not None:
            self.filename = os.fspath(filename)
        if directory is not None:
            self.directory = os.fspath(directory)
        path = Path(self.filepath)
        if not (skip_existing and path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, self.source.encode(self.encoding))
        return str(self.filepath)

    def render(self, *args: Any, **how: Any) -> str:
        """As in graphviz; needs the ``dot`` program."""
        self._writing = True
        try:
            return str(super().render(*args, **how))
        except graphviz.ExecutableNotFound as error:
            raise MissingToolError(f"render: {NO_DOT}") from error
        finally:
            self._writing = False

    def pipe(self, *args: Any, **how: Any) -> Any:
        """As in graphviz; needs the ``dot`` program."""
        try:
            return super().pipe(*args, **how)
        except graphviz.ExecutableNotFound as error:
            raise MissingToolError(f"pipe: {NO_DOT}") from error

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        try:
            return {**self.drawing._repr_mimebundle_(), "text/plain": str(self.source)}
        except MissingToolError:
            return {"text/plain": str(self.source)}


def graphviz_makes(source: str, format: str) -> tuple[bytes, str]:
    """A picture by Graphviz, and which Graphviz it was."""
    try:
        return by_graphviz(source, format)[:2]
    except GraphvizError as error:
        why = "; ".join(f"{tool}: {words}" for tool, words in error.args[0].items())
        raise MissingToolError(f"{NO_DOT} ({why})") from None


def size_of(svg: str) -> tuple[float, float]:
    """The width and height that an SVG says it has, in pixels (Graphviz gives points)."""
    root = ElementTree.fromstring(svg)
    width, height = (float(root.get(side, "0").removesuffix("pt")) for side in ("width", "height"))
    return width * 4 / 3, height * 4 / 3


def draw_graph(root: Root | nx.MultiDiGraph | Flow, *, flow: Flow | None = None, rankdir: str = "LR",
               name: str | None = None, theme: Theme | str | None = None) -> graphviz.Digraph:
    """Every value, gradient and operation of a graph. One that is wider than ``theme.page`` is wrapped into rows.

    Of a long net of arrays the first and the last step are drawn, and one box for the steps between them. Nets with
    steps are easier to read in `viz.draw_unrolled` or `viz.draw_rolled`.

    Args:
        root: a `Value` or a `Tensor`, a loss of PyTorch, a graph from `trace` or `fold` (all of it is drawn), or a
            `Flow` from `gradient_flow`.
        flow: shows the norms of a `gradient_flow` where ``.grad`` is 0 or not there, and on every edge.
        rankdir: ``LR``, left to right, or ``TB``, downwards.
        name: what the root is called in the title.
        theme: sizes and colours; ``"dark"``, or a `Theme`.

    Returns:
        A `graphviz.Digraph`. ``.save("x.svg")`` (or .png, .pdf, .gv) writes it, ``.drawing`` is the picture as a
        `Drawing`, ``.laid_out_by`` says what arranged it, ``.source`` is the DOT text.

    Raises:
        TypeError: if the flow is none.
        ValueError: if rankdir is neither, or the graph has more nodes than can be looked at.

    >>> from microgradrnn import Value
    >>> y = Value(2.0, label="a") * Value(3.0, label="b")
    >>> y.backward()
    >>> "a | data 2.0000 | grad 3.0000" in draw_graph(y).source
    True
    """
    theme = need_theme(theme)
    if rankdir not in ("LR", "TB"):
        raise ValueError(f"draw_graph: rankdir is 'LR' or 'TB', got {rankdir!r}")
    as_given = isinstance(root, nx.MultiDiGraph)
    if isinstance(root, Flow):
        root, flow = root.graph, root
    if flow is not None and not isinstance(flow, Flow):
        raise TypeError(f"draw_graph: flow is what viz.gradient_flow(loss) returns, got {type(flow).__name__}")
    root = as_node("draw_graph", root)
    need_drawable("draw_graph", root, steps_fold=not as_given)
    graph = root if isinstance(root, nx.MultiDiGraph) else trace(root)
    if not as_given and is_long(graph):
        graph = fold(graph if flow is None else flow, by="repeat", repeat=1, hide=())
        need_drawable("draw_graph", graph)
    dot = as_digraph(graph, flow, rankdir, theme)
    dot._paint = lambda: picture(graph, flow, rankdir, theme, name)
    dot._original = dot.source
    return dot


def is_long(graph: nx.MultiDiGraph) -> bool:
    """Is it a net of arrays with so many steps that most records of a picture would repeat the others?"""
    return len(graph) > MOST_WHOLE and any(
        len(layer.steps) > 3 and any("value" not in graph.nodes[v] for v in layer.steps[layer.last].values())
        for layer in layers(graph))


def draw_dot(root: Root | nx.MultiDiGraph | Flow, format: str = "svg", rankdir: str = "LR") -> graphviz.Digraph:
    """Draw a small graph, called as in micrograd: `draw_graph` with the format that ``render`` and ``pipe`` write.

    Args:
        root: as in `draw_graph`.
        format: a format of Graphviz, ``svg``, ``png``, ...
        rankdir: ``LR``, left to right, or ``TB``, downwards.

    Raises:
        ValueError: if Graphviz has no such format, rankdir is neither, or the graph is too large.

    >>> from microgradrnn import Value
    >>> draw_dot(Value(2.0) * Value(3.0), format="png").format
    'png'
    """
    dot = draw_graph(root, rankdir=rankdir)
    dot.format = format
    return dot


def as_digraph(graph: nx.MultiDiGraph, flow: Flow | None, rankdir: str, theme: Theme) -> Digraph:
    """The picture in DOT."""
    dot = Digraph(
        graph_attr={"rankdir": rankdir, "bgcolor": theme.paper},
        node_attr={"fontname": "Helvetica", "fontsize": "11", "color": theme.ink, "fontcolor": theme.ink},
        edge_attr={"color": theme.wire, "fontname": "Helvetica", "fontsize": "9", "fontcolor": theme.ink},
    )
    sent = messages(graph, flow)  # if there are any, arrows show which way they flowed
    names = {node: f"n{j}" for j, node in enumerate(graph)}
    for node, said in graph.nodes(data=True):
        colour = theme.colour(said.get("symbol"), said.get("role")) or theme.ink
        fields = " | ".join(record_text(one.plain) for one in fields_of(node, said, flow))
        record = f"{{ {fields} }}" if rankdir == "LR" else fields  # braces turn a record round
        dot.node(names[node], label=record, shape="record", color=colour, tooltip=graphviz.nohtml(tip(node)),
                 style="dashed" if said["kind"] == "constant" else "solid")
        if "op" in said:
            dot.node(names[node] + "op", label=graphviz.nohtml(plain_text(said["sign"])), shape="circle",
                     margin="0.02", tooltip=graphviz.nohtml(plain_text(said["op"])))
            dot.edge(names[node] + "op", names[node], dir="none" if sent else None)
    for u, v, k, said in graph.edges(keys=True, data=True):
        dot.edge(names[u], names[v] + ("op" if "op" in graph.nodes[v] else ""),
                 label=short(sent[v, k]) if (v, k) in sent else edges(said),
                 dir=None if not sent else "back" if (v, k) in sent else "none")
    return dot


def plain_text(text: str, longest: int = LABEL) -> str:
    r"""Text for an ordinary label: a backslash is a backslash, a new line is a new line.

    >>> print(plain_text(r"a\b"))
    a\\b
    """
    text = clean(text if len(text) <= longest else text[: longest - 1] + "…")
    return text.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n").replace("\0", "\ufffd")


def tip(text: str) -> str:
    """Text for a tooltip, where there is room for more."""
    return plain_text(text, TIP // 4)


def record_text(text: str) -> str:
    r"""Text for a field of a record.

    >>> print(record_text("a|b {c}"))
    a\|b \{c\}
    """
    return re.sub(r"([{}|<>])", r"\\\1", plain_text(text))
