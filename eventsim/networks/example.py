"""What a built-in network comes with: how to run it so that it shows what it is known for."""

from __future__ import annotations

from dataclasses import dataclass

from eventsim.network import Network


@dataclass(frozen=True)
class Example:
    """A network and its usual run.

    Attributes
    ----------
    name : str
    network : Network
    dt : ms, the grid that its figures were published for
    duration : ms counted, after ``discard`` ms that are simulated and not counted
    discard : ms
    record : names of the populations whose spikes are worth recording
    description : what it is and where it comes from, a sentence or two
    expected : spikes/s per neuron of each recorded population, from the source, or empty
    notes : what a user should be told about this one (sizes after scaling, neurons that a file lacks ...)
    """

    name: str
    network: Network
    dt: float
    duration: float
    discard: float
    record: tuple[str, ...]
    description: str
    expected: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
