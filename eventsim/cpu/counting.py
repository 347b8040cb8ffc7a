"""Spike and rate recorders: what the kernels write for them, and how it becomes arrays for each population."""

from __future__ import annotations

import numpy as np

from eventsim.cpu.frame import Recorder
from eventsim.grid import whole_steps
from eventsim.program import Program
from eventsim.recording import RateData, Rates, SpikeBuffer, SpikeData, Spikes, chosen_neurons


class SpikeSet:
    """All spike recorders of a simulation.

    wanted : uint8, which neurons of the network are recorded; empty if none is
    """

    def __init__(self, program: Program, recorders: list[Spikes]):
        self.program = program
        self.wanted = np.zeros(program.size if recorders else 0, np.uint8)
        self.chosen: dict[str, np.ndarray] = {}
        for recorder in recorders:
            number = program.network.number(recorder.population)
            size = program.network.populations[number].size
            neurons = chosen_neurons(recorder.neurons, size, f"Spikes of {recorder.population!r}")
            self.chosen[recorder.population] = program.offset[number] + neurons
            self.wanted[self.chosen[recorder.population]] = 1

    def take(self, buffers: list[SpikeBuffer]) -> dict[str, SpikeData]:
        """What the buffers of all batch items hold, by population; they are empty afterwards."""
        if not self.chosen:
            return {}
        taken = [buffer.take() for buffer in buffers]
        steps, gids = np.concatenate([t[0] for t in taken]), np.concatenate([t[1] for t in taken])
        batch = np.repeat(np.arange(len(taken)), [len(t[0]) for t in taken])
        order = np.lexsort((gids, steps, batch))
        steps, gids, batch = steps[order], gids[order], batch[order]
        result = {}
        for name in self.chosen:
            number = self.program.network.number(name)
            begin = self.program.offset[number]
            mine = (gids >= begin) & (gids < begin + self.program.network.populations[number].size)
            result[name] = SpikeData(steps[mine] * self.program.dt, gids[mine].astype(np.int64) - begin, batch[mine])
        return result


class RateSet:
    """All rate recorders of a simulation.

    counts : int64 (batch, recorders, bins), of the present call of `run`
    written : for each batch item where its kernels write, spikes (wanted, buffers) and counts; the same as long as the bins are
    """

    def __init__(self, program: Program, recorders: list[Rates], wanted: np.ndarray, buffers: list[SpikeBuffer]):
        self.program, self.recorders, self.batch = program, recorders, len(buffers)
        self.wanted, self.buffers = wanted, buffers
        self.rate_of = np.full(program.size if recorders else 0, -1, np.int32)
        self.sizes = []
        for index, recorder in enumerate(recorders):
            number = program.network.number(recorder.population)
            size = program.network.populations[number].size
            self.rate_of[program.offset[number] : program.offset[number] + size] = index
            self.sizes.append(size)
        self.interval = np.array([whole_steps(r.interval, program.dt, "Rates: interval") for r in recorders], np.int64)
        self.counts, self.written = np.zeros((0, 0, 0), np.int64), list[Recorder]()
        self.begin(0, 0)

    def begin(self, start: int, stop: int) -> None:
        """Count from the end of step ``start`` to that of ``stop``."""
        self.start, self.stop = start, stop
        first = start // self.interval
        bins = max((-(-stop // interval) - start // interval for interval in self.interval.tolist()), default=1)
        shape = (self.batch, len(self.recorders), max(bins, 1))
        if self.counts.shape != shape:
            self.counts, self.first = np.zeros(shape, np.int64), first
            self.written = [self._recorder(item, buffer) for item, buffer in enumerate(self.buffers)]
        self.counts[:] = 0
        self.first[:] = first

    def _recorder(self, item: int, buffer: SpikeBuffer) -> Recorder:
        arrays = (self.rate_of, self.interval, self.first, self.counts[item])
        return Recorder(self.wanted, buffer.step, buffer.gid, buffer.used, *arrays)

    def take(self) -> dict[str, RateData]:
        """The counts, by population."""
        result: dict[str, RateData] = {}
        for index, recorder in enumerate(self.recorders):
            interval, first = int(self.interval[index]), int(self.first[index])
            bins = -(-self.stop // interval) - first
            counts = self.counts[:, index, :bins].T.copy()
            begin = (first + np.arange(bins)) * interval
            covered = np.maximum(np.minimum(begin + interval, self.stop) - np.maximum(begin, self.start), 1)  # 0 in a run of 0 ms
            rate = counts / (covered[:, None] * (self.program.dt / 1000.0) * self.sizes[index])
            if self.batch == 1:
                counts, rate = counts[:, 0], rate[:, 0]
            result[recorder.population] = RateData(begin * self.program.dt, counts, rate)
        return result
