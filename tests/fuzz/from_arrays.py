"""Entrances that take arrays and numbers: connectivity, populations, projections, inputs, and what a simulation is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from fuzz.draw import Draw, as_array
from fuzz.running import DT, STEPS, is_neurons, run_exactly, run_on_grid

from eventsim import (
    IAF,
    LI,
    LIF,
    AllToAll,
    Current,
    FixedInDegree,
    FixedOutDegree,
    FixedProbability,
    FixedTotalNumber,
    GammaSource,
    Increment,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    Spikes,
    SpikeSource,
    States,
    Uniform,
    VaryingRate,
)
from eventsim.connectivity import Connectivity
from eventsim.distributions import Constant, PerSynapse

N = 5


def _one_odd(draw: Draw, given: dict[str, Any], twice: float = 0.15) -> dict[str, Any]:
    """Arguments of which one, sometimes two, are odd, and now and then none."""
    found = dict(given)
    for _ in range(2 if draw.chance(twice) else 1):
        name = draw.one(list(found))
        old = given[name]
        if isinstance(old, np.ndarray):
            found[name] = draw.array(old)
        elif isinstance(old, (int, float)) and not isinstance(old, bool):
            found[name] = draw.one(
                (draw.number(), draw.value(), old, -old, np.array(old), np.array([old]), np.float16(old), str(old))
            )
        else:
            found[name] = draw.one((draw.value(), old, old))
    return found


def _lists(draw: Draw) -> dict[str, Any]:
    """Synapses of N neurons as lists."""
    count = draw.below(12)
    return {
        "source": draw.rng.integers(0, N, count),
        "target": draw.rng.integers(0, N, count),
        "weights": draw.rng.normal(0.3, 0.3, count).astype(draw.one(("f4", "f8"))),
        "delays": DT * draw.rng.integers(1, 4, count),
    }


def _rows(draw: Draw) -> dict[str, Any]:
    """The same in rows."""
    found = _lists(draw)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(found["source"], minlength=N))])
    return {"indptr": indptr, "targets": found["target"].astype("i4"), "weights": found["weights"], "delays": found["delays"]}


def connectivity(draw: Draw, folder: Path) -> None:
    """All constructors of `Connectivity`, then a network of it."""
    delay: Any = None
    made = draw.below(6)
    if made <= 1:
        given = _one_odd(draw, _rows(draw) | {"n_target": N})
        found: Any = (Connectivity.from_arrays if made else Connectivity)(**given)
    elif made == 2:
        given = _one_odd(draw, _lists(draw) | {"n_source": N, "n_target": N})
        found = Connectivity.from_coo(**given)
    elif made == 3:
        found, delay = draw.array(draw.rng.normal(0.3, 0.3, (N, N)) * (draw.rng.random((N, N)) < 0.4)), DT
    elif made == 4:
        found, delay = _of_scipy(draw), DT
    else:
        found, delay = _of_torch(draw), DT
    if isinstance(found, Connectivity) and (found.weights is None or found.delays is None):
        return
    _run(draw, Projection("a", "b", found, delay=delay))


def _of_scipy(draw: Draw) -> Any:
    """A sparse array whose parts were changed behind scipy's back."""
    array = sp.random_array(
        (N, N), density=0.4, rng=draw.rng, format=draw.one(("csr", "csr", "csc", "coo", "bsr", "lil", "dok", "dia"))
    )
    parts = {
        "csr": ("indptr", "indices", "data"),
        "csc": ("indptr", "indices", "data"),
        "bsr": ("indptr", "indices", "data"),
        "coo": ("data", "coords"),
        "dia": ("data", "offsets"),
    }
    part = draw.one(parts.get(array.format, ("data",)))
    if array.format in ("lil", "dok") or draw.chance(0.1):
        return draw.one((array, array.astype("c16"), array.tocsr()[:-1]))
    if part == "coords":
        array.coords = (as_array(draw.array(array.coords[0])), array.coords[1])
    else:
        setattr(array, part, as_array(draw.array(getattr(array, part))))
    return array


def _of_torch(draw: Draw) -> Any:
    given = _one_odd(
        draw, {"crow_indices": np.arange(0, 2 * N + 1, 2), "col_indices": np.tile([0, 3], N), "values": np.ones(2 * N)}
    )
    try:
        tensors = [torch.as_tensor(as_array(part)) for part in given.values()]
        return torch.sparse_csr_tensor(*tensors, size=(N, N), check_invariants=False)
    except (TypeError, ValueError, RuntimeError):  # torch's own business
        return torch.eye(N).to(draw.one((torch.float32, torch.complex64, torch.bfloat16, torch.int8))).to_sparse_csr()


def _run(draw: Draw, projection: Any = None, inputs: tuple[Any, ...] = (), **populations: Any) -> None:
    """Build and run a small network, of two populations but for what is given."""
    source = populations.pop("source", None) or Population("a", N, SpikeSource([0.5, 0.5, 1.0, 2.0], [0, 3, 1, 4]))
    target = populations.pop("target", None) or Population("b", N, LIF(v_th=np.linspace(0.3, 1.0, N), refractory=1.0))
    projections = () if projection is None else (projection,)
    network = Network((source, target), projections, inputs)
    if draw.chance(0.3):
        run_exactly(network)
    else:
        run_on_grid(network, **({"workers": 2} if draw.chance(0.1) else {}))


def projections(draw: Draw, folder: Path) -> None:
    """Rules, distributions and arrays of a projection."""
    rule = _rule(draw)
    given = {"weight": _distribution(draw, 0.3), "delay": _distribution(draw, 1.0), "port": None}
    if draw.chance(0.3):
        rule = Connectivity.from_coo(**_lists(draw), n_source=N, n_target=N)
        nnz = rule.nnz
        given |= {"weight": np.full(nnz, 0.3), "delay": np.full(nnz, 1.0)}
    _run(draw, Projection("a", "b", rule, **_one_odd(draw, given)))


def _rule(draw: Draw) -> Any:
    kinds: tuple[tuple[Callable, dict[str, Any]], ...] = (
        (AllToAll, {"self_connections": True}),
        (FixedProbability, {"p": 0.4}),
        (FixedTotalNumber, {"n": 7}),
        (FixedInDegree, {"k": 2, "multapses": True}),
        (FixedOutDegree, {"k": 2, "multapses": False}),
    )
    kind, given = draw.one(kinds)
    if draw.chance(0.1):
        return OneToOne()
    return kind(*(_one_odd(draw, given) if draw.chance(0.4) else given).values())


def _distribution(draw: Draw, usual: float) -> Any:
    kinds: tuple[tuple[Callable, dict[str, Any]], ...] = (
        (Constant, {"value": usual}),
        (Normal, {"mean": usual, "std": 0.2 * usual, "low": 0.0, "high": 4.0 * usual, "outside": "redraw"}),
        (LogNormal, {"mu": np.log(usual), "sigma": 0.2, "low": 0.0, "high": 4.0 * usual, "outside": "clip"}),
        (Uniform, {"low": usual, "high": 2.0 * usual}),
        (PerSynapse, {"values": np.full(N, usual)}),
    )
    kind, given = draw.one(kinds)
    return kind(**(_one_odd(draw, given) if draw.chance(0.4) else given))


def populations(draw: Draw, folder: Path) -> None:
    """Sizes, parameters and initial values of neurons, and sources of their own."""
    if draw.chance(0.25):
        source = Population("a", N, _source(draw))
        return _run(draw, Projection("a", "b", AllToAll(), weight=0.3, delay=1.0), source=source)
    model, odd = draw.one((*[LIF] * 14, IAF, LI)), draw.below(3)
    params: dict[str, Any] = {name: np.full(N, value) for name, value in model.Params._field_defaults.items()}  # one machine code
    params |= {"refractory": np.full(N, 1.0)} if model is not LI else {}
    neuron = model(**(_one_odd(draw, params) if odd == 0 else params))
    initial: dict[str, Any] = {"v": draw.one((np.linspace(0.0, 0.9, N), 0.1, Uniform(0.0, 0.5)))}
    if odd == 1:
        initial = _one_odd(draw, initial)
    given = {"name": "b", "size": N, "neuron": neuron, "initial": initial}
    target = Population(**(_one_odd(draw, given) if odd == 2 else given))
    if is_neurons(target):
        network_of = Projection("a", target.name, AllToAll(), weight=0.3, delay=1.0)
        _run(draw, network_of, target=target)


def _source(draw: Draw) -> Any:
    """A source of spikes with something odd."""
    varying = {
        "values": np.linspace(10.0, 500.0, 3 * N).reshape(3, N),
        "times": np.array([0.0, 1.0, 2.5]),
        "interpolation": "linear",
        "period": 4.0,
    }
    kinds: tuple[tuple[Callable, dict[str, Any]], ...] = (
        (PoissonSource, {"rate": np.linspace(0.0, 900.0, N)}),
        (PoissonSource, {"rate": 100.0}),
        (GammaSource, {"rate": np.linspace(0.0, 900.0, N), "shape": np.linspace(0.5, 3.0, N), "start": "ordinary"}),
        (SpikeSource, {"times": np.array([0.5, 1.0, 1.0, 3.5]), "neurons": np.array([4, 0, 1, 2])}),
        (VaryingRate, varying),
    )
    kind, given = draw.one(kinds)
    found = kind(**_one_odd(draw, given))
    return PoissonSource(found) if kind is VaryingRate else found


def inputs(draw: Draw, folder: Path) -> None:
    """Noise, currents and increments."""
    amplitudes = np.linspace(0.0, 0.4, 3 * N).reshape(3, N)
    kinds: tuple[tuple[Callable, dict[str, Any]], ...] = (
        (PoissonNoise, {"rate": np.linspace(0.0, 900.0, N), "weight": np.full(N, 0.2)}),
        (PoissonNoise, {"rate": 500.0, "weight": 0.2, "port": None}),
        (Current, {"amplitude": amplitudes, "times": np.array([0.0, 1.0, 2.5])}),
        (Current, {"amplitude": amplitudes[:, 0], "interval": 1.0}),
        (Current, {"amplitude": amplitudes[0]}),
        (Increment, {"value": amplitudes[1]}),
        (Increment, {"value": amplitudes, "over_time": True}),
    )
    kind, given = draw.one(kinds)
    found = kind(**(_one_odd(draw, {"target": "b"} | given)))
    _run(draw, Projection("a", "b", AllToAll(), weight=0.2, delay=DT), (found,))


def simulations(draw: Draw, folder: Path) -> None:
    """What a simulation is given: spikes, increments, its numbers, recorders, durations."""
    batch, neuron = draw.one((1, 1, 2)), LIF(v_th=np.linspace(0.3, 1.0, N), refractory=1.0)
    network = Network(
        (Population("a", N, SpikeSource()), Population("b", N, neuron)), (Projection("a", "b", AllToAll(), weight=0.3, delay=1.0),)
    )
    fired = (draw.rng.random((STEPS, batch, N)) < 0.3).astype(draw.one(("u1", "f8", "?")))
    extra = draw.rng.normal(0.0, 0.1, (STEPS, batch, N))
    source = SpikeSource(np.array([0.5, 1.0, 3.0]), np.array([0, 1, 4]))
    given: dict[str, Any] = {
        "spikes": {"a": draw.one((fired, fired[:, 0] if batch == 1 else fired, source, [source] * batch))},
        "increments": {"b": extra if batch > 1 else extra[:, 0]},
        "batch": batch,
    }
    numbers: dict[str, Any] = {"dt": DT, "seed": 3, "workers": 1, "dtype": "float32", "weight_dtype": None, "update": "auto"}
    record: list[Any] = [Spikes("b"), Rates("b", 1.0), States("b", ("v", "i"), [0, 2], 1.0)]
    made, duration = draw.below(5), 4.0
    if made == 0:
        name = draw.one(("spikes", "increments"))
        key = next(iter(given[name]))
        value = given[name][key]
        given[name] = _one_odd(draw, {key: value if isinstance(value, np.ndarray) else np.asarray(fired)})
    elif made == 1:
        given = (
            _one_odd(draw, given) if draw.chance(0.5) else given | {"spikes": _one_odd(draw, {draw.one(("a", "b", "c", 7)): fired})}
        )
    elif made == 2:
        numbers = _one_odd(draw, numbers)
    elif made == 3:
        what = {"population": "b", "fields": ("v",), "neurons": np.array([0, 2, 4]), "interval": 1.0}
        record = [
            States(**_one_odd(draw, what)),
            Rates("b", _one_odd(draw, {"interval": 1.0})["interval"]),
            Spikes("b", draw.array(np.array([0, 1]))),
        ]
    else:
        duration = _one_odd(draw, {"duration": duration})["duration"]
    if isinstance(numbers["workers"], int) and numbers["workers"] > 8 or isinstance(given["batch"], int) and given["batch"] > 8:
        numbers["workers"] = given["batch"] = 2  # thousands of threads and copies are what was asked for
    simulation = Simulation(network, record=record, **given, **numbers)
    simulation.run(duration if not _long(duration, simulation.dt) else 4.0 * simulation.dt)


def _long(duration: Any, dt: float) -> bool:
    """Whether it is plainly a time that takes long."""
    return isinstance(duration, (int, float)) and 1e4 * dt < duration < 2.0**62 * dt


ENTRANCES = {
    "connectivity": connectivity,
    "projections": projections,
    "populations": populations,
    "inputs": inputs,
    "simulations": simulations,
}
