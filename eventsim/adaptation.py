"""Which update a group uses while ``update="auto"``: decided at fixed steps, from counted activity alone.

No clock is read, so that a run is reproducible; the counts are those of all workers, so that it does not depend on their
number. What a sweep and a touched neuron cost stands here as a ratio that was measured once (docs/design.md). A group keeps
account of what the other update would have saved it, and changes when that has come to what the change costs: however its
activity goes, it then never pays much more than it would have with the better of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from eventsim.state import NEVER

FIRST, WARY, LONGEST = 8, 128, 512  # steps between decisions: at first, where a change seems to pay, and at most
WATCHED = 2**25  # neurons times steps between decisions, at most, as far as WARY allows: how late a burst may be noticed
UNTIL_AT_REST = 2000.0  # steps that an input keeps a neuron awake, for a model that cannot jump
PATIENCE = 64  # the most decisions for which a group waits that turned back to dense at once


class Costs(NamedTuple):
    """What updates cost, in units of one float32 neuron in a dense sweep.

    sweep : a neuron in a dense sweep
    touch : one that the sparse update touches
    active : what a neuron that receives something in a dense sweep would cost the sparse update
    change : a neuron, to change the update: its jump or its prediction
    """

    sweep: float
    touch: float
    active: float
    change: float


def costs(dtype: np.dtype, tabulated: bool, closed: bool) -> Costs:
    """The costs of a group: measured by ``python docs/figures/updates.py``.

    tabulated : whether all neurons have the same propagators
    closed : whether gaps can be jumped; if not, a neuron that has received something is stepped until it rests
    """
    sweep = (1.0 if dtype == np.float32 else 1.8) * (1.0 if tabulated else 1.35)
    touch = 100.0 if tabulated else 400.0
    return Costs(sweep, touch, touch if closed else UNTIL_AT_REST * touch, 40.0)


class Adaptation:
    """The choices for one batch item.

    sizes, sparse, free, costs : for each group its neurons, whether it starts sparse, whether that may change, and `Costs`

    next : the step at whose end updates are chosen anew; NEVER if none may change
    """

    def __init__(self, sizes: Sequence[int], sparse: Sequence[bool], free: Sequence[bool], costs: Sequence[Costs | None]):
        self.sizes, self.sparse, self.free, self.costs = list(sizes), list(sparse), list(free), list(costs)
        self.counted = [0] * len(self.sizes)
        self.debt = [0.0] * len(self.sizes)
        self.waits = [0] * len(self.sizes)
        self.patience = [1] * len(self.sizes)
        self.changed = [0] * len(self.sizes)
        self.last, self.window = 0, FIRST
        self.next = FIRST if any(self.free) else NEVER
        watched = sum(size for size, f in zip(self.sizes, self.free, strict=True) if f)
        self.longest = max(WARY, min(LONGEST, WATCHED // max(1, watched)))

    def decide(self, step: int, active: Sequence[int]) -> list[int]:
        """The groups that change their update at the end of ``step``, which is `next`.

        active : for each group how many neurons received something or fired, summed over all steps so far
        """
        steps, changed, calm = step - self.last, [], True
        for g, size in enumerate(self.sizes):
            count, self.counted[g] = active[g] - self.counted[g], active[g]
            if not self.free[g]:
                continue
            cost = self.costs[g]
            dense, sparse = cost.sweep * size * steps, (cost.touch if self.sparse[g] else cost.active) * count
            loss = sparse - dense if self.sparse[g] else dense - sparse
            self.debt[g] = max(0.0, self.debt[g] + loss)
            self.waits[g] = max(0, self.waits[g] - 1)
            calm = calm and self.debt[g] == 0.0
            if self.debt[g] > cost.change * size and (self.sparse[g] or not self.waits[g]):
                changed.append(g)
        for g in changed:
            if self.sparse[g]:  # a try that did not pay: the next one is later
                self.patience[g] = min(2 * self.patience[g], PATIENCE) if step - self.changed[g] <= LONGEST else 1
                self.waits[g] = self.patience[g] - 1
            self.sparse[g] = not self.sparse[g]
            self.debt[g] = 0.0
            self.changed[g] = step
        self.window = FIRST if changed else min(2 * self.window, self.longest if calm else WARY)
        self.last, self.next = step, step + self.window
        return changed
