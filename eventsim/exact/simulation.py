"""Run a network with spike times that are real numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from eventsim.currents import next_change
from eventsim.errors import SimulationError, StorageError
from eventsim.exact import layout as w
from eventsim.exact.checkpoint import Parts, capture, check_rest, restore
from eventsim.exact.checks import check_network
from eventsim.exact.group import GUARD, PER_SEGMENT, Group
from eventsim.exact.loop import compile_drive
from eventsim.exact.queue import MOST_DAYS, ROOM, EventQueue
from eventsim.exact.recorders import Samples, check_exact_recorders, sort_out
from eventsim.exact.sources import PROCESS_NUMBERS, PROCESS_WORDS, first_events, make_processes
from eventsim.exact.spikes import ArrivalList, SpikeBuffer
from eventsim.exact.synapses import build_synapses
from eventsim.fitting import check_exact_fits
from eventsim.interrupt import DeferredInterrupt
from eventsim.long_run import show
from eventsim.models.model import Neuron
from eventsim.network import Network
from eventsim.program import NOISE, SOURCE
from eventsim.random import key
from eventsim.recording import Recorder, Recording, States
from eventsim.simulation import NOT_FINITE, Counters, Simulation
from eventsim.stimuli import Current, GammaSource, PoissonNoise, PoissonSource, SpikeSource

PIECE = 500_000  # events between two looks at Ctrl-C: about a tenth of a second
LEAST_WINDOW, MOST_WINDOW = 0.01, 2.0  # ms; Ctrl-C is heard between windows
SHORTER = 0.99  # times the least delay: by so much a window is shorter, whatever is rounded


class ExactSimulation(Simulation, method="exact"):
    """A network in continuous time, with its state: what ``Simulation(network, method="exact")`` makes.

    Spike times are real numbers: between events the flow is the models' exact solution in float64, and crossings of the threshold
    are found to rounding (`eventsim.exact.crossing`). Delays and times of given spikes are any numbers. Results do not depend on
    how a run is cut into calls of `run`.

    Parameters
    ----------
    network : Network
        Its neurons must be of models that can say when they fire: those with a ``crossing``, or a ``slope`` and a ``bend``.
    seed, record, spikes, force : as in `Simulation`; ``States`` need an interval
    """

    def __init__(
        self,
        network: Network,
        dt: Any = None,
        *,
        method: str = "exact",
        seed: int = 0,
        record: Sequence[Recorder] = (),
        spikes: Mapping[str, SpikeSource] | None = None,
        force: bool = False,
        **others: Any,
    ):
        if dt is not None or others:
            name = "dt" if dt is not None else next(iter(others))
            raise SimulationError(f"method='exact' knows no {name!r}: there are no steps; states are float64, on one thread")
        if not isinstance(network, Network):
            raise SimulationError(f"a simulation needs a Network, not {type(network).__name__}")
        key(seed)  # refuses what is no seed
        self._network, self._seed, self._time, self._changed = network, seed, 0.0, 0.0
        self._offsets = [int(o) for o in np.concatenate([[0], np.cumsum([p.size for p in network.populations])])]
        check_network(network)
        self._recorders = check_exact_recorders(record, network)
        self._given = spikes, None
        self._batch, self._force = 1, force
        if not force:
            check_exact_fits(network)
        self._start_counting()
        members = [p for p, population in enumerate(network.populations) if isinstance(population.neuron, Neuron)]
        self._groups = [Group(network, p, g, self._offsets[p], seed) for g, p in enumerate(members)]
        self._make_synapses()
        self._make_queues()
        self._make_loop()
        self._give(dict(spikes or {}))
        self._start_processes()
        self._varying = [i for i in network.inputs if isinstance(i, Current) and i.varying]
        for group in self._groups:
            self._renew(group, self._time)

    # What it is made of

    def _make_synapses(self) -> None:
        """All synapses; those of noise behind them, each a segment of its own."""
        most = max((len(group.ports) for group in self._groups), default=1)
        self._most_ports = 1 << max(0, most - 1).bit_length()
        place_of = {group.number: place for place, group in enumerate(self._groups)}
        network, numbers = self._network, []

        def port_number(name: str, port: str | None) -> int:
            place = place_of[network.number(name)]
            group = self._groups[place]
            return self._most_ports * place + group.ports.index(port or group.spec.model.default_port[0])

        for projection in network.projections:
            numbers.append(port_number(projection.target, projection.port))
        driven = [(number, noise) for number, noise in enumerate(network.inputs) if isinstance(noise, PoissonNoise)]
        spare = sum(network.population(noise.target).size for _, noise in driven)
        self._synapses = s = build_synapses(network, self._offsets, numbers, self._seed, spare)
        self._processes: list[tuple[np.ndarray, np.ndarray]] = []  # their numbers and words
        self._curves: list[np.ndarray] = []
        for number, population in enumerate(network.populations):
            if isinstance(population.neuron, (PoissonSource, GammaSource)):
                members = self._offsets[number] + np.arange(population.size)
                self._add_processes(population.neuron, key(self._seed, SOURCE, number, 0), members, members)
        first, synapse = len(s.segment) - spare, len(s.target) - spare
        for number, noise in driven:
            at = np.arange(network.population(noise.target).size)
            mine, reached = slice(first, first + len(at)), slice(synapse, synapse + len(at))
            s.segment[mine, 0], s.segment[mine, 2] = port_number(noise.target, noise.port), 1
            s.segment[mine, 1] = synapse + at
            s.target[reached], s.weight[reached] = at, noise.weight
            self._add_processes(noise, key(self._seed, NOISE, number, 0), at, -1 - (first + at))
            first, synapse = first + len(at), synapse + len(at)

    def _add_processes(self, given: Any, stream: np.uint64, members: np.ndarray, effects: np.ndarray) -> None:
        numbers, words, curve = make_processes(given, stream, members, effects, sum(map(len, self._curves)))
        self._processes.append((numbers, words))
        self._curves.append(curve)

    def _make_queues(self) -> None:
        """That of events, and that of visits, whose days are shorter than any delay behind a neuron; the same one if there is none
        so short."""
        self._queue = self._visits = EventQueue(ROOM + 2 * self._synapses.most_parcels + w.BLOCK)
        parcels, delay = self._synapses.parcels_of, self._synapses.delay
        ends = [(self._offsets[group.number], self._offsets[group.number + 1]) for group in self._groups]
        own = [delay[parcels[begin] : parcels[end]] for begin, end in ends]
        least = min((float(delays.min(initial=np.inf)) for delays in own), default=np.inf)
        self._by_day = least >= LEAST_WINDOW
        if self._by_day:
            self._visits = EventQueue(ROOM + w.BLOCK)
            self._visits.set_days(0.0, 1.0 / (SHORTER * min(least, MOST_WINDOW)))
            self._visits.begin(0.0)
        for group in self._groups:
            group.words[w.VISITS], group.words[w.BY_DAY] = self._visits.words.ctypes.data, self._by_day
            if self._by_day and self.synapses >= PER_SEGMENT * self._synapses.segments_of[-1]:
                group.allow_folding(1.0 / self._visits.per_ms)

    def _make_loop(self) -> None:
        network, groups, s = self._network, len(self._groups), self._synapses
        self._loop, self._clock = np.zeros(w.LOOP_SIZE, np.int64), np.full(w.CLOCK_SIZE, -1.0)
        receives, visits = np.zeros((max(groups, 1), self._most_ports), np.int64), np.zeros(max(groups, 1), np.int64)
        for place, group in enumerate(self._groups):
            group.words[w.LOOP] = self._loop.ctypes.data
            visits[place] = group.kernels["visit"].address
            receives[place, : len(group.ports)] = [group.kernels[port].address for port in group.ports]
        addresses = np.array([group.words.ctypes.data for group in self._groups], np.int64)
        nothing = np.zeros((0, PROCESS_NUMBERS)), np.zeros((0, PROCESS_WORDS), np.int64)
        tables = zip(nothing, *self._processes, strict=True)
        self._process_table, self._process_state = (np.concatenate(column) for column in tables)
        self._all_curves, count = np.concatenate([np.zeros(0), *self._curves]), len(self._process_state)
        del self._processes, self._curves
        self._held: dict[int, np.ndarray] = {
            w.QUEUE_WORDS: self._queue.words,
            w.CONTEXTS: addresses,
            w.VISIT_KERNELS: visits,
            w.RECEIVES: receives,
            w.PARCELS_OF: s.parcels_of,
            w.DELAY: s.delay,
            w.SEGMENTS_OF: s.segments_of,
            w.SEGMENT: s.segment,
            w.TARGET: s.target,
            w.WEIGHT: s.weight,
            w.PROCESS_TABLE: self._process_table,
            w.PROCESS_STATE: self._process_state,
            w.CURVES: self._all_curves,
            w.CLOCK: self._clock,
        }
        if self._by_day:
            self._held[w.DAYS] = self._visits.words
        for word, array in self._held.items():
            self._loop[word] = array.ctypes.data
        sizes = {
            w.GROUPS: groups,
            w.PORTS: self._most_ports,
            w.PORT_BITS: self._most_ports.bit_length() - 1,
            w.NEURONS: network.size,
            w.SEGMENTS: len(s.segment),
            w.PARCELS: len(s.delay),
            w.SYNAPSES: len(s.target),
            w.PROCESSES: count,
            w.CURVES_SIZE: len(self._all_curves),
            w.MOST_PARCELS: s.most_parcels,
            w.BUDGET: PIECE,
        }
        for word, size in sizes.items():
            self._loop[word] = size
        self._spikes, self._list = SpikeBuffer(self._loop, ROOM), ArrivalList(self._loop, ROOM)
        self._drive = compile_drive()

    def _give(self, spikes: dict[str, Any]) -> None:
        """Put the first given spike into the queue; it brings the next one."""
        times, sources = [np.zeros(0)], [np.zeros(0, np.int32)]
        for name in spikes:
            population = self._network.population(name, "spikes")
            if not isinstance(population.neuron, SpikeSource):
                raise SimulationError(f"spikes: {name!r} is not made of SpikeSource")
            if not isinstance(spikes[name], SpikeSource):
                raise SimulationError(f"spikes of {name!r}: method='exact' takes a SpikeSource, not {type(spikes[name]).__name__}")
        for number, population in enumerate(self._network.populations):
            if isinstance(population.neuron, SpikeSource):
                given = spikes.get(population.name, population.neuron)
                if given.neurons.size and given.neurons.max() >= population.size:
                    raise SimulationError(
                        f"spikes of {population.name!r}: neuron {given.neurons.max()} fires, the population has {population.size}"
                    )
                times.append(given.times)
                sources.append((self._offsets[number] + given.neurons).astype(np.int32))
        all_times, all_sources = np.concatenate(times), np.concatenate(sources)
        order = np.lexsort((all_sources, all_times))
        self._given_time, self._given_source = np.ascontiguousarray(all_times[order]), np.ascontiguousarray(all_sources[order])
        self._loop[w.GIVEN_TIME], self._loop[w.GIVEN_SOURCE] = self._given_time.ctypes.data, self._given_source.ctypes.data
        self._loop[w.GIVEN_COUNT] = len(order)
        if len(order):
            self._enqueue([self._given_time[0]], [w.GIVEN << w.KIND_SHIFT])

    def _start_processes(self) -> None:
        """Put the first event of each process into the queue, if there is one; each brings the next one."""
        firsts = np.empty(len(self._process_state))
        first_events(self._process_table.reshape(-1), self._process_state.reshape(-1), self._all_curves, firsts)
        found = np.flatnonzero(np.isfinite(firsts))
        self._enqueue(firsts[found], (w.PROCESS << w.KIND_SHIFT) + found)

    def _enqueue(self, times: Any, keys: Any) -> None:
        """Put entries into the queue, from Python."""
        needed = self._queue.entries + len(times) + 2 * self._synapses.most_parcels + ROOM
        if needed > self._queue.room:
            self._queue.grow(needed)
        self._queue.put(times, keys)

    # What it says about itself

    @property
    def network(self) -> Network:
        """What is simulated."""
        return self._network

    @property
    def dt(self) -> float:
        """0: there are no steps."""
        return 0.0

    @property
    def time(self) -> float:
        """How far the simulation has come, in ms."""
        return self._time

    @property
    def batch(self) -> int:
        """1"""
        return 1

    @property
    def counters(self) -> Counters:
        """What has been done so far; ``updates``: neurons that something reached, and those that fired."""
        events, fired = int(self._loop[w.EVENTS]), int(self._loop[w.FIRED])
        return Counters(steps=0, spikes=fired, synaptic_events=events, updates=events + fired, neuron_steps=0)

    @property
    def synapses(self) -> int:
        """The number of synapses."""
        return int(self._synapses.segment[: int(self._synapses.segments_of[-1]), 2].sum())

    def update_modes(self) -> dict[str, str]:
        """ "exact" for every population of neurons."""
        return {self._network.populations[group.number].name: "exact" for group in self._groups}

    def state(self, population: str, field: str = "v") -> np.ndarray:
        """A state variable now: (neurons,)."""
        self._network.neurons(population, f"state of {population!r}")
        group = self._group(population)
        if field not in group.fields:
            raise SimulationError(f"state of {population!r}: it has no state {field!r}; it has {', '.join(group.fields)}")
        return group.look(self._time)[:, group.fields.index(field)].copy()

    def _group(self, population: str) -> Group:
        number = self._network.number(population)
        return next(group for group in self._groups if group.number == number)

    def _renew(self, group: Group, time: float) -> None:
        """As `Group.renew`, with room for it: a dense group is so no more."""
        needed = self._visits.entries + group.size + ROOM
        if needed > self._visits.room:
            self._visits.grow(needed)
        group.renew(time)

    def _parts(self) -> Parts:
        """What its state stands in; arrays and queues are its own."""
        now = self._time, self._changed, self._varying
        built = self._groups, self._synapses, self._queue, self._visits, self._loop, self._clock, self._process_state
        return Parts(self._network, self._seed, *now, *built, self._given_time, self._spikes, self._list)

    # Running

    def _stop_after(self, duration: float) -> float:
        if (
            isinstance(duration, bool)
            or not isinstance(duration, (int, float, np.number))
            or not np.isfinite(duration)
            or duration < 0
        ):
            raise SimulationError(f"run: duration must be a number of ms, not negative, not {duration!r}")
        stop = self._time + float(duration)
        if self._by_day and stop * self._visits.per_ms > MOST_DAYS:
            raise SimulationError(
                f"run: at {stop:g} ms windows of {1.0 / self._visits.per_ms:g} ms, the least delay, are lost in rounding"
            )
        return stop

    @property
    def _state_type(self) -> np.dtype:
        return np.dtype(np.float64)

    @property
    def _now(self) -> float:
        return self._time

    def _in_ms(self, now: float) -> float:
        return now

    def _later(self, duration: float) -> float:
        return self._time + duration

    def _multiples(self, stop: float, interval: float | None) -> int:
        return 0 if interval is None else int(stop / interval) - int(self._time / interval)

    def _next_multiple(self, interval: float) -> float:
        if self._time / interval > MOST_DAYS:
            raise SimulationError(f"run: checkpoint_every: at {self._time:g} ms intervals of {interval} ms are lost in rounding")
        k = int(self._time / interval)
        while k * interval <= self._time:  # a quotient may be rounded to either side
            k += 1
        return k * interval

    def _check_whole(self) -> None:
        check_rest(self._parts())

    def _record_until(self, stop: float, shown: tqdm | None, interrupt: DeferredInterrupt) -> Recording:
        """Simulate up to a time, itself included, or until Ctrl-C, or until a state is not finite, which `_wrong` then says.

        Ctrl-C is heard between two events, or windows of 2 ms at most.
        """
        start = self._time
        samples = [self._samples(recorder) for recorder in self._recorders if isinstance(recorder, States)]
        while True:
            # Seen from the last change: a run or sample that ends a rounding before the next one has not reached it.
            change = min((next_change(c, GUARD, self._changed) for c in self._varying), default=np.inf)
            sample = min((s.next_time() for s in samples), default=np.inf)
            self._clock[w.CHANGE] = change
            self._run_to(min(stop, change, sample), interrupt, shown)
            if self._time == sample:
                for s in samples:
                    s.take(self._time)
            if self._time == change:
                self._change_currents()
            if interrupt.asked or self._time >= stop:
                break
        self._wrong = self._not_finite()
        return self._collect(start, samples)

    def _not_finite(self) -> str:
        for group in self._groups:
            found = group.first_not_finite()
            if found is not None:
                name, (neuron, field, value) = self._network.populations[group.number].name, found
                return NOT_FINITE.format(name, neuron, "", field, value, self._time)
        return ""

    def _settings(self) -> dict[str, Any]:
        return {"method": "exact", "seed": int(self._seed)}

    def _capture(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return capture(self._parts())

    def _restore(self, description: dict[str, Any], arrays: dict[str, np.ndarray], label: str) -> None:
        try:
            self._time, self._changed = restore(self._parts(), description, arrays)
        except StorageError as error:
            raise StorageError(f"{label}: {error}") from error
        for name in {current.target for current in self._varying}:
            self._group(name).set_parameters(self._changed)

    def _run_to(self, until: float, interrupt: DeferredInterrupt, shown: Any) -> None:
        context = self._loop.ctypes.data_as(ctypes.POINTER(ctypes.c_int64))
        now = self._clock[w.NOW : w.NOW + 1]
        while True:
            self._queue.fit(float(now[0]))
            status = self._drive.ctypes(context, until)
            if shown is not None:
                show(shown, min(until, float(now[0])))
            if status == w.DONE:
                self._time = until
                if self._by_day:
                    self._visits.begin(until)
                return
            if status == w.GROW:
                for queue in {self._queue, self._visits}:
                    if queue.room - queue.entries < 2 * (self._synapses.most_parcels + w.BLOCK):
                        queue.grow(2 * queue.room)
                self._list.fit()
            elif status == w.FULL:
                self._spikes.drain()
            elif status == w.ENDLESS:
                t = self._clock[w.SPIKED]
                raise SimulationError(f"neurons fire without end at {t} ms: a reset leaves them above their threshold")
            elif status == w.SWITCH:
                self._switch(float(now[0]))
            elif interrupt.asked:  # all that happens at the present time happens first: a run holds its end
                until = min(until, max(self._time, float(now[0])))

    def _switch(self, time: float) -> None:
        """A window begins in which other groups are dense than before."""
        for group in self._groups:
            if group.words[w.WANTED] and not group.dense:
                group.renew(time, dense=True)
            elif group.dense and not group.words[w.WANTED]:
                self._renew(group, time)
        self._loop[w.DENSE_GROUPS] = sum(group.dense for group in self._groups)
        self._clock[w.BEGUN] = time

    def _change_currents(self) -> None:
        """Put the currents in force that flow from now on."""
        for name in {c.target for c in self._varying if next_change(c, GUARD, self._changed) <= self._time + 0.5 * GUARD}:
            group = self._group(name)
            self._renew(group, self._time)
            group.set_parameters(self._time)
        self._changed = self._time

    def _samples(self, recorder: States) -> Samples:
        return Samples(self._network, recorder, self._group(recorder.population).look, self._time)

    def _collect(self, start: float, samples: Sequence[Samples]) -> Recording:
        times, sources = self._spikes.take()
        spikes, rates = sort_out(self._network, self._offsets, self._recorders, times, sources, start, self._time)
        states = {s.recorder.population: s.data() for s in samples}
        return Recording(start=start, stop=self._time, dt=0.0, spikes=spikes, states=states, rates=rates)
