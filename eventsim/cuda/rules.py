"""Connectivity that is not stored, as kernels read it, and what of it is on its way when a simulation moves to a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsim.cpu.part import Part
from eventsim.cpu.transient import forget
from eventsim.cuda import layout as w
from eventsim.cuda.network import LENGTH_MASK, Layout
from eventsim.cuda.procedural import parts_of
from eventsim.distributions import CONSTANT
from eventsim.procedural import BASE, DELAY, DELAY_KIND, KINDS, LEAST, NUMBERS, OWN, SLOT, SPAN
from eventsim.program import Program
from eventsim.segments import BLOCK_SHIFT, INLET_SHIFT, KIND_SHIFT

BEGIN_MASK, DELAY_MASK = (1 << KIND_SHIFT) - 1, (1 << INLET_SHIFT) - 1
BLOCK_SLOTS = 16  # bits of a target in a block of slots


@dataclass(frozen=True, eq=False)
class Rules:
    """Rules on a device: arrays of `eventsim.cuda.layout.Arrays`.

    numbers : (rules, RULE_WORDS); ring : steps for which `arrived` has room, a power of two
    units : of each inlet, what 1 is in whole numbers, and its first slot
    """

    numbers: np.ndarray
    laws: np.ndarray
    streams: np.ndarray
    orders: np.ndarray
    offsets: np.ndarray
    shared: np.ndarray
    ring: int
    units: dict[int, tuple[Any, int]]

    def after(self, member: Any, step: int, steps: np.ndarray, sources: np.ndarray) -> Iterator[tuple[int, np.ndarray, Any, Any]]:
        """Of spikes (steps, sources) the synapses that are not stored and due after a step, segment by segment: the step in which
        they are due, their slots, weights of the state's type, and what 1 is in whole numbers."""
        if not len(self.numbers):
            return
        for fired_at, source in zip(steps.tolist(), sources.tolist(), strict=True):
            count = member.make_row(fired_at, source)
            ring = member.transient
            for first, second, third in member.procedural.index.words[:count].tolist():
                begin, kind, length = first & BEGIN_MASK, first >> KIND_SHIFT, second & LENGTH_MASK
                due = fired_at + (third & DELAY_MASK)
                if due > step:
                    unit, place = self.units[third >> INLET_SHIFT]
                    slots = place + ((second >> BLOCK_SHIFT) << BLOCK_SLOTS) + ring.targets[begin : begin + length].astype(np.int64)
                    own = ring.weights[begin : begin + length]
                    own = own.view(np.float16) if own.dtype == np.uint16 else own
                    weights = np.full(length, self.shared[kind - 1]) if kind else own.astype(self.shared.dtype)
                    yield due, slots, weights, unit
            forget(ring)


def lay_out_rules(program: Program, part: Part, layout: Layout) -> Rules:
    """Lay out what has no rows; part : all of the program as one worker has it."""
    recipe, real = part.recipe, program.dtype
    none = np.zeros(0, np.uint32)
    words = layout.groups.reshape(-1, w.GROUP_WORDS)
    units = {
        inlet: (layout.numbers[words[g, w.UNIT] + 1], part.slots[g])
        for inlet, (g, _, _) in enumerate(program.inlets)
        if words[g, w.UPDATE] >= 0
    }
    if recipe is None:
        laws, streams = np.zeros(1), np.zeros((0, 3), np.uint64)
        return Rules(np.zeros((0, w.RULE_WORDS), np.int64), laws, streams, none, none, np.zeros(0, real), 1, units)
    numbers = np.zeros((len(recipe.numbers), w.RULE_WORDS), np.int64)
    numbers[:, :NUMBERS] = recipe.numbers
    least, span, kinds = (int(recipe.layout[place]) for place in (LEAST, SPAN, KINDS))
    for mine, given, reals in zip(numbers, recipe.numbers, recipe.reals, strict=True):
        rank = int(given[BASE]) // (span * kinds) % len(recipe.inlets)
        g = program.inlets[int(recipe.inlets[rank])][0]
        mine[w.R_PARTS], mine[w.R_SPLIT] = parts_of(given)
        mine[w.R_UNIT], mine[w.R_PLACE] = words[g, w.UNIT] + 1, part.slots[g] + given[SLOT]
        mine[w.R_SHARED] = -1 if given[OWN] else len(part.rows.shared) + int(given[BASE]) % kinds - 1
        mine[w.R_DELAY] = round(reals[DELAY] / program.dt) if given[DELAY_KIND] == CONSTANT else -1
    return Rules(
        numbers=numbers,
        laws=np.append(recipe.reals.reshape(-1), program.dt),
        streams=recipe.streams,
        orders=recipe.keys,
        offsets=recipe.offsets,
        shared=recipe.shared.astype(real),
        ring=1 << (least + span - 1).bit_length(),
        units=units,
    )
