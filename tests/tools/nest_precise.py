"""Write spikes of NEST's precise models to tests/data/nest_precise.npz, which tests/exact/test_exact_nest.py compares.

Run it with a Python that has NEST 3.10 and numpy, and not this package::

    python tests/tools/nest_precise.py tests/data/nest_precise.npz

Two models (iaf_psc_exp_ps_lossless, iaf_psc_delta_ps) in two networks each: layers, each of which drives the next one, and one in
which all reach all others, excited above the threshold. Delays are multiples of NEST's resolution; times of given spikes are any
numbers. NEST's units: mV, ms, pF, pA; with C_m = tau_m in pF the resistance is 1 GOhm, and I_e and weights of currents are what the
voltage is drawn to, in mV.
"""

from __future__ import annotations

import sys

import nest
import numpy as np

RESOLUTION, DURATION = 0.125, 100.0  # ms: a power of two, so that multiples of it are exact
NEURONS, SOURCES = 200, 20
MEMBRANE = {"tau_m": 20.0, "C_m": 20.0, "E_L": 0.0, "V_th": 20.0, "V_reset": 10.0, "t_ref": 2.0}
TAU_SYN = 2.0
MODELS = {"LIF": "iaf_psc_exp_ps_lossless", "LIFDelta": "iaf_psc_delta_ps"}
WEIGHT = {"LIF": 6.0, "LIFDelta": 0.6}  # of an excitatory synapse: pA, mV


def network(model, kind, rng):
    """All numbers of a network."""
    degree, scale, drive = {"layers": (30, 3.0, 12.0), "all": (30, 0.5, 23.0)}[kind]
    source = rng.integers(0, NEURONS, NEURONS * degree)
    target = rng.integers(0, NEURONS, NEURONS * degree)
    if kind == "layers":  # five
        source = rng.integers(0, 4 * NEURONS // 5, NEURONS * degree)
        target = source // 40 * 40 + 40 + rng.integers(0, 40, len(source))
    weight = scale * WEIGHT[model] * rng.uniform(0.5, 1.5, len(source)).round(2) * np.where(source % 5 == 4, -5.0, 1.0)
    outer_source, outer_target = rng.integers(0, SOURCES, 30 * SOURCES), rng.integers(0, NEURONS // 5, 30 * SOURCES)
    outer_weight = 4.0 * WEIGHT[model] * rng.uniform(0.5, 1.5, len(outer_source)).round(2)
    many = 40 * SOURCES
    return {
        "source": source,
        "target": target,
        "weight": weight,
        "delay": RESOLUTION * rng.integers(8, 25, len(source)),
        "outer_source": outer_source,
        "outer_target": outer_target,
        "outer_weight": outer_weight,
        "outer_delay": RESOLUTION * rng.integers(8, 25, len(outer_source)),
        "given_time": np.sort(rng.uniform(1.0, DURATION - 5.0, many)),
        "given_source": rng.integers(0, SOURCES, many),
        "start": rng.uniform(0.0, 20.0, NEURONS),
        "drive": np.array(drive),
    }


def connect(sources, targets, weights, delays):
    """Synapses one by one."""
    nest.Connect(sources, targets, "one_to_one", {"weight": weights, "delay": delays})


def simulate(model, given):
    """The spikes of all neurons: times in ms, numbers."""
    nest.ResetKernel()
    nest.set(resolution=RESOLUTION, local_num_threads=1)
    parameters = {**MEMBRANE, "I_e": float(given["drive"])}
    if model == "LIF":
        parameters |= {"tau_syn_ex": TAU_SYN, "tau_syn_in": TAU_SYN}
    cells = nest.Create(MODELS[model], NEURONS, params=parameters)
    cells.set({"V_m": given["start"]})
    inputs = nest.Create("spike_generator", SOURCES, params={"precise_times": True})
    for number, source in enumerate(inputs):
        source.spike_times = given["given_time"][given["given_source"] == number]
    first, first_input = cells[0].global_id, inputs[0].global_id
    connect(given["source"] + first, given["target"] + first, given["weight"], given["delay"])
    outer = given["outer_source"] + first_input, given["outer_target"] + first
    connect(*outer, given["outer_weight"], given["outer_delay"])
    recorder = nest.Create("spike_recorder")
    nest.Connect(cells, recorder)
    nest.Simulate(DURATION)
    events = recorder.events
    return events["times"], events["senders"] - first


def main(path):
    arrays = {"tau_syn": TAU_SYN, "duration": DURATION, **MEMBRANE}
    for number, (model, kind) in enumerate((model, kind) for model in MODELS for kind in ("layers", "all")):
        given = network(model, kind, np.random.default_rng(number))
        times, neurons = simulate(model, given)
        arrays |= {f"{model}.{kind}.{name}": value for name, value in given.items()}
        arrays |= {f"{model}.{kind}.times": times, f"{model}.{kind}.neurons": neurons.astype(np.int32)}
        print(model, kind, len(times), "spikes")
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    nest.verbosity = nest.VerbosityLevel.ERROR
    main(sys.argv[1])
