"""Run a network: the one place where a description, a grid, inputs and recorders come together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from tqdm import tqdm

from eventsim.adaptation import LONGEST, Adaptation, costs
from eventsim.cpu import frame as f
from eventsim.cpu.checkpoint import capture, restore
from eventsim.cpu.counting import RateSet, SpikeSet
from eventsim.cpu.instance import Instance
from eventsim.cpu.part import Part
from eventsim.cpu.sampling import SampleSet
from eventsim.cpu.threads import run_all
from eventsim.currents import next_change
from eventsim.errors import SimulationError, StorageError
from eventsim.files.npz import MAX_BYTES
from eventsim.fitting import check_grid_fits, check_recording_fits
from eventsim.given import given_increments, given_spikes
from eventsim.grid import whole_steps
from eventsim.interrupt import DeferredInterrupt
from eventsim.long_run import Plan, Run, make_plan, show
from eventsim.models.model import Neuron
from eventsim.network import Network
from eventsim.program import build, initial_mode
from eventsim.recording import Rates, Recorder, Recording, Spikes, States, check_recorders
from eventsim.saved_simulation import check_savable, load_simulation, resumed_run, save_simulation
from eventsim.state import NEVER
from eventsim.stimuli import Current

ON_CUDA = "eventsim.cuda.simulation"  # imported when asked for
SHORT, LONG = 64, 16384  # steps between two looks at the clock and at Ctrl-C, at least and at most
PATIENCE = 0.1  # s, about as long as such a piece should take
HERE = 512  # steps of a piece up to which the calling thread is a worker: in a longer one it must be able to hear Ctrl-C
NOT_FINITE = "population {!r}, neuron {}{}: {} is {} at {:g} ms; are weights and currents in the units of its model, is dt short?"


class Counters(NamedTuple):
    """What has been done so far, over all batch items.

    steps : steps of the grid, times batch items; spikes : spikes fired; synaptic_events : synapses that spikes have reached
    updates : neuron updates; neuron_steps : steps times neurons (sources not counted), what a dense simulation updates
    """

    steps: int
    spikes: int
    synaptic_events: int
    updates: int
    neuron_steps: int


class Simulation:
    """A network on a grid of ``dt`` ms, with its state; with ``method="exact"`` in continuous time.

    Parameters
    ----------
    network : Network
    dt : ms
    method : "grid", or "exact"
        "exact": spike times are real numbers, limited by float64 alone. There is no dt then, and of the parameters below there are
        seed, record and spikes (`eventsim.exact.simulation.ExactSimulation`).
    backend : "cpu", or "cuda": on an NVIDIA GPU (`eventsim.cuda.simulation.CudaSimulation`; extras ``cuda12``, ``cuda13``)
    seed : whole number
        The same seed gives the same synapses, initial states and noise, whatever the number of workers.
    dtype : "float32" or "float64", of states and weights
    weight_dtype : "float16", "float32" or "float64"; None: the same as dtype
        Of the weights that synapses have of their own. "float16" halves the memory of float32; every weight is then rounded to 11
        bits (by at most 2**-11 of itself; below 6e-5 in magnitude, to a multiple of 6e-8). Weights beyond 65,504 are refused, and
        those that would become 0.
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
    force : build and run what needs more memory than there is (`eventsim.estimate`), or would need it for what is recorded

    Raises
    ------
    SimulationError, NetworkError
        Here, before anything runs: naming the object, what is wrong and what to do. A `MemoryShortage` is a SimulationError.
    """

    _engines: ClassVar[dict[str, type[Simulation]]] = {}

    def __new__(cls, *args: Any, **given: Any) -> Simulation:
        method, backend = given.get("method", "grid"), given.get("backend", "cpu")
        if backend not in ("cpu", "cuda"):
            raise SimulationError(f"backend must be 'cpu' or 'cuda', not {backend!r}")
        if backend == "cuda":
            if method != "grid":
                raise SimulationError("backend='cuda' runs method='grid'; continuous time runs with backend='cpu'")
            return super().__new__(import_module(ON_CUDA).CudaSimulation)
        if not isinstance(method, str) or method != "grid" and method not in Simulation._engines:
            known = ", ".join(map(repr, ("grid", *Simulation._engines)))
            raise SimulationError(f"method must be one of {known}, not {method!r}")
        return super().__new__(Simulation._engines.get(method, cls) if cls is Simulation else cls)

    def __init_subclass__(cls, method: str = "grid", backend: str = "cpu", **others: Any):
        """An engine of its own, which ``Simulation(network, method=..., backend=...)`` makes."""
        super().__init_subclass__(**others)
        if method != "grid":
            Simulation._engines[method] = cls

    def __init__(
        self,
        network: Network,
        dt: float = 0.1,
        *,
        method: str = "grid",
        backend: str = "cpu",
        seed: int = 0,
        dtype: Any = "float32",
        weight_dtype: Any = None,
        update: str | Mapping[str, str] = "auto",
        workers: int | None = None,
        batch: int = 1,
        record: Sequence[Recorder] = (),
        spikes: Mapping[str, Any] | None = None,
        increments: Mapping[str, Any] | None = None,
        force: bool = False,
    ):
        _check_update(update, network)
        self._program = build(network, dt, dtype, seed, update, weight_dtype)
        self._batch = _whole(batch, "batch")
        groups = self._program.groups
        modes = [initial_mode(network, group, self._program.dt) for group in groups]
        swept = sum(group.size for group, (sparse, _) in zip(groups, modes, strict=True) if not sparse)
        self._threads = _default_workers(swept, self._batch) if workers is None else _whole(workers, "workers")
        self._recorders = check_recorders(record, network, self._program.dt)
        self._force = force
        if not force:
            check_grid_fits(self._program, self._threads, self._batch)
        self._spikes = SpikeSet(self._program, [r for r in self._recorders if isinstance(r, Spikes)])
        for what, value in (("spikes", spikes), ("increments", increments)):
            if value is not None and not isinstance(value, Mapping):
                raise SimulationError(f"{what} must be a mapping of population names to what they fire or receive, not {value!r}")
        parts = self._threads if self._batch == 1 else 1
        given = [given_spikes(self._program, dict(spikes or {}), item, self._batch) for item in range(self._batch)]
        extra = [given_increments(self._program, dict(increments or {}), item, self._batch) for item in range(self._batch)]
        self._pool = ThreadPoolExecutor(self._threads) if self._threads > 1 else None
        self._process = os.getpid()
        if self._pool is None:
            self._parts = [Part(self._program, 0, 1)]
        else:
            self._parts = list(self._pool.map(lambda k: Part(self._program, k, parts), range(parts)))
        sizes, sparse, free = [group.size for group in groups], [mode[0] for mode in modes], [mode[1] for mode in modes]
        prices = [costs(g.spec.dtype, g.spec.tabulated, g.spec.closed) if g.spec else None for g in groups]
        self._items = [
            Instance(self._parts, item, given[item], extra[item], Adaptation(sizes, sparse, free, prices))
            for item in range(self._batch)
        ]
        rates, buffers = [r for r in self._recorders if isinstance(r, Rates)], [item.buffer for item in self._items]
        self._rates = RateSet(self._program, rates, self._spikes.wanted, buffers)
        self._varying = [i for i in network.inputs if isinstance(i, Current) and i.varying]
        self._update, self._given = update, (spikes, increments)
        self._start_counting()
        self._step = 0
        self._length = SHORT  # of a piece of a run, in steps
        self._longest = LONGEST if self._batch > 1 and any(free) else LONG  # items of a batch decide at different steps
        self._whole = True  # whether the state of all workers and batch items is that of one step

    def _start_counting(self) -> None:
        """What a run leaves behind, before the first one."""
        self._recording: Recording | None = None
        self._wrong = ""  # why the last run was stopped, if a state was wrong
        self._warned = False  # of a rate that is hardly meant
        self._written: dict[str, Any] = {}  # by path: how much of a file this simulation has written
        self._resumed: Mapping[str, Any] = {}  # of the checkpoint that it comes from
        self._fingerprint: str | None = None  # of the network, once it was needed

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
        neurons = sum(group.size for group in self._program.groups if group.kind == f.NEURONS)
        return Counters(
            steps=self._step * self._batch,
            spikes=sum(int(member.position[f.SPIKES]) for member in members),
            synaptic_events=sum(int(member.position[f.DELIVERED]) for member in members),
            updates=sum(item.neuron_updates() for item in self._items),
            neuron_steps=self._step * self._batch * neurons,
        )

    @property
    def synapses(self) -> int:
        """The number of synapses; where some are procedural, those of FixedProbability are generated to be counted."""
        return sum(len(part.rows.targets) for part in self._parts) + self._program.procedural_synapses

    def update_modes(self) -> dict[str, str]:
        """How each population is updated now: "dense", "sparse", or "mixed" between batch items."""
        result = {}
        for number, population in enumerate(self.network.populations):
            if isinstance(population.neuron, Neuron):
                modes = {item.updates.sparse[self._program.place[number]] for item in self._items}
                result[population.name] = "mixed" if len(modes) > 1 else "sparse" if modes.pop() else "dense"
        return result

    def state(self, population: str, field: str = "v") -> np.ndarray:
        """A state variable now: (neurons,), or (batch, neurons) if the simulation has a batch."""
        self._check_whole()
        found = self.network.neurons(population, f"state of {population!r}")
        number = self.network.number(population)
        fields = found.neuron.model.State._fields
        if field not in fields:
            raise SimulationError(f"state of {population!r}: it has no state {field!r}; it has {', '.join(fields)}")
        values = [item.states_now(number, self._step)[fields.index(field)] for item in self._items]
        return values[0] if self._batch == 1 else np.stack(values)

    def run(
        self,
        duration: float,
        progress: bool = False,
        *,
        to: str | Path | None = None,
        overwrite: bool = False,
        checkpoint: str | Path | None = None,
        checkpoint_every: float | None = None,
        keep: int = 2,
        report: Any = None,
    ) -> Recording:
        """Simulate ``duration`` ms more (a multiple of dt); what was recorded meanwhile.

        Parameters
        ----------
        duration : ms
        progress : show a bar on stderr if it takes longer than a second
        to : path of an HDF5 file (needs h5py, the extra ``io``)
            What is recorded goes there, about every second, and stays out of memory; `eventsim.read` gives it back, and what is
            returned holds no data. Whatever becomes of the process, the file can be read, up to what was written last. Another run
            of this simulation to the same file goes on in it.
        overwrite : whether a file that is there already may be replaced
        checkpoint : path of an .npz, to which the state is written at the end, and when the run is stopped: see `load`
        checkpoint_every : ms; and at all multiples of this
        keep : of how many moments checkpoints are kept: those before the last one are NAME.1.npz, NAME.2.npz ...
        report : "text", a line on stderr every ten seconds; "bar", as ``progress``; or a function, called about every second with a
            `Progress`

        Ctrl-C stops it where the state is whole: `time` says how far it came, `recording` holds what was recorded, and it can be
        run on. It is heard between pieces of the run of some tenths of a second, and wherever ``update="auto"`` decides; else,
        where a long silence ends in a burst, a piece may take longer. A second Ctrl-C meanwhile stops it in the middle of a step;
        the simulation is then lost. With ``to`` or ``checkpoint`` SIGTERM is obeyed in the same way, by a SystemExit.

        Raises
        ------
        SimulationError : also when a state is no longer finite, which is noticed at the end of a piece: naming population, neuron
            and time. `recording`, or the file, then holds what was recorded.
        StorageError : a file cannot be written; what was written before stays
        """
        plan = make_plan(to, overwrite, checkpoint, checkpoint_every, keep, report, progress)
        return self._run(self._stop_after(duration), plan)

    def _run(self, stop: Any, plan: Plan) -> Recording:
        self._check_whole()
        if plan.every is not None:
            self._next_multiple(plan.every)  # refuses what is not on the grid
        if plan.to is None and not self._force and self._recorders:
            settings = self._state_type.itemsize, self._batch
            check_recording_fits(self._recorders, self.network, lambda interval: self._multiples(stop, interval), *settings)
        if plan.checkpoint is not None:
            check_savable(self, plan.checkpoint)
        return Run(self, stop, plan).run()

    @property
    def recording(self) -> Recording | None:
        """What the last call of `run` has recorded in memory, up to where it was stopped if it was."""
        return self._recording

    # What `Run` needs: where the simulation is, in steps, and to go on from there.

    @property
    def _state_type(self) -> np.dtype:
        return self._program.dtype

    @property
    def _now(self) -> Any:
        return self._step

    def _in_ms(self, now: Any) -> float:
        return now * self.dt

    def _later(self, duration: float) -> Any:
        """Where about so many ms more lead."""
        return self._step + max(1, round(duration / self.dt))

    def _stop_after(self, duration: float) -> Any:
        self._check_whole()
        steps = whole_steps(duration, self.dt, "run: duration")
        if steps < 0:
            raise SimulationError(f"run: duration must not be negative, not {duration} ms")
        return self._step + steps

    def _multiples(self, stop: Any, interval: float | None) -> int:
        """About how many multiples of so many ms, or of a step if None, lie ahead of ``stop``."""
        steps = 1 if interval is None else whole_steps(interval, self.dt, "run: interval")
        return int(stop // steps - self._step // steps)

    def _next_multiple(self, interval: float) -> Any:
        """The first multiple of so many ms that lies ahead."""
        steps = whole_steps(interval, self.dt, "run: checkpoint_every")
        if steps < 1:
            raise SimulationError(f"run: checkpoint_every must be dt = {self.dt:g} ms at least, not {interval} ms")
        return (self._step // steps + 1) * steps

    def _record_until(self, stop: Any, shown: tqdm | None, interrupt: DeferredInterrupt) -> Recording:
        """Simulate to the end of step ``stop``, or until Ctrl-C, or until a state is not finite, which `_wrong` then says."""
        start = self._step
        samples = SampleSet(self._program, self._items, [r for r in self._recorders if isinstance(r, States)])
        self._rates.begin(start, stop)
        for item in self._items:
            item.buffer.clear()  # what a run that was given up has left
        for until in self._pieces(stop):
            self._run_to(until, samples, interrupt)
            if shown is not None:
                show(shown, self.time)
            self._wrong = self._not_finite()
            if self._varying:
                self._change_currents()
            if interrupt.asked or self._wrong:
                break
        self._rates.stop = self._step
        return Recording(
            start=start * self.dt,
            stop=self._step * self.dt,
            dt=self.dt,
            spikes=self._spikes.take([item.buffer for item in self._items]),
            states=samples.take(self._batch),
            rates=self._rates.take(),
        )

    def _not_finite(self) -> str:
        """What to say of the first state that is NaN or infinite; nothing if all are finite."""
        for number, item in enumerate(self._items):
            found = item.first_not_finite()
            if found is not None:
                name, neuron, field, value = found
                return NOT_FINITE.format(
                    name, neuron, f" of batch item {number}" if self._batch > 1 else "", field, value, self.time
                )
        return ""

    # Checkpoints

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, from which `load` makes a simulation that goes on as if nothing had happened, bit for bit.

        path : .npz, written whole or not at all
        """
        self._check_whole()
        save_simulation(self, path)

    @classmethod
    def load(
        cls,
        path: str | Path,
        network: Network,
        *,
        workers: int | None = None,
        record: Sequence[Recorder] | None = None,
        spikes: Mapping[str, Any] | None = None,
        increments: Mapping[str, Any] | None = None,
        max_bytes: int = MAX_BYTES,
        force: bool = False,
        backend: str = "cpu",
    ) -> Simulation:
        """The simulation that `save`, or a run with ``checkpoint``, has written.

        Parameters
        ----------
        path : the checkpoint
        network : the network that was simulated; any other one is refused
        workers : threads, as in `Simulation`; any number
        record : what is recorded from now on; None: what was
        spikes, increments : the same that were given to the simulation, if any were
        max_bytes : a file that needs more memory is refused
        force, backend : as in `Simulation`; a checkpoint of either backend goes on with the other

        Raises
        ------
        StorageError : the file is no checkpoint, of another network, or damaged
        """
        return load_simulation(Simulation, path, network, workers, record, spikes, increments, max_bytes, force, backend)

    def resume(self, progress: bool = False, *, checkpoint: str | Path | None = None, report: Any = None) -> Recording:
        """Go on with the run in which the checkpoint was written that this simulation comes from, to the end of that run, with the
        same files; as `run`.

        checkpoint : where the state is written from now on; None: to the file that this simulation comes from
        """
        return self._run(*resumed_run(self, checkpoint, progress, report))

    def _write_checkpoint(self, plan: Plan, stop: Any) -> None:
        assert plan.checkpoint is not None
        save_simulation(self, plan.checkpoint, plan, stop)

    def _settings(self) -> dict[str, Any]:
        """What `Simulation` was given, as JSON."""
        program, update = self._program, self._update
        return {
            "method": "grid",
            "dt": program.dt,
            "seed": int(program.seed),
            "dtype": program.dtype.name,
            "weight_dtype": program.weight_dtype.name,
            "update": update if isinstance(update, str) else dict(update),
            "batch": self._batch,
        }

    def _capture(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Its state, as JSON and arrays."""
        arrays: dict[str, np.ndarray] = {}
        for number, item in enumerate(self._items):
            arrays |= {f"item{number}/{name}": array for name, array in capture(item, self._step).items()}
        return {"step": self._step}, arrays

    def _restore(self, description: dict[str, Any], arrays: dict[str, np.ndarray], label: str) -> None:
        """Take over a state, while this simulation is new."""
        step = description.get("step")
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < NEVER:
            raise StorageError(f"{label}: step must be a whole number of steps that are over, not {step!r}")
        self._step = step
        if self._varying:
            for g in {self._program.place[self.network.number(current.target)] for current in self._varying}:
                for part in self._parts:
                    part.set_currents(g, self.time)
        for number, item in enumerate(self._items):
            prefix = f"item{number}/"
            mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            restore(item, step, mine, f"{label}, {prefix[:-1]}")

    def _check_whole(self) -> None:
        if self._pool is not None and self._process != os.getpid():
            raise SimulationError("this simulation's threads belong to another process: make a new one after forking")
        if not self._whole:
            raise SimulationError("this simulation was stopped in the middle of a step and cannot go on; make a new one")

    def _pieces(self, stop: int) -> Iterator[int]:
        """Where to pause on the way to ``stop``: to hear Ctrl-C, to change currents, to show progress (without effect)."""
        while self._step < stop:
            until = min(stop, self._step + self._length)
            if self._varying:
                until = min(until, self._next_current_change())
            began, asked = time.perf_counter(), self._step + self._length
            yield until
            took = time.perf_counter() - began
            if took > 2.0 * PATIENCE:
                self._length = max(SHORT, int(self._length * PATIENCE / took))
            elif until == asked and took < PATIENCE:
                self._length = min(2 * self._length, self._longest)

    def _run_to(self, until: int, samples: SampleSet, interrupt: DeferredInterrupt) -> None:
        """Run all batch items to the end of step ``until``; a single one may stop earlier, if interrupted."""
        requests, reached, here = samples.prepare(self._step, until), until, until - self._step <= HERE
        alone = self._batch == 1

        def run_item(item: int) -> None:
            nonlocal reached
            how = (self._pool, here, interrupt) if alone else (None, here, None)
            reached = self._items[item].run(until, self._rates.written[item], requests[item], *how)

        self._whole = False
        if alone or self._pool is None:
            for item in range(self._batch):
                run_item(item)
        else:
            run_all(self._pool, run_item, range(self._batch), self._give_up)
        samples.collect(reached)
        self._step = reached
        self._whole = True

    def _next_current_change(self) -> int:
        soonest = min(next_change(current, self.dt, self.time) for current in self._varying)
        return NEVER if np.isinf(soonest) else round(soonest / self.dt)

    def _change_currents(self) -> None:
        """Put the currents in force that flow from now on."""
        changed = {
            self._program.place[self.network.number(current.target)]
            for current in self._varying
            if abs(next_change(current, self.dt, self.time - self.dt) / self.dt - self._step) < 0.5
        }
        for g in changed:
            members = [member for item in self._items for member in item.members]
            for member in members:
                member.settle(g, self._step)
            for part in self._parts:
                part.set_currents(g, self.time)
            for member in members:
                member.predict(g, self._step)

    def _give_up(self) -> None:
        for item in self._items:
            item.give_up()


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise SimulationError(f"{name} must be a whole number above 0, not {value!r}")
    return int(value)


def available_threads() -> int:
    """How many threads this process may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_workers(swept: int, batch: int) -> int:
    """As many threads as there is work for: one for each 20,000 neurons that are updated densely, or for each batch item."""
    return max(1, min(available_threads(), batch if batch > 1 else swept // 20_000))


def _check_update(update: Any, network: Network) -> None:
    if not isinstance(network, Network):
        raise SimulationError(f"a simulation needs a Network, not {type(network).__name__}")
    if not isinstance(update, (str, Mapping)):
        raise SimulationError(f"update must be 'auto', 'dense', 'sparse' or a mapping of population names to these, not {update!r}")
    if not isinstance(update, str):
        for name in update:
            network.neurons(name, "update")
    for mode in (update,) if isinstance(update, str) else update.values():
        if mode not in ("auto", "dense", "sparse"):
            raise SimulationError(f"update must be 'auto', 'dense' or 'sparse', not {mode!r}")
