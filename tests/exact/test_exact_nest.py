"""The exact engine beside stored spikes of NEST's precise models (tests/tools/nest_precise.py): the same, within 1e-9 ms.

iaf_psc_exp_ps_lossless is `LIF` and iaf_psc_delta_ps `LIFDelta`, whose input is discarded while they are refractory. How long
rounding cannot have parted the two is found as in `tests/exact/test_exact_networks.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exact_reference import parts_at

from eventsim import LIF, Connectivity, LIFDelta, Network, Population, Projection, Simulation, Spikes, SpikeSource

TRACES = np.load(Path(__file__).resolve().parents[1] / "data" / "nest_precise.npz")
TOLERANCE, MOVED = 1e-9, 1e-12  # ms


def simulate(model, given, moved=0.0):
    """Spikes of the network that NEST had: times in ms, neurons."""
    membrane = {ours: float(TRACES[theirs]) for ours, theirs in [("tau_mem", "tau_m"), ("v_th", "V_th"), ("v_reset", "V_reset")]}
    own = {"tau_syn": float(TRACES["tau_syn"])} if model is LIF else {}
    neuron = model(**membrane, **own, v_leak=float(given["drive"]), refractory=float(TRACES["t_ref"]))
    size, sources = len(given["start"]), int(given["outer_source"].max()) + 1
    inner = Connectivity.from_coo(given["source"], given["target"], size, size, given["weight"], given["delay"])
    outer = given["outer_source"], given["outer_target"], sources, size, given["outer_weight"], given["outer_delay"]
    times = given["given_time"].copy()
    times[0] += moved
    network = Network(
        [
            Population("cells", size, neuron, initial={"v": given["start"]}),
            Population("inputs", sources, SpikeSource(times, given["given_source"])),
        ],
        [Projection("cells", "cells", inner), Projection("inputs", "cells", Connectivity.from_coo(*outer))],
    )
    found = Simulation(network, method="exact", record=[Spikes("cells")]).run(float(TRACES["duration"])).spikes["cells"]
    return found.times, found.neurons


@pytest.mark.parametrize("kind", ["layers", "all"])
@pytest.mark.parametrize("model", [LIF, LIFDelta], ids=str)
def test_the_spikes_of_nests_precise_models(model, kind):
    prefix = f"{model.name}.{kind}."
    given = {name.removeprefix(prefix): TRACES[name] for name in TRACES.files if name.startswith(prefix)}
    found, theirs = simulate(model, given), (given["times"], given["neurons"])
    until = min(parts_at(found, simulate(model, given, MOVED), TOLERANCE), float(TRACES["duration"]))
    assert until > 30.0 and np.sum(theirs[0] < until) > 500
    assert parts_at(found, theirs, TOLERANCE) >= until
