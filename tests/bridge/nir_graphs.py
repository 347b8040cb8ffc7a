"""Nodes and graphs of NIR for the tests, and NIR's equations written out once more in NumPy."""

from __future__ import annotations

import nir
import numpy as np
import torch

import norse_bridge as nb

DT = 0.001


def draw(seed, shape, low, high):
    return np.random.default_rng(seed).uniform(low, high, shape)


def neuron(kind, shape=(5,), seed=1):
    """A node of neurons in which every value of every neuron differs, with thresholds that random input of about 1 reaches."""
    values = {
        "tau": (0.004, 0.02),
        "tau_syn": (0.002, 0.01),
        "tau_mem": (0.004, 0.02),
        "r": (0.5, 2.0),
        "v_leak": (-0.1, 0.1),
        "v_threshold": (0.3, 0.6),
        "v_reset": (-0.3, 0.1),
        "w_in": (0.5, 2.0),
    }
    fields = {
        "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
        "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
        "I": ("r",),
        "IF": ("r", "v_threshold", "v_reset"),
        "LI": ("tau", "r", "v_leak"),
        "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    }[kind]
    arrays = {field: draw((seed, place), shape, *values[field]) for place, field in enumerate(fields)}
    if kind in ("I", "IF"):
        arrays["r"] = 100.0 * arrays["r"]
    return getattr(nir, kind)(**arrays)


def between(*nodes, shape=(5,)):
    """A graph of nodes in a row with its ends, unchecked by nir, whose types miss what they do not know."""
    names = [f"n{i}" for i in range(len(nodes))]
    ends = {"input": nir.Input(np.array(shape, dtype=np.int64)), **dict(zip(names, nodes, strict=True)), "output": nir.Output(None)}
    chain = ["input", *names, "output"]
    return nir.NIRGraph(ends, list(zip(chain[:-1], chain[1:], strict=True)), type_check=False)


def run(module, xs, state=None):
    """The outputs of a module that takes one step, over a sequence (time, batch, ...)."""
    outputs = []
    for x in xs:
        y = module(x, state) if takes_state(module) else module(x)
        y, state = y if takes_state(module) else (y, None)
        outputs.append(y)
    return torch.stack(outputs).detach()


def takes_state(module):
    return nb.lifting.is_stateful(module)


def euler(node, xs, soft=False):
    """The output of a node of neurons for input (time, neurons): forward Euler of NIR's equations, in float64."""
    p = {name: value for name, value in vars(node).items() if isinstance(value, np.ndarray)}
    kind, current, outputs = type(node).__name__, 0.0, []
    v = np.broadcast_to(p.get("v_leak", p.get("v_reset", 0.0)), xs.shape[1:]).astype(np.float64)
    for x in xs:
        if kind.startswith("Cuba"):
            current = current + DT / p["tau_syn"] * (p["w_in"] * x - current)
            x = current
        if kind in ("I", "IF"):
            v = v + DT * p["r"] * x
        else:
            v = v + DT / p.get("tau", p.get("tau_mem")) * ((p["v_leak"] - v) + p["r"] * x)
        if "v_threshold" in p:
            z = v > p["v_threshold"]
            v = np.where(z, v - p["v_threshold"] if soft else p["v_reset"], v)
        outputs.append(z.astype(float) if "v_threshold" in p else v)
    return np.stack(outputs)
