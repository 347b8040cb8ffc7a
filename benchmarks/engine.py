"""eventsim as a process that answers questions, like its peers: ``python -m benchmarks.engine``.

In a process of its own its memory is its own, too, and every side of a comparison is treated in the same way.
"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.networks import WARM, example
from benchmarks.peers.protocol import forget_peak, resident_memory, serve
from eventsim import Network, Rates, Simulation, estimate
from eventsim.recording import Recorder

INTERVAL = 1000.0  # ms, of the rates: long, so that counting spikes costs nothing


def bytes_held(network: Network, dt: float, settings: dict[str, Any]) -> dict[str, int]:
    """Bytes by kind, from the same constants that ``eventsim info`` prints."""
    held = estimate(network, dt, settings["dtype"], settings["workers"], weight_dtype=settings.get("weight_dtype"))
    return {kind: int(count) for kind, count in held.bytes.items()}


class Engine:
    """One network, after `build`."""

    simulation: Simulation

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Compile or load the kernels with a small network (``kernels_s``), then build (``built_s``).

        request : "network", "parameters", "threads", what `Simulation` takes ("update", "dtype", "weight_dtype", "seed", or
            "method": "exact" and "seed" alone), and perhaps "forget_peak": the peak of memory is then that of this network, not of
            compiling before it
        """
        name, parameters = request["network"], request["parameters"]
        given = {name: request[name] for name in ("update", "dtype", "weight_dtype", "seed") if name in request}
        settings = {"workers": request["threads"], **given}
        if request.get("method") == "exact":
            settings = {"method": "exact", "seed": request["seed"]}
        begin = time.perf_counter()
        small = example(name, {**parameters, **WARM.get(name, {})})
        self._simulate(small, settings).run(small.dt)
        kernels = time.perf_counter() - begin
        if request.get("forget_peak"):
            forget_peak()
        before = resident_memory()
        begin = time.perf_counter()
        large = example(name, parameters)
        self.simulation = self._simulate(large, settings)
        built = time.perf_counter() - begin
        return {
            "kernels_s": kernels,
            "built_s": built,
            "memory_before": before,
            "neurons": large.network.size,
            "synapses": self.simulation.synapses,
            "bytes": {} if "method" in settings else bytes_held(large.network, large.dt, settings),
            "version": "",
        }

    def _simulate(self, chosen: Any, settings: dict[str, Any]) -> Simulation:
        dt = None if "method" in settings else chosen.dt
        return Simulation(chosen.network, dt, record=self.recorders(chosen.record), **settings)

    def recorders(self, populations: tuple[str, ...]) -> list[Recorder]:
        """What is recorded."""
        return [Rates(name, INTERVAL) for name in populations]

    def run(self, ms: float) -> dict[str, Any]:
        """Go on for ``ms``: wall_s, cpu_s (processor time of all threads), the spikes of each population, and what was done."""
        before = self.simulation.counters
        begin, cpu = time.perf_counter(), time.process_time()
        recording = self.simulation.run(ms)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        after = self.simulation.counters
        counts = {name: int(data.counts.sum()) for name, data in recording.rates.items()}
        return {
            "wall_s": wall,
            "cpu_s": cpu,
            "spikes": sum(counts.values()),
            "spikes_of": counts,
            "synaptic_events": after.synaptic_events - before.synaptic_events,
            "updates": after.updates - before.updates,
            "neuron_steps": after.neuron_steps - before.neuron_steps,
        }


if __name__ == "__main__":
    serve(Engine())
