"""Write what Norse computes to tests/data/norse_traces.npz, from which tests/bridge/test_norse_traces.py compares.

Run it with a Python that has Norse, numpy and torch, and not this package::

    python tests/tools/norse_traces.py tests/data/norse_traces.npz

For each case: the input x (time, batch, ...), the weights of recurrent forms, the output after each step, the states after some. Forward values of Norse 1.1.0 are those of its main branch.
"""

from __future__ import annotations

import json
import sys

import norse
import norse.torch as nt
import numpy as np
import torch

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
]


def values_of(state):
    """The fields of a state tuple as arrays, nested ones too."""
    found = []
    for value in state:
        found += values_of(value) if isinstance(value, tuple) else [value.detach().numpy()]
    return found


def trace(module, x):
    """(outputs, states) over time, calling a cell once a step; a state's 0-d values are spread over its neurons."""
    state, outputs, states = None, [], []
    for row in x:
        out, state = module(row, state)
        outputs.append(out.detach().numpy())
        states.append(np.stack([np.broadcast_to(value, out.shape) for value in values_of(state)]))
    return np.stack(outputs), np.stack(states)[::EVERY]


def main(path):
    """Write the file."""
    torch.manual_seed(1)
    found = {"version": np.array(norse.__version__)}
    for name, kind, odd, scale, recurrent in CASES:
        for which, values in (("default", {}), ("odd", odd)):
            p = getattr(nt, kind)(**{field: torch.as_tensor(value) for field, value in values.items()})
            found[f"{name} {which} parameters"] = np.array(json.dumps(values))
            x = (torch.rand(STEPS, BATCH, NEURONS) < 0.3) * (scale * torch.randn(STEPS, BATCH, NEURONS) + scale)
            key = f"{name} {which} cell"
            found[f"{key} x"] = x.numpy()
            found[f"{key} out"], found[f"{key} states"] = trace(getattr(nt, f"{name}Cell")(p), x)
            if recurrent:
                x = (torch.rand(STEPS, BATCH, INPUTS) < 0.3).float()
                w_in = scale * torch.randn(NEURONS, INPUTS)
                w_rec = scale * (torch.randn(NEURONS, NEURONS) - 0.7)  # mostly inhibition: nobody fires all the time
                cell = getattr(nt, f"{name}RecurrentCell")(
                    INPUTS, NEURONS, p, input_weights=w_in.clone(), recurrent_weights=w_rec.clone(), autapses=True
                )
                key = f"{name} {which} recurrent"
                found |= {f"{key} x": x.numpy(), f"{key} w_in": w_in.numpy(), f"{key} w_rec": w_rec.numpy()}
                found[f"{key} out"], found[f"{key} states"] = trace(cell, x)
    np.savez_compressed(path, **found)


if __name__ == "__main__":
    main(sys.argv[1])
