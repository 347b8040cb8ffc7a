"""A run stretch by stretch: what was recorded goes to disk, checkpoints are written, somebody is told how far it has come.

However a run is cut, its results are the same; so stretches are as long as takes about a second, or short enough for what they
record to take little memory, and end where a checkpoint is due. Each is written at its end; to wait for the disk takes longer, and
is done about once in a second for all that were written since.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from eventsim.errors import SimulationError, StorageError
from eventsim.interrupt import DeferredInterrupt
from eventsim.recording import Recording
from eventsim.recordings.joined import joined
from eventsim.recordings.stream import RecordingWriter

STRETCH = 1.0  # s that a stretch should take, and that pass until what was written is on the disk: so much is lost with the machine
PATIENCE = 20.0  # times as long as the disk takes: slow ones are waited for less often
FIRST_STRETCH = 10.0  # ms, from which on they double
MOST_BYTES = 1 << 22  # of what is recorded in one stretch, about
MOST_HELD = 1 << 25  # bytes that are written before the disk is waited for
TEXT_EVERY = 10.0  # s between two lines of report="text"
RUNAWAY = 500.0  # spikes/s of all neurons on average that are hardly meant
LONG_ENOUGH = 100.0  # ms over which such a rate is taken seriously
BAR = "{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} ms [{elapsed}<{remaining}]"
TERMINATED = 143  # what a shell reports of a process that SIGTERM has ended

log = logging.getLogger("eventsim")


class Progress(NamedTuple):
    """How far a run has come.

    time, stop : ms, now and where the run ends
    elapsed, left : s since it began, and about how many more it will take
    rate : spikes/s that neurons and sources fired on average since the last report
    speed : simulated time over the time that it took, since the last report
    """

    time: float
    stop: float
    elapsed: float
    left: float
    rate: float
    speed: float


class Plan(NamedTuple):
    """What is to be done besides simulating; see `Simulation.run`."""

    to: Path | None
    overwrite: bool
    checkpoint: Path | None
    every: float | None  # ms
    keep: int
    report: Callable[[Progress], Any] | None
    progress: bool

    @property
    def in_stretches(self) -> bool:
        """Whether anything is to be done on the way."""
        return self.to is not None or self.checkpoint is not None or self.report is not None


def make_plan(to: Any, overwrite: bool, checkpoint: Any, every: Any, keep: Any, report: Any, progress: bool) -> Plan:
    """The plan, after refusing what makes none."""
    if every is not None and checkpoint is None:
        raise SimulationError("run: checkpoint_every needs checkpoint=..., the path of the file")
    numbers = (int, float, np.integer, np.floating)
    if every is not None and (isinstance(every, bool) or not isinstance(every, numbers) or not 0.0 < every < math.inf):
        raise SimulationError(f"run: checkpoint_every must be a number of ms above 0, not {every!r}")
    if isinstance(keep, bool) or not isinstance(keep, (int, np.integer)) or keep < 1:
        raise SimulationError(f"run: keep must be a whole number above 0, not {keep!r}")
    for name, value in (("to", to), ("checkpoint", checkpoint)):
        if value is not None and not isinstance(value, (str, os.PathLike)):
            raise SimulationError(f"run: {name} must be the path of a file, not {value!r}")
    if report == "text":
        report = Lines()
    elif report == "bar":
        report, progress = None, True
    elif report is not None and not callable(report):
        raise SimulationError(f"run: report must be 'text', 'bar' or a function of one Progress, not {report!r}")
    paths = [None if path is None else Path(path) for path in (to, checkpoint)]
    if paths[1] is not None and paths[1].suffix != ".npz":
        raise SimulationError(f"run: checkpoint must have a name that ends in .npz, not {paths[1].name!r}")
    if paths[0] is not None and paths[0].suffix not in (".h5", ".hdf5"):
        raise SimulationError(f"run: to must have a name that ends in .h5 or .hdf5, not {paths[0].name!r}")
    return Plan(paths[0], overwrite, paths[1], None if every is None else float(every), int(keep), report, progress)


class Lines:
    """report="text": a line on stderr every ten seconds, and at the end."""

    def __init__(self) -> None:
        self._told = time.perf_counter()

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        if now - self._told >= TEXT_EVERY or progress.time >= progress.stop:
            self._told = now
            print(
                f"{progress.time:.6g} of {progress.stop:.6g} ms, {progress.rate:.3g} spikes/s, {progress.speed:.3g} times real "
                f"time, {progress.left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )


def show(bar: tqdm, time: float) -> None:
    """Let a bar come to a time in ms, and for all rounding not beyond its end."""
    bar.update(math.nextafter(max(0.0, min(time, bar.total) - bar.n), 0.0))


class Run:
    """One call of `Simulation.run`. stop : where it ends, a step or a time, as the engine counts."""

    def __init__(self, simulation: Any, stop: Any, plan: Plan):
        self.simulation, self.stop, self.plan = simulation, stop, plan
        self.path = "" if plan.to is None else os.path.abspath(plan.to)
        self.stretch = FIRST_STRETCH  # ms
        self.began = self.told = time.perf_counter()
        self.told_at, self.told_spikes = simulation.time, simulation.counters.spikes
        self.first, self.parts = simulation.time, list[Recording]()
        self.due: Any = math.inf  # where the next checkpoint is
        self.committed, self.patience = self.began, STRETCH  # when, and s until the next time

    def run(self) -> Recording:
        """Simulate to the end; what was recorded, but for what is on disk."""
        simulation, plan = self.simulation, self.plan
        end = simulation._in_ms(self.stop)
        bar = tqdm(total=end, initial=simulation.time, delay=1.0, bar_format=BAR) if plan.progress else nullcontext()
        terminable = plan.to is not None or plan.checkpoint is not None
        try:
            with self._writer() as writer, bar as shown, DeferredInterrupt(terminable) as interrupt:
                try:
                    while not self._go_on(writer, shown, interrupt):
                        pass
                except BaseException as error:
                    self._commit_after(error, writer)
                    raise
                if writer is not None:
                    writer.close(complete=simulation._now >= self.stop)
        finally:
            found = simulation._recording = self._found()
        if simulation._wrong:
            raise SimulationError(simulation._wrong)
        if interrupt.terminated:
            raise SystemExit(TERMINATED)
        if interrupt.asked:
            raise KeyboardInterrupt
        return found

    def _go_on(self, writer: RecordingWriter | None, shown: tqdm | None, interrupt: DeferredInterrupt) -> bool:
        """Simulate one stretch, and do what is to be done after it; whether the run is over."""
        simulation, plan = self.simulation, self.plan
        began = time.perf_counter()
        recording = simulation._record_until(self._next_stop(), shown, interrupt)
        self._adapt(time.perf_counter() - began, recording.nbytes)
        over = bool(simulation._wrong) or interrupt.asked or simulation._now >= self.stop
        due = plan.checkpoint is not None and not simulation._wrong and (over or simulation._now >= self.due)
        self.parts.append(recording)
        if writer is not None:
            writer.append(recording)
            self._commit(writer, over or due)
        if due:
            simulation._write_checkpoint(plan, self.stop)
            log.debug("checkpoint at %g ms in %s", simulation.time, plan.checkpoint)
        self._tell(over)
        return over

    def _found(self) -> Recording:
        """What was recorded in memory, and not written to a file."""
        simulation = self.simulation
        if not self.parts:
            return Recording(start=self.first, stop=simulation.time, dt=simulation.dt)
        return joined(self.parts, simulation._recorders, {p.name: p.size for p in simulation.network.populations})

    def _writer(self) -> Any:
        if self.plan.to is None:
            return nullcontext()
        simulation, path = self.simulation, self.plan.to
        position = simulation._written.get(self.path)
        how = {"dt": simulation.dt, "batch": simulation.batch, "dtype": simulation._state_type}
        if position is not None and not self.plan.overwrite:
            if position["stop"] != simulation.time:
                raise SimulationError(
                    f"run: the recording in {str(path)!r} ends at {position['stop']} ms, the simulation stands at "
                    f"{simulation.time} ms; give another file"
                )
            return RecordingWriter.resume(path, position, simulation.network, simulation._recorders, **how)
        how |= {"start": simulation.time, "overwrite": self.plan.overwrite}
        return RecordingWriter(path, simulation.network, simulation._recorders, **how)

    def _next_stop(self) -> Any:
        """Where the stretch ends that begins now."""
        simulation, plan = self.simulation, self.plan
        if not plan.in_stretches:
            return self.stop
        if plan.every is not None:
            self.due = simulation._next_multiple(plan.every)
        return min(self.stop, simulation._later(self.stretch), self.due)

    def _commit(self, writer: RecordingWriter, now: bool) -> None:
        """Bring what was written to the disk, if that is asked for or was not done for long. Until then it is held here, too: what
        cannot be written stays, in `recording`."""
        began = time.perf_counter()
        if not now and began - self.committed < self.patience and sum(part.nbytes for part in self.parts) < MOST_HELD:
            return
        writer.commit()
        self.simulation._written[self.path] = writer.position()
        self.parts.clear()
        self.committed = time.perf_counter()
        self.patience = max(STRETCH, PATIENCE * (self.committed - began))

    def _commit_after(self, error: BaseException, writer: RecordingWriter | None) -> None:
        """Bring what was written to the disk before an error that is not of writing it ends the run."""
        if writer is None or isinstance(error, StorageError):
            return
        try:
            self._commit(writer, True)
        except StorageError as late:
            error.add_note(str(late))

    def _adapt(self, took: float, size: int) -> None:
        """Let the next stretch be longer, or shorter, by the seconds that this one took, and its bytes."""
        if took > 2.0 * STRETCH or size > 2 * MOST_BYTES:
            self.stretch *= max(0.1, 0.5 * min(STRETCH / took, MOST_BYTES / max(1, size)))
        elif took < 0.5 * STRETCH and size < MOST_BYTES // 2:
            self.stretch *= 2.0

    def _tell(self, over: bool) -> None:
        """Report how far it has come, and warn where neurons fire as they hardly should."""
        simulation, plan, now = self.simulation, self.plan, time.perf_counter()
        passed = simulation.time - self.told_at
        if passed <= 0.0 or not over and (now - self.told < STRETCH or passed < LONG_ENOUGH):
            return
        spikes = simulation.counters.spikes
        rate = (spikes - self.told_spikes) / (simulation.network.size * simulation.batch) / (passed / 1000.0)
        if rate > RUNAWAY and passed >= LONG_ENOUGH and not simulation._warned:
            simulation._warned = True
            log.warning("at %g ms all fire %.0f spikes/s on average: does activity run away?", simulation.time, rate)
        if plan.report is not None:
            end = simulation._in_ms(self.stop)
            elapsed, speed = now - self.began, passed / 1000.0 / max(now - self.told, 1e-9)
            left = (end - simulation.time) / 1000.0 / speed
            plan.report(Progress(simulation.time, end, elapsed, left, rate, speed))
        self.told, self.told_at, self.told_spikes = now, simulation.time, spikes
