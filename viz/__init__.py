"""viz: pictures of graphs and of the gradients that flow through them.

One graph model, and three things to do with it: make smaller graphs (`graph`, `folding`), measure (`flow`), draw
(`layout`, `pictures`, `plots`, on `render`). Everything that users need is here at the top.
"""

from viz.errors import MissingToolError
from viz.flow.blame import LocalErrors, Shares, local_errors, shares, shares_by_lag
from viz.flow.compare import Comparison, Track, compare_flow
from viz.flow.connectivity import connectivity
from viz.flow.decay import Decay, decay, ratios
from viz.flow.from_torch import from_torch
from viz.flow.horizon import Horizon
from viz.flow.jacobians import StepJacobians, step_jacobians
from viz.flow.messages import Arrival, Flow, Profile, gradient_flow, profiles
from viz.flow.recorder import Recorder
from viz.flow.ways import Ways, step_ways, ways
from viz.folding.contract import members
from viz.folding.fold import fold
from viz.folding.roll import roll
from viz.graph.equations import Equations, equations
from viz.graph.export import read, write
from viz.graph.trace import trace
from viz.pictures.cell import cell
from viz.pictures.derivative import derivative
from viz.pictures.dot import draw, draw_dot
from viz.pictures.film import Frames, backprop_frames
from viz.pictures.long import folded
from viz.pictures.rolled import rolled
from viz.pictures.text import shaded_text, text_map
from viz.pictures.unrolled import common_scale, side_by_side, unrolled
from viz.pictures.ways import draw_ways
from viz.plots.curves import norm_against_lag
from viz.plots.through_time import blame_map, eigenvalue_plane, share_bars, singular_fan, transport_curves
from viz.render.drawing import Drawing
from viz.scale import Scale
from viz.theme import DARK, Theme

__all__ = [
    "DARK", "Arrival", "Comparison", "Decay", "Drawing", "Equations", "Flow", "Frames", "Horizon", "LocalErrors",
    "MissingToolError", "Profile", "Recorder", "Scale", "Shares", "StepJacobians", "Theme", "Track", "Ways",
    "backprop_frames", "blame_map", "cell", "common_scale", "compare_flow", "connectivity", "decay", "derivative",
    "draw", "draw_dot", "draw_ways", "eigenvalue_plane", "equations", "fold", "folded", "from_torch", "gradient_flow",
    "local_errors", "members", "norm_against_lag", "profiles", "ratios", "read", "roll", "rolled",
    "shaded_text", "share_bars", "shares", "shares_by_lag", "side_by_side", "singular_fan", "step_jacobians",
    "step_ways", "text_map", "trace", "transport_curves", "unrolled", "ways", "write",
]
