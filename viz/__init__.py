"""viz: pictures of graphs and of the gradients that flow through them.

``trace`` makes the graph model, ``gradient_flow`` measures, ``draw``, ``unrolled`` and ``side_by_side`` draw.
"""

from viz.anatomy import cell
from viz.blame import LocalErrors, Shares, local_errors, shares, shares_by_lag
from viz.compare import Comparison, Track, compare_flow
from viz.contract import members
from viz.drawing import Drawing, MissingToolError
from viz.equations import Equations, equations
from viz.export import read, write
from viz.flow import Arrival, Flow, Profile, gradient_flow, profiles
from viz.fold import fold
from viz.folded import folded
from viz.frames import Frames, backprop_frames
from viz.from_torch import from_torch
from viz.jacobians import StepJacobians, step_jacobians
from viz.memory import connectivity, shaded_text, text_map
from viz.rates import Decay, decay, ratios
from viz.recorder import Recorder
from viz.render.dot import draw, draw_dot
from viz.ribbons import ribbons
from viz.roll import roll
from viz.rolled import rolled
from viz.scale import Scale
from viz.stacks import draw_ways
from viz.theme import DARK, Theme
from viz.time_plots import blame_map, eigenvalue_plane, share_bars, singular_fan, transport_curves
from viz.trace import trace
from viz.unrolled import common_scale, side_by_side, unrolled
from viz.ways import Ways, step_ways, ways

__all__ = [
    "DARK", "Arrival", "Comparison", "Decay", "Drawing", "Equations", "Flow", "Frames", "LocalErrors",
    "MissingToolError", "Profile", "Recorder", "Scale", "Shares", "StepJacobians", "Theme", "Track", "Ways",
    "backprop_frames", "blame_map", "cell", "common_scale", "compare_flow", "connectivity", "decay", "draw", "draw_dot",
    "draw_ways", "eigenvalue_plane", "equations", "fold", "folded", "from_torch", "gradient_flow", "local_errors",
    "members", "profiles", "ratios", "read", "ribbons", "roll", "rolled", "shaded_text", "share_bars", "shares",
    "shares_by_lag", "side_by_side", "singular_fan", "step_jacobians", "step_ways", "text_map", "trace",
    "transport_curves", "unrolled", "ways", "write",
]
