"""Write what Norse computes to tests/data/norse_traces.npz, from which tests/bridge/test_norse_traces.py compares.

Run it with a Python that has Norse, numpy and torch, and not this package::

    python tests/tools/norse_traces.py tests/data/norse_traces.npz

For each case: the input x (time, batch, ...), the weights of recurrent forms, the output after each step, the states after some.
Forward values of Norse 1.1.0 are those of its main branch. New cases stand at the end, so that those before keep their values.
"""

from __future__ import annotations

import json
import sys

import norse
import norse.torch as nt
import numpy as np
import torch
from norse.torch.functional.lsnn import ada_lif_step

STEPS, BATCH, INPUTS, NEURONS = 300, 2, 4, 5
EVERY = 7  # steps between states that are stored

# (name, parameter tuple, odd values of its fields, scale of the input, has recurrent forms)
CASES = [
    (
        "LIF",
        "LIFParameters",
        {"tau_syn_inv": 137.7, "tau_mem_inv": 83.3, "v_leak": -0.137, "v_th": 0.713, "v_reset": -0.31},
        2.0,
        True,
    ),
    (
        "LSNN",
        "LSNNParameters",
        {
            "tau_syn_inv": 137.7,
            "tau_mem_inv": 83.3,
            "tau_adapt_inv": 21.3,
            "v_leak": -0.137,
            "v_th": 0.713,
            "v_reset": -0.31,
            "beta": 0.37,
        },
        2.0,
        True,
    ),
    ("IAF", "IAFParameters", {"v_th": 0.713, "v_reset": -0.31}, 0.5, False),
    ("LIFBox", "LIFBoxParameters", {"tau_mem_inv": 83.3, "v_leak": -0.137, "v_th": 0.713, "v_reset": -0.31}, 20.0, False),
    ("LIBox", "LIBoxParameters", {"tau_mem_inv": 83.3, "v_leak": -0.137}, 2.0, False),
    ("LIFRefrac", "LIFRefracParameters", {"rho_reset": 3.0}, 4.0, True),
    (
        "LIFEx",
        "LIFExParameters",
        {"delta_T": 0.31, "tau_syn_inv": 137.7, "tau_mem_inv": 83.3, "v_leak": -0.137, "v_th": 0.713, "v_reset": -0.31},
        2.0,
        True,
    ),
    (
        "LIFAdEx",
        "LIFAdExParameters",
        {
            "adaptation_current": 0.7,
            "adaptation_spike": 0.11,
            "delta_T": 0.31,
            "tau_ada_inv": 17.3,
            "tau_syn_inv": 137.7,
            "tau_mem_inv": 83.3,
            "v_leak": -0.137,
            "v_th": 0.713,
            "v_reset": -0.31,
        },
        2.0,
        True,
    ),
    # So weak an input that no neuron reaches its threshold while it is held: there Norse lifts the adaptation without a spike.
    ("LIFAdExRefrac", "LIFAdExRefracParameters", {"rho_reset": 3.0}, 0.7, True),
]
IZHIKEVICH = [
    "tonic_spiking", "phasic_spiking", "tonic_bursting", "phasic_bursting", "mixed_mode", "spike_frequency_adaptation",
    "class_1_exc", "class_2_exc", "spike_latency", "subthreshold_oscillation", "resonator", "integrator", "rebound_spike",
    "rebound_burst", "threshold_variability", "bistability", "dap", "accomodation", "inhibition_induced_spiking",
    "inhibition_induced_bursting",
]  # fmt: skip


def values_of(state):
    """The fields of a state tuple as arrays, nested ones too."""
    found = []
    for value in state:
        found += values_of(value) if isinstance(value, tuple) else [value.detach().numpy()]
    return found


def trace(module, x, state=None):
    """(outputs, states) over time, calling a cell once a step; a state's 0-d values are spread over its neurons."""
    outputs, states = [], []
    for row in x:
        out, state = module(row, state)
        outputs.append(out.detach().numpy())
        states.append(np.stack([np.broadcast_to(value, out.shape) for value in values_of(state)]))
    return np.stack(outputs), np.stack(states)[::EVERY]


def feed_forward(key, cell, scale, state=None):
    """The trace of a cell without recurrence under random pulses."""
    x = (torch.rand(STEPS, BATCH, NEURONS) < 0.3) * (scale * torch.randn(STEPS, BATCH, NEURONS) + scale)
    outputs, states = trace(cell, x, state)
    return {f"{key} x": x.numpy(), f"{key} out": outputs, f"{key} states": states}


def weights_of(scale):
    """Random input spikes, and weights of which the recurrent ones mostly inhibit: nobody fires all the time."""
    x = (torch.rand(STEPS, BATCH, INPUTS) < 0.3).float()
    return x, scale * torch.randn(NEURONS, INPUTS), scale * (torch.randn(NEURONS, NEURONS) - 0.7)


def recurrent_forms(name, which, p, scale, dtype=torch.float32, form="recurrent", **more):
    """The trace of a recurrent cell; ``more``: what else its class takes, and is stored."""
    x, w_in, w_rec = (tensor.to(dtype) for tensor in weights_of(scale))
    cell = getattr(nt, f"{name}RecurrentCell")(
        INPUTS, NEURONS, p, input_weights=w_in.clone(), recurrent_weights=w_rec.clone(), autapses=True, **more
    )
    key = f"{name} {which} {form}"
    outputs, states = trace(cell, x)
    found = {"x": x, "w_in": w_in, "w_rec": w_rec, **more}
    return {f"{key} {part}": value.numpy() for part, value in found.items()} | {f"{key} out": outputs, f"{key} states": states}


def functions_alone():
    """Traces of what is a function only, or a cell with a coupling between its neurons."""
    shape = (BATCH, NEURONS)
    zeros, coupling = torch.zeros(shape), 0.05 * torch.randn(NEURONS, NEURONS) - 0.2 * torch.eye(NEURONS)
    found = {"LIFMC coupling": coupling.numpy()}
    p = nt.CobaLIFParameters(tau_syn_exc_inv=torch.tensor(150.0), tau_syn_inh_inv=torch.tensor(90.0))
    state = nt.CobaLIFFeedForwardState(torch.full(shape, -20.0), zeros, zeros)
    found |= feed_forward("CobaLIF fast function", lambda x, s: nt.coba_lif_feed_forward_step(x, s, p), 0.5, state)
    state = nt.LIFFeedForwardState(zeros, zeros)
    found |= feed_forward("LIFMC default function", lambda x, s: nt.lif_mc_feed_forward_step(x, s, 100.0 * coupling), 2.0, state)
    state = nt.LIFRefracFeedForwardState(state, zeros)
    step = nt.lif_mc_refrac_feed_forward_step
    found |= feed_forward("LIFMCRefrac default function", lambda x, s: step(x, s, coupling), 2.0, state)
    found |= recurrent_forms("LIFMC", "default", nt.LIFParameters(), 2.0, g_coupling=100.0 * coupling)
    found |= recurrent_forms("LIFMCRefrac", "default", nt.LIFRefracParameters(), 2.0, g_coupling=coupling)
    x, w_in, w_rec = weights_of(2.0)
    p = nt.LSNNParameters(tau_adapt_inv=torch.tensor(21.3), v_leak=torch.tensor(-0.137), beta=torch.tensor(0.37))
    state = nt.LSNNState(zeros, torch.full(shape, -0.137), zeros, zeros)
    outputs, states = trace(lambda row, s: ada_lif_step(row, s, w_in, w_rec, p), x, state)
    found |= {
        "AdaLIF odd function x": x.numpy(),
        "AdaLIF odd function w_in": w_in.numpy(),
        "AdaLIF odd function w_rec": w_rec.numpy(),
    }
    return found | {"AdaLIF odd function out": outputs, "AdaLIF odd function states": states}


def main(path):
    """Write the file."""
    torch.manual_seed(1)
    found = {"version": np.array(norse.__version__)}
    for name, kind, odd, scale, recurrent in CASES:
        for which, values in (("default", {}), ("odd", odd)):
            p = getattr(nt, kind)(**{field: torch.as_tensor(value) for field, value in values.items()})
            found[f"{name} {which} parameters"] = np.array(json.dumps(values))
            found |= feed_forward(f"{name} {which} cell", getattr(nt, f"{name}Cell")(p), scale)
            if recurrent:
                found |= recurrent_forms(name, which, p, scale)
    for which in IZHIKEVICH:
        found |= feed_forward(f"Izhikevich {which} cell", nt.IzhikevichCell(getattr(nt, which)), 20.0)
    for which in ("tonic_spiking", "accomodation"):
        # In float64, since Norse adds the two inputs in another order, and the upswing of v makes much of a rounding.
        found |= recurrent_forms("Izhikevich", which, getattr(nt, which), 20.0, torch.float64)
    found |= functions_alone()
    for name, kind, odd, scale, recurrent in CASES:
        if recurrent:  # in float64 too, where the order of a product's sums does not matter
            for which, values in (("default", {}), ("odd", odd)):
                p = getattr(nt, kind)(**{field: torch.as_tensor(value) for field, value in values.items()})
                found |= recurrent_forms(name, which, p, scale, torch.float64, "recurrent64")
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
