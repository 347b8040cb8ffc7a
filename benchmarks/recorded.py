"""eventsim as a process whose spikes are recorded, in memory or in a file: ``python -m benchmarks.recorded``."""

from __future__ import annotations

import os
import time
from typing import Any

from benchmarks.engine import Engine
from benchmarks.peers.protocol import resident_memory, serve
from eventsim import Spikes
from eventsim.recording import Recorder


class RecordedEngine(Engine):
    """One network with all its spikes recorded, after `build`."""

    def recorders(self, populations: tuple[str, ...]) -> list[Recorder]:
        """The spikes of every population."""
        return [Spikes(name) for name in populations]

    def run(self, ms: float, to: str | None = None) -> dict[str, Any]:
        """Go on for ``ms``: wall_s, spikes, and with a file its bytes and how much memory was held at which biological time."""
        before, held = self.simulation.counters.spikes, list[tuple[float, int]]()
        report = None if to is None else lambda progress: held.append((progress.time, resident_memory()))
        begin = time.perf_counter()
        self.simulation.run(ms, to=to, report=report)
        wall = time.perf_counter() - begin
        spikes = self.simulation.counters.spikes - before
        return {"wall_s": wall, "spikes": spikes, "held": held, "file_bytes": 0 if to is None else os.path.getsize(to)}


if __name__ == "__main__":
    serve(RecordedEngine())
