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
    """All rate recorders, in one call of `run` from the end of step ``start`` to that of ``stop``."""

    def __init__(self, program: Program, recorders: list[Rates], batch: int, start: int, stop: int):
        self.program, self.recorders, self.batch, self.start, self.stop = program, recorders, batch, start, stop
        self.rate_of = np.full(program.size if recorders else 0, -1, np.int32)
        self.sizes = []
        for index, recorder in enumerate(recorders):
            number = program.network.number(recorder.population)
            size = program.network.populations[number].size
            self.rate_of[program.offset[number] : program.offset[number] + size] = index
            self.sizes.append(size)
        self.interval = np.array([whole_steps(r.interval, program.dt, "Rates: interval") for r in recorders], np.int64)
        self.first = start // self.interval
        bins = int(np.max(-(-stop // self.interval) - self.first, initial=1))
        self.counts = np.zeros((batch, len(recorders), bins), np.int64)

    def recorder(self, item: int, wanted: np.ndarray, buffer: SpikeBuffer) -> Recorder:
        """Where the kernels of one batch item write."""
        return Recorder(wanted, buffer.step, buffer.gid, buffer.used, self.rate_of, self.interval, self.first, self.counts[item])

    def take(self) -> dict[str, RateData]:
        """The counts, by population."""
        result = {}
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
