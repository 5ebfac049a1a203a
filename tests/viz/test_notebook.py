"""Pictures in notebooks: they fit the cell or scroll, are dark where the page is, and say what they show."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import viz
from microgradrnn import Value, nn
from tests.viz.nets import CELLS, last_loss
from viz.notebook import PAGE, load_ipython_extension
from viz.render.notebook import SMALLEST
from viz.theme import DARK, DEFAULT, in_the_colours_of

ROOT = Path(__file__).parents[2]
LOSS = last_loss("lstm", T=30)
SHOWN = {
    "drawing": lambda: viz.draw_unrolled(viz.gradient_flow(LOSS), last=20),
    "cell": lambda: viz.draw_cell(nn.GRUCell(3, 4, rng=0)),
    "graph": lambda: viz.draw_graph(Value(2.0, label="a") * 3),
    "film": lambda: viz.draw_film(Value(2.0, label="a") * 3),
    "ways": lambda: viz.ways(LOSS),
    "comparison": lambda: viz.compare_flow({"lstm": LOSS}),
    "flow": lambda: viz.gradient_flow(LOSS),
}


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    viz.set_theme()


def html(thing: Any) -> str:
    return str(thing._repr_mimebundle_()["text/html"])


def elements(thing: Any) -> ET.Element:
    """What a notebook is given, read as strictly as XML is."""
    return ET.fromstring(f"<body>{html(thing)}</body>")


def declared(element: ET.Element) -> dict[str, str]:
    return dict(part.split(":", 1) for part in element.attrib["style"].split(";"))


@pytest.mark.parametrize("kind", SHOWN)
def test_a_picture_is_as_wide_as_the_cell_or_scrolls_from_its_right_end(kind: str) -> None:
    (frame,) = [e for e in elements(SHOWN[kind]()).iter("div") if "overflow-x:auto" in e.attrib["style"]]
    picture = declared(frame[0])
    assert declared(frame)["direction"] == "rtl", "a box that is written from right to left shows its right end first"
    assert picture["direction"] == "ltr"
    assert picture["width"] == "100%"
    assert float(picture["min-width"][:-2]) == pytest.approx(SMALLEST * float(picture["max-width"][:-2]), abs=1)


@pytest.mark.parametrize("kind", SHOWN)
def test_a_picture_says_what_it_shows_to_those_who_do_not_see_it(kind: str) -> None:
    picture = next(e for e in elements(SHOWN[kind]()).iter() if e.tag.endswith("svg"))
    assert picture.attrib["role"] == "img"
    assert len(picture.attrib["aria-label"]) > 10


def test_the_title_stands_above_a_picture_that_scrolls() -> None:
    drawing = SHOWN["drawing"]()
    (above,) = elements(drawing).iter("p")
    assert "".join(above.itertext()).startswith(drawing.scene.title)
    width = SMALLEST * drawing.width
    assert f"@container(max-width:{width - 1:.0f}px)" in html(drawing)


@pytest.mark.parametrize("kind", SHOWN)
def test_in_a_dark_page_every_colour_is_that_of_the_dark_theme(kind: str) -> None:
    shown = html(SHOWN[kind]())
    dark = in_the_colours_of(DARK)
    painted = shown[shown.index("<svg"):]
    used = dict(re.findall(r'"var\((--viz\d+),(#[0-9a-f]{6})\)"', painted))
    assert not set(re.findall(r'="(#[0-9a-f]{6})"', painted)) & dark.keys()
    assert DEFAULT.paper in used.values()
    for page in ("[data-jp-theme-light=false] ", ".vscode-dark ", "html[theme=dark] ", "html[data-theme=dark] "):
        assert page in shown
    for rules in re.findall(r"\{([^{}]*--viz0:[^{}]*)\}", shown):
        assert dict(re.findall(r"(--viz\d+):(#[0-9a-f]{6})", rules)) == {v: dark[old] for v, old in used.items()}


def test_a_picture_of_another_theme_keeps_its_colours() -> None:
    shown = html(viz.draw_cell(nn.GRUCell(3, 4, rng=0), theme="dark"))
    assert "var(" not in shown
    assert DARK.paper in shown
    wider = html(viz.draw_cell(nn.GRUCell(3, 4, rng=0), theme=viz.Theme(page=900)))
    assert "var(" in wider, "another size, the same colours"


def test_a_picture_of_matplotlib_is_an_image_for_its_ids_are_those_of_all_others() -> None:
    pytest.importorskip("matplotlib")
    shown = elements(viz.step_jacobians(LOSS))
    (image,) = shown.iter("img")
    assert image.attrib["src"].startswith("data:image/svg+xml;base64,")
    assert len(image.attrib["alt"]) > 10
    assert not [e for e in shown.iter() if e.tag.endswith("svg")]


@pytest.mark.parametrize("label", ["</svg><script>alert(1)</script>", '" onload="x', "<b>", "x</style>", "\x00]]>"])
def test_hostile_labels_stay_text(label: str) -> None:
    y = Value(0.5, label=label) * 2
    for thing in (viz.draw_graph(y), viz.draw_unrolled(viz.gradient_flow(y), name=label), viz.gradient_flow(y)):
        found = elements(thing)
        assert not list(found.iter("script"))
        assert not [name for e in found.iter() for name in e.attrib if name.startswith("on")]


# ------------------------------------------------------------------------------------------------ a flow at a glance
def test_a_flow_shows_a_small_picture_and_its_numbers() -> None:
    flow = viz.gradient_flow(LOSS)
    head, c, h = [[cell.text for cell in row] for row in elements(flow).iter("tr")]
    assert head == ["layer", "state", "norm at lag 0", "left at lag 1", "left at lag 10", "left at lag 29", "horizon"]
    profile = flow.profile("c")
    assert (c[1], h[1], c[-1]) == ("c", "h", str(profile.horizon()))
    assert float(str(c[2])) == pytest.approx(profile.norms[0], rel=0.05)
    assert float(str(c[3])) == pytest.approx(profile.norms[1] / profile.norms[0], rel=0.05)
    (picture,) = [e for e in elements(flow).iter() if e.tag.endswith("svg")]
    assert float(picture.attrib["width"]) <= 561


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_can_be_shown_at_a_glance(name: str) -> None:
    assert "<table>" in html(viz.gradient_flow(last_loss(name)))


def test_a_padded_batch_has_numbers_and_no_lane() -> None:
    _, h = nn.GRU(3, 4, rng=0)(np.ones((6, 2, 3)), lengths=[6, 2])
    shown = viz.gradient_flow((h * h).sum())._repr_mimebundle_()
    assert "<table>" in shown["text/html"]
    assert "image/svg+xml" not in shown


# ------------------------------------------------------------------------------------------------ %load_ext
class Shell:
    """What IPython gives to an extension."""

    def __init__(self) -> None:
        self.magics: list[tuple[str, str]] = []
        self.loaded: list[str] = []
        self.types: dict[tuple[str, str], Any] = {}
        self.display_formatter = self.extension_manager = self
        self.formatters = {"text/html": self}

    def run_line_magic(self, name: str, line: str) -> None:
        self.magics.append((name, line))

    def for_type_by_name(self, module: str, name: str, show: Any) -> None:
        self.types[module, name] = show

    def load_extension(self, name: str) -> None:
        self.loaded.append(name)


def test_the_extension_sets_the_width_and_leaves_the_theme() -> None:
    viz.set_theme("dark")
    load_ipython_extension(Shell())
    theme = viz.theme.need_theme()
    assert (theme.page, theme.paper) == (PAGE, DARK.paper)


def test_axes_that_no_pyplot_knows_show_their_figure() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    shell = Shell()
    load_ipython_extension(shell)
    assert shell.magics == [("matplotlib", "inline")]
    show = shell.types["matplotlib.axes._axes", "Axes"]
    shown = ET.fromstring(show(viz.plot_norms({"lstm": viz.gradient_flow(LOSS)})))
    (image,) = shown.iter("img")
    assert image.attrib["src"].startswith("data:image/png;base64,iVBOR")
    assert "of its gradient" in image.attrib["alt"]
    pyplot.switch_backend("agg")
    figure, ax = pyplot.subplots()
    assert show(ax) is None, "pyplot shows it already"
    pyplot.close(figure)


def test_the_extension_of_the_library_names_viz_and_does_not_import_it() -> None:
    program = ("import sys, microgradrnn\n"
               "class Shell:\n"
               "    def load_extension(self, name): print(name, 'viz' in sys.modules)\n"
               "Shell.extension_manager = Shell()\n"
               "microgradrnn.load_ipython_extension(Shell())")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "viz False\n"


def test_a_notebook_shows_what_it_should() -> None:
    """A real kernel runs a notebook."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    cells = {
        "%load_ext microgradrnn": set(),
        "import numpy as np, viz\nfrom microgradrnn import nn, Value\n"
        "_, (h, c) = nn.LSTM(3, 4, rng=0)(np.ones((20, 1, 3)))\nloss = (h * h).sum()": set(),
        "viz.theme.need_theme().page": {"text/plain"},
        "viz.draw_unrolled(loss)": {"text/html", "image/svg+xml", "text/plain"},
        "viz.gradient_flow(loss)": {"text/html", "image/svg+xml", "text/plain"},
        "viz.equations(nn.GRUCell(3, 4, rng=0))": {"text/latex", "text/plain"},
        "viz.plot_norms({'lstm': viz.gradient_flow(loss)})": {"text/html", "text/plain"},
        "viz.plot_norms({'lstm': viz.gradient_flow(loss)}).figure": {"image/png", "text/plain"},
        "viz.draw_graph(Value(2.0) * 3)": {"text/html", "image/svg+xml", "text/plain"},
    }
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    for cell, expected in zip(notebook.cells, cells.values(), strict=True):
        assert {kind for output in cell.outputs for kind in output.get("data", {})} == expected, cell.source
    assert notebook.cells[2].outputs[0].data["text/plain"] == str(PAGE)
    assert notebook.cells[5].outputs[0].data["text/latex"].startswith(r"$$\begin{aligned}")
