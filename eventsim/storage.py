"""Networks and recordings in files: one .npz of plain arrays, no pickle; recordings in HDF5 too.

A network's file holds the array ``description``, which is JSON text as bytes, and arrays ``a0, a1 ...`` that it refers to.
Everything is rebuilt through the public constructors, which check it as if a user had typed it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, Distribution, LogNormal, Normal, PerSynapse, Uniform
from eventsim.errors import EventsimError, StorageError
from eventsim.files.npz import MAX_BYTES, read_described, with_description, write_npz
from eventsim.models import BUILT_IN, Model, Neuron
from eventsim.network import Network, Population, Projection
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber, OneToOne
from eventsim.stimuli import Current, GammaSource, Increment, PoissonNoise, PoissonSource, SpikeSource
from eventsim.varying_rate import VaryingRate

FORMAT, VERSION = "eventsim-network", 2

RULES = (AllToAll, OneToOne, FixedProbability, FixedTotalNumber, FixedInDegree, FixedOutDegree)
DISTRIBUTIONS = (Constant, PerSynapse, Normal, LogNormal, Uniform)
SOURCES = (PoissonSource, GammaSource, SpikeSource)
INPUTS = (PoissonNoise, Current, Increment)
RATES = (VaryingRate,)
PLAIN = {kind.__name__: kind for kind in (*RULES, Connectivity, *DISTRIBUTIONS, *SOURCES, *INPUTS, *RATES)}
"""Classes whose fields are all that there is to them, by the name that stands in the file."""


# ---------------------------------------------------------------------------------------------------------------- writing


class _Arrays:
    """The arrays of one file; an array that is met twice is written once."""

    def __init__(self) -> None:
        self.named: dict[str, np.ndarray] = {}
        self._names: dict[int, str] = {}  # by id: `named` keeps the arrays alive, so that no id is used again

    def refer(self, array: np.ndarray) -> dict[str, str]:
        """What stands in the description in the array's place."""
        name = self._names.setdefault(id(array), f"a{len(self.named)}")
        self.named[name] = array
        return {"array": name}


def _encode(value: Any, arrays: _Arrays, label: str) -> Any:
    """A value as JSON, with references for arrays."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.ndarray):
        return arrays.refer(value) if value.ndim else _encode(value.item(), arrays, label)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else {"number": str(float(value))}
    if isinstance(value, tuple):
        return [_encode(item, arrays, label) for item in value]
    kind = type(value).__name__
    if PLAIN.get(kind) is type(value):
        return {"kind": kind} | {field.name: _encode(getattr(value, field.name), arrays, label) for field in fields(value)}
    raise StorageError(f"{label}: a {kind} of {type(value).__module__} cannot be stored; use the classes of eventsim")


def _encode_neuron(neuron: Neuron, arrays: _Arrays, label: str) -> dict[str, Any]:
    model = neuron.model
    if BUILT_IN.get(model.name, model) is not model:
        raise StorageError(f"{label}: its model is called {model.name!r} like a built-in one but is another; give it its own name")
    params = {name: _encode(value, arrays, label) for name, value in zip(model.Params._fields, neuron.params, strict=True)}
    rest = {name: _encode(getattr(neuron, name), arrays, label) for name in ("method", "order", "refractory", "hold")}
    return {"kind": "Neuron", "model": model.name, "params": params} | rest


def _encode_population(population: Population, arrays: _Arrays) -> dict[str, Any]:
    label = f"population {population.name!r}"
    neuron = population.neuron
    return {
        "name": population.name,
        "size": population.size,
        "neuron": _encode_neuron(neuron, arrays, label) if isinstance(neuron, Neuron) else _encode(neuron, arrays, label),
        "initial": {name: _encode(value, arrays, label) for name, value in population.initial.items()},
    }


def _encode_projection(projection: Projection, arrays: _Arrays) -> dict[str, Any]:
    return {field.name: _encode(getattr(projection, field.name), arrays, projection.label) for field in fields(projection)}


def describe(network: Network) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All that a network is, as JSON and the arrays that it refers to."""
    arrays = _Arrays()
    description = {
        "format": FORMAT,
        "version": VERSION,
        "populations": [_encode_population(population, arrays) for population in network.populations],
        "projections": [_encode_projection(projection, arrays) for projection in network.projections],
        "inputs": [_encode(given, arrays, type(given).__name__) for given in network.inputs],
    }
    return description, arrays.named


def save(network: Network, path: str | Path) -> None:
    """Write a network to ``path`` (.npz), so that `load` gives an equal one.

    Drawn things stay descriptions: a rule or a distribution is stored as such and drawn by the simulation's seed. A model of
    your own is stored by name; give it to `load` again.
    """
    description, arrays = describe(network)
    write_npz(path, with_description(description, arrays))


# ---------------------------------------------------------------------------------------------------------------- reading


class _Reader:
    """Turns the description of one file back into objects; every complaint names the file and the place in it."""

    def __init__(self, file: str, arrays: dict[str, np.ndarray], models: dict[str, Model]):
        self.file, self.arrays, self.models = file, arrays, models

    def fail(self, where: str, what: str) -> StorageError:
        return StorageError(f"file {self.file!r}, {where}: {what}")

    def mapping(self, value: Any, keys: Sequence[str], where: str) -> dict[str, Any]:
        """``value`` if it is a mapping with exactly these keys."""
        if not isinstance(value, dict):
            raise self.fail(where, f"must be a mapping, not {type(value).__name__}")
        if set(value) != set(keys):
            odd = sorted(set(value) ^ set(keys))
            raise self.fail(where, f"must hold {', '.join(keys)}; {odd[0]!r} is {'unknown' if odd[0] in value else 'missing'}")
        return value

    def items(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise self.fail(where, f"must be a list, not {type(value).__name__}")
        return value

    def make(self, kind: Any, where: str, **values: Any) -> Any:
        """Call a constructor; what it says of a value of the wrong type becomes an error of this file."""
        try:
            return kind(**values)
        except EventsimError as error:
            raise type(error)(f"file {self.file!r}, {where}: {error}") from error
        except (TypeError, ValueError, OverflowError, AttributeError, IndexError) as error:
            raise self.fail(where, f"{getattr(kind, '__name__', kind)} does not take what is given: {error}") from error

    def value(self, value: Any, where: str, kinds: Sequence[type] = ()) -> Any:
        """The object that `_encode` wrote; of the classes, only those in ``kinds`` are taken."""
        if isinstance(value, list):
            return tuple(self.value(item, where, kinds) for item in value)
        if not isinstance(value, dict):
            return value
        if "array" in value:
            name = self.mapping(value, ("array",), where)["array"]
            if not isinstance(name, str) or name not in self.arrays:
                raise self.fail(where, f"refers to the array {name!r}, which the file does not hold")
            return self.arrays[name]
        if "number" in value:
            number = self.mapping(value, ("number",), where)["number"]
            if number not in ("inf", "-inf"):
                raise self.fail(where, f"{number!r} is no number")
            return float(number)
        kind = PLAIN.get(value["kind"]) if isinstance(value.get("kind"), str) else None
        if kind is None or kind not in kinds:
            raise self.fail(
                where, f"{value.get('kind')!r} stands where one of {', '.join(k.__name__ for k in kinds) or 'numbers'} belongs"
            )
        names = [field.name for field in fields(kind)]
        given = self.mapping({key: item for key, item in value.items() if key != "kind"}, names, f"{where}, {kind.__name__}")
        return self.make(
            kind, where, **{name: self.value(given[name], f"{where}, {name}", RATES if name == "rate" else ()) for name in names}
        )

    def neuron(self, value: Any, where: str) -> Any:
        if not isinstance(value, dict) or value.get("kind") != "Neuron":
            return self.value(value, where, SOURCES)
        value = self.mapping(value, ("kind", "model", "params", "method", "order", "refractory", "hold"), where)
        name = value["model"]
        if not isinstance(name, str) or name not in self.models:
            raise self.fail(
                where, f"the model {name!r} is not known (known: {', '.join(self.models)}); give your own with models=[...]"
            )
        params = self.mapping(value["params"], self.models[name].Params._fields, f"{where}, params")
        rest = {key: self.value(value[key], f"{where}, {key}") for key in ("method", "order", "refractory", "hold")}
        return self.make(self.models[name], where, **{k: self.value(v, f"{where}, {k}") for k, v in params.items()}, **rest)

    def population(self, value: Any, where: str) -> Population:
        value = self.mapping(value, ("name", "size", "neuron", "initial"), where)
        where = f"population {value['name']!r}"
        initial = value["initial"]
        if not isinstance(initial, dict):
            raise self.fail(where, "initial must be a mapping")
        return self.make(
            Population,
            where,
            name=value["name"],
            size=value["size"],
            neuron=self.neuron(value["neuron"], where),
            initial={name: self.value(item, f"{where}, initial {name}", DISTRIBUTIONS) for name, item in initial.items()},
        )

    def projection(self, value: Any, where: str) -> Projection:
        value = self.mapping(value, [field.name for field in fields(Projection)], where)
        where = f"projection {value['source']!r} -> {value['target']!r}"
        connectivity = self.value(value["connectivity"], where, (*RULES, Connectivity))
        drawn = {key: self.value(value[key], f"{where}, {key}", DISTRIBUTIONS) for key in ("weight", "delay")}
        if not all(isinstance(item, Distribution) for item in drawn.values()):
            raise self.fail(where, "weight and delay must be distributions")
        if not isinstance(value["port"], (str, type(None))):
            raise self.fail(where, f"port must be a text, not {value['port']!r}")
        return self.make(
            Projection,
            where,
            connectivity=connectivity,
            **drawn,
            **{k: value[k] for k in ("source", "target", "port", "procedural")},
        )


def load(path: str | Path, *, models: Sequence[Model] = (), max_bytes: int = MAX_BYTES) -> Network:
    """Read a network that `save` wrote.

    Parameters
    ----------
    path : the .npz
    models : models of your own that the network uses, found by their name
    max_bytes : refuse a file whose arrays need more memory

    Raises
    ------
    StorageError, NetworkError : naming the file and the place in it, whatever is wrong with it
    """
    file = Path(path).name
    description, arrays = read_described(path, FORMAT, VERSION, "network saved by eventsim.save", max_bytes)
    for array in arrays.values():
        array.flags.writeable = False  # so that the constructors need not copy them
    reader = _Reader(file, arrays, BUILT_IN | {model.name: model for model in models})
    parts = reader.mapping(description, ("format", "version", "populations", "projections", "inputs"), "description")
    populations = reader.items(parts["populations"], "populations")
    projections = reader.items(parts["projections"], "projections")
    inputs = reader.items(parts["inputs"], "inputs")
    return reader.make(
        Network,
        "network",
        populations=tuple(reader.population(item, f"population {number}") for number, item in enumerate(populations)),
        projections=tuple(reader.projection(item, f"projection {number}") for number, item in enumerate(projections)),
        inputs=tuple(reader.value(item, f"input {number}", INPUTS) for number, item in enumerate(inputs)),
    )
