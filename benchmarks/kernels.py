"""What the kernels of backend="cuda" take of a GPU: registers, spilled bytes, instructions in float64. No GPU is needed."""

from __future__ import annotations

from typing import Any

import click

from benchmarks.process import say
from benchmarks.report import Report, Table
from eventsim import Model, Network, PoissonNoise, Population, models

NAME = "kernels"
PEERS: tuple[str, ...] = ()
MODELS = [name for name in models.__all__ if isinstance(getattr(models, name), Model)]
OPTIONS = [click.Option(["--model"], type=click.Choice(MODELS), multiple=True, help="May be repeated.  [default: all]")]


def measure(*, model: tuple[str, ...], repeats: int) -> Report:
    """Compile them; see the module."""
    from eventsim.cuda.inspect import HOPPER, ptx_of, resources_of

    results: dict[str, Any] = {}
    for name in model or MODELS:
        say(f"{name} ...")
        population = Population("neurons", 1, getattr(models, name)(refractory=1.0))
        network = Network([population], [], [PoissonNoise("neurons", 100.0, 1.0)])
        results[name] = {dtype: resources_of(ptx_of(network, 0.1, dtype))._asdict() for dtype in ("float32", "float64")}
    head = ("model", *(f"{dtype}: {part}" for dtype in ("float32", "float64") for part in ("registers", "spilled bytes", ".f64")))
    parts = ("registers", "spilled", "float64")
    rows = [(n, *(str(r[dtype][part]) for dtype in ("float32", "float64") for part in parts)) for n, r in results.items()]
    capability = ".".join(map(str, HOPPER))
    notes = [f"a network of one kind of neurons, with refractoriness and noise; compute capability {capability}; nothing was run"]
    return Report({"model": list(results), "capability": capability}, results, [Table("Kernels", head, rows)], notes)
