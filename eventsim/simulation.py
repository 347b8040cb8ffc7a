"""Run a network: the one place where a description, a grid, inputs and recorders come together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from eventsim.cpu import workers as w
from eventsim.cpu.instance import Instance
from eventsim.cpu.sampling import SampleSet
from eventsim.errors import SimulationError
from eventsim.models.model import Neuron
from eventsim.network import Network
from eventsim.program import build, initial_mode, next_change, steps_of
from eventsim.recording import RateData, Rates, Recording, SpikeData, Spikes, States, chosen_neurons
from eventsim.stimuli import Current, Increment, SpikeSource

WINDOW = 128  # steps between two decisions on how to update a group
TO_SPARSE = 1 / 400  # of a group active in a step: below it the sparse update is worth it
TO_DENSE = 1 / 150  # above it the dense one is
LONGEST_PATIENCE = 64  # windows

Recorder = Spikes | States | Rates


class Counters(NamedTuple):
    """What has been done so far, over all batch items.

    steps : steps of the grid, times batch items; spikes : spikes fired; synaptic_events : spikes times their synapses
    updates : neuron updates; neuron_steps : steps times neurons (sources not counted), what a dense simulation updates
    """

    steps: int
    spikes: int
    synaptic_events: int
    updates: int
    neuron_steps: int


class Simulation:
    """A network on a grid of ``dt`` ms, with its state.

    Parameters
    ----------
    network : Network
    dt : ms
    seed : whole number
        The same seed gives the same synapses, initial states and noise, whatever the number of workers.
    dtype : "float32" or "float64", of states and weights
    update : "auto", "dense", "sparse", or a mapping of population name to these
        Which neurons are touched in a step: all, or only those that receive something or will fire. The spikes are the same.
    workers : threads; None: as many as the network can keep busy. The results do not depend on it.
    batch : independent copies of the network's state, each with noise and inputs of its own
    record : sequence of Spikes, States and Rates
    spikes : mapping of SpikeSource population to what it fires
        A SpikeSource (for all batch items), a list of them (one for each), or an array of 0 and 1 (steps, neurons) or
        (steps, batch, neurons), whose row n is fired at (n + 1) dt.
    increments : mapping of population to values received on its default port
        (steps, neurons) or (steps, batch, neurons), row n in step n + 1.

    Raises
    ------
    SimulationError, NetworkError
        Here, before anything runs: naming the object, what is wrong and what to do.
    """

    def __init__(
        self,
        network: Network,
        dt: float = 0.1,
        *,
        seed: int = 0,
        dtype: Any = "float32",
        update: str | Mapping[str, str] = "auto",
        workers: int | None = None,
        batch: int = 1,
        record: Sequence[Recorder] = (),
        spikes: Mapping[str, Any] | None = None,
        increments: Mapping[str, Any] | None = None,
    ):
        self._program = build(network, dt, dtype, seed)
        self._batch = _whole(batch, "batch")
        self._threads = _default_workers(network, self._batch) if workers is None else _whole(workers, "workers")
        _check_update(update, network)
        self._recorders = _check_recorders(record, network, self._program.dt)
        parts = self._threads if self._batch == 1 else 1
        given = [_given_spikes(self._program, dict(spikes or {}), item, self._batch) for item in range(self._batch)]
        extra = [_given_increments(network, dict(increments or {}), item, self._batch) for item in range(self._batch)]
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None
        rows = list(self._map(lambda k: self._program.rows(k, parts), range(parts)))
        modes = [initial_mode(network, g, update) if g.kind == w.NEURONS else (False, False) for g in self._program.groups]
        self._adaptive = [may for _, may in modes]
        first_modes = [sparse for sparse, _ in modes]
        self._items = [Instance(self._program, rows, item, given[item], extra[item], first_modes) for item in range(self._batch)]
        self._step = 0
        self._active = [[0] * len(modes) for _ in self._items]

    @property
    def network(self) -> Network:
        """What is simulated."""
        return self._program.network

    @property
    def dt(self) -> float:
        """The step in ms."""
        return self._program.dt

    @property
    def time(self) -> float:
        """How far the simulation has come, in ms."""
        return self._step * self._program.dt

    @property
    def batch(self) -> int:
        """The number of batch items."""
        return self._batch

    @property
    def counters(self) -> Counters:
        """What has been done so far."""
        members = [member for item in self._items for member in item.members]
        neurons = sum(group.size for group in self._program.groups if group.kind == w.NEURONS)
        return Counters(
            steps=self._step * self._batch,
            spikes=sum(int(member.position[w.SPIKES]) for member in members),
            synaptic_events=sum(int(member.position[w.EVENTS_DELIVERED]) for member in members),
            updates=sum(item.updates() for item in self._items),
            neuron_steps=self._step * self._batch * neurons,
        )

    @property
    def synapses(self) -> int:
        """The number of synapses."""
        return sum(int(np.sum(member.rows.length)) for member in self._items[0].members)

    def updates(self) -> dict[str, str]:
        """How each population is updated now: "dense", "sparse", or "mixed" between batch items."""
        result = {}
        for number, population in enumerate(self.network.populations):
            if isinstance(population.neuron, Neuron):
                modes = {item.modes[self._program.place[number]] for item in self._items}
                result[population.name] = "mixed" if len(modes) > 1 else "sparse" if modes.pop() else "dense"
        return result

    def state(self, population: str, field: str = "v") -> np.ndarray:
        """A state variable now: (neurons,), or (batch, neurons) if the simulation has a batch."""
        number, found = _neurons_of(self.network, population, f"state of {population!r}")
        fields = found.neuron.model.State._fields
        if field not in fields:
            raise SimulationError(f"state of {population!r}: it has no state {field!r}; it has {', '.join(fields)}")
        g, begin = self._program.place[number], self._program.group_offset(number)
        values = [item.states_now(g, self._step)[fields.index(field), begin : begin + found.size] for item in self._items]
        return values[0] if self._batch == 1 else np.stack(values)

    def run(self, duration: float, progress: bool = False) -> Recording:
        """Simulate ``duration`` ms more (a multiple of dt); what was recorded meanwhile.

        progress : show a bar on stderr if it takes longer than a second
        """
        steps = int(steps_of(duration, self.dt, "run: duration"))
        if steps < 0:
            raise SimulationError(f"run: duration must not be negative, not {duration} ms")
        start, stop = self._step, self._step + steps
        samples = SampleSet(self._program, self._items, [r for r in self._recorders if isinstance(r, States)])
        counts = RateCounts(self, [r for r in self._recorders if isinstance(r, Rates)], start, stop)
        with tqdm(total=stop * self.dt, initial=start * self.dt, unit="ms", disable=not progress, delay=1.0) as bar:
            for until in self._pieces(stop):
                self._run_to(until, samples, counts)
                bar.update((until - self._step) * self.dt)
                self._step = until
                self._adapt()
                self._change_currents()
        return Recording(
            start=start * self.dt,
            stop=stop * self.dt,
            dt=self.dt,
            spikes=self._take_spikes(),
            states=samples.take(self._batch),
            rates=counts.take(self._batch),
        )

    def _map(self, function, arguments) -> Iterator:
        return map(function, arguments) if self._pool is None else self._pool.map(function, arguments)

    def _pieces(self, stop: int) -> Iterator[int]:
        """Where to pause on the way to ``stop``: to decide, to change currents, to show progress. Results do not depend on the last."""
        length = 64
        while self._step < stop:
            until = min(stop, self._step + length)
            if any(self._adaptive):
                until = min(until, (self._step // WINDOW + 1) * WINDOW)
            change = self._next_current_change()
            if change is not None:
                until = min(until, change)
            began, asked = time.perf_counter(), self._step + length
            yield until
            if until == asked and time.perf_counter() - began < 0.1:
                length *= 2

    def _run_to(self, until: int, samples: Any, counts: RateCounts) -> None:
        """Run all batch items to the end of step ``until``."""
        requests = samples.prepare(self._step, until)

        def run_item(item: int) -> None:
            recorder = counts.recorder(item, self._items[item].buffer)
            self._items[item].run(until, recorder, requests[item], self._pool if self._batch == 1 else None)

        if self._batch == 1:
            run_item(0)
        else:
            list(self._map(run_item, range(self._batch)))
        samples.collect(until)

    def _adapt(self) -> None:
        """At the end of a window: update each group in the way that its activity in it asks for."""
        if self._step % WINDOW or not any(self._adaptive):
            return
        for index, item in enumerate(self._items):
            for g, group in enumerate(self._program.groups):
                if not self._adaptive[g]:
                    continue
                active = item.active(g)
                share = (active - self._active[index][g]) / (WINDOW * group.size)
                self._active[index][g] = active
                item.waited[g] += 1
                if item.modes[g] and share > TO_DENSE:
                    item.patience[g] = min(2 * item.patience[g], LONGEST_PATIENCE) if item.waited[g] == 1 else 1
                    self._switch(item, g, False)
                elif not item.modes[g] and share < TO_SPARSE and item.waited[g] >= item.patience[g]:
                    self._switch(item, g, True)

    def _switch(self, item: Instance, g: int, sparse: bool) -> None:
        item.modes[g] = sparse
        item.waited[g] = 0
        for member in item.members:
            member.set_mode(g, sparse, self._step)

    def _varying(self) -> list[Current]:
        return [i for i in self.network.inputs if isinstance(i, Current) and i.varying]

    def _next_current_change(self) -> int | None:
        times = [next_change(current, self.dt, self.time) for current in self._varying()]
        soonest = min(times, default=np.inf)
        return None if np.isinf(soonest) else round(soonest / self.dt)

    def _change_currents(self) -> None:
        """Put the currents in force that flow from now on."""
        names = [population.name for population in self.network.populations]
        changed = {
            self._program.place[names.index(current.target)]
            for current in self._varying()
            if round(next_change(current, self.dt, self.time - self.dt) / self.dt if self.time else -1.0) == self._step
        }
        for g in changed:
            for item in self._items:
                for member in item.members:
                    member.set_currents(g, self._step)

    def _take_spikes(self) -> dict[str, SpikeData]:
        wanted = [r for r in self._recorders if isinstance(r, Spikes)]
        taken = [item.buffer.take() for item in self._items]
        steps, gids = np.concatenate([t[0] for t in taken]), np.concatenate([t[1] for t in taken])
        batch = np.repeat(np.arange(len(taken)), [len(t[0]) for t in taken])
        result = {}
        for recorder in wanted:
            number, population = _population(self.network, recorder.population, "Spikes")
            begin = self._program.offset[number]
            chosen = np.zeros(population.size, bool)
            chosen[chosen_neurons(recorder.neurons, population.size, f"Spikes of {population.name!r}")] = True
            mine = (gids >= begin) & (gids < begin + population.size)
            neurons = gids[mine].astype(np.int64) - begin
            keep = chosen[neurons]
            neurons, when, item = neurons[keep], steps[mine][keep], batch[mine][keep]
            order = np.lexsort((neurons, when, item))
            result[population.name] = SpikeData(when[order] * self.dt, neurons[order], item[order])
        return result


class RateCounts:
    """The spike counts of the populations whose rates are recorded, in one call of `run`."""

    def __init__(self, simulation: Simulation, recorders: list[Rates], start: int, stop: int):
        program = simulation._program
        self.dt, self.start, self.stop = program.dt, start, stop
        self.recorders, self.sizes = recorders, []
        self.rate_of = np.full(program.size if recorders else 0, -1, np.int32)
        for index, recorder in enumerate(recorders):
            number, population = _population(program.network, recorder.population, "Rates")
            self.rate_of[program.offset[number] : program.offset[number] + population.size] = index
            self.sizes.append(population.size)
        self.interval = np.array([steps_of(r.interval, self.dt, "Rates: interval") for r in recorders], np.int64)
        self.first = start // self.interval
        bins = int(np.max(-(-stop // self.interval) - self.first, initial=1))
        self.counts = np.zeros((simulation.batch, len(recorders), max(bins, 1)), np.int64)
        self.wanted = np.zeros(0, np.uint8)
        spikes = [r for r in simulation._recorders if isinstance(r, Spikes)]
        if spikes:
            self.wanted = np.zeros(program.size, np.uint8)
            for recorder in spikes:
                number, population = _population(program.network, recorder.population, "Spikes")
                chosen = chosen_neurons(recorder.neurons, population.size, f"Spikes of {population.name!r}")
                self.wanted[program.offset[number] + chosen] = 1

    def recorder(self, item: int, buffer: Any) -> w.Recorder:
        """Where the kernels of one batch item write."""
        return w.Recorder(
            self.wanted, buffer.step, buffer.gid, buffer.used, self.rate_of, self.interval, self.first, self.counts[item]
        )

    def take(self, batch: int) -> dict[str, RateData]:
        """The counts by population."""
        result = {}
        for index, recorder in enumerate(self.recorders):
            interval, first = int(self.interval[index]), int(self.first[index])
            bins = -(-self.stop // interval) - first
            counts = self.counts[:, index, :bins].T
            begin = (first + np.arange(bins)) * interval
            covered = np.minimum(begin + interval, self.stop) - np.maximum(begin, self.start)
            seconds = np.maximum(covered, 1)[:, None] * self.dt / 1000.0
            rate = counts / (seconds * self.sizes[index])
            if batch == 1:
                counts, rate = counts[:, 0], rate[:, 0]
            result[recorder.population] = RateData(begin * self.dt, counts.copy(), rate)
        return result


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise SimulationError(f"{name} must be a whole number above 0, not {value!r}")
    return int(value)


def _default_workers(network: Network, batch: int) -> int:
    """As many threads as there is work for: one for each 20,000 neurons or batch item, at most one a processor."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, batch if batch > 1 else network.size // 20_000))


def _population(network: Network, name: str, label: str):
    names = [population.name for population in network.populations]
    found = network.population(name, label)
    return names.index(name), found


def _neurons_of(network: Network, name: str, label: str):
    number, population = _population(network, name, label)
    if not isinstance(population.neuron, Neuron):
        raise SimulationError(f"{label}: its members are a {type(population.neuron).__name__} and have no state")
    return number, population


def _check_update(update: Any, network: Network) -> None:
    if not isinstance(update, str):
        for name in update:
            network.population(name, "update")
    for mode in (update,) if isinstance(update, str) else update.values():
        if mode not in ("auto", "dense", "sparse"):
            raise SimulationError(f"update must be 'auto', 'dense' or 'sparse', not {mode!r}")


def _check_recorders(record: Sequence[Recorder], network: Network, dt: float) -> list[Recorder]:
    seen = set()
    for recorder in record:
        if not isinstance(recorder, (Spikes, States, Rates)):
            raise SimulationError(f"record takes Spikes, States and Rates, not {recorder!r}")
        kind = type(recorder).__name__
        label = f"{kind} of {recorder.population!r}"
        _, population = _population(network, recorder.population, label)
        if (kind, population.name) in seen:
            raise SimulationError(f"{label}: asked for twice")
        seen.add((kind, population.name))
        if not isinstance(recorder, Rates):
            chosen_neurons(recorder.neurons, population.size, label)
        if not isinstance(recorder, Spikes) and recorder.interval is not None:
            if steps_of(recorder.interval, dt, f"{label}: interval") < 1:
                raise SimulationError(f"{label}: interval must be above 0 ms, not {recorder.interval}")
        if isinstance(recorder, States):
            _neurons_of(network, recorder.population, label)
            for field in recorder.fields:
                if field not in population.neuron.model.State._fields:
                    raise SimulationError(f"{label}: no state {field!r}; it has {', '.join(population.neuron.model.State._fields)}")
        elif not population.spiking:
            raise SimulationError(f"{label}: {population.neuron.model} never fires")
    return list(record)


def _item(value: Any, item: int, batch: int, label: str) -> np.ndarray:
    """The (steps, neurons) array of one batch item."""
    array = np.asarray(value)
    if array.ndim == 3:
        if array.shape[1] != batch:
            raise SimulationError(f"{label}: axis 1 holds {array.shape[1]} batch items, the simulation {batch}")
        return array[:, item]
    if array.ndim != 2:
        raise SimulationError(f"{label}: an array must be (steps, neurons) or (steps, batch, neurons), not {array.shape}")
    return array


def _given_spikes(program: Any, spikes: dict[str, Any], item: int, batch: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """For each SpikeSource population its (steps, neurons) in the order of the grid, for one batch item."""
    result = {}
    for name in spikes:
        _, population = _population(program.network, name, "spikes")
        if not isinstance(population.neuron, SpikeSource):
            raise SimulationError(f"spikes: {name!r} is not made of SpikeSource")
    for number, population in enumerate(program.network.populations):
        if not isinstance(population.neuron, SpikeSource):
            continue
        label = f"spikes of {population.name!r}"
        given = spikes.get(population.name, population.neuron)
        if isinstance(given, (list, tuple)):
            if len(given) != batch:
                raise SimulationError(f"{label}: {len(given)} given, the simulation has {batch} batch items")
            given = given[item]
        if isinstance(given, SpikeSource):
            steps, neurons = np.atleast_1d(steps_of(given.times, program.dt, label)), given.neurons
        else:
            array = _item(given, item, batch, label)
            if not np.all((array == 0) | (array == 1)):
                raise SimulationError(f"{label}: an array of spikes holds only 0 and 1")
            if array.shape[1] != population.size:
                raise SimulationError(
                    f"{label}: the last axis holds {array.shape[1]} values, the population {population.size} neurons"
                )
            steps, neurons = np.nonzero(array)
            steps = steps + 1
        if neurons.size and neurons.max() >= population.size:
            raise SimulationError(f"{label}: neuron {neurons.max()} fires, the population has {population.size} neurons")
        order = np.lexsort((neurons, steps))
        steps, neurons = steps[order], neurons[order]
        if np.any((np.diff(steps) == 0) & (np.diff(neurons) == 0)):
            raise SimulationError(f"{label}: a neuron fires twice in one step of {program.dt:g} ms")
        result[number] = (steps, neurons)
    return result


def _given_increments(network: Network, increments: dict[str, Any], item: int, batch: int) -> list[Increment]:
    result = []
    for name, value in increments.items():
        label = f"increments of {name!r}"
        _, population = _neurons_of(network, name, label)
        increment = Increment(name, _item(value, item, batch, label), over_time=True)
        increment.check(population.size, label)
        result.append(increment)
    return result
