"""Which update a group uses while ``update="auto"``: decided at fixed steps, from counted activity alone.

No clock is read, so that a run is reproducible; the counts are those of all workers, so that it does not depend on their
number. docs/design.md has the measurement behind the limits.
"""

from __future__ import annotations

from collections.abc import Sequence

WINDOW = 128  # steps between two decisions; the first ones come earlier
EARLY = (8, 16, 32, 64)
SMALL = 2048  # neurons up to which a sweep costs less than looking for who is touched
TO_SPARSE = 1 / 700  # of a group active in a step: below it the sparse update is the faster one
TO_DENSE = 1 / 400  # above it the dense one is; between them nothing changes
LONGEST_PATIENCE = 64  # decisions


def next_decision(step: int) -> int:
    """The first step after ``step`` at whose end updates are chosen anew."""
    for early in EARLY:
        if step < early:
            return early
    return (step // WINDOW + 1) * WINDOW


class Adaptation:
    """The choices for one batch item.

    A group that turns dense at the first decision after it turned sparse waits twice as long before it tries again.

    sizes, sparse, free : for each group its neurons, whether it starts sparse, and whether that may change
    """

    def __init__(self, sizes: Sequence[int], sparse: Sequence[bool], free: Sequence[bool]):
        self.sizes, self.sparse, self.free = list(sizes), list(sparse), list(free)
        self.counted = [0] * len(self.sizes)
        self.patience = [1] * len(self.sizes)
        self.waited = [0] * len(self.sizes)
        self.last = 0

    def decide(self, step: int, active: Sequence[int]) -> list[int]:
        """The groups that change their update at the end of ``step``.

        active : for each group how many neurons received something or fired, summed over all steps so far
        """
        changed = []
        for g, size in enumerate(self.sizes):
            share = (active[g] - self.counted[g]) / ((step - self.last) * size)
            self.counted[g] = active[g]
            self.waited[g] += 1
            if not self.free[g]:
                continue
            if self.sparse[g] and share > TO_DENSE:
                self.patience[g] = min(2 * self.patience[g], LONGEST_PATIENCE) if self.waited[g] == 1 else 1
                changed.append(g)
            elif not self.sparse[g] and share < TO_SPARSE and self.waited[g] >= self.patience[g]:
                changed.append(g)
        for g in changed:
            self.sparse[g] = not self.sparse[g]
            self.waited[g] = 0
        self.last = step
        return changed
