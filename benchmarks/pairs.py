"""Measuring in turn: machines change their speed while they are measured, so that only what ran side by side is compared."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Ratio(NamedTuple):
    """How one side compares with another: the quotient of each pair that ran one after the other, and their median."""

    pairs: list[float]
    median: float


def in_turn(
    sides: Mapping[str, Callable[[], Any]], repeats: int, tell: Callable[[str], None] = lambda text: None
) -> dict[str, list[Any]]:
    """What each side returns, ``repeats`` times: A B C, then C B A, and so on, so that a drift favours nobody.

    tell : called with a line at each turn, for what takes long
    """
    names = list(sides)
    results: dict[str, list[Any]] = {name: [] for name in names}
    for repeat in range(repeats):
        tell(f"  turn {repeat + 1} of {repeats}")
        for name in names if repeat % 2 == 0 else reversed(names):
            results[name].append(sides[name]())
    return results


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """The median of the quotients of pairs (not the quotient of the medians)."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(pairs, statistics.median(pairs))


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
