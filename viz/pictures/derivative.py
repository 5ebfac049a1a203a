"""A step and its derivative, side by side: the step is read downwards, its derivative upwards.

Each line of the step is a row. On the right of the row stand the lines that backpropagation gets from it: the
cotangents of what the line reads. Equations hold no graph, so the rows are found in their text: a cotangent is computed
from those of the lines that read its symbol, and ``dh`` names the symbol ``h``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from typing import Any, Protocol

from viz.errors import need
from viz.layout.geometry import Route
from viz.pictures.formula_old import formula, formula_width
from viz.render.drawing import Drawing
from viz.render.markup import arrowhead, document, element, heading, path, text
from viz.render.markup import title as tooltip
from viz.theme import DEFAULT, TINT, Theme, mixed, need_theme
from viz.typography import shorten, text_width

Line = tuple[str, str]  # left and right of the equals sign

SUPERSCRIPT = "ᵀ⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
# A name with its indices, unless it is the name of a function: h_{t-1} and z, not tanh(.
SYMBOL = re.compile(r"(?<!\w)[^\W\d]\w*(?:_\{[^}]*\})?(?![\w({])")
# Subscripts that `formula` takes for a part of a name: those with a superscript above, and what a sum runs over.
SUBSCRIPT = re.compile(rf"(?<=\w)_([^\W_{SUPERSCRIPT}](?=[{SUPERSCRIPT}])|(?<=Σ_)\w+|(?:rows|columns|axes\d+)(?=\())")
NO_SYMBOLS = ("Σ", "index", "None", "nan")
TIMES = ("t", "t-1", "prev", "out")  # indices that say when, not what

LEFT_ROOM, RIGHT_ROOM = 300.0, 400.0  # pixels for the right-hand side of an equation, before it is wrapped
LINE, WRAPPED, CHIP = 26.0, 19.0, 20.0  # heights: of an equation, of what is wrapped, of the frame of a symbol
PAD, BETWEEN, INDENT, ARROW, GUTTER = 5.0, 5.0, 18.0, 26.0, 34.0
SMALL, SMALL_LINE, KEY_LINE = 12.0, 17.0, 23.0
LONGEST = 90  # characters of a line

FORWARDS = "forwards: the step", "Read downwards: a line uses what is above it."
BACKWARDS = "backwards: its derivative", "Read upwards: a line uses what is below it or on the left."
EACH_ROW = "Each row: a line of the step, and what the chain rule gets from it. A sum collects from several rows."
NOTHING = "no line of its own"
SAME = "a sum: each term has the same cotangent"
NO_GRADIENT = "a condition: no gradient flows through it"
CONDITION = re.compile(r"\[[^\]]* [<>≤≥≠=] [^\]]*\]")


class HasEquations(Protocol):
    """What `draw_derivative` draws: `microgradrnn.compile(...).equations()`, or anything with these two lists."""

    @property
    def forward(self) -> Sequence[Line]:
        """(left, right) of each equation of the step, in the order in which they are computed."""

    @property
    def backward(self) -> Sequence[Line]:
        """(left, right) of each equation of the derivative, in the order in which they are computed."""


def draw_derivative(equations: HasEquations, *, name: str | None = None, theme: Theme = DEFAULT) -> Drawing:
    """Draw the equations of a step and those of its derivative, each beside the line that it comes from.

    Args:
        equations: what ``.equations()`` of a compiled function returns, or any object with ``forward`` and
            ``backward``: lists of (left, right), in the order of computation. The notation is that of
            `microgradrnn.compiler`: ``h_{t-1}``, ``z_{i,t}``, and ``dh_t`` for the cotangent of ``h_t``.
        name: the title.
        theme: sizes and colours.

    Raises:
        TypeError: if there are no such lists.
        ValueError: if there is no equation of a step.

    >>> class Square:
    ...     forward, backward = [("y", "x²")], [("dx", "2 dy ⊙ x")]
    >>> draw_derivative(Square(), name="a square").svg.count(">dx</text>")
    1
    """
    need_theme(theme)
    need("draw_derivative, name", name, (str, type(None)), "a title (text)")
    return _Painter(Derivation(*halves(equations)), name or "A step and its derivative", theme).paint()


def halves(equations: HasEquations) -> tuple[list[Line], list[Line]]:
    """The two lists of equations, checked."""
    found = []
    for half in ("forward", "backward"):
        lines = getattr(equations, half, None)
        if not isinstance(lines, list | tuple) or not all(map(is_line, lines)):
            kind = type(equations).__name__
            raise TypeError(
                "draw_derivative: expected equations, which have lists of (left, right), forward and backward, as in "
                f"step.equations() of step = microgradrnn.compile(cell), once it was called; got {kind}"
                + f", whose {half} is no list of pairs of text" * hasattr(equations, half)
                + "; call its method equations()" * (lines is None and hasattr(equations, "equations")))
        found.append([(left, right) for left, right in lines])
    if not found[0]:
        raise ValueError("draw_derivative: there are no equations in forward, so there is nothing to draw")
    return found[0], found[1]


def is_line(line: object) -> bool:
    """Is it a pair of texts?"""
    return isinstance(line, list | tuple) and len(line) == 2 and all(isinstance(side, str) for side in line)


# ------------------------------------------------------------------------------------------ what belongs to what
def symbols(words: str) -> list[str]:
    """The symbols in a formula, each once.

    >>> symbols("h_{t-1}ᵀ dz_t + tanh(c_t)² ⊙ Σ_rows W_n")
    ['h_{t-1}', 'dz_t', 'c_t', 'W_n']
    """
    found = SYMBOL.findall(re.sub(f"[{SUPERSCRIPT}]", "", words))
    return [symbol for symbol in dict.fromkeys(found) if symbol.split("_")[0] not in NO_SYMBOLS]


def parts(symbol: str) -> tuple[str, list[str]]:
    """The letter of a symbol, and its indices.

    >>> parts("z_{i,t}"), parts("h_t"), parts("W")
    (('z', ['i', 't']), ('h', ['t']), ('W', []))
    """
    base, line, below = symbol.rpartition("_")
    return (base, below.strip("{}").split(",")) if line else (symbol, [])


def primal(left: str) -> str:
    """What a cotangent is the cotangent of.

    >>> primal("dh_t"), primal("d(r_t ⊙ h_{t-1})")
    ('h_t', 'r_t ⊙ h_{t-1}')
    """
    inner = left.removeprefix("d")
    return inner[1:-1] if inner.startswith("(") and inner.endswith(")") else inner


@dataclass(frozen=True)
class Derivation:
    """The two lists of equations, and how they belong together."""

    forward: list[Line]
    backward: list[Line]

    @cached_property
    def sides(self) -> list[tuple[list[str], list[str]]]:
        """The symbols on the left and right of each line of the step."""
        return [(symbols(left), symbols(right)) for left, right in self.forward]

    @cached_property
    def defined(self) -> dict[str, int]:
        """The row of the line that computes a symbol."""
        return {symbol: k for k, (left, _) in enumerate(self.sides) for symbol in left}

    @cached_property
    def read(self) -> list[str]:
        """Everything that lines of the step read, in order."""
        return list(dict.fromkeys(symbol for _, right in self.sides for symbol in right))

    @cached_property
    def first(self) -> list[str]:
        """What the step starts from: read, and computed by no line."""
        return [symbol for symbol in self.read if symbol not in self.defined]

    @cached_property
    def seeds(self) -> dict[str, str]:
        """The cotangents that the derivative starts from, and the symbols that they belong to."""
        known = {*self.defined, *self.read, *(left for left, _ in self.backward)}
        found = {}
        for _, right in self.backward:
            for symbol in symbols(right):
                base, indices = parts(symbol.removeprefix("d"))
                bare = [index for index in indices if index != "out"]
                of = next((s for s in self.defined if parts(s) == (base, bare)), None)
                if symbol.startswith("d") and symbol not in known and of is not None:
                    found[symbol] = of
        return found

    @cached_property
    def last(self) -> list[str]:
        """The cotangents that the derivative ends with: of what the step starts from."""
        return [left for left, _ in self.backward if left.startswith("d") and primal(left) in self.first]

    @cached_property
    def has_time(self) -> bool:
        """Do symbols have the index t?"""
        return any("t" in parts(symbol)[1] for symbol in (*self.defined, *self.read))

    @cached_property
    def rows(self) -> list[list[Line]]:
        """For each line of the step the lines that backpropagation gets from it, in the order of computation.

        A line that reads dh belongs to the line that computes h, or to one further up: to the last that reads what it
        is the cotangent of, or, if it has another name, to the last that holds all the values that it uses. So each
        line of the derivative reads lines that stand below it.
        """
        rows: list[list[Line]] = [[] for _ in self.forward]
        place: dict[str, int] = {}
        products = sorted((left for left, _ in self.backward if "(" in left), key=len, reverse=True)
        for left, right in self.backward:
            rest = right
            used: list[str] = []
            for product in products:
                if product in rest:
                    rest, used = rest.replace(product, " "), [*used, product]
            used += symbols(rest)
            passed = [name for name in used if self.seeds.get(name) != primal(left)]  # dc_{out,t} is a part of dc_t
            lowest = min((self._through(name, place) for name in passed), default=len(rows) - 1)
            values = {name for name in used if name in self.defined or name in self.read}
            fits = [k for k in range(lowest + 1) if self._belongs(left, values, k)]
            place[left] = fits[-1] if fits else lowest
            rows[place[left]].append((left, right))
        return rows

    def _through(self, name: str, place: dict[str, int]) -> int:
        """The lowest row that a line can belong to which reads this cotangent."""
        of = self.seeds.get(name, primal(name) if name in place else "")
        return self.defined.get(of, place.get(name, len(self.forward) - 1))

    def _belongs(self, left: str, values: set[str], k: int) -> bool:
        """Does a line of the derivative belong to row k, if it may?"""
        of, right = primal(left), self.forward[k][1]
        if left.startswith("d("):
            return of in right
        if left.startswith("d") and of in self.read:
            return of in self.sides[k][1]
        return values <= {*self.sides[k][0], *self.sides[k][1]}

    # ------------------------------------------------------------------------------------------------ the ends
    def ends(self) -> tuple[tuple[list[str], list[str]], tuple[list[str], list[str]]]:
        """What stands above and below the rows, in words: where each side starts and ends."""
        groups = [[s for s in self.first if self.since(s) == kind] for kind in ("t", "t-1", "")]
        cotangents = [[left for left in self.last if self.since(primal(left)) == kind] for kind in ("t", "t-1", "")]
        made = list(dict.fromkeys(self.seeds.values()))
        carried, other = ([s for s in made if (parts(s)[0] in self.states) == is_state] for is_state in (True, False))
        arrived = [d for d, s in self.seeds.items() if s in carried and primal(d) == s]
        above = (
            ["starts from", *listed(groups[0], "the input"), *listed(groups[1], "from the step before"),
             *listed(groups[2], "weights, the same at every step" if self.has_time else "given")],
            ["ends with", *listed(cotangents[0], "to the input"), *listed(cotangents[1], "to the step before"),
             *listed(cotangents[2], "to the weights: a sum over all steps" if self.has_time else "results")],
        )
        below = (
            ["ends with", *listed(carried, "to later steps and the loss"), *listed(other, "the result")],
            ["starts from", *listed(arrived, "from later steps and the loss"),
             *(f"{typeset(d)}: the part of d{typeset(s)} from later steps"
               for d, s in self.seeds.items() if primal(d) != s),
             *listed((d for d, s in self.seeds.items() if s in other and primal(d) == s), "given")],
        )
        return above, below

    def since(self, symbol: str) -> str:
        """Does a symbol that is given change with time (t), come from the last step (t-1), or neither?"""
        at = "".join(parts(symbol)[1][-1:])
        return "t-1" if at in ("t-1", "prev") else "t" if at == "t" else ""

    # ------------------------------------------------------------------------------------------------ roles
    @cached_property
    def states(self) -> set[str]:
        """The letters of the states: those that are read from the last step."""
        return {parts(symbol)[0] for symbol in self.first if self.since(symbol) == "t-1"}

    @cached_property
    def roles(self) -> dict[str, str]:
        """The roles of letters, as far as equations tell them: a gate is a σ, a candidate a tanh."""
        found = {}
        for left, right in self.forward:
            base = parts(left)[0]
            function = re.fullmatch(r"(σ|tanh)\([^()]*(?:\([^()]*\)[^()]*)*\)", right)
            if base not in self.states and function and symbols(left) == [left]:
                found[base] = "gate" if function[1] == "σ" else "candidate"
        for state in self.states:
            found[state] = "cell" if state == "c" else "hidden"
        for symbol in self.first:
            if self.since(symbol) == "t":
                found.setdefault(parts(symbol)[0], "input")
        return found

    def role_of(self, left: str) -> tuple[str, str] | None:
        """The letter that gives a symbol or its cotangent its colour, and its role: z_{i,t}, the net input of i, has
        those of i.
        """
        symbol = left if left in self.defined else primal(left)
        if symbols(symbol) != [symbol]:
            return None
        base, indices = parts(symbol)
        own = [index for index in indices if index not in TIMES]
        letter = own[0] if own else base
        role = self.roles.get(letter)
        if role is None or (own and (role not in ("gate", "candidate") or not base.islower())):  # W_n is no candidate
            return None
        return letter, role


# ------------------------------------------------------------------------------------------------ setting formulas
def typeset(words: str) -> str:
    """The formula with braces about the subscripts that need them.

    >>> typeset("x_tᵀ dz_t + c_t² + Σ_rows log_softmax")
    'x_{t}ᵀ dz_t + c_{t}² + Σ_{rows} log_softmax'
    """
    return SUBSCRIPT.sub(r"_{\1}", words)


def wrapped(words: str, size: float, room: float) -> list[str]:
    """A formula in lines that fit a width, broken where that does least harm: at a + outside parentheses, if any.

    >>> wrapped("a ⊙ (b + c) + d ⊙ e", 10.0, 90.0)
    ['a ⊙ (b + c)', '+ d ⊙ e']
    """
    words = typeset(words)
    lines: list[str] = []
    while formula_width(words, size) > room and (at := best_break(words, size, room)):
        lines, words = [*lines, words[:at]], words[at + 1 :]
    return [*lines, words]


def best_break(words: str, size: float, room: float) -> int:
    """The space at which the first line of a formula ends; 0 if it has none."""
    depth = list(accumulate((c in "([") - (c in ")]") for c in words))
    braces = list(accumulate((c == "{") - (c == "}") for c in words))
    spaces = [k for k, c in enumerate(words) if c == " " and k and not braces[k]]
    fit = list(takewhile(lambda k: formula_width(words[:k], size) <= room, spaces)) or spaces[:1]
    rank = {"+": 0, "−": 0, "⊙": 1}
    return min(fit, key=lambda k: (depth[k], rank.get(words[k + 1 : k + 2], 2), -k), default=0)


def listed(names: Iterable[str], words: str) -> list[str]:
    """A line that says what some symbols are; none without symbols."""
    joined = ", ".join(names)
    return [f"{typeset(joined)}: {words}"] if joined else []


def written(x: float, y: float, words: str, size: float, **attributes: Any) -> str:
    """One line of a formula; if it is very long it is cut, and whole where the pointer rests."""
    seen = shorten(words, LONGEST)
    markup = formula(x, y, seen, size=size, **attributes)
    return markup if seen == words else element("g", tooltip(words) + markup)


def width_of(words: str, size: float) -> float:
    """About how wide `written` draws it."""
    return formula_width(shorten(words, LONGEST), size)


# ------------------------------------------------------------------------------------------------ the key
BLOCKS_AND_SUMS = re.compile(r"\[[^\]]*\]|Σ(?:_\w+)? ")
SIGNS = (  # what to look for in the equations, how the key writes it, what it means
    (r"⊙", "a ⊙ b", "product entry by entry"),
    (r"(?:[^\W\d]|[})]) \(?[^\W\d]", "a B", "matrix product"),
    (r"ᵀ", "Bᵀ", "transpose of B"),
    (r"[\w})]²", "a²", "square of each entry"),
    (r"σ\(", "σ(a)", "logistic function: 0 to 1"),
    (r"tanh\(", "tanh(a)", "hyperbolic tangent: −1 to 1"),
    (r"ReLU\(", "ReLU(a)", "a where a > 0, else 0"),
    (r"softmax\(", "softmax(a)", "positive, with sum 1"),
    (CONDITION, "[a > b]", "1 where it is true, else 0"),
    (r"where\(", "where(c, a, b)", "a where c is true, else b"),
    (r"\[[^<>≤≥≠=\]]* [^<>≤≥≠=\]]*\]", "[a b]", "a and b side by side"),
    (r"Σ ", "Σ a", "sum of all entries"),
    (r"𝟙", "𝟙", "an array of ones"),
    (r"Σ_rows", "Σ_{rows} a", "sum over rows (examples)"),
    (r"Σ_columns", "Σ_{columns} a", "sum over columns"),
    (r"\bd\(", "d(a)", "∂L/∂a of an expression a"),
    (r"\bv_\{?\d", "v_1", "an intermediate result"),
)
ROLES = {"input": "input", "gate": "gate", "candidate": "candidate", "cell": "cell state", "hidden": "hidden state"}


def signs(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """The signs that occur in some equations, and what they mean.

    >>> list(signs([("z", "x U + b")]))
    [('a B', 'matrix product')]
    """
    sides = [side for line in lines for side in line]
    flat = [BLOCKS_AND_SUMS.sub("", side) for side in sides]
    for pattern, sign, meaning in SIGNS:
        if any(re.search(pattern, side) for side in (flat if sign == "a B" else sides)):
            yield sign, meaning


def remark(line: Line) -> str:
    """What stands beside a line of the step that no line of the derivative belongs to.

    >>> remark(("h_t", "h_{t-1} + g_t"))
    'a sum: each term has the same cotangent, dh_t'
    """
    if CONDITION.fullmatch(line[1]):
        return NO_GRADIENT
    return f"{SAME}, d{line[0]}" if line[1].split(" + ") == symbols(line[1]) else NOTHING


# ------------------------------------------------------------------------------------------------ the painter
@dataclass(frozen=True)
class Column:
    """One of the two sides of the picture: where it begins, and how wide its equations are."""

    x: float
    left: float
    right: float

    @property
    def sign(self) -> float:
        """The x at which equals signs begin."""
        return self.x + self.left + 6

    @property
    def end(self) -> float:
        """The x of the right edge."""
        return self.sign + self.right


class _Painter:
    """Paints the two columns, and the key under them, from the top down."""

    def __init__(self, found: Derivation, name: str, theme: Theme) -> None:
        self.found, self.name, self.theme, self.size = found, name, theme, theme.size
        self.above, self.below = found.ends()
        entries = self.key_entries()
        half = (len(entries) + 1) // 2
        self.keys = entries[:half], entries[half:]
        self.step = self.column(theme.margin + ARROW, found.forward, LEFT_ROOM, FORWARDS, 0)
        self.back = self.column(self.step.end + GUTTER, found.backward, RIGHT_ROOM, BACKWARDS, 1)
        self.left, self.right = self.step.x - PAD, self.back.end + PAD  # the edges of a row
        self.body: list[str] = []
        self.y = 0.0

    def column(self, x: float, lines: list[Line], room: float, head: tuple[str, str], side: int) -> Column:
        """A column as wide as what stands in it."""
        left = max((self.chip_width(a) for a, _ in lines), default=0.0)
        right = max((self.right_width(b, room) for _, b in lines), default=0.0)
        words = [width_of(line, SMALL) for end in (self.above, self.below) for line in end[side]]
        if side == 1:
            words += [width_of(remark(line), SMALL) for line, row in zip(self.found.forward, self.found.rows,
                                                                           strict=True) if not row]
        words += [self.signs_width(side) + width_of(meaning, SMALL) for _, meaning in self.keys[side]]
        widest = max(*words, text_width(head[0], self.size) * 1.08, text_width(head[1], SMALL))
        return Column(x, left, max(right, widest - left - 6) + PAD)

    def chip_width(self, left: str) -> float:
        """How wide the symbol on the left of an equation is, with its frame."""
        return width_of(typeset(left), self.size) * 1.08 + 10

    def right_width(self, right: str, room: float) -> float:
        """How wide the right of an equation is, wrapped."""
        return max(width_of(line, self.size) + INDENT for line in wrapped(right, self.size, room))

    def paint(self) -> Drawing:
        """The whole picture."""
        theme, margin = self.theme, self.theme.margin
        markup, reach = heading(margin, 30, self.name)
        self.body += [markup, formula(margin, 53, self.example(), size=self.size)]
        self.body.append(text(margin, 73, EACH_ROW, anchor="start", font_size=SMALL))
        self.y = 106
        for column, (head, how) in ((self.step, FORWARDS), (self.back, BACKWARDS)):
            self.body.append(text(column.x, self.y, head, anchor="start", font_size=self.size, font_weight="bold"))
            self.body.append(text(column.x, self.y + 17, how, anchor="start", font_size=SMALL, fill=theme.faint))
        self.y = top = self.y + 30
        self.end(self.above)
        for line, lines in zip(self.found.forward, self.found.rows, strict=True):
            self.row(line, lines)
        self.end(self.below)
        self.arrow(theme.margin + 7, top, self.y)
        self.arrow(self.right + ARROW - 7, self.y, top)
        self.key()
        intro = max(formula_width(self.example(), self.size), text_width(EACH_ROW, SMALL))
        width = max(self.right + ARROW, reach, margin + intro) + margin
        return document("".join(self.body), width, self.y + margin, theme, self.name)

    def example(self) -> str:
        """What d means, said of a cotangent of the picture."""
        names = [*self.found.seeds.values()] or symbols(self.found.forward[-1][0]) or ["h"]
        h = shorten(typeset(names[-1]), 24)
        return f"d{h} is ∂L/∂{h}, the cotangent of {h}: how the loss L changes when {h} changes a little."

    def arrow(self, x: float, start: float, stop: float) -> None:
        """A long arrow beside the columns."""
        way = 1.0 if stop > start else -1.0
        line = path(Route((x, start)).line(x, stop - 6 * way))
        self.body += [element("path", d=line, fill="none", stroke=self.theme.wire, stroke_width=1.6),
                      arrowhead((x, stop), (0.0, way), 10, fill=self.theme.wire)]

    def end(self, sides: tuple[list[str], list[str]]) -> None:
        """What the columns start from and end with."""
        height = 2 * PAD + SMALL_LINE * max(map(len, sides))
        for column, lines in zip((self.step, self.back), sides, strict=True):
            for k, line in enumerate(lines):
                bold = "bold" if k == 0 else None
                self.body.append(written(column.x, self.y + PAD + SMALL_LINE * k + 12, line, SMALL, font_weight=bold,
                                         fill=self.theme.faint if bold else None))
        self.y += height + BETWEEN

    def row(self, line: Line, lines: list[Line]) -> None:
        """A line of the step and, beside it, what backpropagation gets from it: the first of them at the bottom."""
        columns = ((self.step, LEFT_ROOM, [line]), (self.back, RIGHT_ROOM, lines[::-1]))
        heights = [sum(self.height(right, room) for _, right in part) or LINE for _, room, part in columns]
        height = max(heights) + 2 * PAD
        self.body.append(element("rect", x=self.left, y=self.y, width=self.right - self.left, height=height, rx=6,
                                 fill=self.theme.tile))
        for (column, room, part), own in zip(columns, heights, strict=True):
            y = self.y + (height - own) / 2
            for left, right in part:
                self.equation(column, room, left, right, y + LINE / 2 + 4.5)
                y += self.height(right, room)
            if not part:
                self.body.append(written(column.x, y + LINE / 2 + 4, remark(line), SMALL, fill=self.theme.faint))
        self.y += height + BETWEEN

    def height(self, right: str, room: float) -> float:
        """How high an equation is."""
        return LINE + WRAPPED * (len(wrapped(right, self.size, room)) - 1)

    def equation(self, column: Column, room: float, left: str, right: str, y: float) -> None:
        """One equation, its sign of equality where the others of the column have theirs."""
        width = self.chip_width(left)
        self.chip(column.sign - 6 - width, y, width, left, self.found.role_of(left))
        first, *rest = wrapped(right, self.size, room)
        self.body.append(written(column.sign, y, f"= {first}", self.size))
        self.body += [written(column.sign + INDENT, y + WRAPPED * (k + 1), more, self.size)
                      for k, more in enumerate(rest)]

    def chip(self, x: float, y: float, width: float, words: str, of: tuple[str, str] | None) -> None:
        """A symbol, in a frame of the colour of a role."""
        colour = self.theme.colour(*of) if of else None
        if colour and of:
            self.body.append(element("rect", x=x, y=y - 4.5 - CHIP / 2, width=width, height=CHIP,
                                     rx=CHIP / 2 if of[1] == "input" else 4.0,
                                     fill=mixed(self.theme.paper, colour, TINT), stroke=colour, stroke_width=1.1))
            self.body.append(written(x + width / 2, y, typeset(words), self.size, anchor="middle", font_weight="bold"))
        else:
            self.body.append(written(x + width - 4, y, typeset(words), self.size, anchor="end", font_weight="bold"))

    # -- the key
    def key(self) -> None:
        """The colours and signs that are in the picture, and what they mean."""
        self.y += 26
        self.body.append(text(self.step.x, self.y, "what is what", anchor="start", font_size=SMALL, font_weight="bold",
                              fill=self.theme.faint))
        for side, column in enumerate((self.step, self.back)):
            for k, (sign, meaning) in enumerate(self.keys[side]):
                y = self.y + KEY_LINE * (k + 1) + 2
                if isinstance(sign, str):
                    self.body.append(written(column.x, y, sign, SMALL))
                else:
                    x = column.x
                    for letter in sign:
                        self.chip(x, y, self.chip_width(letter), letter, (letter, self.found.roles[letter]))
                        x += self.chip_width(letter) + 4
                self.body.append(written(column.x + self.signs_width(side), y, meaning, SMALL))
        self.y += KEY_LINE * len(self.keys[0])

    def signs_width(self, side: int) -> float:
        """How far from the signs on one side of the key their meanings stand."""
        return max((self.sign_width(sign) for sign, _ in self.keys[side]), default=0.0) + 12

    def sign_width(self, sign: str | list[str]) -> float:
        """How wide a sign is, or the frames of some letters side by side."""
        if isinstance(sign, str):
            return width_of(sign, SMALL)
        return sum(self.chip_width(letter) + 4 for letter in sign) - 4

    def key_entries(self) -> list[tuple[str | list[str], str]]:
        """The colours and signs that are in the picture: roles by their letters, and what all mean."""
        found, lines = self.found, [*self.found.forward, *self.found.backward]
        lefts = {of for left, _ in lines if (of := found.role_of(left))}
        entries: list[tuple[str | list[str], str]] = []
        for role, meaning in ROLES.items():
            if letters := sorted(letter for letter, its in lefts if its == role):
                entries.append((letters[:4], meaning))
        return [*entries, *signs(lines)]
