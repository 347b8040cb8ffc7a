"""The whole state of an exact simulation as plain numbers and arrays, and back: it goes on with the same bits.

After a call of `run` nothing is on its way but what stands in the queue: no segment arrives, no stage is occupied, all spikes
were collected. What then is left is, for each group of neurons, its records, whether it is dense and how many synapses were
reached in this window; all entries of the queue, in the order of time and key, those of visits among them, one of each neuron; of
a dense window, its list and the records when it began (`eventsim.exact.dense`); how many events each point process has had;
counters; the time; and since when the currents flow that flow now. How queues are laid out, and where arrays lie, changes no bit
and is not kept. Nor is how many spikes came at one time, which tells neurons that fire without end: none comes any more at a time
that is over.

Arrays are checked before anything is modified: compiled code takes keys of entries for places in memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eventsim.currents import next_change
from eventsim.errors import SimulationError, StorageError
from eventsim.exact import layout as w
from eventsim.exact.dense import LATER
from eventsim.exact.group import GUARD, Group
from eventsim.exact.queue import MOST_DAYS, ROOM, EventQueue
from eventsim.exact.sources import INDEX
from eventsim.exact.spikes import ArrivalList, SpikeBuffer
from eventsim.exact.synapses import Synapses
from eventsim.exact.windows import first_time
from eventsim.network import Network
from eventsim.stimuli import Current

MOST = 2**62  # of anything that is counted
COUNTED = {"arrived": w.ARRIVED, "credit": w.CREDIT, "seen": w.SEEN}
COUNTERS = {"events": w.EVENTS, "fired": w.FIRED}
_LOW = (1 << w.KIND_SHIFT) - 1


class Parts(NamedTuple):
    """What a simulation is made of and keeps its state in.

    changed : ms, since when the currents flow that flow now; visits : the queue itself where there are no windows
    loop, clock, processes : see `eventsim.exact.layout`; given : ms, the times of all given spikes
    """

    network: Network
    seed: int
    time: float
    changed: float
    varying: list[Current]
    groups: list[Group]
    synapses: Synapses
    queue: EventQueue
    visits: EventQueue
    loop: np.ndarray
    clock: np.ndarray
    processes: np.ndarray
    given: np.ndarray
    spikes: SpikeBuffer
    listed: ArrivalList


def capture(parts: Parts) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The state after a whole call of `run`, or before the first: numbers by name, and arrays by name; nothing is modified.

    times, keys : float64, ms, and int64 (entries,)
    processes : int64 (processes,), events of each so far
    records0 ... : float64 (neurons, states + 4), of each population that is made of neurons
    began0 ... : the same of when the window began, of those that are dense; of the others no rows
    listed_times, listed : float64, ms, and int64 (arrivals,), the list of a dense window
    dense, arrived, credit, seen : int64 (populations,), of those that are made of neurons, see `eventsim.exact.layout`

    Raises a SimulationError where an error has ended the last run.
    """
    check_rest(parts)
    description = _identity(parts) | {"time": parts.time, "changed": parts.changed}
    description |= {name: int(parts.loop[word]) for name, word in COUNTERS.items()}
    queues = (parts.queue,) if parts.visits is parts.queue else (parts.queue, parts.visits)
    times, keys = (np.concatenate(column) for column in zip(*(queue.listed() for queue in queues), strict=True))
    kept = (times < np.inf) & ~_stale(parts, times, keys)  # a process that has ended may have left an entry, or not
    times, keys = times[kept], keys[kept]
    order = np.lexsort((keys, times))
    arrays = {"times": times[order], "keys": keys[order], "processes": parts.processes[:, INDEX].copy()}
    arrays["listed_times"], arrays["listed"] = (column.copy() for column in parts.listed.listed())
    arrays["dense"] = np.array([group.dense for group in parts.groups], np.int64)
    arrays |= {name: np.array([group.words[word] for group in parts.groups], np.int64) for name, word in COUNTED.items()}
    for place, group in enumerate(parts.groups):
        arrays[_name(place)] = group.records.copy()
        arrays[_began(place)] = group.shadow.copy() if group.dense else group.records[:0].copy()
    return description, arrays


def restore(parts: Parts, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[float, float]:
    """Let a simulation, made of the same network with the same seed and given spikes, go on where `capture` found another; the
    time, and that since when the currents flow, in ms: parameters are put in force by who has called.

    It may have run before; what it was then is lost. A StorageError says what is wrong with description or arrays, and nothing has
    been modified then; a SimulationError, that an error has ended the simulation's last run.
    """
    check_rest(parts)
    time, changed, counters = _check_description(parts, description)
    _check_arrays(parts, arrays)
    times, keys = arrays["times"], arrays["keys"]
    _check_entries(parts, time, times, keys)
    for place, group in enumerate(parts.groups):
        _check_records(parts, time, place, group, arrays)
    begun = _check_list(parts, time, changed, arrays)

    for place, group in enumerate(parts.groups):
        group.records[:] = arrays[_name(place)]
        group.words[w.DENSE] = arrays["dense"][place]
        for name, word in COUNTED.items():
            group.words[word] = arrays[name][place]
        if group.dense:
            group.shadow[:] = arrays[_began(place)]
    parts.listed.replace(arrays["listed_times"], arrays["listed"])
    parts.loop[w.DENSE_GROUPS] = sum(group.dense for group in parts.groups)
    parts.loop[w.SHADOWED], parts.loop[w.REPLAYED] = parts.loop[w.DENSE_GROUPS] > 0, len(arrays["listed"])
    parts.processes[:, INDEX] = arrays["processes"]
    for name, word in COUNTERS.items():
        parts.loop[word] = counters[name]
    parts.clock[:] = -1.0
    parts.clock[w.NOW], parts.clock[w.BEGUN] = time, begun
    parts.clock[w.TOLD] = time if parts.loop[w.SHADOWED] else -np.inf
    parts.queue.set_days(time, 0.0)  # a heap, until it chooses its days
    own, spare = np.ones(len(keys), bool), ROOM + 2 * (parts.synapses.most_parcels + w.BLOCK)
    if parts.visits is not parts.queue:
        own = keys >> w.KIND_SHIFT != w.FIRE
        parts.visits.begin(time)
        parts.visits.replace(times[~own], keys[~own], spare)
    parts.queue.replace(times[own], keys[own], spare)
    return time, changed


def _stale(parts: Parts, times: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which entries are visits that others have taken the place of, or the same once more: they are dropped when their time comes,
    and how many there are depends on the order in which entries of a day stand."""
    stale = np.zeros(len(keys), bool)
    for group in parts.groups:
        entry = group.words[w.ENTRY]
        mine = np.flatnonzero((keys >= entry) & (keys < entry + group.size))
        queued = group.records[keys[mine] - entry, len(group.fields) + w.QUEUED]
        stale[mine] = True
        valid = mine[times[mine] == queued]
        stale[valid[np.unique(keys[valid], return_index=True)[1]]] = False
    return stale


def _name(place: int) -> str:
    return f"records{place}"


def _began(place: int) -> str:
    return f"began{place}"


def _identity(parts: Parts) -> dict[str, int]:
    """Numbers that another network, seed or other given spikes are likely not to have."""
    synapses = parts.synapses
    sizes = {"seed": parts.seed, "neurons": parts.network.size, "synapses": len(synapses.target), "parcels": len(synapses.delay)}
    return {name: int(size) for name, size in (sizes | {"given": len(parts.given)}).items()}


def check_rest(parts: Parts) -> None:
    """Refuse a simulation that something has stopped between two events."""
    pending = parts.loop[w.PART] != parts.loop[w.PARTS_END] or parts.loop[w.FOLDED]
    pending = pending or any(group.words[w.STAGED] for group in parts.groups)
    if pending or not parts.spikes.empty or parts.clock[w.NOW] > parts.time:
        raise SimulationError("an error has ended the last run in the middle of its events; make a new simulation")


def _fail(what: str) -> StorageError:
    return StorageError(f"checkpoint: {what}; the file is damaged, or of another network")


def _refuse(bad: Any, what: str) -> None:
    """bad : bool, of each"""
    if np.any(bad):
        raise _fail(f"{what} ({int(np.count_nonzero(bad)):,} of {np.size(bad):,})")


def _following(parts: Parts, changed: float) -> float:
    """When a current changes next, after the last time."""
    return min((next_change(current, GUARD, changed) for current in parts.varying), default=np.inf)


def _check_description(parts: Parts, description: Any) -> tuple[float, float, dict[str, int]]:
    """Time, that of the last change of currents, and counters."""
    identity = _identity(parts)
    names = {*identity, *COUNTERS, "time", "changed"}
    if not isinstance(description, dict) or set(description) != names:
        raise _fail(f"its description must hold {', '.join(sorted(names))} and nothing else")
    for name, value in identity.items():
        if type(description[name]) is not int or description[name] != value:
            raise _fail(f"{name} is {description[name]!r}, here it is {value}")
    for name in ("time", "changed", *COUNTERS):
        value, kinds = description[name], int if name in COUNTERS else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < MOST:
            raise _fail(f"{name} must be a {'count' if kinds is int else 'number'}, not negative, not {value!r}")
    time, changed = float(description["time"]), float(description["changed"])
    if parts.visits is not parts.queue and time * parts.visits.per_ms > MOST_DAYS:
        raise _fail(f"at {time:g} ms windows of {1.0 / parts.visits.per_ms:g} ms, the least delay, are lost in rounding")
    if not changed <= time < _following(parts, changed):
        raise _fail(f"changed is {changed} ms, which is not when the currents last changed before {time} ms")
    return time, changed, {name: description[name] for name in COUNTERS}


def _check_arrays(parts: Parts, arrays: Any) -> None:
    """Their names, types and shapes; and the counts of processes, which may be any."""
    entries, listed = (
        arrays[name].size if isinstance(arrays, dict) and isinstance(arrays.get(name), np.ndarray) else 0
        for name in ("keys", "listed")
    )
    wanted: dict[str, tuple[type, tuple[int, ...]]] = {
        "times": (np.float64, (entries,)),
        "keys": (np.int64, (entries,)),
        "processes": (np.int64, (len(parts.processes),)),
        "listed_times": (np.float64, (listed,)),
        "listed": (np.int64, (listed,)),
        "dense": (np.int64, (len(parts.groups),)),
        **{name: (np.int64, (len(parts.groups),)) for name in COUNTED},
    }
    wanted |= {_name(place): (np.float64, group.records.shape) for place, group in enumerate(parts.groups)}
    dense = arrays.get("dense") if isinstance(arrays, dict) else None
    for place, group in enumerate(parts.groups):
        here = isinstance(dense, np.ndarray) and dense.shape == (len(parts.groups),) and bool(dense[place])
        wanted[_began(place)] = (np.float64, group.records.shape if here else group.records[:0].shape)
    if not isinstance(arrays, dict) or set(arrays) != set(wanted):
        raise _fail(f"its arrays must be {', '.join(wanted)} and no others")
    for name, (dtype, shape) in wanted.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
            found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            raise _fail(f"array {name!r} must be {np.dtype(dtype)} {shape}, not {found}")
    _refuse((arrays["processes"] < 1) | (arrays["processes"] >= MOST), "array 'processes': no counts")
    for name in COUNTED:
        _refuse((arrays[name] < 0) | (arrays[name] >= MOST), f"array {name!r}: no counts")
    foldable = np.array([group.words[w.FOLDABLE] for group in parts.groups], np.int64)
    _refuse((arrays["dense"] < 0) | (arrays["dense"] > foldable), "array 'dense': populations that cannot be")


def _check_entries(parts: Parts, time: float, times: np.ndarray, keys: np.ndarray) -> None:
    """Whether what entries are about is there, and when they are due."""
    kinds, about = keys >> w.KIND_SHIFT, keys & _LOW
    _refuse((kinds < w.GIVEN) | (kinds > w.FIRE), "array 'keys': unknown kinds of entries")
    of = {kind: about[kinds == kind] for kind in (w.GIVEN, w.PROCESS, w.ARRIVE, w.FIRE)}
    delay = parts.synapses.delay
    for kind, many, what in (
        (w.GIVEN, len(parts.given), "given spikes"),
        (w.PROCESS, len(parts.processes), "processes"),
        (w.ARRIVE, len(delay), "parcels"),
        (w.FIRE, len(parts.groups) << w.GROUP_SHIFT, "populations"),
    ):
        _refuse(of[kind] >= many, f"array 'keys': {what} that are not there")
    sizes = np.array([group.size for group in parts.groups], np.int64)
    groups, members = of[w.FIRE] >> w.GROUP_SHIFT, of[w.FIRE] & ((1 << w.GROUP_SHIFT) - 1)
    _refuse(members >= sizes[groups], "array 'keys': neurons that are not there")
    if len(of[w.GIVEN]) > 1 or len(np.unique(of[w.PROCESS])) < len(of[w.PROCESS]):  # each brings the one that follows
        raise _fail("array 'keys': a process is there twice, or there are two given spikes")
    _refuse(~((times >= time) & (times < np.inf)), f"array 'times': what is due before {time} ms, or never")
    _refuse(times[kinds == w.GIVEN] != parts.given[of[w.GIVEN]], "array 'times': given spikes at other times")
    _refuse(times[kinds == w.ARRIVE] > time + delay[of[w.ARRIVE]], "array 'times': what arrives later than any delay")


def _lost(group: Group, records: np.ndarray) -> np.ndarray:
    """Who may have no number for the time of its next spike, for a state of it is not finite."""
    states = len(group.fields)
    return np.isnan(records[:, states + w.PREDICTED]) & ~np.all(np.isfinite(records[:, :states]), axis=1)


def _check_records(parts: Parts, time: float, place: int, group: Group, arrays: dict[str, np.ndarray]) -> None:
    """Whether times are those of the past and future that they are for, and everybody who may fire is going to be visited.

    States may be any numbers. Where one is not finite, when the neuron fires may be no number either, and it fires no more.
    """
    records, states, label = arrays[_name(place)], len(group.fields), f"array {_name(place)!r}"
    last, free, predicted, queued = (records[:, states + column] for column in (w.LAST, w.FREE, w.PREDICTED, w.QUEUED))
    soon = np.abs(predicted)
    lost = _lost(group, records)
    _refuse(~((last >= 0.0) & (last <= time)), f"{label}: last events that are not in the past")
    _refuse(~(free <= time + group.refractory), f"{label}: neurons that are refractory for too long")
    _refuse(~((soon >= time) | lost), f"{label}: predictions that are not in the future")
    entry = (w.FIRE << w.KIND_SHIFT) + (place << w.GROUP_SHIFT)
    mine = (arrays["keys"] >= entry) & (arrays["keys"] < entry + group.size)
    members = arrays["keys"][mine] - entry
    visited = queued == np.inf
    if arrays["dense"][place]:  # all of them are looked at when the window ends
        visited = queued == -np.inf
    else:
        visited[members[arrays["times"][mine] == queued[members]]] = True
    _refuse(~visited, f"{label}: visits that are not in the queue")
    with np.errstate(over="ignore"):
        per_ms = parts.visits.per_ms if parts.visits is not parts.queue else 0.0
        late = queued > soon if per_ms == 0.0 else (queued > soon) & (np.floor(queued * per_ms) > np.floor(soon * per_ms))
    _refuse(late, f"{label}: visits that come too late")


def _check_list(parts: Parts, time: float, changed: float, arrays: dict[str, np.ndarray]) -> float:
    """Whether a dense window is one; when it began, in ms, or -1."""
    times, listed, day = arrays["listed_times"], arrays["listed"], int(time * parts.visits.per_ms)
    _refuse(arrays["seen"] > day + 2, "array 'seen': windows that are not in the past")
    if not np.any(arrays["dense"]):
        if len(listed):
            raise _fail("array 'listed': a list, and nobody who waits for it")
        return -1.0
    begun = first_time(parts.visits.words, day) if day > 0 else 0.0
    if _following(parts, changed) <= first_time(parts.visits.words, day + 1) + LATER:
        raise _fail("array 'dense': populations that cannot be, for a current changes in this window")
    segments = len(parts.synapses.segment)
    _refuse((listed >= len(parts.synapses.delay)) | (listed < -segments), "array 'listed': parcels that are not there")
    _refuse(~((times >= begun) & (times <= time)), "array 'listed_times': what did not arrive in this window")
    if np.any(np.diff(times) < 0.0):
        raise _fail("array 'listed_times': not in order")
    for place, group in enumerate(parts.groups):
        if arrays["dense"][place]:
            began, label = arrays[_began(place)], f"array {_began(place)!r}"
            last, free, predicted, queued = (began[:, len(group.fields) + column] for column in range(w.MORE))
            _refuse(last != begun, f"{label}: last events that are not the window's beginning")
            _refuse(~(free <= begun + group.refractory), f"{label}: neurons that are refractory for too long")
            soon = (np.abs(predicted) >= begun) | _lost(group, began)
            _refuse(~soon | (queued != -np.inf), f"{label}: predictions that are not in the future")
    return begun
