"""The state of a network on a grid as plain arrays, and back: the same arrays for any number of workers.

Neurons stand in the order of their group, whoever owns them. Spikes on their way are a step and a source each; every worker finds
its own segments of them again. What follows from the network, the seed and the step is not kept: synapses, parameters, noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eventsim.adaptation import FIRST, LONGEST, PATIENCE, Adaptation
from eventsim.cpu import frame as f
from eventsim.cpu.flight import add_flying, find_flying, first_synapses
from eventsim.cpu.instance import Instance, Member
from eventsim.cpu.transient import OVER, forget, rows_after
from eventsim.errors import StorageError
from eventsim.queue import schedule_all
from eventsim.rows import Index
from eventsim.state import (
    ACTIVE,
    CURSOR,
    DUE,
    EVENTS,
    HEAD,
    LAST,
    NEVER,
    NEXT,
    PREVIOUS,
    RHO,
    SPARSE,
    STATE,
    UPDATES,
)

Arrays = dict[str, np.ndarray]
ACCOUNT = ("counted", "debt", "waits", "patience", "changed")  # of an `Adaptation`: a number for each group
CLOCK = ("last", "window", "next")


def _kept(instance: Instance, g: int) -> dict[str, tuple[int, tuple[int, ...], Any]]:
    """What is kept of a group: for each name its place in a context, the axes before that of the neurons, and its type."""
    program = instance.program
    group = program.groups[g]
    if group.kind == f.NEURONS:
        states = len(group.spec.model.State._fields)
        kept: dict[str, tuple[int, tuple[int, ...], Any]] = {"state": (STATE, (states,), program.dtype)}
        if group.spec.holds:
            kept["rho"] = RHO, (1,), program.dtype
        if instance.updates.sparse[g]:
            kept |= {"last": (LAST, (), np.dtype(np.int64)), "due": (DUE, (), np.dtype(np.int64))}
        return kept
    if group.kind == f.GIVEN:
        return {}
    kept = {"due": (DUE, (), np.dtype(np.int64))}
    if group.kind == f.GAMMA:
        kept |= {"time": (STATE, (), np.dtype(np.float64)), "index": (LAST, (), np.dtype(np.int64))}
    return kept


def capture(instance: Instance, step: int) -> Arrays:
    """The state of a batch item at the end of ``step``, where it stands; modifies nothing."""
    program, arrays = instance.program, Arrays()
    for g, group in enumerate(program.groups):
        order = program.gids(g, 0, 1)
        for name, (place, axes, dtype) in _kept(instance, g).items():
            whole = np.empty((*axes, group.size), dtype)
            for member in instance.members:
                mine = np.searchsorted(order, member.part.gids[g])
                whole[..., mine] = member.groups[g].arrays[place].reshape(*axes, -1)
            arrays[f"group{g}/{name}"] = whole
    arrays["flying/step"], arrays["flying/source"] = _in_flight(instance, step)
    arrays["sparse"] = np.array(instance.updates.sparse, np.uint8)
    arrays |= {f"account/{name}": np.array(getattr(instance.updates, name), np.float64) for name in ACCOUNT}
    arrays["account/clock"] = np.array([getattr(instance.updates, name) for name in CLOCK], np.int64)
    groups = range(len(program.groups))
    arrays["counted/updates"] = np.array([instance.counted(UPDATES, g) for g in groups], np.int64)
    arrays["counted/active"] = np.array([instance.counted(ACTIVE, g) for g in groups], np.int64)
    totals = [sum(int(member.position[place]) for member in instance.members) for place in (f.SPIKES, f.DELIVERED)]
    arrays["counted/events"] = np.array(totals, np.int64)
    return arrays


def _in_flight(instance: Instance, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The spikes, as (steps, sources), of which some synapse is yet to be reached."""
    program = instance.program
    found = [np.zeros((0, 2), np.int64)]
    for member in instance.members:
        index, lines = member.part.rows.index, np.setdiff1d(np.flatnonzero(member.count), member.transient_lines())
        if member.transient is not None:
            found.append(rows_after(member.transient, step))
        if len(lines):
            firsts = first_synapses(index)
            found.append(find_flying(index, *firsts, member.wheel, member.count, lines, program.schedule.slots, step))
    spikes = np.unique(np.concatenate(found), axis=0)
    return np.ascontiguousarray(spikes[:, 0]), np.ascontiguousarray(spikes[:, 1])


def _ordered(program: Any, steps: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In the order in which spikes are pushed: of steps, groups, sources."""
    group_of = np.repeat(np.array(program.place, np.int64), [p.size for p in program.network.populations])
    order = np.lexsort((sources, group_of[sources], steps))
    return steps[order], sources[order]


def restore(instance: Instance, step: int, arrays: Arrays, label: str) -> None:
    """Bring a new batch item (modified) to the end of ``step``, where it stood when ``arrays`` were captured.

    label : of the file, for what a StorageError says of arrays that are not those of this network
    """
    program, take = instance.program, _Taker(arrays, label)
    groups = len(program.groups)
    _restore_updates(instance.updates, step, take, groups)
    for g, group in enumerate(program.groups):
        if group.kind == f.NEURONS:
            for member in instance.members:
                member.use(g, instance.updates.sparse[g])
        for name, (place, axes, dtype) in _kept(instance, g).items():
            whole = take(f"group{g}/{name}", dtype, (*axes, group.size))
            _check_values(take, f"group{g}/{name}", name, whole, step)
            for member in instance.members:
                mine = np.searchsorted(program.gids(g, 0, 1), member.part.gids[g])
                member.groups[g].arrays[place].reshape(*axes, -1)[...] = whole[..., mine]
        for member in instance.members:
            _link(member, g, step)
    steps, sources = take("flying/step", np.int64), take("flying/source", np.int64)
    if len(steps) != len(sources) or np.any((steps > step) | (steps <= step - program.schedule.slots) | (steps < 1)):
        raise take.wrong("flying/step", "spikes on their way must have been fired a longest delay ago at most")
    if np.any((sources < 0) | (sources >= program.size)):
        raise take.wrong("flying/source", f"sources must lie from 0 to {program.size - 1}")
    steps, sources = _ordered(program, steps, sources)
    for member in instance.members:
        put_in_flight(member, step, steps, sources)
        member.position[[f.STEP, f.BLOCK]] = step + 1
        member.received[:] = step
    updates, active = take("counted/updates", np.int64, (groups,)), take("counted/active", np.int64, (groups,))
    first = instance.members[0]
    first.context[:, UPDATES], first.context[:, ACTIVE] = updates, active
    for other in instance.members[1:]:
        other.context[:, [UPDATES, ACTIVE]] = 0
    first.position[[f.SPIKES, f.DELIVERED]] = take("counted/events", np.int64, (2,))
    instance.ahead[f.NEXT_CHOICE] = instance.updates.next


def _restore_updates(updates: Adaptation, step: int, take: _Taker, groups: int) -> None:
    """How each group is updated, and what the next choice is made from."""
    sparse, clock = take("sparse", np.uint8, (groups,)), take("account/clock", np.int64, (3,))
    account = {name: take(f"account/{name}", np.float64, (groups,)) for name in ACCOUNT}
    free = any(updates.free)
    for g, may_change in enumerate(updates.free):
        if sparse[g] > 1 or not may_change and bool(sparse[g]) != updates.sparse[g]:
            raise take.wrong("sparse", f"group {g} is updated in another way than this simulation asks for; give the same update")
    last, window, following = (int(value) for value in clock)
    if not (following == NEVER if not free else 0 <= last <= step <= following == last + window and FIRST <= window <= LONGEST):
        raise take.wrong("account/clock", "the next choice of updates must lie ahead")
    for name, values in account.items():
        if not np.all(np.isfinite(values)) or np.any(values < 0.0) or name == "patience" and np.any(values > PATIENCE):
            raise take.wrong(f"account/{name}", "must be finite and not negative")
        setattr(updates, name, [float(v) if name == "debt" else int(v) for v in values])
    updates.sparse = [bool(value) for value in sparse]
    updates.last, updates.window, updates.next = last, window, following


def _check_values(take: _Taker, array: str, name: str, values: np.ndarray, step: int) -> None:
    """Refuse times that cannot be: steps that are over, held neurons that are held for less than no time."""
    if name == "due" and np.any(values <= step):
        raise take.wrong(array, f"a spike is predicted for a step that is over: it stands at {step}")
    if name == "last" and np.any((values > step) | (values < 0)):
        raise take.wrong(array, f"a state is that of a step from 0 to {step}")
    if name in ("rho", "time", "index") and not np.all((values >= 0) & np.isfinite(values)):
        raise take.wrong(array, "must be finite and not negative")


def _link(member: Member, g: int, step: int) -> None:
    """Let predictions stand in their ring, and given spikes go on where they are."""
    arrays = member.groups[g].arrays
    if EVENTS in arrays:
        member.groups[g].context[CURSOR] = np.searchsorted(arrays[EVENTS], step, side="right")
    elif DUE in arrays:
        if member.program.groups[g].kind == f.NEURONS and not member.groups[g].context[SPARSE]:
            arrays[DUE].fill(NEVER)
        arrays[HEAD].fill(-1)
        schedule_all(arrays[DUE], arrays[HEAD], arrays[NEXT], arrays[PREVIOUS])


def put_in_flight(member: Member, step: int, steps: np.ndarray, sources: np.ndarray) -> None:
    """Let the segments of spikes that a worker owns wait in its wheel."""
    slots = member.program.schedule.slots
    member.count.fill(0)
    while not add_flying(member.part.rows.index, steps, sources, step, slots, member.wheel, member.count):
        member.count.fill(0)
        member.make_room()
    if member.transient is not None:
        _make_flying(member, step, steps, sources)


def _make_flying(member: Member, step: int, steps: np.ndarray, sources: np.ndarray) -> None:
    """The same of rows that are not stored: they are made again."""
    assert member.transient is not None
    first, slots = np.zeros(1, np.int64), member.program.schedule.slots

    def add(spike: int) -> bool:
        index = Index(np.array([0, member.make_row(int(steps[spike]), int(sources[spike]))]), member.procedural.index.words)
        return add_flying(index, steps[spike : spike + 1], first, step, slots, member.wheel, member.count)

    while True:
        member.count[member.transient_lines()] = 0
        forget(member.transient)
        member.transient.position[OVER] = step + 1
        if all(add(spike) for spike in range(len(steps))):
            return
        member.make_room()


class _Taker:
    """The arrays of a checkpoint, each checked when it is taken."""

    def __init__(self, arrays: Arrays, label: str):
        self.arrays, self.label = arrays, label

    def wrong(self, name: str, what: str) -> StorageError:
        return StorageError(f"{self.label}, {name}: {what}")

    def __call__(self, name: str, dtype: Any, shape: Sequence[int] | None = None) -> np.ndarray:
        if name not in self.arrays:
            raise self.wrong(name, "is missing")
        array = self.arrays[name]
        if array.dtype != dtype or array.ndim != 1 and shape is None or shape is not None and array.shape != tuple(shape):
            expected = "one axis" if shape is None else f"shape {tuple(shape)}"
            raise self.wrong(name, f"must be {np.dtype(dtype)} of {expected}, not {array.dtype} {array.shape}")
        return array
