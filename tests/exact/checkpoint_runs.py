"""Networks with all that the exact engine knows, their runs cut by checkpoints that go through a file, and damaged checkpoints.

As a program, in a process of its own: ``checkpoint_runs.py go-on MODEL DELAYS CHECKPOINT OUT`` restores a checkpoint and writes the
rest of its run; ``checkpoint_runs.py damage MODEL DELAYS TRIALS`` restores damaged ones and prints how they ended, as JSON.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter

import numpy as np
import pytest
from drawn_network import LAWS

import eventsim.exact.group as exact_group
import eventsim.exact.simulation as exact_simulation
from eventsim import (
    Current,
    FixedInDegree,
    GammaSource,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
    StorageError,
    Uniform,
    VaryingRate,
)
from eventsim.models import BUILT_IN

SIZE, OTHERS, DURATION, SAMPLED, TURNED = 40, 7, 24.0, 0.7, 3.3
CHANGES = (4.5, 11.0, 20.0)
GIVEN = (0.25, 3.0, 3.0, 7.25)
DELAYS = {"one": 1.5, "drawn": Uniform(0.4, 3.0), "in order": Uniform(0.002, 2.0), "folded": 1.5}
"""Those in order are shorter than a window may be. Folded: neurons that can be are dense, but in windows in which currents change."""
READOUTS = tuple(name for name, model in BUILT_IN.items() if not model.spiking and model.exact is not None)
BESIDE = ("others", "poisson", "gamma", "varying", "given")


def network(model, delays):
    """Neurons that fire by themselves, or readouts, among sources of all kinds, under currents that change."""
    neuron, port, weight, drive, begin = _neuron(model, delays not in ("one", "folded"))
    every = [("poisson", "cells"), ("gamma", "cells"), ("varying", "cells"), ("given", "cells")]
    outer = [Projection(s, t, FixedInDegree(2), weight=weight, delay=DELAYS[delays], port=port) for s, t in every]
    own = Projection("cells", "cells", FixedInDegree(10), weight=Normal(-0.1 * weight, weight), delay=DELAYS[delays], port=port)
    others = Projection("poisson", "others", FixedInDegree(2), weight=0.5, delay=DELAYS[delays])
    back = Projection("others", "cells", FixedInDegree(1), weight=weight, delay=DELAYS[delays], port=port)
    turns = VaryingRate([50.0, 400.0, 0.0], [0.0, 2.0, 5.0], interpolation="linear", period=8.0)
    ends = VaryingRate([400.0, 0.0], [0.0, 15.0])
    turned = np.linspace(-0.1, 0.1, 9 * SIZE).reshape(9, SIZE)
    return Network(
        [
            Population("cells", SIZE, neuron, initial=begin),
            Population("others", OTHERS, BUILT_IN["LIFDelta"](v_leak=24.0, v_th=20.0, v_reset=10.0, refractory=0.5)),
            Population("poisson", 5, PoissonSource(100.0)),
            Population("gamma", 4, GammaSource(120.0, 2.5)),
            Population("varying", 4, PoissonSource(turns)),
            Population("given", 2, SpikeSource(GIVEN, [0, 0, 1, 1])),
        ],
        [*outer, others, back, *([own] if neuron.model.spiking else [])],
        [
            PoissonNoise("cells", ends, 0.5 * weight, port=port),
            Current("cells", [0.0, 0.2 * drive, -0.1 * drive], times=CHANGES),
            Current("cells", (turned[:, 0] if delays == "folded" else turned) * drive, interval=TURNED),
        ],
    )


def _neuron(model, varied):
    """The neurons, the port and weight of excitation, the size of a current, and where they begin."""
    if model in READOUTS:
        return BUILT_IN[model](), None, 1.0, 1.0, {}
    law = LAWS[model]
    name, _, drive, _ = law.drives
    drives = drive * np.linspace(0.95, 1.2, SIZE) if varied else 1.05 * drive
    neuron = BUILT_IN[model](**{**law.params, name: drives}, refractory=law.refractory)
    return neuron, law.ports[0], 0.3 * law.weight, abs(drive) or 1.0, {"v": Uniform(*law.begin)}


def simulation(model, delays, seed=4):
    """A new one."""
    record = [*map(Spikes, BESIDE), States("cells", interval=SAMPLED), Rates("poisson", 1.5)]
    record += [] if model in READOUTS else [Spikes("cells"), Rates("cells", 1.5)]
    with pytest.MonkeyPatch.context() as patch:
        if delays == "folded":
            patch.setattr(exact_simulation, "PER_SEGMENT", 0)
            for name in ("FEWEST", "MANY", "FEW", "PATIENCE"):
                patch.setattr(exact_group, name, 0)
        return Simulation(network(model, delays), method="exact", seed=seed, record=record)


def recorded(recording):
    """All of it as arrays."""
    out = {f"{name}.{field}": getattr(spikes, field) for name, spikes in recording.spikes.items() for field in ("times", "neurons")}
    states = recording.states["cells"]
    out |= {"sampled": states.times} | {f"state {field}": values for field, values in states.values.items()}
    fields = ("times", "counts", "rate")
    return out | {f"rate {name}.{field}": getattr(rates, field) for name, rates in recording.rates.items() for field in fields}


def run_until(run, time):
    """Run until exactly this time, and return what was recorded."""
    duration = time - run.time
    while run.time + duration < time:
        duration = np.nextafter(duration, np.inf)
    while run.time + duration > time:
        duration = np.nextafter(duration, -np.inf)
    return recorded(run.run(duration))


def to_file(checkpoint, file):
    description, arrays = checkpoint
    np.savez(file, description=np.array(json.dumps(description, allow_nan=False)), **arrays)


def from_file(file):
    with np.load(file, allow_pickle=False) as found:
        arrays = dict(found)
    return json.loads(arrays.pop("description").item()), arrays


def through_file(checkpoint):
    file = io.BytesIO()
    to_file(checkpoint, file)
    file.seek(0)
    return from_file(file)


# ---------------------------------------------------------------------------------------------------------------- damage

NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0, 12.0, 1e-300, 1e9, 1e19, 1e300, -1e300)
WORDS = (-1, 0, 1, 2**31, 2**32, 2**40, 2**56, 2**57, 3 * 2**56, 4 * 2**56, 2**62, 2**63 - 1, -(2**63))
TYPES = ("<f4", ">f8", "<i4", ">i8", "<u8", "c16", "?", "O", "U8")


def change_values(array, rng):
    """Some of its numbers become others, or one bit of one of them does."""
    array = array.copy()
    flat = array.reshape(-1)
    if flat.size == 0:
        return array
    for at in rng.integers(0, flat.size, rng.integers(1, 4)):
        how = rng.integers(4)
        if how == 0:
            flat.view(np.int64)[at] ^= np.int64(1) << np.int64(rng.integers(63))
        elif how == 1:
            flat[at] = flat[rng.integers(flat.size)]
        elif how == 2:
            flat.view(np.int64)[at] = rng.integers(-(2**63), 2**63 - 1)
        else:
            choice = NUMBERS if flat.dtype == np.float64 else WORDS
            flat[at] = choice[rng.integers(len(choice))]
    return array


def change_form(arrays, name, rng):
    """Its type or shape is another, or it is missing."""
    array = arrays[name]
    one = np.zeros((1, *array.shape[1:]), array.dtype)
    forms = [np.concatenate([array, one]), array[None], array.reshape(-1, 1, 1), array.tolist(), None]
    forms += [array[:-1], array[0]] if len(array) else []
    with np.errstate(invalid="ignore"):
        forms += [array.astype(kind) for kind in TYPES if np.dtype(kind) != array.dtype]
    at = rng.integers(len(forms) + 1)
    if at == len(forms):
        del arrays[name]
    else:
        arrays[name] = forms[at]


def change_description(description, rng):
    name = sorted(description)[rng.integers(len(description))]
    choice = (*NUMBERS, *WORDS, None, "1", [], {}, True, 10**400)
    description[name] = choice[rng.integers(len(choice))]


def damage(model, delays, trials):
    """How restored simulations of damaged checkpoints end, and how often: by what was damaged."""
    rng, ends = np.random.default_rng(5), Counter()
    whole, run = simulation(model, delays), simulation(model, delays)
    whole.run(12.0)
    sound = whole._capture()
    for trial in range(trials):
        description, arrays = dict(sound[0]), dict(sound[1])
        name = sorted(arrays)[trial % len(arrays)]
        what = ("values of " + name, "form", "description")[rng.choice(3, p=(0.8, 0.1, 0.1))]
        if what == "form":
            change_form(arrays, name, rng)
        elif what == "description":
            change_description(description, rng)
        else:
            arrays[name] = change_values(arrays[name], rng)
        try:
            run._restore(description, arrays, "here")
            run.run(3.0)
            run.state("cells")
            ends[f"{what}: ran"] += 1
        except StorageError:
            ends[f"{what}: refused"] += 1
        except SimulationError as error:  # neurons whose states are as large as that fire without end
            ends[f"{what}: {str(error)[:24]}"] += 1
            run = simulation(model, delays)
    return ends


def main(task, model, delays, *rest):
    if task == "damage":
        print(json.dumps(damage(model, delays, int(rest[0]))))
        return
    run = simulation(model, delays)
    run._restore(*from_file(rest[0]), "here")
    found = run_until(run, DURATION)
    to_file(({"end": run._capture()[0]}, found | {f"end {name}": array for name, array in run._capture()[1].items()}), rest[1])


if __name__ == "__main__":
    main(*sys.argv[1:])
