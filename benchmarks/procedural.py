"""Synapses that are made again whenever their source fires, beside the same ones stored: time of an event, building, bytes.

Neurons are noisy and connected so weakly that both sides have the same spikes whatever is drawn. One thread, dense updates.
"""

from __future__ import annotations

import time
from typing import Any

import click

from benchmarks.pairs import in_turn, median, ratio
from benchmarks.process import say
from benchmarks.report import Report, Table
from eventsim import (
    FixedInDegree,
    FixedProbability,
    LIFDelta,
    Network,
    Normal,
    PoissonNoise,
    Population,
    Projection,
    Simulation,
    Uniform,
)
from eventsim.estimate import estimate
from eventsim.table import bytes_text

NAME = "procedural"
PEERS: tuple[str, ...] = ()
DT = 0.1  # ms
LAWS: dict[str, tuple[Any, Any]] = {"constant": (1e-6, 1.5), "drawn": (Normal(1e-6, 1e-7), Normal(1.5, 0.75, low=DT))}
OPTIONS = [
    click.Option(["--neurons"], type=click.IntRange(min=2), default=20_000, show_default=True),
    click.Option(["--in-degree"], type=click.IntRange(min=1), default=1000, show_default=True, help="Synapses of each."),
    click.Option(["--duration"], type=float, default=100.0, show_default=True, help="ms of each run"),
]


def network(neurons: int, in_degree: int, rule: str, law: str, procedural: bool) -> Network:
    """Neurons that fire at some 20 spikes/s, connected by ``rule`` ("in-degree", "probability") without effect."""
    neuron = LIFDelta(tau_mem=20.0, v_leak=0.0, v_th=20.0, v_reset=10.0, refractory=2.0)
    connectivity = FixedInDegree(in_degree) if rule == "in-degree" else FixedProbability(min(1.0, in_degree / neurons))
    return Network(
        [Population("cells", neurons, neuron, initial={"v": Uniform(0.0, 20.0)})],
        [Projection("cells", "cells", connectivity, *LAWS[law], procedural=procedural)],
        [PoissonNoise("cells", rate=1000.0, weight=1.0)],
    )


def _point(neurons: int, in_degree: int, rule: str, law: str, duration: float, repeats: int) -> dict[str, Any]:
    sides, built, held, simulations = {}, {}, {}, {}
    for name, procedural in (("stored", False), ("procedural", True)):
        Simulation(network(10, 1, rule, law, procedural), DT, workers=1, update="dense").run(5.0)  # compiles
        made = network(neurons, in_degree, rule, law, procedural)
        begin = time.perf_counter()
        simulation = simulations[name] = Simulation(made, DT, workers=1, update="dense")
        built[name] = time.perf_counter() - begin
        held[name] = int(estimate(made, DT, workers=1).peak_bytes)
        simulation.run(duration)

        def timed(simulation: Simulation = simulation) -> float:
            start = time.perf_counter()
            simulation.run(duration)
            return time.perf_counter() - start

        sides[name] = timed
    before = simulations["stored"].counters.synaptic_events
    walls = in_turn(sides, repeats)
    events = (simulations["stored"].counters.synaptic_events - before) / repeats
    more = [1e9 * (p - s) / events for s, p in zip(walls["stored"], walls["procedural"], strict=True)]
    return {
        "wall_s": walls,
        "built_s": built,
        "estimated_bytes": held,
        "events": events,
        "ns_more_per_event": median(more),
        "procedural / stored": ratio(walls["procedural"], walls["stored"])._asdict(),
    }


def measure(*, neurons: int, in_degree: int, duration: float, repeats: int) -> Report:
    """Run it; see the module."""
    results: dict[str, Any] = {}
    for rule in ("in-degree", "probability"):
        for law in LAWS:
            say(f"{rule}, {law} ...")
            results[f"{rule}, {law}"] = _point(neurons, in_degree, rule, law, duration, repeats)
    head = ("synapses", "time to stored", "ns more an event", "built (s): stored", "procedural", "bytes: stored", "procedural")
    rows = [
        (
            name,
            f"{found['procedural / stored']['median']:.2f}",
            f"{found['ns_more_per_event']:.1f}",
            *(f"{found['built_s'][side]:.2f}" for side in ("stored", "procedural")),
            *(bytes_text(found["estimated_bytes"][side]) for side in ("stored", "procedural")),
        )
        for name, found in results.items()
    ]
    title = f"{neurons:,} neurons of {in_degree:,} synapses, weights and delays constant or drawn; one thread"
    plan = {"neurons": neurons, "in_degree": in_degree, "duration": duration, "repeats": repeats}
    return Report(plan, results, [Table(title, head, rows)], ["bytes: as estimated, without the rows that are on their way"])
