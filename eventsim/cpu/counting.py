"""Spike and rate recorders: what the kernels write for them, and how it becomes arrays for each population."""

from __future__ import annotations

import numpy as np

from eventsim.cpu.frame import Recorder
from eventsim.grid import whole_steps
from eventsim.program import Program
from eventsim.rate_bins import grid_bins, grid_rate
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
        self.intervals = [whole_steps(recorder.interval, program.dt, "Rates: interval") for recorder in recorders]
        self.interval = np.array(self.intervals, np.int64)
        self.counts, self.written = np.zeros((0, 0, 0), np.int64), list[Recorder]()
        self.begin(0, 0)

    def begin(self, start: int, stop: int) -> None:
        """Count from the end of step ``start`` to that of ``stop``."""
        self.start, self.stop = start, stop
        bins = max((-(-stop // interval) - start // interval for interval in self.intervals), default=1)
        shape = (self.batch, len(self.recorders), max(bins, 1))
        if self.counts.shape != shape:
            self.counts, self.first = np.zeros(shape, np.int64), np.zeros(len(self.intervals), np.int64)
            self.written = [self._recorder(item, buffer) for item, buffer in enumerate(self.buffers)]
        self.counts.fill(0)
        for index, interval in enumerate(self.intervals):
            self.first[index] = start // interval

    def _recorder(self, item: int, buffer: SpikeBuffer) -> Recorder:
        arrays = (self.rate_of, self.interval, self.first, self.counts[item])
        return Recorder(self.wanted, buffer.step, buffer.gid, buffer.used, *arrays)

    def take(self) -> dict[str, RateData]:
        """The counts, by population."""
        result: dict[str, RateData] = {}
        of_interval = {interval: grid_bins(self.start, self.stop, interval, self.program.dt) for interval in set(self.intervals)}
        for index, recorder in enumerate(self.recorders):
            times, seconds = of_interval[self.intervals[index]]
            counts = self.counts[0, index, : len(times)].copy() if self.batch == 1 else self.counts[:, index, : len(times)].T.copy()
            result[recorder.population] = RateData(times.copy(), counts, grid_rate(counts, seconds, self.sizes[index]))
        return result
