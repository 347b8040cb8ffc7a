"""States that are recorded: copied on the device at the ends of steps, and brought back after each launch."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from eventsim.cuda import layout as w
from eventsim.cuda.layout import (
    S_BATCH,
    S_FIRST_STEP,
    S_WATCHED,
    W_BEGIN,
    W_CHOSEN,
    W_COUNT,
    W_FIELDS,
    W_INTERVAL,
    W_SIZE,
    W_STATE,
    WATCHED_WORDS,
)
from eventsim.cuda.machine import Machine

BYTES = 1 << 26  # of states that are recorded in a launch, about


@functools.cache
def bind_sample(machine: Machine) -> Any:
    """A function ``(thread, threads, t, a)`` that copies the states at the end of step t that are recorded then (modifies
    `samples`). Nobody may update neurons meanwhile."""

    @machine.jit
    def sample(thread, threads, t, a):
        batch = a.sizes[S_BATCH]
        for e in range(a.sizes[S_WATCHED]):
            row = e * WATCHED_WORDS
            interval = a.watched[row + W_INTERVAL]
            if t % interval == 0:
                count, fields, n = a.watched[row + W_COUNT], a.watched[row + W_FIELDS], a.watched[row + W_SIZE]
                number = t // interval - (a.sizes[S_FIRST_STEP] - 1) // interval - 1
                begin = a.watched[row + W_BEGIN] + number * batch * count * fields
                for index in range(thread, batch * count, threads):
                    item = index // count
                    j = a.chosen[a.watched[row + W_CHOSEN] + index - item * count]
                    for f in range(fields):
                        a.samples[begin + index * fields + f] = a.state[a.watched[row + W_STATE] + (f * batch + item) * n + j]

    return sample


class Watch:
    """The state recorders of a simulation, as the device knows them.

    pending : of `eventsim.cpu.sampling.SampleSet`: samplers, and for each batch item and worker where their samples go
    """

    def __init__(self, pending: Sequence[tuple[Any, Any]], groups: np.ndarray, batch: int, itemsize: int):
        self.pending, self.batch = pending, batch
        self.rows = np.zeros((len(pending), WATCHED_WORDS), np.int64)
        chosen: list[np.ndarray] = [np.zeros(0, np.int32)]
        each = 0.0
        for mine, (sampler, _) in zip(self.rows, pending, strict=True):
            neurons, group = sampler.parts[0], groups[sampler.group]
            mine[W_INTERVAL], mine[W_STATE], mine[W_SIZE] = sampler.interval, group[w.STATE], group[w.COUNT]
            mine[W_COUNT], mine[W_CHOSEN], mine[W_FIELDS] = len(neurons), sum(map(len, chosen)), len(sampler.fields)
            chosen.append(neurons)
            each += batch * len(neurons) * len(sampler.fields) * itemsize / sampler.interval
        self.chosen = np.concatenate(chosen)
        self.longest = max(1, int(BYTES / each)) if each else np.iinfo(np.int64).max  # steps of a launch

    def room(self, first: int, last: int) -> int:
        """Lay out the samples of the steps first ... last (modifies the rows); the numbers that they take."""
        begin = 0
        for mine in self.rows:
            mine[W_BEGIN] = begin
            begin += self._count(mine, first, last) * self._each(mine)
        return begin

    def take(self, samples: np.ndarray, first: int, last: int, step: int) -> None:
        """Put the samples of the steps first ... last where they belong; step : in front of the first that there is room for."""
        for mine, of_each in self._found(samples, first, last):
            sampler, out = self.pending[mine]
            at = (first - 1) // sampler.interval - step // sampler.interval
            for item in range(self.batch):
                out[item][0][at : at + len(of_each)] = of_each[:, item]

    def _found(self, samples: np.ndarray, first: int, last: int) -> Iterator[tuple[int, np.ndarray]]:
        for e, mine in enumerate(self.rows):
            count, begin = self._count(mine, first, last), int(mine[W_BEGIN])
            shape = count, self.batch, int(mine[W_COUNT]), int(mine[W_FIELDS])
            yield e, samples[begin : begin + count * self._each(mine)].reshape(shape)

    def _each(self, mine: np.ndarray) -> int:
        return self.batch * int(mine[W_COUNT] * mine[W_FIELDS])

    @staticmethod
    def _count(mine: np.ndarray, first: int, last: int) -> int:
        return int(last // mine[W_INTERVAL] - (first - 1) // mine[W_INTERVAL])
