"""What a flow shows, in one sentence: the title of its pictures. Whatever the numbers are, the sentence is true."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import networkx as nx
import numpy as np

from viz.flow.compare import fed_states
from viz.flow.messages import Flow, Profile, profiles
from viz.flow.ragged import own_lags
from viz.graph.labels import labelled, name_from_torch
from viz.graph.steps import layers, recurrent
from viz.numbers import short

SMALLEST = math.ulp(0.0)  # stands for a ratio that is not 0, but rounds to it
FED = "; new gradient comes in on the way"
MAIN: WeakKeyDictionary[Flow, int] = WeakKeyDictionary()  # what was found before, for it takes a while
PROFILES: WeakKeyDictionary[Flow, dict[int, Profile | None]] = WeakKeyDictionary()


def finding(flow: Flow, net: str = "", layer: int | None = None, state: str | None = None) -> str:
    """How much of the gradient is left far back, of what there is at lag 0 of the layer that a picture is about.

    Where new gradient comes in on the way, as from a loss at every step, the sentence compares and says so, for then
    nothing was "kept". In a padded batch, lags are counted from each sequence's own end.

    Args:
        flow: from `gradient_flow`.
        net: what the net is called; by default the name of its last layer.
        layer: another layer, by its number.
        state: another state of it, its symbol or role.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> from viz.flow.messages import gradient_flow
    >>> hs, h = nn.RNN(3, 4, rng=0)(np.ones((9, 1, 3)))
    >>> finding(gradient_flow(h.sum()), "the RNN")
    'The RNN keeps 1.3·10⁻⁵ of its gradient over 8 steps'
    >>> finding(gradient_flow(hs.sum()), "the RNN")
    'The RNN: 8 steps back the gradient is 1.05 times that at lag 0; new gradient comes in on the way'
    """
    net = net or (name_of(flow.graph) if recurrent(flow.graph) else result(flow.graph))
    layer = main_layer(flow) if layer is None else layer
    profile = main_profile(flow, layer) if state is None else flow.profile(state, layer)
    if profile is None or max(profile.lags) == 0:
        single = any(len(one.steps) == 1 for one in layers(flow.graph))
        return capital(f"{net} has a single step: the gradient has no way back to go" if single else
                       largest(flow, net))
    where, at = which_layer(flow.graph, layer), ""
    if len(flow.state_names(layer)) > 1:
        at = f" at {profile.state}"
    lag = furthest(flow, layer, profile)
    start, end = profile.at(0), profile.at(lag)
    if start is None or end is None or not math.isfinite(start):
        return capital(f"{net}: no finite gradient starts at {profile.state} at the last step{where}")
    if start == 0:
        first = next((j for j, g in zip(profile.lags, profile.norms, strict=True) if g), None)
        return capital(f"{net}: no gradient arrives at {profile.state}{where}" if first is None else
                       f"{net}: the gradient first arrives {steps(first)} before the end of the loop{where}")
    if lag == 0:
        return capital(f"{net}: no lag but 0 is one that all sequences have")
    if not math.isfinite(end):
        return capital(f"the gradient of {net} is no longer finite {steps(lag)} back{where}")
    one, share = recurrent(flow.graph)[layer], end / start or (SMALLEST if end else 0.0)
    if flow.running(one) is not None:
        return capital(f"{net}: {steps(lag)} before the end of each sequence, the gradient{at} is "
                       f"{times(share)} that at its end{where}")
    if is_fed(flow, layer):
        return capital(f"{net}: {steps(lag)} back the gradient{at} is {times(share)} that at lag 0{where}{FED}")
    if net == name_of(flow.graph) and " and " in net:  # several nets; the sentence is about one of them
        net = one.path.split("/")[-1]
    return capital(f"{net} {kept(share, at)} over {steps(lag)}{where}")


def largest(flow: Flow, net: str) -> str:
    """Which leaf of a graph without a loop has the largest gradient.

    >>> from microgradrnn import Value
    >>> from viz.flow.messages import gradient_flow
    >>> y = Value(2.0, label="a") * Value(3.0, label="b")
    >>> largest(gradient_flow(y), "y")
    'Among the leaves of y, a has the largest gradient: 3'
    """
    given = [node for node in flow.graph if not flow.graph.in_degree(node) and flow.gradients.get(node)]
    if not given:
        return f"no gradient arrives at the leaves of {net}"
    node = max(given, key=lambda node: flow.gradients[node])
    name = flow.graph.nodes[node].get("symbol") or flow.graph.nodes[node]["name"]
    return f"Among the leaves of {net}, {name} has the largest gradient: {short(flow.gradients[node])}"


def result(graph: nx.MultiDiGraph) -> str:
    """What the result of a graph is called."""
    said = graph.nodes[graph.graph["root"]]
    return str(said.get("symbol") or f"the {said.get('op', said['name'])}")


def main_layer(flow: Flow) -> int:
    """The layer that a picture is about: the last one at which gradient starts at lag 0, one that runs forwards if
    there is such a one; else the last.
    """
    if flow not in MAIN:
        found = recurrent(flow.graph)
        MAIN[flow] = -1
        for layer in sorted(range(len(found)), key=lambda j: (found[j].order[0] > found[j].order[-1], -j)):
            profile = main_profile(flow, layer)
            if profile is not None and profile.at(0) and math.isfinite(profile.norms[0]):
                MAIN[flow] = layer
                break
    return MAIN[flow]


def main_profile(flow: Flow, layer: int = -1) -> Profile | None:
    """The profile of the state of a layer that a picture is about, the cell state if there is one; None without.

    If no gradient starts at that state at lag 0, it is the first state at which one does.
    """
    known = PROFILES.setdefault(flow, {})
    if layer not in known:
        try:
            found = flow.profile(layer=layer)
        except ValueError:  # there are no time steps, no states, or other ones at each step
            known[layer] = None
        else:
            starts = found if found.at(0) else next((one for one in profiles(flow, layer) if one.at(0)), found)
            known[layer] = starts
    return known[layer]


def furthest(flow: Flow, layer: int, profile: Profile) -> int:
    """The largest lag; in a padded batch the largest that every sequence has."""
    running = flow.running(recurrent(flow.graph)[layer])
    if running is None:
        return max(profile.lags)
    lags = own_lags(list(running.values()))
    return int(np.min(lags.max(axis=0), initial=max(profile.lags), where=(lags >= 0).any(axis=0)))


def is_fed(flow: Flow, layer: int) -> bool:
    """Does gradient that has made no step back yet arrive at an earlier step than the last?"""
    one = recurrent(flow.graph)[layer]
    lag, step = one.lags(), one.step_of()
    return any(lag[step[node]] > 0 for node in fed_states(flow, layer) if node in step)


def which_layer(graph: nx.MultiDiGraph, layer: int) -> str:
    """Which layer is meant, where there are several."""
    found = recurrent(graph)
    words = labelled([one.path for one in found], [one.order[0] > one.order[-1] for one in found])
    label = ", ".join(part.strip("← →") for part in words[layer].split(", "))
    return f" ({label})" if len(found) > 1 and label else ""


def steps(n: int) -> str:
    """A number of steps.

    >>> steps(1), steps(2)
    ('1 step', '2 steps')
    """
    return f"{n} step{'s' * (n != 1)}"


def times(ratio: float) -> str:
    """How many times as large.

    >>> times(2.5), times(1.0), times(0.0)
    ('2.5 times', 'as large as', 'exactly 0 times')
    """
    if ratio == 0:
        return "exactly 0 times"
    if 0.995 < ratio < 1.005:
        return "as large as"
    return f"{f'{ratio:.2f}' if 0.9 < ratio < 1.1 else in_few(ratio)} times"


def kept(share: float, at: str = "") -> str:
    """What happened to the gradient at a state.

    >>> kept(0.019), kept(1.0), kept(250.0, " at c"), kept(3e-24), kept(0.0)
    ('keeps 1.9 % of its gradient', 'keeps all of its gradient', 'multiplies its gradient at c by 250', \
'keeps 3.0·10⁻²⁴ of its gradient', 'keeps exactly nothing of its gradient')
    """
    if share >= 1.005:
        return f"multiplies its gradient{at} by {f'{share:.2f}' if share < 1.1 else in_few(share)}"
    if share > 0.995:
        said = "all"
    elif share >= 1e-4:
        said = f"{100 * share:.2g} %" if share < 0.985 else f"{100 * share:.1f} %"
    else:
        said = in_few(share) if share else "exactly nothing"
    return f"keeps {said} of its gradient{at}"


def in_few(ratio: float) -> str:
    """A ratio in few characters, also one that no float holds.

    >>> in_few(2.5), in_few(math.inf), in_few(SMALLEST)
    ('2.5', 'more than 10³⁰⁸', 'less than 10⁻³⁰⁷')
    """
    if ratio == math.inf:
        return "more than 10³⁰⁸"
    return short(ratio) if ratio > 1e-307 else "less than 10⁻³⁰⁷"  # below, digits are lost


def structure(graph: nx.MultiDiGraph, net: str = "") -> str:
    """What a graph without a flow is, in one sentence.

    >>> import numpy as np
    >>> from microgradrnn import nn
    >>> from viz.graph.trace import trace
    >>> structure(trace(nn.RNN(3, 4, rng=0)(np.ones((9, 1, 3)))[1].sum()))
    'rnn: the same cell at 9 steps'
    """
    net, found = net or name_of(graph), layers(graph)
    if not found:
        return f"{net}: {graph.number_of_nodes()} nodes, none of them in a time step"
    counts = {len(layer.steps) for layer in found}
    cells = "the same cell" if len(found) == 1 else f"{len(found)} layers, each the same cell"
    if counts == {1}:
        return f"{net}: a single step"
    return f"{net}: {cells} at {' or '.join(map(str, sorted(counts)))} steps"


def name_of(graph: nx.MultiDiGraph) -> str:
    """What a net is called that has no other name: the last part of its last layer's path.

    A net of PyTorch is called by its module, if that is known, else by the cell that was recognised, ``LSTM cell``.
    """
    found = layers(graph)
    if name := name_from_torch(graph.graph, [layer.path for layer in found]):
        return name
    ends = dict.fromkeys(layer.path.split("/")[-1] for layer in found)
    return " and ".join(filter(None, list(ends)[:3])) or "the net"


def capital(words: str) -> str:
    """The sentence with a capital letter; names keep theirs: a net may be called a.

    >>> capital("the net keeps"), capital("a keeps")
    ('The net keeps', 'a keeps')
    """
    return words[:1].upper() + words[1:] if words.startswith("the ") else words
