"""One spiking layer over time, forward and backward: the compiled time loops of norse_bridge against Norse's.

All times are of a neuron's step. Each side runs in processes of its own, on all cores, in float32, with the input's gradient (and
the weights' in a recurrent layer). Memory is what the first forward and backward pass of a process take beyond what was there.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import click

from benchmarks.machine import cores
from benchmarks.pairs import in_turn, median, ratio
from benchmarks.process import Child, Failed, say
from benchmarks.report import Report, Table
from benchmarks.silence import values
from benchmarks.simulators import ENVIRONMENT, FOLDER
from eventsim.table import bytes_text

NAME = "layer"
PEERS: tuple[str, ...] = ("norse",)
OWN = "norse_bridge"
KINDS = ("LIF", "LSNN", "LIFRecurrent")
OPTIONS = [
    click.Option(["--kind"], default=",".join(KINDS), show_default=True, help=f"Of {', '.join(KINDS)}."),
    click.Option(["--steps"], type=int, default=500, show_default=True),
    click.Option(["--batch"], type=int, default=16, show_default=True),
    click.Option(["--neurons"], default="1000,4000", show_default=True, help="Recurrent layers take the first one alone."),
    click.Option(["--density"], default="0.01,0.1,0.5", show_default=True, help="Shares of inputs that are not 0."),
]
DIRECTIONS = ("forward", "backward")


def measure_point(pythons: dict[str, list[str]], request: dict[str, Any], repeats: int) -> dict[str, Any]:
    """One layer in all libraries, in turn, after one run whose time is not counted. pythons : the command of each library"""
    with ExitStack() as stack:
        children = {name: stack.enter_context(Child(name, command, ENVIRONMENT)) for name, command in pythons.items()}
        built = {name: child.ask({"build": request}) for name, child in children.items()}
        sides = {name: lambda child=child: child.ask({"run_ms": 0.0}) for name, child in children.items()}
        first, runs = in_turn(sides, 1), in_turn(sides, repeats)
    work = request["steps"] * request["batch"] * request["neurons"]
    times = {way: {name: [run[f"{way}_s"] for run in done] for name, done in runs.items()} for way in DIRECTIONS}
    others = [name for name in pythons if name != OWN]
    return {
        **request,
        "versions": {name: answer["version"] for name, answer in built.items()},
        "runs": runs,
        "activity": {name: median([run["spikes"] for run in done]) / work for name, done in runs.items()},
        "ns": {way: {name: 1e9 * median(found) / work for name, found in times[way].items()} for way in DIRECTIONS},
        "memory": {name: run["taken"] for name, (run,) in first.items()},
        "ratios": {
            f"{name} / {OWN}, {way}": ratio(times[way][name], times[way][OWN])._asdict() for name in others for way in DIRECTIONS
        },
    }


def _requests(options: dict[str, Any]) -> list[dict[str, Any]]:
    """A request for each point, from the options."""
    kinds, sizes = options["kind"].split(","), values(options["neurons"], int, "--neurons")
    for kind in kinds:
        if kind not in KINDS:
            raise Failed(f"--kind {kind}: there are {', '.join(KINDS)}")
    common = {"steps": options["steps"], "batch": options["batch"], "threads": cores()}
    return [
        {"kind": kind, "neurons": neurons, "density": density, **common}
        for kind in kinds
        for neurons in (sizes[:1] if "Recurrent" in kind else sizes)
        for density in values(options["density"], float, "--density")
    ]


def _table(points: list[dict[str, Any]], others: list[str]) -> Table:
    head = ["layer", "neurons", "input", "fire", "forward (ns)", "backward (ns)", "memory"]
    for name in others:
        head += [f"{name} forward", "backward", "memory"]
    rows = []
    for point in points:
        row = [point["kind"], point["neurons"], f"{100 * point['density']:g} %", f"{100 * point['activity'][OWN]:.2g} %"]
        row += [f"{point['ns'][way][OWN]:.2f}" for way in DIRECTIONS] + [bytes_text(point["memory"][OWN])]
        for name in others:
            row += [f"{point['ratios'][f'{name} / {OWN}, {way}']['median']:.1f} x" for way in DIRECTIONS]
            row.append(f"{point['memory'][name] / max(1, point['memory'][OWN]):.1f} x")
        rows.append(row)
    return Table("A neuron's step; for others how many times as long they take, and how many times the memory", head, rows)


def measure(*, repeats: int, peers: tuple[tuple[str, str], ...] = (), **options: Any) -> Report:
    """Run it; see the module."""
    requests, points = _requests(options), []
    script = str(FOLDER / "layer_peer.py")
    pythons = {OWN: [sys.executable, script, OWN], **{name: [python, script] for name, python in peers}}
    for request in requests:
        say(f"{request['kind']}, {request['neurons']} neurons, {100 * request['density']:g} % of the inputs ...")
        points.append(measure_point(pythons, request, repeats))
    settings = {**options, "repeats": repeats, "peers": [name for name, _ in peers]}
    return Report(settings, {"points": points}, [_table(points, [name for name, _ in peers])])
