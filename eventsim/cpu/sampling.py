"""State recorders: what the sampling kernels write to, and how it becomes arrays over a population."""

from __future__ import annotations

from typing import Any

import numpy as np

from eventsim.cpu.frame import Samplers
from eventsim.cpu.kernels import compile_kernel
from eventsim.grid import whole_steps
from eventsim.program import Program
from eventsim.recording import StateData, States, chosen_neurons

NONE = Samplers(*[np.zeros(0, np.int64) for _ in Samplers._fields])


class Sampler:
    """One recorder: its neurons, where they stand, and what has been written for each batch item and worker."""

    def __init__(self, program: Program, recorder: States, workers: int):
        number = program.network.number(recorder.population)
        population = program.network.populations[number]
        label = f"States of {population.name!r}"
        self.recorder, self.group = recorder, program.place[number]
        self.fields = population.neuron.model.State._fields
        self.neurons = chosen_neurons(recorder.neurons, population.size, label)
        self.interval = 1 if recorder.interval is None else whole_steps(recorder.interval, program.dt, f"{label}: interval")
        self.kernel = compile_kernel("sample", program.groups[self.group].spec).address
        self.parts = []
        for worker in range(workers):
            first, last, at = program.local(number, worker, workers)
            mine = self.neurons[(self.neurons >= first) & (self.neurons < last)]
            self.parts.append(np.ascontiguousarray(mine - first + at, np.int32))
        self.written: list[list[np.ndarray]] = []
        self.times: list[np.ndarray] = []


class SampleSet:
    """All state recorders of one call of `run`."""

    def __init__(self, program: Program, items: list, recorders: list[States]):
        self.program, self.items = program, items
        self.workers = len(items[0].members)
        self.samplers = [Sampler(program, recorder, self.workers) for recorder in recorders]
        self.pending: list[tuple[Sampler, list[list[np.ndarray]]]] = []
        self.keep: list[np.ndarray] = []
        self.step = 0

    def prepare(self, step: int, until: int) -> list[list[Samplers]]:
        """Room for what is sampled in the steps step + 1 ... until: for each batch item and worker what `drive` takes."""
        self.pending, self.keep, self.step = [], [], step
        count = len(self.samplers)
        if not count:
            return [[NONE] * self.workers] * len(self.items)
        requests = np.zeros((len(self.items), self.workers, count), np.int64)
        for index, sampler in enumerate(self.samplers):
            rooms = until // sampler.interval - step // sampler.interval
            out = [
                [np.empty((rooms, len(part), len(sampler.fields)), self.program.dtype) for part in sampler.parts]
                for _ in self.items
            ]
            self.pending.append((sampler, out))
            for i in range(len(self.items)):
                for k, part in enumerate(sampler.parts):
                    request = np.array([len(part), part.ctypes.data, out[i][k].ctypes.data, 0, rooms], np.int64)
                    self.keep.append(request)
                    requests[i, k, index] = request.ctypes.data
        group = np.array([sampler.group for sampler in self.samplers], np.int64)
        interval = np.array([sampler.interval for sampler in self.samplers], np.int64)
        kernel = np.array([sampler.kernel for sampler in self.samplers], np.int64)
        return [[Samplers(group, interval, kernel, requests[i, k]) for k in range(self.workers)] for i in range(len(self.items))]

    def collect(self, reached: int) -> None:
        """Keep what the kernels have written up to the end of step ``reached``, which may be earlier than was prepared for."""
        for sampler, out in self.pending:
            first, last = self.step // sampler.interval + 1, reached // sampler.interval + 1
            sampler.times.append(np.arange(first, last) * sampler.interval * self.program.dt)
            sampler.written.append([np.concatenate([part[: last - first] for part in parts], axis=1) for parts in out])

    def take(self, batch: int) -> dict[str, StateData]:
        """Everything that was sampled, by population."""
        result: dict[str, Any] = {}
        for sampler in self.samplers:
            items = [
                np.concatenate([chunk[item] for chunk in sampler.written])
                if sampler.written
                else np.zeros((0, len(sampler.neurons), len(sampler.fields)), self.program.dtype)
                for item in range(batch)
            ]
            sampler.written.clear()  # what is large is not held twice while it is sorted out
            values = {}
            for name in sampler.recorder.fields:
                f = sampler.fields.index(name)
                values[name] = items[0][:, :, f].copy() if batch == 1 else np.stack([item[:, :, f] for item in items], axis=1)
            times = np.concatenate(sampler.times) if sampler.times else np.zeros(0)
            result[sampler.recorder.population] = StateData(times, sampler.neurons, values)
        return result
