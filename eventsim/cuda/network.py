"""A program on the device: what kernels read of it, laid out once for all batch items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eventsim import state as s
from eventsim.cpu.frame import NEURONS
from eventsim.cpu.inputs import MOST_THRESHOLDS, Noise, fill_count_thresholds
from eventsim.cpu.part import Part
from eventsim.cuda import layout as w
from eventsim.cuda.units import largest_sums, unit_of
from eventsim.errors import SimulationError
from eventsim.jit import jit
from eventsim.program import NOISE, Program
from eventsim.random import key
from eventsim.rows import Rows
from eventsim.segments import BLOCK_SHIFT, INLET_SHIFT

LENGTH_MASK = (1 << BLOCK_SHIFT) - 1
BLOCK_SLOTS = 16  # bits of a target in a block of slots


class Layout(NamedTuple):
    """A program as kernels read it, in memory of this machine."""

    groups: np.ndarray
    first: np.ndarray
    numbers: np.ndarray
    gids: np.ndarray
    row: np.ndarray
    pieces: np.ndarray
    noise: np.ndarray
    keys: np.ndarray
    cuts: np.ndarray
    listed: np.ndarray
    increments: np.ndarray
    states: int  # numbers of state that all items have
    parameters: dict[int, tuple[tuple[int, int], ...]]  # of each group: its places in `numbers`, and where they begin


class Arena:
    """Arrays one after the other in one."""

    def __init__(self, dtype: Any):
        self.parts: list[np.ndarray] = []
        self.dtype, self.size = np.dtype(dtype), 0

    def add(self, array: Any) -> int:
        """Where it begins."""
        flat = np.ascontiguousarray(array, self.dtype).reshape(-1)
        self.parts.append(flat)
        self.size += flat.size
        return self.size - flat.size

    def joined(self) -> np.ndarray:
        """All of it; never empty, since a GPU has no arrays without elements."""
        return np.concatenate([*self.parts, np.zeros(1 if self.size == 0 else 0, self.dtype)])


def levels_of(program: Program) -> list[int]:
    """The level of each group: the longest chain of zero delays that leads to it."""
    return [program.schedule.level[group.members[0]] for group in program.groups]


def lay_out(program: Program, part: Part, increments: Sequence[Any], batch: int) -> Layout:
    """Lay a program out; part : all of it as one worker has it; increments : those of each batch item."""
    numbers, gids = Arena(program.dtype), Arena(np.int32)
    words = np.zeros((len(program.groups), w.GROUP_WORDS), np.int64)
    levels, states = levels_of(program), 0
    kinds = kinds_of(program)
    parameters: dict[int, tuple[tuple[int, int], ...]] = {}
    largest = largest_sums(program)
    for g, group in enumerate(program.groups):
        mine = words[g]
        mine[w.COUNT], mine[w.UPDATE] = group.size, -1
        mine[w.FIRST] = gids.add(part.gids[g])
        if group.kind != NEURONS or group.spec is None:
            continue
        mine[w.UPDATE], mine[w.INPUT] = kinds.index(group.spec), part.slots[g]
        mine[w.STATE] = states
        states += len(group.spec.model.State._fields) * batch * group.size
        mine[w.RHO] = states
        states += batch * group.size if group.spec.holds else 0
        found = []
        for word, place in ((w.PARAMS, s.COMMON), (w.OWN, s.OWN), (w.STEP, s.STEP_COMMON), (w.STEP_OWN, s.STEP_OWN)):
            mine[word] = numbers.add(part.parameters[g][place])
            found.append((place, int(mine[word])))
        parameters[g] = tuple(found)
        power = unit_of(largest[g])
        mine[w.UNIT] = numbers.add([math.ldexp(1.0, -power), math.ldexp(1.0, power)])
    order = np.argsort(part.noise.group, kind="stable")
    noise, cuts, listed = lay_out_noise(part.noise, order, words, numbers)
    keys = [key(program.seed, NOISE, part.drives[e], item) for item in range(batch) for e in order]
    row, pieces = cut_pieces(program, part.rows, part.slots, levels)
    return Layout(
        groups=words.reshape(-1),
        first=np.array([sum(level < bound for level in levels) for bound in range(max(levels) + 2)], np.int64),
        gids=gids.joined(),
        row=row,
        pieces=pieces,
        noise=noise,
        keys=np.array(keys or [0] * batch, np.uint64),
        cuts=cuts,
        listed=listed,
        increments=lay_out_increments(increments, words, numbers),
        numbers=numbers.joined(),
        states=states,
        parameters=parameters,
    )


def kinds_of(program: Program) -> tuple[Any, ...]:
    """The kinds of neurons of a network, each once."""
    return tuple(dict.fromkeys(group.spec for group in program.groups if group.spec is not None))


def cut_pieces(program: Program, rows: Rows, slots: Sequence[int], levels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The pieces of all segments, and where those of each source begin; first those that the very next deliveries are to bring."""
    if len(program.groups) > 1 << w.GROUP_BITS:
        raise SimulationError(f"the network has {len(program.groups)} groups of neurons; a GPU runs at most {1 << w.GROUP_BITS}")
    counts = np.zeros(len(rows.index.indptr), np.int64)
    of_inlet = np.array([(g, slots[g], levels[g]) for g, _, _ in program.inlets] or [(0, 0, 0)], np.int64)
    level_of = np.repeat(np.array(program.schedule.level, np.int64), [p.size for p in program.network.populations])
    _count_pieces(*rows.index, counts)
    row = np.cumsum(counts)
    pieces = np.zeros((max(int(row[-1]), 1), 3), np.int64)
    _write_pieces(*rows.index, of_inlet, level_of, max(levels) + 1, row, pieces)
    return row, pieces


@jit
def _count_pieces(indptr, words, out_counts):
    """Write how many pieces source s has to ``out_counts[s + 1]``."""
    for source in range(len(indptr) - 1):
        for i in range(indptr[source], indptr[source + 1]):
            out_counts[source + 1] += ((words[i, 1] & LENGTH_MASK) + w.PIECE - 1) // w.PIECE


@jit
def _write_pieces(indptr, words, of_inlet, level_of, levels, row, out_pieces):
    """Write the pieces of every source."""
    for source in range(len(indptr) - 1):
        at, level = row[source], level_of[source]
        for wanted in (1, 0):
            for i in range(indptr[source], indptr[source + 1]):
                inlet, delay = words[i, 2] >> INLET_SHIFT, words[i, 2] & ((1 << INLET_SHIFT) - 1)
                group, first, target_level = of_inlet[inlet, 0], of_inlet[inlet, 1], of_inlet[inlet, 2]
                if level + 1 < levels:
                    is_next = np.int64(delay == 0 and target_level == level + 1)
                else:
                    is_next = np.int64(delay == 1 and target_level == 0)
                if is_next != wanted:
                    continue
                slot = first + ((words[i, 1] >> BLOCK_SHIFT) << BLOCK_SLOTS)
                length = words[i, 1] & LENGTH_MASK
                for done in range(0, length, w.PIECE):
                    some = min(w.PIECE, length - done)
                    out_pieces[at, 0] = words[i, 0] + done
                    out_pieces[at, 1] = (some - 1) | (group << w.LENGTH_BITS) | (slot << w.SLOT_SHIFT)
                    out_pieces[at, 2] = delay | (target_level << w.DELAY_BITS) | (is_next << w.NEXT_SHIFT)
                    at += 1


def lay_out_noise(noise: Noise, order: np.ndarray, words: np.ndarray, numbers: Arena) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of all noise in an order that is that of groups, its thresholds, and where those of single neurons begin."""
    cuts, listed = Arena(np.uint32), Arena(np.int64)
    rows = np.zeros((max(len(order), 1), w.NOISE_WORDS), np.int64)
    base, wide = numbers.add(noise.weight), 0
    for mine, e in zip(rows, order, strict=False):
        mine[w.N_SLOT], mine[w.N_COUNT], mine[w.N_FIRST] = noise.slot[e], noise.count[e], noise.first[e]
        mine[w.N_GRAIN], mine[w.N_LISTED] = noise.grain[e], -1
        mine[w.N_WEIGHT], mine[w.N_WEIGHT_STEP] = base + noise.weight_begin[e], noise.weight_step[e]
        mine[w.N_AHEAD] = -1
        if noise.curve[e] >= 0:
            mine[w.N_COUNT] = neurons_of(noise, e)
            mine[w.N_AHEAD], wide = wide, wide + int(mine[w.N_COUNT])
        elif noise.listed[e] >= 0:
            mine[w.N_LISTED], mine[w.N_COUNT] = _list_thresholds(noise, e, cuts, listed)
        else:
            mine[w.N_CUTS] = cuts.add(noise.threshold[noise.threshold_begin[e] : noise.threshold_begin[e + 1]])
            mine[w.N_CUTS_END] = cuts.size
    groups = noise.group[order]
    for g in range(len(words)):
        words[g, w.NOISE], words[g, w.NOISE_END] = np.searchsorted(groups, g), np.searchsorted(groups, g, side="right")
    return rows.reshape(-1), cuts.joined(), listed.joined()


def neurons_of(noise: Noise, e: int) -> int:
    """How many neurons, from its first one on, an entry may reach."""
    if noise.listed[e] < 0:
        return int(noise.count[e])
    return int(noise.who[noise.listed[e] : noise.listed[e] + noise.count[e]].max(initial=-1)) + 1


def _list_thresholds(noise: Noise, e: int, cuts: Arena, listed: Arena) -> tuple[int, int]:
    """Where the thresholds of each neuron of an entry with rates of their own are listed, and of how many neurons."""
    mine = slice(noise.listed[e], noise.listed[e] + noise.count[e])
    rates = np.zeros(neurons_of(noise, e))
    rates[noise.who[mine]] = noise.mean[mine]
    begins, known, room = np.zeros(len(rates) + 1, np.int64), dict[float, np.ndarray](), np.zeros(MOST_THRESHOLDS, np.uint32)
    for j, mean in enumerate(rates.tolist()):
        begins[j] = cuts.size
        if mean > 0.0:
            if mean not in known:
                known[mean] = room[: fill_count_thresholds(mean, room)].copy()
            cuts.add(known[mean])
    begins[len(rates)] = cuts.size
    return listed.add(begins), len(rates)


def lay_out_increments(increments: Sequence[Any], words: np.ndarray, numbers: Arena) -> np.ndarray:
    """The rows of the increments of all batch items, item by item for each; sorted by group."""
    batch = len(increments)
    order = np.argsort(increments[0].group, kind="stable")
    rows = np.zeros((max(len(order), 1), batch, w.INCREMENT_WORDS), np.int64)
    for item, given in enumerate(increments):
        shared = item > 0 and np.array_equal(given.value, increments[0].value)
        base = rows[0, 0, w.I_BEGIN] - increments[0].begin[order[0]] if shared and len(order) else numbers.add(given.value)
        for e, k in enumerate(order):
            rows[e, item] = given.slot[k], given.count[k], base + given.begin[k], given.rows[k], given.step[k]
    groups = increments[0].group[order]
    for g in range(len(words)):
        words[g, w.INCREMENT], words[g, w.INCREMENT_END] = np.searchsorted(groups, g), np.searchsorted(groups, g, side="right")
    return rows.reshape(-1)
