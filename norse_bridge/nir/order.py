"""In which order the nodes of a graph act within one step, and which edges hand on what was said in the step before.

The order is that of a depth-first search from the Inputs, along the edges as they are listed, turned round: every edge that leads
back to a node from which the search came is *late*, all others lead forward. So each cycle has a late edge, layers one after the
other act in the same step, and the recurrence is the edge that leads back. What a *register* says (a Delay of a step or more) does
not depend on what it hears in the same step: edges into it are neither, and a cycle through it needs no further delay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from eventsim.errors import NetworkError

Edge = tuple[str, str]


def schedule(names: Sequence[str], edges: Sequence[Edge], inputs: Iterable[str], registers: Collection[str] = ()):
    """``(order, late)``: all names so that every edge leads forward but those in the set ``late`` and those into registers."""
    after: dict[str, list[str]] = {name: [] for name in names}
    for a, b in edges:
        if b not in registers:
            after[a].append(b)
    finished: list[str] = []
    seen: set[str] = set()
    for root in (*inputs, *registers, *names):
        if root in seen:
            continue
        seen.add(root)
        path = [(root, iter(after[root]))]
        while path:
            name, rest = path[-1]
            following = next((b for b in rest if b not in seen), None)
            if following is None:
                finished.append(name)
                path.pop()
            else:
                seen.add(following)
                path.append((following, iter(after[following])))
    order = finished[::-1]
    place = {name: number for number, name in enumerate(order)}
    late = {(a, b) for a, b in edges if b not in registers and place[a] >= place[b]}
    return order, late


def forward(names: Sequence[str], edges: Sequence[Edge], label: str) -> list[str]:
    """The order of a graph without cycles; a NetworkError names the nodes of one."""
    order, late = schedule(names, edges, ())
    if late:
        a, b = min(late)
        raise NetworkError(
            f"{label}: the edge {a!r} -> {b!r} closes a cycle without a neuron or a Delay in it, which has no meaning in time"
        )
    return order
