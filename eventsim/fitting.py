"""Refusal of what needs more memory than there is, before any of it is taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventsim.distributions import Constant
from eventsim.errors import MemoryShortage
from eventsim.exact.sizes import exact_sizes
from eventsim.expected import expected_synapses
from eventsim.memory import Available, available_memory
from eventsim.network import Network
from eventsim.one_row import has_rows
from eventsim.program import Program
from eventsim.recording import Rates, Recorder, States, chosen_neurons
from eventsim.rules import Rule
from eventsim.sizes import RESERVED, Sizes, given_bytes, grid_sizes
from eventsim.state import SLOTS
from eventsim.table import bytes_text

PLENTY = 1 << 26  # bytes that there always are: nobody asks about less
# More than any network needs, in bytes
SYNAPSE = 100  # of a synapse, with a segment and delay of its own, while rows are made
NEURON = 1500  # of a neuron or source in each batch item, and once
GIVEN = 10  # times the arrays that describe it
GROUP = 1 << 17  # of a group, in each worker
LIST = 300  # of a list of the wheel


def _most(network: Network, batch: int) -> float:
    """More bytes than a network takes, quickly."""
    synapses = sum(expected_synapses(network, p) for p in network.projections)
    return SYNAPSE * synapses + NEURON * (1 + batch) * network.size + GIVEN * batch * given_bytes(network)


def check_grid_fits(program: Program, workers: int, batch: int) -> None:
    """Refuse a network on a grid that does not fit; arrays that describe it are there already."""
    network, parts = program.network, workers if batch == 1 else 1
    lists = len(program.inlets) * program.schedule.slots
    each = LIST * lists + (GROUP + 4 * SLOTS) * len(program.groups) + 32 * program.size
    most = _most(network, batch) + batch * parts * each
    if most <= PLENTY:
        return
    found = available_memory()
    if most <= found.bytes:
        return
    advice = ["fewer workers"] * (parts > 1) + ["a smaller batch"] * (batch > 1)
    advice += ["dtype='float32'"] * (program.dtype.itemsize > 4)
    own = any(not isinstance(p.weight, Constant) and not p.procedural for p in network.projections)
    advice += ["weight_dtype='float16'"] * (own and program.weight_dtype.itemsize > 2)
    can = [isinstance(p.connectivity, Rule) and has_rows(p.connectivity.encode(2, 2, False)) for p in network.projections]
    stored = any(yes and not p.procedural for yes, p in zip(can, network.projections, strict=True))
    sizes = grid_sizes(program, workers, batch)
    most_of_it = 2 * (sizes.bytes["synapses"] + sizes.bytes["segments"]) > sizes.peak
    advice += ["procedural=True in its projections"] * (stored and most_of_it)
    _refuse("the network", sizes, found, advice)


def check_exact_fits(network: Network) -> None:
    """Refuse a network in continuous time that does not fit."""
    most = _most(network, 1)
    if most <= PLENTY:
        return
    found = available_memory()
    if most > found.bytes:
        _refuse("the network, with method='exact',", exact_sizes(network), found, ["method='grid'"])


def _refuse(what: str, sizes: Sizes, found: Available, advice: Sequence[str]) -> None:
    needed = sizes.peak - sizes.bytes["given"]
    if needed > found.bytes:
        kinds = {kind: size for kind, size in sizes.bytes.items() if kind not in ("given", *RESERVED)}
        raise MemoryShortage(_text(f"{what} needs", needed, kinds, found, [*advice, "a smaller network"]))


def _text(begin: str, needed: int, kinds: Mapping[str, int], found: Available, advice: Sequence[str]) -> str:
    largest = sorted(kinds.items(), key=lambda kind: -kind[1])[:3]
    listed = ", ".join(f"{kind} {bytes_text(size)}" for kind, size in largest if size)
    return (
        f"{begin} {bytes_text(needed)} of memory at its peak ({listed}); {bytes_text(found.bytes)} are available "
        f"{found.whose}: take {', '.join(advice)}; force=True tries it nevertheless"
    )


def check_recording_fits(
    recorders: Sequence[Recorder], network: Network, count: Callable[[Any], int], itemsize: int, batch: int
) -> None:
    """Refuse a run whose states and rates do not fit into memory.

    count : the number of samples or bins that a run has at an interval (ms, or None for every step)
    itemsize : bytes of a state
    """
    kinds, needed = dict[str, int](), 0
    for recorder in recorders:
        if isinstance(recorder, (States, Rates)):
            label = f"{type(recorder).__name__} of {recorder.population!r}"
            kinds[label], more = _recorded(recorder, network, count(recorder.interval), itemsize, batch, label)
            needed += kinds[label] + more
    if needed <= PLENTY:
        return
    found = available_memory()
    if needed > found.bytes:
        advice = ["to=..., the path of a file that it is written to as it comes", "fewer neurons, or a longer interval"]
        raise MemoryShortage(_text("run: what is recorded needs", needed, kinds, found, advice))


def _recorded(recorder: Any, network: Network, samples: int, itemsize: int, batch: int, label: str) -> tuple[int, int]:
    """The bytes of what a recorder brings back, and those that it needs in addition."""
    if isinstance(recorder, Rates):
        return samples * (8 + 16 * batch), 8 * samples * batch
    population = network.population(recorder.population)
    states = len(network.neurons(recorder.population).neuron.model.State._fields)  # type: ignore[union-attr]
    rows = samples * itemsize * batch * population.size
    if rows * states > PLENTY:
        rows = samples * itemsize * batch * len(chosen_neurons(recorder.neurons, population.size, label))
    return rows * len(recorder.fields), rows * states
