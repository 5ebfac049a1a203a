"""The explorer's sliders: how long a page takes to compute the largest net that it does, in Node.js.

`viz.explorer.live` prints the net, and the script of the page runs it. Measured is the time of the processor, so that
whatever else the machine does counts little.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import viz
from benchmarks.measure import MissingPeerError, Row, seconds
from microgradrnn import nn
from viz.explorer.live import MOST_STEPS, MOST_UNITS, Live, live
from viz.graph.cells import one_cell
from viz.graph.steps import recurrent

WEB = Path(viz.__file__).parent / "web" / "src"
CLASSES = 30
PROGRAM = """
import { readFileSync } from "node:fs";
import vm from "node:vm";
const [{ Net }, { read }] = await Promise.all(["live", "data"].map((name) => import(`file://WEB/${name}.js`)));
const { source, live } = read(readFileSync("FILE", "utf8"));
const used = () => process.cpuUsage().user + process.cpuUsage().system;
vm.runInThisContext(source);
const net = new Net(live);
const run = (k) => net.run({ gain: 1 + k / 1000 });
const cut = (k) => net.cut({ gain: 1 + k / 1000 }, ["carry"]);
const times = [run, cut].map((f) => Array.from({ length: 200 }, (_, k) => {
    const start = used();
    f(k);
    return (used() - start) / 1e6;
}));
const median = (x) => x.slice(20).sort((a, b) => a - b)[90];
console.log(JSON.stringify([times[0][0], ...times.map(median)]));
"""


def loss(kind: Any) -> Any:
    """Cross-entropy of all steps of a net at the limits, one sequence."""
    rng = np.random.default_rng(0)
    hs, _ = kind(MOST_UNITS, MOST_UNITS, rng=0)(rng.standard_normal((MOST_STEPS, 1, MOST_UNITS)))
    return nn.cross_entropy(nn.Linear(MOST_UNITS, CLASSES, rng=1)(hs), rng.integers(0, CLASSES, (MOST_STEPS, 1)))


def printed(root: Any) -> Live:
    """The net for the page, with the messages along all wires."""
    graph = viz.trace(root)
    layer = recurrent(graph)[-1]
    return live(root, wires=[wire.edge for wire in one_cell(graph, layer, layer.order).wires])


def in_node(found: Live) -> list[float]:
    """Seconds of the first run, of later ones, and of later cuts."""
    if (node := shutil.which("node")) is None:
        raise MissingPeerError("node is not installed")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.json"
        file.write_text(json.dumps({"source": found.source, "live": found.data}))
        program = Path(folder) / "program.mjs"
        program.write_text(PROGRAM.replace("WEB", str(WEB)).replace("FILE", str(file)))
        done = subprocess.run([node, str(program)], capture_output=True, text=True, check=True)
    times: list[float] = json.loads(done.stdout)
    return times


def rows() -> Iterator[Row]:
    """For an LSTM, a GRU and a simple net: a move of a slider, the first one, a cut, and what printing costs."""
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        what = f"explorer: {kind.__name__}, H={MOST_UNITS}, T={MOST_STEPS}"
        root = loss(kind)
        printed(root)  # warms up
        spent, found = seconds(lambda root=root: printed(root)), printed(root)  # type: ignore[misc]
        first, run, cut = in_node(found)
        yield Row(f"{what}: slider moved : 20 ms", f"{run * 1e3:.1f} ms", "20 ms", run / 0.02, bar=1.0)
        yield Row(f"{what}: the first move : 100 ms", f"{first * 1e3:.0f} ms", "100 ms", first / 0.1, bar=1.0)
        yield Row(f"{what}: slider moved, carry cut : 20 ms", f"{cut * 1e3:.1f} ms", "20 ms", cut / 0.02, bar=1.0)
        size = len(found.source) + len(json.dumps(found.data))
        yield Row(f"{what}: printed in Python, kB", f"{spent:.2f} s", f"{size / 1e3:.0f} kB")
