"""Sources run ahead: what they fire depends on nothing else, so this machine draws it for many steps at once, as for backend="cpu".

Their laws need float64 throughout, of which a GPU's kernels then hold nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import types

from eventsim.cpu.frame import NEURONS
from eventsim.cpu.pointers import call_kernel, view
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

    def fire(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, int]:
        """The spikes of the steps ``first ... reached``: sorted by step and level; where those of each begin; and ``reached``."""
        levels = int(self.level_of.max(initial=0)) + 1
        if not len(self.which):
            return np.zeros(1, np.int64), np.zeros((last - first + 1) * levels + 1, np.int64), last
        found, step = [], first
        steps, which_level, spikes = (np.empty(self.room, np.int64) for _ in range(3))
        for item, instance in enumerate(self.items):
            member, at, mine = instance.members[0], first, []
            while at <= last:
                shift = item * self.program.size
                arguments = self.which, self.level_of, at, last, shift, steps, which_level, spikes
                count, at = fire_ahead(member.context, member.kernels.dense, *arguments)
                mine.append(np.stack([steps[:count], which_level[:count], spikes[:count]]))
            found.extend(mine)
            step = at
        assert step == last + 1
        at_step, at_level, who = np.concatenate(found, axis=1)
        place = (at_step - first) * levels + at_level
        order = np.argsort(place, kind="stable")
        ends = np.searchsorted(place[order], np.arange((last - first + 1) * levels + 1))
        return np.ascontiguousarray(np.append(who[order], 0)), ends.astype(np.int64), last
