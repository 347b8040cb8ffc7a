"""What runs ahead: sources, and noise with rates that vary over time, depend on nothing else.

This machine draws them for many steps at once, by the functions of backend="cpu". Their laws need float64 throughout, of which the
kernels of a GPU then hold nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from eventsim.cpu.frame import NEURONS
from eventsim.cpu.inputs import add_noise
from eventsim.cpu.pointers import call_kernel, view
from eventsim.cuda.network import neurons_of
from eventsim.jit import jit
from eventsim.state import GIDS, OUT, N


@jit
def fire_ahead(context, kernels, which, level_of, first, last, shift, out_steps, out_levels, out_spikes):
    """Let the groups ``which`` fire in the steps ``first ... last`` as far as there is room (modifies their arrays).

    Returns how many spikes are written, and the first step that is not.
    """
    most = 0
    for g in which:
        most += context[g, N]
    count, t = 0, first
    while t <= last and count + most <= out_steps.size:
        for g in which:
            spikes = call_kernel(kernels[g], context[g], t, 0)
            gids, out = view(context[g, GIDS], context[g, N], types.int32), view(context[g, OUT], context[g, N], types.int32)
            for index in range(spikes):
                out_steps[count], out_levels[count] = t, level_of[g]
                out_spikes[count] = shift + gids[out[index]]
                count += 1
        t += 1
    return count, t


class Sources:
    """The sources of all batch items. items : `eventsim.cpu.instance.Instance`, whose sources these are"""

    def __init__(self, program: Any, items: Sequence[Any], levels: Sequence[int]):
        self.program, self.items = program, items
        self.which = np.array([g for g, group in enumerate(program.groups) if group.kind != NEURONS], np.int64)
        self.level_of = np.array(levels, np.int64)
        most = sum(program.groups[g].size for g in self.which)
        self.room = max(4 * most, 1 << 16)

    def fire(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The spikes of the steps ``first ... last``, sorted by step and level, and where those of each begin."""
        levels = int(self.level_of.max(initial=0)) + 1
        if not len(self.which):
            return np.zeros(1, np.int64), np.zeros((last - first + 1) * levels + 1, np.int64)
        found = []
        steps, which_level, spikes = (np.empty(self.room, np.int64) for _ in range(3))
        for item, instance in enumerate(self.items):
            member, at = instance.members[0], first
            while at <= last:
                shift = item * self.program.size
                arguments = self.which, self.level_of, at, last, shift, steps, which_level, spikes
                count, at = fire_ahead(member.context, member.kernels.dense, *arguments)
                found.append(np.stack([steps[:count], which_level[:count], spikes[:count]]))
        at_step, at_level, who = np.concatenate(found, axis=1)
        place = (at_step - first) * levels + at_level
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange((last - first + 1) * levels + 1))
        return np.ascontiguousarray(np.append(who[order], 0)), ends.astype(np.int64)


@jit
def draw_ahead(noise, e, first, last, scratch, inputs, at, count, out):
    """Write what entry e of the noise brings in the steps ``first ... last`` to ``out[:, at : at + count]``.

    inputs : zero before and after
    """
    nobody, slot = np.zeros(0, np.uint8), noise.slot[e]
    nothing = np.zeros(0, np.int32)
    for t in range(first, last + 1):
        add_noise(noise, e, t, inputs, inputs.size, 0, nobody, nothing, 0, scratch)
        for j in range(count):
            out[t - first, at + j] = inputs[slot + j]
            inputs[slot + j] = 0


class VaryingNoise:
    """All noise with rates that vary, of all batch items. order : in which entries stand on the device"""

    def __init__(self, program: Any, items: Sequence[Any]):
        self.program, self.items = program, items
        noise = items[0].members[0].noise
        order = np.argsort(noise.group, kind="stable")
        self.entries = [int(e) for e in order if noise.curve[e] >= 0]
        self.counts = [neurons_of(noise, e) for e in self.entries]
        self.wide = sum(self.counts)

    def draw(self, first: int, last: int) -> np.ndarray:
        """What it brings in the steps ``first ... last``: (steps, batch, neurons of all entries), as one row."""
        out = np.zeros((last - first + 1, len(self.items), max(self.wide, 1)), self.program.dtype)
        for item, instance in enumerate(self.items):
            member, at = instance.members[0], 0
            for e, count in zip(self.entries, self.counts, strict=True):
                inputs = np.zeros(int(member.noise.slot[e]) + count, self.program.dtype)
                draw_ahead(member.noise, e, first, last, member.scratch, inputs, at, count, out[:, item])
                at += count
        return out.reshape(-1)
