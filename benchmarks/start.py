"""The first call of a fresh process: from its start to the end of the first step, machine code being on disk already."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import click

from benchmarks.pairs import median
from benchmarks.process import ROOT, Failed, environment, say
from benchmarks.report import Report, Table

NAME = "start"
PEERS: tuple[str, ...] = ()
PROGRAM = """
import json, sys, time
began = time.perf_counter()
from eventsim import Simulation
from benchmarks.networks import example
imported = time.perf_counter()
chosen = example(sys.argv[1], json.loads(sys.argv[2]))
simulation = Simulation(chosen.network, chosen.dt)
built = time.perf_counter()
simulation.run(chosen.dt)
done = time.perf_counter()
print(json.dumps({"import_s": imported - began, "build_s": built - imported, "first_step_s": done - built}), flush=True)
"""
SIZES: dict[str, dict[str, Any]] = {"brunel": {"neurons": 1000}, "vogels-abbott": {"neurons": 4000}, "microcircuit": {"scale": 0.1}}
OPTIONS = [
    click.Option(["--network"], type=click.Choice(list(SIZES)), multiple=True, help="May be repeated.  [default: all]"),
]


def first_step(network: str) -> dict[str, float]:
    """Seconds from starting a process to its first step, and their parts as the process saw them."""
    command = [sys.executable, "-c", PROGRAM, network, json.dumps(SIZES[network])]
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        total = time.perf_counter() - begin
    if not line:
        raise Failed(f"start: the process for {network} ended without a step; what it printed stands above")
    return {"total_s": total, **json.loads(line)}


def measure(*, network: tuple[str, ...], repeats: int) -> Report:
    """Run it; see the module."""
    results = {}
    for name in network or tuple(SIZES):
        say(f"{name}: once to have its machine code on disk, then {repeats} times ...")
        first = first_step(name)
        runs = [first_step(name) for _ in range(repeats)]
        results[name] = {
            "parameters": SIZES[name],
            "first_run": first,
            "runs": runs,
            "median": {part: median([run[part] for run in runs]) for part in first},
        }
    head = ("network", "start to first step (s)", "importing", "building", "first step")
    parts = ("total_s", "import_s", "build_s", "first_step_s")
    rows = [(name, *(f"{found['median'][part]:.2f}" for part in parts)) for name, found in results.items()]
    notes = ["medians; the interpreter's own start is the rest of the first column"]
    return Report({"network": list(results), "repeats": repeats}, results, [Table("A fresh process", head, rows)], notes)
