"""How large a network will be: synapses, degrees, delays and bytes, before anything is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventsim.errors import SimulationError
from eventsim.exact.sizes import exact_sizes
from eventsim.expected import PopulationEstimate, ProjectionEstimate
from eventsim.network import Network
from eventsim.program import build
from eventsim.sizes import RESERVED, grid_sizes
from eventsim.table import bytes_text, text_table


@dataclass(frozen=True)
class Estimate:
    """What a simulation of a network will hold.

    Attributes
    ----------
    populations, projections : tuples of `PopulationEstimate` and `ProjectionEstimate`
    bytes : bytes by kind
        "synapses"; "segments" (the index by source and delay); "neurons" (their states); "coefficients" (propagators of any gap,
        for each group); "predictions" (a ring of slots for each group that is not updated densely);
        "wheel" (lists of what is due, as wide as they begin: they grow with the spikes that arrive in one step); "inputs" (noise,
        increments and given spikes as kernels read them); "given" (arrays of the description); and two that are reserved, of
        which only as much is touched, and so takes memory, as there are spikes: "boxes" (spikes on their way between workers)
        and "spike buffer" (what waits to be recorded). In continuous time: "synapses", "segments", "neurons", "inputs", "queues"
        (as they begin: they grow with the spikes that are on their way) and "given".
    peak_bytes : the most that is held at one moment, while the network is built or later

    What is recorded is left out, and so is the program itself: Python, Numba and machine code take 100 to 250 MB.
    """

    populations: tuple[PopulationEstimate, ...]
    projections: tuple[ProjectionEstimate, ...]
    bytes: dict[str, int]
    peak_bytes: int

    @property
    def neurons(self) -> int:
        """Number of neurons and sources."""
        return sum(population.size for population in self.populations)

    @property
    def synapses(self) -> float:
        """Expected number of synapses."""
        return math.fsum(projection.synapses for projection in self.projections)

    @property
    def total_bytes(self) -> int:
        """Bytes held while the simulation runs, recordings left out."""
        return sum(self.bytes.values())

    @property
    def reserved_bytes(self) -> int:
        """Those of `total_bytes` that are touched only as far as spikes need: boxes and spike buffer."""
        return sum(self.bytes.get(kind, 0) for kind in RESERVED)

    @property
    def building(self) -> int:
        """Bytes needed for a while in addition, while the network is built."""
        return max(0, self.peak_bytes - self.total_bytes + self.reserved_bytes)

    def table(self) -> str:
        """Everything as text."""
        parts = [
            text_table(("population", "neurons", "model", "state"), [p[:3] + (bytes_text(p.bytes),) for p in self.populations])
        ]
        if self.projections:
            rows = [
                (
                    f"{p.source} -> {p.target}",
                    f"{p.synapses:.0f}",
                    f"{p.in_degree:.1f}",
                    f"{p.out_degree:.1f}",
                    f"{p.delay_low:g}" if p.delay_low == p.delay_high else f"{p.delay_low:g} ... {p.delay_high:g}",
                    bytes_text(p.bytes),
                )
                for p in self.projections
            ]
            parts.append(text_table(("projection", "synapses", "in-degree", "out-degree", "delay (ms)", "size"), rows))
        kinds = [(kind + ", reserved" * (kind in RESERVED), bytes_text(count)) for kind, count in self.bytes.items()]
        kinds += [("total", bytes_text(self.total_bytes)), ("more while building", bytes_text(self.building))]
        kinds += [("peak, without what is reserved", bytes_text(self.peak_bytes))]
        parts.append(text_table(("memory", "size"), kinds))
        if self.reserved_bytes:
            parts.append("  of what is reserved only as much is touched as there are spikes; the wheel grows with them")
        parts.append(f"  {self.neurons:,} neurons, {self.synapses:,.0f} synapses")
        return "\n\n".join(parts)


def _check(dt: Any, dtype: Any, workers: Any, batch: Any, weight_dtype: Any) -> None:
    if not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise SimulationError(f"estimate: dt must be above 0 ms, not {dt!r}")
    if dtype not in ("float32", "float64"):
        raise SimulationError(f"estimate: dtype must be 'float32' or 'float64', not {dtype!r}")
    if weight_dtype not in (None, "float16", "float32", "float64"):
        raise SimulationError(f"estimate: weight_dtype must be 'float16', 'float32' or 'float64', not {weight_dtype!r}")
    for name, value in (("workers", workers), ("batch", batch)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SimulationError(f"estimate: {name} must be a whole number above 0, not {value!r}")


def estimate(
    network: Network,
    dt: float = 0.1,
    dtype: str = "float32",
    workers: int = 1,
    batch: int = 1,
    weight_dtype: str | None = None,
    *,
    update: str | Mapping[str, str] = "auto",
    method: str = "grid",
) -> Estimate:
    """Expected sizes of a simulation of ``network``; nothing is built.

    Parameters
    ----------
    dt : ms, the grid: delays are counted in it
    dtype : "float32" or "float64", the type of states and weights
    workers : number of threads; each has an index of its own to its synapses, unless the threads share a batch out
    batch : copies of the state. Synapses are held once, states and what spikes pass through once for each copy.
    weight_dtype : "float16", "float32" or "float64", the type of weights that synapses have of their own; None: dtype
    update : as in `Simulation`: neurons that are updated sparsely take 29 bytes more
    method : "grid"; or "exact", for which only the network counts

    Raises
    ------
    NetworkError, SimulationError : the network cannot be simulated in this way
    """
    if method == "exact":
        return Estimate(*exact_sizes(network))
    if method != "grid":
        raise SimulationError(f"estimate: method must be 'grid' or 'exact', not {method!r}")
    _check(dt, dtype, workers, batch, weight_dtype)
    return Estimate(*grid_sizes(build(network, dt, dtype, 0, update, weight_dtype), workers, batch))
