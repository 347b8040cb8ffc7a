"""Write spikes of NEST's precise models, which tests/exact/test_exact_nest.py compares.

Run it with a Python that has NEST 3.10 and numpy, and need not have this package::

    python tests/tools/nest_precise.py tests/data/nest_precise.npz

Networks are those of tests/exact/drawn_network.py: of each model the three kinds, with delays that are multiples of NEST's resolution;
times of given spikes are any numbers. Only spikes are written. Two of NEST's models look at the threshold at the ends of steps and at
arrivals alone, and miss a voltage that rises above it and falls in between: they take small steps, and one network is run with
large ones, too, to show it. ``--seed 2 --delays one`` takes other networks. NEST's units: mV, ms, pF, pA; with C_m = tau_m in pF the
resistance is 1 GOhm, and I_e and weights of currents are what the voltage is drawn to, in mV.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nest
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "exact"))
from drawn_network import KINDS, NEURONS, SOURCES, DrawnNetwork

MODELS = {
    "LIFDelta": "iaf_psc_delta_ps",
    "LIF": "iaf_psc_exp_ps_lossless",
    "LIFExcInh": "iaf_psc_exp_ps",
    "LIFAlpha": "iaf_psc_alpha_ps",
}
TIME_CONSTANTS = {
    "LIFDelta": {},
    "LIF": {"tau_syn_ex": "tau_syn", "tau_syn_in": "tau_syn"},
    "LIFExcInh": {"tau_syn_ex": "tau_exc", "tau_syn_in": "tau_inh"},
    "LIFAlpha": {"tau_syn_ex": "tau_syn", "tau_syn_in": "tau_syn"},
}
STEP, SMALL = 0.125, 2.0**-8  # ms: powers of two, so that multiples of them are exact
STEPS = {"LIFDelta": STEP, "LIF": STEP, "LIFExcInh": SMALL, "LIFAlpha": SMALL}
LONGEST = {"layers": 25.0, "weak": 25.0, "strong": 35.0}  # ms
COARSE = 15.0  # ms


def connect(sources, targets, weights, delays):
    """Synapses one by one."""
    nest.Connect(sources, targets, "one_to_one", {"weight": weights, "delay": delays})


def simulate(drawn, resolution, duration):
    """The spikes of all neurons: times in ms, numbers."""
    nest.ResetKernel()
    nest.set(tics_per_ms=1024, resolution=resolution, local_num_threads=1)
    p = drawn.params
    parameters = {"tau_m": p["tau_mem"], "C_m": p["tau_mem"], "E_L": 0.0, "I_e": p["v_leak"], "t_ref": drawn.refractory}
    parameters |= {"V_th": p["v_th"], "V_reset": p["v_reset"]}
    parameters |= {theirs: p[ours] for theirs, ours in TIME_CONSTANTS[drawn.model].items()}
    cells = nest.Create(MODELS[drawn.model], NEURONS, params=parameters)
    cells.set({"V_m": drawn.start})
    inputs = nest.Create("spike_generator", SOURCES, params={"precise_times": True})
    for number, source in enumerate(inputs):
        source.spike_times = drawn.times[drawn.givers == number]
    first, first_input = cells[0].global_id, inputs[0].global_id
    connect(drawn.source + first, drawn.target + first, drawn.weight, drawn.delay)
    connect(drawn.outer_source + first_input, drawn.outer_target + first, drawn.outer_weight, drawn.outer_delay)
    recorder = nest.Create("spike_recorder")
    nest.Connect(cells, recorder)
    nest.Simulate(duration)
    events = recorder.events
    return events["times"], events["senders"] - first


def main(path, seed, delays):
    arrays = {"seed": seed, "delays": delays}
    cases = [(f"{model}.{kind}", model, kind, STEPS[model], LONGEST[kind]) for model in MODELS for kind in KINDS]
    for name, model, kind, step, duration in [*cases, ("LIFAlpha.coarse", "LIFAlpha", "strong", STEP, COARSE)]:
        times, neurons = simulate(DrawnNetwork(model, kind, delays, seed), step, duration)
        arrays |= {f"{name}.times": times, f"{name}.neurons": neurons.astype(np.int16), f"{name}.until": duration}
        print(name, len(times), "spikes", flush=True)
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delays", choices=("eighths", "one"), default="eighths")
    nest.verbosity = nest.VerbosityLevel.ERROR
    main(**vars(parser.parse_args()))
