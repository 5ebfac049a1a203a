"""viz: pictures of graphs and of the gradients that flow through them.

One graph model, and three things to do with it: make smaller graphs (`graph`, `folding`), measure (`flow`), draw
(`layout`, `pictures`, `plots`, on `render`). Everything that users need is here at the top.
"""

from viz.errors import MissingToolError
from viz.explorer.explore import explore
from viz.flow.blame import LocalErrors, Shares, local_errors, shares
from viz.flow.compare import Comparison, Track, compare_flow
from viz.flow.connectivity import connectivity
from viz.flow.decay import Decay, decay, ratios
from viz.flow.from_torch import from_torch
from viz.flow.horizon import Horizon
from viz.flow.jacobians import StepJacobians, step_jacobians
from viz.flow.messages import Arrival, Flow, Profile, gradient_flow, profiles
from viz.flow.recorder import Recorder
from viz.flow.ways import Ways, ways
from viz.folding.contract import members
from viz.folding.fold import fold
from viz.folding.roll import roll
from viz.graph.equations import Equations, equations
from viz.graph.export import read, write
from viz.graph.trace import trace
from viz.notebook import load_ipython_extension as load_ipython_extension
from viz.pictures.cell import draw_cell
from viz.pictures.comparison import draw_comparison
from viz.pictures.derivative import draw_derivative
from viz.pictures.dot import draw_dot, draw_graph
from viz.pictures.film import draw_film
from viz.pictures.glance import glance
from viz.pictures.long import draw_long
from viz.pictures.recording import draw_recording
from viz.pictures.rolled import draw_rolled
from viz.pictures.text import draw_text, draw_text_map
from viz.pictures.unrolled import common_scale, draw_unrolled
from viz.pictures.ways import draw_ways
from viz.plots.curves import drawn_by, plot_comparison, plot_norms
from viz.plots.through_time import (
    plot_eigenvalues,
    plot_local_errors,
    plot_shares,
    plot_singular_values,
    plot_transport,
)
from viz.render.drawing import Drawing
from viz.render.film import Frames
from viz.render.page import Page
from viz.scale import Scale
from viz.theme import DARK, Theme, set_theme

# What the results of viz.flow are drawn by: they hold numbers and know no picture.
Comparison.painter, Recorder.painter, Ways.painter = draw_comparison, draw_recording, draw_ways
Equations.painter, Flow.painter, Flow.at_a_glance = draw_cell, draw_unrolled, glance
LocalErrors.painter, Shares.painter = drawn_by(plot_local_errors), drawn_by(plot_shares)
StepJacobians.painter = drawn_by(plot_singular_values)

__all__ = [
    "DARK",
    "Arrival",
    "Comparison",
    "Decay",
    "Drawing",
    "Equations",
    "Flow",
    "Frames",
    "Horizon",
    "LocalErrors",
    "MissingToolError",
    "Page",
    "Profile",
    "Recorder",
    "Scale",
    "Shares",
    "StepJacobians",
    "Theme",
    "Track",
    "Ways",
    "common_scale",
    "compare_flow",
    "connectivity",
    "decay",
    "draw_cell",
    "draw_comparison",
    "draw_derivative",
    "draw_dot",
    "draw_film",
    "draw_graph",
    "draw_long",
    "draw_recording",
    "draw_rolled",
    "draw_text",
    "draw_text_map",
    "draw_unrolled",
    "draw_ways",
    "equations",
    "explore",
    "fold",
    "from_torch",
    "gradient_flow",
    "local_errors",
    "members",
    "plot_comparison",
    "plot_eigenvalues",
    "plot_local_errors",
    "plot_norms",
    "plot_shares",
    "plot_singular_values",
    "plot_transport",
    "profiles",
    "ratios",
    "read",
    "roll",
    "set_theme",
    "shares",
    "step_jacobians",
    "trace",
    "ways",
    "write",
]
