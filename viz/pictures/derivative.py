"""A step and its derivative, side by side: the step is read downwards, its derivative upwards.

Each line of the step is a row. On the right of the row stand the lines that backpropagation gets from it: the
cotangents of what the line reads. Equations hold no graph, so the rows are found in their text: a cotangent is computed
from those of the lines that read its symbol, and ``dh`` names the symbol ``h``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

from viz.errors import need
from viz.flow.finding import capital
from viz.render.drawing import Drawing
from viz.scene.chart import Block, column, heading
from viz.scene.formula import formula, formula_width, wrapped_formula
from viz.scene.items import Box, Item, Scene, Text, line
from viz.scene.wires import arrowhead
from viz.theme import TINT, Theme, mixed, need_theme
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
BACKWARDS = "backwards: its derivative", "Read upwards: a line uses what is below it or in the step."
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


def draw_derivative(equations: HasEquations, *, name: str | None = None,
                    theme: Theme | str | None = None) -> Drawing:  # fmt: skip
    """Draw the equations of a step and those of its derivative, each beside the line that it comes from.

    Args:
        equations: what ``.equations()`` of a compiled function returns, or any object with ``forward`` and
            ``backward``: lists of (left, right), in the order of computation. The notation is that of
            `microgradrnn.compiler`: ``h_{t-1}``, ``z_{i,t}``, and ``dh_t`` for the cotangent of ``h_t``.
        name: what the step is called; the title says what its derivative is.
        theme: sizes and colours: a `Theme`, its name, or by default the one that `set_theme` chose.

    Raises:
        TypeError: if there are no such lists.
        ValueError: if there is no equation of a step.

    >>> class Square:
    ...     forward, backward = [("y", "x²")], [("dx", "2 dy ⊙ x")]
    >>> draw_derivative(Square(), name="the square").scene.title
    'The square: 1 line, and 1 of its derivative'
    """
    theme = need_theme(theme)
    need("draw_derivative, name", name, (str, type(None)), "a name (text)")
    return Drawing.of(_Painter(Derivation(*halves(equations)), name or "", theme).scene())


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


def terms(words: str) -> list[str]:
    """The terms of a sum, outside of all brackets.

    >>> terms("dh_t ⊙ z_t + d(a + b) ⊙ r_t")
    ['dh_t ⊙ z_t', 'd(a + b) ⊙ r_t']
    """
    depth = [*accumulate((c in "([") - (c in ")]") for c in words)]
    cuts = [k for k in range(len(words)) if words.startswith(" + ", k) and not depth[k]]
    return [words[a:b] for a, b in zip([0, *(k + 3 for k in cuts)], [*cuts, len(words)], strict=True)]


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

    def finding(self, name: str) -> str:
        """How the gradient of a state gets to the step before, in one sentence."""
        before = {parts(primal(left))[0]: right for left, right in self.backward
                  if left in self.last and self.since(primal(left)) == "t-1"}
        for state, right in before.items():
            for term in terms(right):
                factors = [factor for factor in term.split(" ⊙ ") if parts(factor)[0] != f"d{state}"]
                if "ᵀ" not in term and len(factors) < len(term.split(" ⊙ ")) and " d" not in f" {' '.join(factors)}":
                    by = re.sub(r"_(\{[^}]*\}|\w)", "", " ⊙ ".join(factors)).strip("()")
                    does = f"multiplies the gradient of {state} by {by}" if by else f"hands on the gradient of {state}"
                    return capital(f"{name}: a step back {does}; no matrix is on that way" if name else
                                   f"A step back {does}; no matrix is on that way")
        n, m = len(self.forward), len(self.backward)
        said = (f"a step back sends the gradient of {' and '.join(before)} through a matrix"
                if before and any("ᵀ" in right for _, right in self.backward) else
                f"{n} line{'s' * (n > 1)}, and {m or 'none'} of {'its' if n == 1 else 'their'} derivative")
        return capital(f"{name}: {said}" if name else said)

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


def listed(names: Iterable[str], words: str) -> list[str]:
    """A line that says what some symbols are; none without symbols."""
    joined = ", ".join(names)
    return [f"{typeset(joined)}: {words}"] if joined else []


def written(x: float, y: float, words: str, size: float, anchor: str = "start", **look: Any) -> Text:
    """One line of a formula; if it is very long it is cut, and whole where the pointer rests."""
    seen = shorten(words, LONGEST)
    return formula(x, y, seen, size, anchor, **({} if seen == words else {"note": words}), **look)


def width_of(words: str, size: float) -> float:
    """How wide `written` draws it."""
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
    room: float  # for the right-hand sides, before they are wrapped

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
        self.items: list[Item] = []
        self.y = 0.0
        entries = self.key_entries()
        half = (len(entries) + 1) // 2
        self.keys = entries[:half], entries[half:]
        page = theme.page - 2 * theme.margin - ARROW - PAD
        for k in range(15):
            self.stacked, share = k >= 7, 1 - 0.1 * (k % 7)
            self.step = self.column(ARROW, found.forward, share * LEFT_ROOM, FORWARDS, 0)
            x = ARROW if self.stacked else self.step.end + GUTTER
            self.back = self.column(x, found.backward, share * RIGHT_ROOM, BACKWARDS, 1)
            if self.back.end <= page:
                break  # the widest that fits the page
        self.sides = self.step, self.back
        self.left, self.right = self.step.x - PAD, max(side.end for side in self.sides) + PAD  # the edges of a row

    def beside(self, draw: Callable[[int, float], float]) -> float:
        """Both sides, each drawn from a y downwards: side by side, or stacked. Gives the y of the lowest end."""
        first = draw(0, self.y)
        return max(first, draw(1, first + PAD if self.stacked else self.y))

    def column(self, x: float, lines: list[Line], room: float, head: tuple[str, str], side: int) -> Column:
        """A column as wide as what stands in it, where there is room for that."""
        left = max((self.chip_width(a) for a, _ in lines), default=0.0)
        right = max((self.right_width(b, room) for _, b in lines), default=0.0)
        most = left + 6 + max(room, right)
        words = [line for end in (self.above, self.below) for line in end[side]]
        words += [remark(line) for line, row in zip(self.found.forward, self.found.rows, strict=True)
                  if side == 1 and not row]
        widths = [width_of(typeset(line), SMALL) for line in words]
        widths += [self.signs_width(side) + width_of(meaning, SMALL) for _, meaning in self.keys[side]]
        widths += [text_width(head[0], self.size, bold=True)]
        return Column(x, left, max(right, min(max(widths), most) - left - 6) + PAD, room)

    def chip_width(self, left: str) -> float:
        """How wide the symbol on the left of an equation is, with its frame."""
        return formula_width(shorten(typeset(left), LONGEST), self.size, bold=True) + 10

    def right_width(self, right: str, room: float) -> float:
        """How wide the right of an equation is, wrapped."""
        return max(width_of(f"= {line}", self.size) + INDENT * bool(k)
                   for k, line in enumerate(self.lines(right, room))) + 6

    def lines(self, right: str, room: float) -> list[str]:
        """The right of an equation, wrapped."""
        return wrapped_formula(typeset(right), self.size, room)

    def scene(self) -> Scene:
        """The whole picture."""
        theme, found = self.theme, self.found
        self.heads()
        top = self.y
        self.end(self.above)
        for equation, lines in zip(found.forward, found.rows, strict=True):
            self.row(equation, lines)
        self.end(self.below)
        self.arrow(7, top, self.y)
        self.arrow(self.right + ARROW - 7, self.y, top)
        self.key()
        title = found.finding(self.name)
        summary = (f"{title}. The step: {'; '.join(map(' = '.join, found.forward))}. Its derivative: "
                   f"{'; '.join(map(' = '.join, found.backward)) or 'none'}.")
        width = self.right + ARROW
        whole = column([heading(title, width, theme), self.intro(width),
                        Block(self.items, width, self.y)], 12)
        return Scene([whole.at(theme.margin, theme.margin)], max(whole.width, width) + 2 * theme.margin,
                     whole.height + 2 * theme.margin, title, summary, theme)

    def heads(self) -> None:
        """What the two columns are."""
        def draw(number: int, y: float) -> float:
            side, (head, how) = self.sides[number], (FORWARDS, BACKWARDS)[number]
            self.items.append(Text(side.x, y + 12, head, self.size, bold=True))
            for words in wrapped_formula(how, SMALL, side.end - side.x):
                y += SMALL_LINE
                self.items.append(Text(side.x, y + 12, words, SMALL, fill=self.theme.faint))
            return y + 12

        self.y = self.beside(draw) + 12

    def intro(self, width: float) -> Block:
        """What d means, said of a cotangent of the picture, and how to read it."""
        names = [*self.found.seeds.values()] or symbols(self.found.forward[-1][0]) or ["h"]
        h = shorten(typeset(names[-1]), 24)
        means = f"d{h} is ∂L/∂{h}, the cotangent of {h}: how the loss L changes when {h} changes a little."
        said = [words for text in (means, EACH_ROW) for words in wrapped_formula(text, SMALL, width)]
        items: list[Item] = [formula(0, 12 + SMALL_LINE * k, words, SMALL, fill=self.theme.faint)
                             for k, words in enumerate(said)]
        return Block(items, max(formula_width(words, SMALL) for words in said), SMALL_LINE * len(said))

    def arrow(self, x: float, start: float, stop: float) -> None:
        """A long arrow beside the columns."""
        way = 1.0 if stop > start else -1.0
        self.items += [line(x, start, x, stop - 6 * way, stroke=self.theme.wire, stroke_width=1.6,
                            key=("arrow", "down" if way > 0 else "up")),
                       arrowhead((x, stop), (0.0, way), 10, fill=self.theme.wire)]

    def end(self, words: tuple[list[str], list[str]]) -> None:
        """What the columns start from and end with."""
        def draw(number: int, y: float) -> float:
            side = self.sides[number]
            for k, said in enumerate(words[number]):
                for part in wrapped_formula(typeset(said), SMALL, side.end - side.x):
                    self.items.append(written(side.x, y + PAD + 12, part, SMALL, bold=k == 0,
                                              fill=self.theme.faint if k == 0 else None))
                    y += SMALL_LINE
            return y + 2 * PAD

        self.y = self.beside(draw) + BETWEEN

    def row(self, equation: Line, lines: list[Line]) -> None:
        """A line of the step and, beside it, what backpropagation gets from it: the first of them at the bottom."""
        parts = [equation], lines[::-1]
        said = [] if lines else wrapped_formula(typeset(remark(equation)), SMALL, self.back.end - self.back.x)
        heights = [sum(self.height(right, side.room) for _, right in part) or SMALL_LINE * len(said) + 8
                   for side, part in zip(self.sides, parts, strict=True)]
        height = (sum(heights) if self.stacked else max(heights)) + 2 * PAD
        self.items.append(Box(self.left, self.y, self.right - self.left, height, 6, fill=self.theme.tile,
                              key=("row", equation[0])))
        y = self.y + PAD
        for side, part, own in zip(self.sides, parts, heights, strict=True):
            if not self.stacked:
                y = self.y + (height - own) / 2
            for left, right in part:
                self.equation(side, left, right, y + LINE / 2 + 4.5)
                y += self.height(right, side.room)
        self.items += [written(self.back.x, y + 4 + SMALL_LINE * k + 12, words, SMALL, fill=self.theme.faint)
                       for k, words in enumerate(said)]
        self.y += height + BETWEEN

    def height(self, right: str, room: float) -> float:
        """How high an equation is."""
        return LINE + WRAPPED * (len(self.lines(right, room)) - 1)

    def equation(self, side: Column, left: str, right: str, y: float) -> None:
        """One equation, its sign of equality where the others of the column have theirs."""
        width = self.chip_width(left)
        self.chip(side.sign - 6 - width, y, width, left, self.found.role_of(left))
        first, *rest = self.lines(right, side.room)
        self.items.append(written(side.sign, y, f"= {first}", self.size, key=("equation", left)))
        self.items += [written(side.sign + INDENT, y + WRAPPED * (k + 1), more, self.size, key=("equation", left))
                       for k, more in enumerate(rest)]

    def chip(self, x: float, y: float, width: float, words: str, of: tuple[str, str] | None) -> None:
        """A symbol, in a frame of the colour of a role."""
        colour = self.theme.colour(*of) if of else None
        where, anchor = (x + width / 2, "middle") if colour else (x + width - 4, "end")
        if colour and of:
            self.items.append(Box(x, y - 4.5 - CHIP / 2, width, CHIP, CHIP / 2 if of[1] == "input" else 4.0,
                                  fill=mixed(self.theme.paper, colour, TINT), stroke=colour, stroke_width=1.1))
        self.items.append(written(where, y, typeset(words), self.size, anchor, bold=True, key=("symbol", words)))

    # -- the key
    def key(self) -> None:
        """The colours and signs that are in the picture, and what they mean."""
        self.y += 26
        self.items.append(Text(self.step.x, self.y, "what is what", SMALL, bold=True, fill=self.theme.faint))

        def draw(number: int, y: float) -> float:
            side, indent = self.sides[number], self.signs_width(number)
            for sign, meaning in self.keys[number]:
                y += KEY_LINE
                if isinstance(sign, str):
                    self.items.append(written(side.x, y + 2, sign, SMALL))
                else:
                    x = side.x
                    for letter in sign:
                        self.chip(x, y + 2, self.chip_width(letter), letter, (letter, self.found.roles[letter]))
                        x += self.chip_width(letter) + 4
                for k, words in enumerate(wrapped_formula(meaning, SMALL, side.end - side.x - indent)):
                    y += SMALL_LINE * bool(k)
                    self.items.append(written(side.x + indent, y + 2, words, SMALL))
            return y

        self.y = self.beside(draw) + 8

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
