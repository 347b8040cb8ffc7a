"""The description of a network: populations, projections and inputs. Frozen, without state, independent of any backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eventsim.connectivity import Connectivity, as_connectivity
from eventsim.distributions import Distribution, as_distribution
from eventsim.errors import NetworkError
from eventsim.models.model import Neuron
from eventsim.one_row import has_rows
from eventsim.rules import Rule
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource, SpikeSource

Input = PoissonNoise | Current | Increment


@dataclass(frozen=True, eq=False)
class Population:
    """A named group of neurons of one kind, or of sources that fire without being asked.

    Attributes
    ----------
    name : str
    size : int
        Number of neurons.
    neuron : Neuron, PoissonSource, GammaSource or SpikeSource
        What each of them is: a model called with its parameters (``LIF(tau_mem=20.0)``), or a source of spikes.
    initial : mapping of state name to a number, an array of `size` values or a distribution
        The state at time 0, in the unit of the state; states not named start at rest.
    """

    name: str
    size: int
    neuron: Neuron | PoissonSource | GammaSource | SpikeSource
    initial: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name:
            raise NetworkError(f"a population's name must be a text that is not empty, not {self.name!r}")
        if isinstance(self.size, bool) or not isinstance(self.size, (int, np.integer)) or self.size < 1:
            raise NetworkError(f"population {self.name!r}: size must be a whole number above 0, not {self.size!r}")
        object.__setattr__(self, "size", int(self.size))
        if not isinstance(self.neuron, (Neuron, PoissonSource, GammaSource, SpikeSource)):
            raise NetworkError(
                f"population {self.name!r}: neuron must be a model called with its parameters, such as LIF(tau_mem=20.0), "
                f"a PoissonSource, a GammaSource or a SpikeSource, not {self.neuron!r}"
            )
        for length in self.neuron.sizes():
            if length != self.size:
                raise NetworkError(
                    f"population {self.name!r}: a parameter array holds {length} values, the population {self.size} neurons"
                )
        states = self.neuron.model.State._fields if isinstance(self.neuron, Neuron) else ()
        if not isinstance(self.initial, Mapping):
            raise NetworkError(f"population {self.name!r}: initial must be a mapping of states to values, not {self.initial!r}")
        initial = {}
        for name, value in self.initial.items():
            if name not in states:
                raise NetworkError(
                    f"population {self.name!r}: initial names {name!r}; its states are {', '.join(states) or 'none'}"
                )
            initial[name] = as_distribution(value, f"population {self.name!r}: initial {name}", length=self.size)
        object.__setattr__(self, "initial", initial)

    @property
    def spiking(self) -> bool:
        """Whether its members can fire."""
        return not isinstance(self.neuron, Neuron) or self.neuron.model.spiking


@dataclass(frozen=True, eq=False)
class Projection:
    """The synapses from one population to another (or to itself).

    Attributes
    ----------
    source, target : str
        Names of the populations.
    connectivity : Connectivity, Rule, scipy sparse array, dense array (sources, targets) or torch sparse CSR tensor
        Who connects to whom. Rows are presynaptic. An array's stored values are the weights, unless `weight` is given.
    weight : number, array with one value a synapse, Distribution, or None
        Added to the target's port, in the unit of the state behind it. None: the weights that the connectivity holds.
    delay : number, array with one value a synapse, or Distribution, in ms
        A multiple of the simulation's dt (drawn values are rounded to it). 0 is allowed where no cycle of zero delays arises.
        None: the delays that the connectivity holds.
    port : str, or None for the target model's default port
    procedural : whether no synapse is stored
        The rows of a source are then made again from their counters whenever it fires: the same synapses, the same sums, bytes for
        each source and none for each synapse, and some ten times the time of a synaptic event. For AllToAll, OneToOne,
        FixedProbability, and FixedInDegree and FixedOutDegree with multapses, on a grid.
    """

    source: str
    target: str
    connectivity: Any
    weight: Any = None
    delay: Any = None
    port: str | None = None
    procedural: bool = False

    @property
    def label(self) -> str:
        """What error messages call it."""
        return f"projection {self.source!r} -> {self.target!r}"

    def __post_init__(self):
        connectivity = self.connectivity
        if not isinstance(connectivity, Rule):
            connectivity = as_connectivity(connectivity, self.label)
        weight, delay = self.weight, self.delay
        count = connectivity.nnz if isinstance(connectivity, Connectivity) else None
        if weight is None:
            if isinstance(connectivity, Rule) or connectivity.weights is None:
                raise NetworkError(f"{self.label}: give weight=..., its connectivity holds none")
            weight = connectivity.weights
        if delay is None:
            if isinstance(connectivity, Rule) or connectivity.delays is None:
                raise NetworkError(f"{self.label}: give delay=... in ms, its connectivity holds none")
            delay = connectivity.delays
        weight = as_distribution(weight, f"{self.label}: weight", length=count)
        delay = as_distribution(delay, f"{self.label}: delay", length=count)
        if delay.minimum < 0.0:
            raise NetworkError(
                f"{self.label}: a delay must not be negative, found {delay.minimum} ms; give low=0 to a distribution"
            )
        if not isinstance(self.procedural, (bool, np.bool_)):
            raise NetworkError(f"{self.label}: procedural must be True or False, not {self.procedural!r}")
        object.__setattr__(self, "procedural", bool(self.procedural))
        if self.procedural:
            check_rule_of_rows(connectivity, self.label)
        object.__setattr__(self, "connectivity", connectivity)
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "delay", delay)


@dataclass(frozen=True, eq=False)
class Network:
    """Populations, the projections between them and the inputs from outside.

    Attributes
    ----------
    populations : sequence of Population, with distinct names
    projections : sequence of Projection
    inputs : sequence of PoissonNoise, Current and Increment
    """

    populations: Sequence[Population]
    projections: Sequence[Projection] = ()
    inputs: Sequence[Input] = ()

    def __post_init__(self):
        for what in ("populations", "projections", "inputs"):
            members = getattr(self, what)
            if not isinstance(members, Iterable) or isinstance(members, str):
                raise NetworkError(f"a network's {what} must be a list, not {type(members).__name__}")
            object.__setattr__(self, what, tuple(members))
        for kind, members in ((Population, self.populations), (Projection, self.projections), (Input, self.inputs)):
            for member in members:
                if not isinstance(member, kind):
                    raise NetworkError(
                        f"a network is made of Population, Projection and inputs; {type(member).__name__} in the wrong place"
                    )
        names = [population.name for population in self.populations]
        if not names:
            raise NetworkError("a network needs at least one population")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise NetworkError(f"two populations are called {twice[0]!r}")
        for projection in self.projections:
            source = self.population(projection.source, projection.label)
            target = self.population(projection.target, projection.label)
            if not source.spiking:
                raise NetworkError(f"{projection.label}: {source.name!r} is made of {source.neuron.model}, which never fires")
            check_port(target, projection.port, projection.label)
            projection.connectivity.check(source.size, target.size, projection.label)
        for given in self.inputs:
            label = f"{type(given).__name__} to {given.target!r}"
            target = self.population(given.target, label)
            if not isinstance(given, Current):
                check_port(target, given.port, label)
            elif not isinstance(target.neuron, Neuron) or target.neuron.model.inject is None:
                raise NetworkError(f"{label}: its members take no current")
            given.check(target.size, label)

    def population(self, name: str, label: str = "network") -> Population:
        """The population called ``name``; an error that names ``label`` if there is none."""
        for population in self.populations:
            if population.name == name:
                return population
        raise NetworkError(f"{label}: there is no population {name!r}; there are {', '.join(p.name for p in self.populations)}")

    def neurons(self, name: str, label: str = "network") -> Population:
        """As `population`, and refuse one whose members are sources and have no state."""
        population = self.population(name, label)
        if not isinstance(population.neuron, Neuron):
            raise NetworkError(
                f"{label}: {name!r} is made of {type(population.neuron).__name__}, which has no state and receives nothing"
            )
        return population

    def number(self, name: str) -> int:
        """The place of a population in `populations`."""
        return next(number for number, population in enumerate(self.populations) if population.name == name)

    @property
    def size(self) -> int:
        """Number of neurons and sources."""
        return sum(population.size for population in self.populations)


def check_rule_of_rows(connectivity: Any, label: str) -> None:
    """Refuse a procedural projection whose rows cannot be made one by one."""
    if isinstance(connectivity, Connectivity):
        raise NetworkError(f"{label}: procedural=True makes synapses from a rule, and these are given as arrays; leave it out")
    if not has_rows(connectivity.encode(2, 2, False)):
        raise NetworkError(
            f"{label}: procedural=True cannot make the row of one source of {connectivity}; use FixedProbability, AllToAll, "
            "OneToOne, or FixedInDegree or FixedOutDegree with multapses, or leave it out"
        )


def check_port(target: Population, port: str | None, label: str) -> None:
    """Refuse a port that the target does not have."""
    if not isinstance(target.neuron, Neuron):
        raise NetworkError(f"{label}: {target.name!r} is a {type(target.neuron).__name__}; it receives nothing")
    ports = target.neuron.model.ports
    if port is not None and (not isinstance(port, str) or port not in ports):
        raise NetworkError(f"{label}: {target.neuron.model} has no port {port!r}; it has {', '.join(ports)}")


__all__ = ["Distribution", "Network", "Population", "Projection", "check_port"]


def used_ports(network: Network, population: Population) -> set[str]:
    """The names of the ports on which a population of neurons receives anything, and of its default one."""
    neuron: Any = population.neuron
    default = neuron.model.default_port[0]
    given = [p.port for p in network.projections if p.target == population.name]
    given += [i.port for i in network.inputs if not isinstance(i, Current) and i.target == population.name]
    return {port or default for port in given} | {default}
