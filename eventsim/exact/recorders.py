"""From what happened in continuous time to what was asked for: samples of states, spikes by population, and counts in bins."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from eventsim.errors import SimulationError
from eventsim.network import Network
from eventsim.rate_bins import exact_rate
from eventsim.recording import (
    RateData,
    Rates,
    Recorder,
    SpikeData,
    StateData,
    States,
    check_recorders,
    chosen_neurons,
)


def check_exact_recorders(record: Sequence[Recorder], network: Network) -> tuple[Recorder, ...]:
    """The recorders, after refusing those that cannot record anything in continuous time."""
    for recorder in record if isinstance(record, Sequence) else ():
        if isinstance(recorder, States) and recorder.interval is None:
            raise SimulationError(f"States of {recorder.population!r}: give interval=... in ms: method='exact' has no steps")
    return check_recorders(record, network, None)


class Samples:
    """What a States recorder takes during one call of `run`.

    look : ``t -> (neurons, states)``, the states of all neurons of its population at t
    start : ms, when the call begins
    """

    def __init__(self, network: Network, recorder: States, look: Callable[[float], np.ndarray], start: float):
        number = network.number(recorder.population)
        self.recorder, self.look = recorder, look
        label = f"States of {recorder.population!r}"
        self.neurons = chosen_neurons(recorder.neurons, network.populations[number].size, label)
        fields = network.populations[number].neuron.model.State._fields
        self.places = [fields.index(field) for field in recorder.fields]
        self.times: list[float] = []
        self.rows: list[np.ndarray] = []
        self.next = int(start / recorder.interval)
        while self.next * recorder.interval <= start:  # a quotient may be rounded to either side
            self.next += 1

    def next_time(self) -> float:
        """When the next sample is due, in ms."""
        return self.next * self.recorder.interval

    def take(self, time: float) -> None:
        """Sample, if it is due."""
        if self.next * self.recorder.interval == time:
            self.times.append(time)
            self.rows.append(self.look(time)[self.neurons][:, self.places])
            self.next += 1

    def data(self) -> StateData:
        """All samples."""
        values = np.stack(self.rows) if self.rows else np.zeros((0, len(self.neurons), len(self.places)))
        self.rows.clear()  # what is large is not held twice while it is sorted out
        found = {field: np.ascontiguousarray(values[:, :, place]) for place, field in enumerate(self.recorder.fields)}
        return StateData(np.array(self.times), self.neurons, found)


def sort_out(
    network: Network,
    offsets: Sequence[int],
    recorders: Sequence[Recorder],
    times: np.ndarray,
    sources: np.ndarray,
    start: float,
    stop: float,
) -> tuple[dict[str, SpikeData], dict[str, RateData]]:
    """What Spikes and Rates recorders make of all spikes of one call of `run`, by population.

    offsets : the number of the first member of each population; times : ms, ascending; sources : their numbers in the network
    """
    ordered = (times[1:] > times[:-1]) | ((times[1:] == times[:-1]) & (sources[1:] >= sources[:-1]))
    if not np.all(ordered):  # events come in the order of time; only what comes at one time may not be in that of sources
        order = np.lexsort((sources, times))
        times, sources = times[order], sources[order]
    spikes, rates = dict[str, SpikeData](), dict[str, RateData]()
    for recorder in recorders:
        if isinstance(recorder, States):
            continue
        number = network.number(recorder.population)
        begin, size = offsets[number], network.populations[number].size
        mine = (sources >= begin) & (sources < begin + size)
        t, neurons = times[mine], sources[mine] - begin
        if isinstance(recorder, Rates):
            rates[recorder.population] = rates_of(t, size, recorder.interval, start, stop)
            continue
        chosen = np.zeros(size, bool)
        chosen[chosen_neurons(recorder.neurons, size, f"Spikes of {recorder.population!r}")] = True
        kept = chosen[neurons]
        spikes[recorder.population] = SpikeData(t[kept], neurons[kept], np.zeros(int(kept.sum()), np.int64))
    return spikes, rates


def rates_of(times: np.ndarray, size: int, interval: float, start: float, stop: float) -> RateData:
    """Spikes (times in ms) that a call of `run` recorded, counted in the bins that it reached.

    A bin holds its end and not its beginning, as on the grid, but that at 0 holds both: a run holds its end, too, so that bins of
    runs add up however they are cut. Edges are the products k * interval; a quotient may be rounded to either side of them. A bin
    that was covered by no more than a rounding has a rate of 0.
    """
    edges = np.arange(np.floor(start / interval) - 1.0, np.ceil(stop / interval) + 2.0) * interval
    first = int(np.searchsorted(edges, start, "right")) - 1
    last = max(int(np.searchsorted(edges, stop, "left")), first + (len(times) > 0))
    edges = edges[first : last + 1]
    places = np.maximum(np.searchsorted(edges, times, "left") - 1, 0)
    counts = np.bincount(places, minlength=last - first).astype(np.int64)
    return RateData(edges[:-1], counts, exact_rate(counts, edges, start, stop, size))
