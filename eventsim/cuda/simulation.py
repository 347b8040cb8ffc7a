"""Run a network on a GPU: what ``Simulation(network, backend="cuda")`` makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eventsim.adaptation import FIRST
from eventsim.cpu import frame as f
from eventsim.cpu.checkpoint import put_in_flight
from eventsim.cuda.engine import Engine
from eventsim.cuda.machine import chosen_machine
from eventsim.errors import SimulationError
from eventsim.interrupt import DeferredInterrupt
from eventsim.network import Network
from eventsim.simulation import Counters, Simulation
from eventsim.state import UPDATES, N


class CudaSimulation(Simulation, backend="cuda"):
    """A network on a grid of ``dt`` ms on an NVIDIA GPU, with its state; parameters and results are those of `Simulation`.

    What arrives at a neuron in a step is summed in whole numbers of a unit so small that the sum is exact to 62 bits
    (`eventsim.cuda.units`), and so the same in any order: the same run gives the same bits every time. A processor rounds every
    addition, so that its spikes are the same where all sums are exact, and statistically the same elsewhere.

    Parameters
    ----------
    update : "auto" or "dense"; on a GPU a sweep over all neurons costs less than to find those that could be left out
    workers : has no meaning here
    """

    def __init__(
        self,
        network: Network,
        dt: float = 0.1,
        *,
        backend: str = "cuda",
        update: str | Mapping[str, str] = "auto",
        workers: int | None = None,
        spikes: Mapping[str, Any] | None = None,
        increments: Mapping[str, Any] | None = None,
        **others: Any,
    ):
        machine = chosen_machine()
        if workers is not None:
            raise SimulationError("backend='cuda' runs on one GPU and takes no workers")
        modes = [update] if isinstance(update, str) else list(update.values()) if isinstance(update, Mapping) else []
        if "sparse" in modes:
            raise SimulationError("backend='cuda' updates neurons densely: use update='auto' or 'dense', or backend='cpu'")
        super().__init__(network, dt, update=update, workers=1, spikes=spikes, increments=increments, **others)
        self._engine = Engine(machine, self._program, self._items)
        self._flying: list[tuple[np.ndarray, np.ndarray]] = []  # steps and spikes of the last steps: some are on their way
        self._apart = False  # whether the states on the device are newer than those of the batch items
        self._sweep_all(0)
        nothing = np.zeros(0, np.int64)
        self._engine.push(0, [(nothing, nothing)] * self._batch)

    def _sweep_all(self, step: int) -> None:
        """Have the batch items updated densely, as the device does."""
        for item in self._items:
            for g, group in enumerate(self._program.groups):
                if group.kind == f.NEURONS and item.updates.sparse[g]:
                    item.members[0].set_mode(g, False, step)
                    item.updates.sparse[g] = False

    def _run_to(self, until: int, samples: Any, interrupt: DeferredInterrupt) -> None:
        """Run all batch items to the end of step ``until``."""
        samples.prepare(self._step, until)
        self._whole = False
        steps, spikes = self._engine.run(self._step, until, samples.pending)
        self._note(steps, spikes, until)
        self._step, self._apart = until, True
        samples.collect(until)
        self._whole = True

    def _note(self, steps: np.ndarray, spikes: np.ndarray, stop: int) -> None:
        """Record spikes, count them, and keep those that may be on their way."""
        size, first = self._program.size, self._items[0].members[0]
        for number, item in enumerate(self._items):
            mine = spikes // size == number
            at, gids = steps[mine], spikes[mine] - number * size
            item.members[0].position[f.SPIKES] += len(at)
            self._record(at, gids, item.buffer, self._rates.written[number])
            for g, group in enumerate(self._program.groups):
                if group.kind == f.NEURONS:
                    item.members[0].context[g, UPDATES] += (stop - self._step) * item.members[0].context[g, N]
        first.position[f.DELIVERED] += self._engine.take_events()
        self._flying.append((steps, spikes))
        oldest = stop - self._program.schedule.slots
        self._flying = [(at, who) for at, who in self._flying if len(at) and at[-1] > oldest]

    @staticmethod
    def _record(steps: np.ndarray, gids: np.ndarray, buffer: Any, recorder: f.Recorder) -> None:
        if recorder.wanted.size:
            wanted = recorder.wanted[gids] != 0
            buffer.drain()
            buffer.chunks.append((steps[wanted], gids[wanted].astype(np.int32)))
        if recorder.rate_of.size:
            which = recorder.rate_of[gids]
            steps, which = steps[which >= 0], which[which >= 0]
            bins = (steps - 1) // recorder.rate_interval[which] - recorder.rate_start[which]
            np.add.at(recorder.rate_counts, (which, bins), 1)

    def _pull(self) -> None:
        """Bring the batch items to where the device is."""
        if self._apart:
            self._engine.pull()
            self._apart = False

    def _not_finite(self) -> str:
        self._pull()
        return super()._not_finite()

    def state(self, population: str, field: str = "v") -> np.ndarray:
        """A state variable now: (neurons,), or (batch, neurons) if the simulation has a batch."""
        self._pull()
        return super().state(population, field)

    def _change_currents(self) -> None:
        super()._change_currents()
        for g in {self._program.place[self.network.number(current.target)] for current in self._varying}:
            self._engine.set_numbers(g)

    @property
    def counters(self) -> Counters:
        """What has been done so far."""
        found = super().counters
        return found._replace(synaptic_events=found.synaptic_events - self._waiting())

    def _waiting(self) -> int:
        """How many synapses that are not stored have been made, and wait to be delivered."""
        return self._engine.waiting(self._step, self._in_flight(self._engine.kept))

    def _capture(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        self._pull()
        waiting = self._waiting()
        for item, (steps, sources) in zip(self._items, self._in_flight(), strict=True):
            put_in_flight(item.members[0], self._step, steps, sources)
            item.updates.last, item.updates.window = self._step, FIRST
            if any(item.updates.free):
                item.updates.next = self._step + FIRST
        # Synapses that are not stored count when they are made, and are to count when they are delivered.
        position = self._items[0].members[0].position
        position[f.DELIVERED] -= waiting
        try:
            return super()._capture()
        finally:
            position[f.DELIVERED] += waiting

    def _in_flight(self, but_last: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each batch item the spikes, steps and sources, that may be on their way; ``but_last`` of them left out."""
        nothing = [(np.zeros(0, np.int64),) * 2]
        steps, spikes = (np.concatenate(column) for column in zip(*(self._flying or nothing), strict=True))
        steps, spikes = steps[: len(steps) - but_last], spikes[: len(spikes) - but_last]
        recent = steps > self._step - self._program.schedule.slots
        steps, spikes, size = steps[recent], spikes[recent], self._program.size
        return [(steps[spikes // size == item], spikes[spikes // size == item] % size) for item in range(self._batch)]

    def _restore(self, description: dict[str, Any], arrays: dict[str, np.ndarray], label: str) -> None:
        super()._restore(description, arrays, label)
        flying = [
            (arrays[f"item{item}/flying/step"], arrays[f"item{item}/flying/source"].astype(np.int64)) for item in range(self._batch)
        ]
        self._sweep_all(self._step)
        for g in {self._program.place[self.network.number(current.target)] for current in self._varying}:
            self._engine.set_numbers(g)
        self._engine.push(self._step, flying)
        self._items[0].members[0].position[f.DELIVERED] += self._engine.waiting(self._step, flying)
        size = self._program.size
        self._flying = [(at, number * size + who) for number, (at, who) in enumerate(flying)]
        self._apart = False
