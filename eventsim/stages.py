"""In which order populations go through the steps.

A spike without delay must find its target not yet updated: populations are sorted by the longest chain of zero delays that leads to
them, their *level*. Between two levels that no projection leads back across lies the border of two *stages*: what comes before
it goes through a whole block of steps before what comes after, so that the layers of a feed-forward net are run one after the
other, and workers meet once for a block and not once for a layer and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from eventsim.errors import NetworkError
from eventsim.network import Network

LONGEST_SPAN = 64  # steps between two meetings of the workers, and of a block, at the most
MOST_IN_BLOCK = 2**22  # neurons times steps of a block of a stage: room is kept for all of them to fire
UNBOUNDED = 2**40  # steps of a block where there is one stage


class Schedule(NamedTuple):
    """level, stage : of each population
    instant : populations whose spikes another one of their stage needs in the same step
    span : for each stage the steps that workers may run without meeting: as many as its shortest delay, at least 1
    block : steps that a stage goes through before the next one does
    slots : steps for which the wheel needs lists
    """

    level: tuple[int, ...]
    stage: tuple[int, ...]
    instant: frozenset[int]
    span: tuple[int, ...]
    block: int
    slots: int


def schedule(network: Network, ranges: Sequence[tuple[int, int]]) -> Schedule:
    """The schedule of a network; ranges : the shortest and the longest delay of each projection, in steps.

    Refuses a cycle of zero delays, naming it.
    """
    number = {population.name: p for p, population in enumerate(network.populations)}
    edges = [(number[projection.source], number[projection.target]) for projection in network.projections]
    sizes = [population.size for population in network.populations]
    instant = []
    for projection, (source, target), (least, _) in zip(network.projections, edges, ranges, strict=True):
        if least == 0 and projection.connectivity.expected(sizes[source], sizes[target], same=source == target) > 0:
            instant.append((source, target))
    level = zero_delay_levels(list(number), instant)
    stage_of = _stages(level, edges)
    stage = [stage_of[at] for at in level]
    stages, longest = max(stage, default=0) + 1, max((most for _, most in ranges), default=0)
    spans = [LONGEST_SPAN] * stages
    for (source, target), (least, _) in zip(edges, ranges, strict=True):
        if stage[source] == stage[target]:
            spans[stage[source]] = max(1, min(spans[stage[source]], least))
    within = frozenset(source for source, target in instant if stage[source] == stage[target])
    block, ahead = UNBOUNDED, 1
    if stages > 1:
        largest = max(sum(size for size, at in zip(sizes, stage, strict=True) if at == s) for s in range(stages))
        block = ahead = max(1, min(LONGEST_SPAN, MOST_IN_BLOCK // largest))
    return Schedule(tuple(level), tuple(stage), within, tuple(min(span, block) for span in spans), block, longest + ahead)


def _stages(level: Sequence[int], edges: Sequence[tuple[int, int]]) -> list[int]:
    """The stage of each level."""
    joined: set[int] = set()  # levels that belong to the stage of the one before
    for source, target in edges:
        joined.update(range(level[target] + 1, level[source] + 1))
    stages = [0]
    for at in range(1, max(level, default=0) + 1):
        stages.append(stages[-1] + (at not in joined))
    return stages


def zero_delay_levels(names: Sequence[str], edges: Sequence[tuple[int, int]]) -> list[int]:
    """For each population the length of the longest chain of zero delays (edges) that leads to it; refuses a cycle, naming it."""
    levels = [0] * len(names)
    for _ in range(len(names) + 1):
        changed = False
        for source, target in edges:
            if levels[target] <= levels[source]:
                levels[target] = levels[source] + 1
                changed = True
        if not changed:
            return levels
    raise NetworkError(
        f"zero delays form a cycle: {' -> '.join(names[p] for p in _cycle(edges))}; a spike cannot reach its own source in the "
        "same step, give one of these projections a delay of at least dt"
    )


def _cycle(edges: Sequence[tuple[int, int]]) -> list[int]:
    """One cycle of the directed edges, its first population also last."""
    followers: dict[int, list[int]] = {}
    for source, target in edges:
        followers.setdefault(source, []).append(target)

    def walk(path):
        for target in followers.get(path[-1], []):
            if target in path:
                return [*path[path.index(target) :], target]
            found = walk([*path, target])
            if found:
                return found
        return []

    return next(found for found in (walk([source]) for source in followers) if found)
