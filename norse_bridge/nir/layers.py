"""One node of NIR as a module that takes one step, in forward Euler at dt, as Norse's layers do.

    LIF, LI     LIFBoxCell, LIBoxCell: v' = v + (dt/tau) ((r x + v_leak) - v)
    IF, I       IAFCell, IntegratorCell: v' = v + dt r x
    CubaLIF     I' = I + (dt/tau_syn) (w_in x - I), v' = v + (dt/tau_mem) ((r I' + v_leak) - v): with w_in r = tau_syn/dt that is
    CubaLI      LIFCell (LICell), to the last bit; else CubaLIF(w_in, LIBoxCell, r, LIFBoxCell)

A resistance other than 1 (for IF and I: other than 1/dt) multiplies the input.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.neurons.iaf import IAFCell, IAFParameters
from norse_bridge.neurons.li import LICell, LIParameters
from norse_bridge.neurons.lif import LIFCell, LIFParameters
from norse_bridge.neurons.lif_box import (
    LIBoxCell,
    LIBoxParameters,
    LIFBoxCell,
    LIFBoxParameters,
    reset_subtract,
    reset_value,
)
from norse_bridge.nir.modules import CubaLIF, Delay, IAFSubtractCell, IntegratorCell, Scale, ScaledInput, Threshold
from norse_bridge.nir.nodes import arrays_of, counts, kind_of, window_of
from norse_bridge.pooling import SumPool2d

ONE = 4 * np.finfo(np.float64).eps  # how far from 1 a factor may be that is 1 but for rounding
MOST_DELAYED = 2**26  # values that a Delay keeps


class Options(NamedTuple):
    """dt : s; reset_method : `reset_value` or `reset_subtract`; dtype : of tensors; ignore_warnings : to warn of nothing."""

    dt: float
    reset_method: Callable = reset_value
    dtype: torch.dtype = torch.float32
    ignore_warnings: bool = True

    def tensor(self, array) -> torch.Tensor:
        """A tensor of its own with the values of a float64 array."""
        return torch.tensor(array, dtype=self.dtype)

    def warn(self, text):
        """A UserWarning, unless warnings are to be ignored."""
        if not self.ignore_warnings:
            warnings.warn(text, stacklevel=2)


def check_options(dt, reset_method):
    """A ModelError if dt is no positive number or the reset is neither of the two."""
    if not isinstance(dt, Real) or not 0.0 < dt < float("inf"):
        raise ModelError(f"dt must be a number of seconds above 0, not {dt!r}")
    if reset_method not in (reset_value, reset_subtract):
        raise ModelError(f"reset_method must be reset_value or reset_subtract of this package, not {reset_method!r}")


def is_one(factor) -> bool:
    """Whether all factors are 1, but for the rounding of a few operations in float64."""
    return bool(np.all(np.abs(factor - 1.0) <= ONE))


def driven(scale, neuron, options) -> torch.nn.Module:
    """The neuron, its input multiplied by ``scale`` unless that is 1."""
    return neuron if is_one(scale) else ScaledInput(options.tensor(scale), neuron)


def cuba_gain(arrays, dt) -> np.ndarray:
    """What an input of 1 adds, in a step of forward Euler, to the product of resistance and synaptic current."""
    return arrays["r"] * arrays["w_in"] * dt / arrays["tau_syn"]


def _rate(arrays, field, label, options):
    tau = arrays[field]
    if tau.size and options.dt > tau.min():
        options.warn(f"{label}: dt = {options.dt} s is longer than {field} = {tau.min()} s: too long for forward Euler")
    return options.tensor(1.0 / tau)


def _box(arrays, tau, label, options, spiking):
    """LIFBoxCell or LIBoxCell of a membrane."""
    fields = {"tau_mem_inv": _rate(arrays, tau, label, options), "v_leak": options.tensor(arrays["v_leak"])}
    if not spiking:
        return LIBoxCell(LIBoxParameters(**fields), dt=options.dt)
    fields |= {"v_th": options.tensor(arrays["v_threshold"]), "v_reset": options.tensor(arrays["v_reset"])}
    return LIFBoxCell(LIFBoxParameters(reset_method=options.reset_method, **fields), dt=options.dt)


def lif_parameters(arrays, label, options) -> LIFParameters:
    """Norse's parameters of a CubaLIF."""
    return LIFParameters(
        tau_syn_inv=_rate(arrays, "tau_syn", label, options),
        tau_mem_inv=_rate(arrays, "tau_mem", label, options),
        v_leak=options.tensor(arrays["v_leak"]),
        v_th=options.tensor(arrays["v_threshold"]),
        v_reset=options.tensor(arrays["v_reset"]),
    )


def _cuba(arrays, label, options, spiking):
    if is_one(cuba_gain(arrays, options.dt)) and not (spiking and options.reset_method is reset_subtract):
        if spiking:
            return LIFCell(lif_parameters(arrays, label, options), dt=options.dt)
        syn, mem = (_rate(arrays, field, label, options) for field in ("tau_syn", "tau_mem"))
        return LICell(LIParameters(syn, mem, options.tensor(arrays["v_leak"])), dt=options.dt)
    membrane = _box(arrays, "tau_mem", label, options, spiking)
    synapse = LIBoxCell(LIBoxParameters(tau_mem_inv=_rate(arrays, "tau_syn", label, options)), dt=options.dt)
    return CubaLIF(options.tensor(arrays["w_in"]), synapse, options.tensor(arrays["r"]), membrane)


def _integrator(kind, arrays, options):
    if kind == "I":
        return driven(arrays["r"] * options.dt, IntegratorCell(dt=options.dt), options)
    cell = IAFSubtractCell if options.reset_method is reset_subtract else IAFCell
    p = IAFParameters(v_th=options.tensor(arrays["v_threshold"]), v_reset=options.tensor(arrays["v_reset"]))
    return driven(arrays["r"] * options.dt, cell(p, dt=options.dt), options)


def delay_steps(delay, label, options) -> np.ndarray:
    """Delays in s as whole steps, int64; a warning where they are rounded."""
    steps = delay / options.dt
    if np.max(steps, initial=0.0) * max(1, delay.size) > MOST_DELAYED:
        raise ModelError(
            f"{label}: a delay of {np.max(delay):g} s is {np.max(steps):g} steps of {options.dt} s: too many to be kept"
        )
    off = np.abs(steps - np.rint(steps)) > 1e-6 * np.maximum(1.0, steps)
    if np.any(off):
        options.warn(f"{label}: {int(off.sum())} of {off.size} delays are no multiples of dt = {options.dt} s: rounded to it")
    return np.rint(steps).astype(np.int64)


def _with_weights(module, weight, bias, options):
    """A module made without memory, with its weights."""
    module.weight = torch.nn.Parameter(options.tensor(weight))
    if bias is not None:
        module.bias = torch.nn.Parameter(options.tensor(bias))
    return module


def _convolution(kind, node, arrays, label, options):
    window, weight = window_of(node, label), arrays["weight"]
    (groups,) = counts(node.groups, 1, 1, f"{label}: groups")
    cls: Any = torch.nn.Conv1d if kind == "Conv1d" else torch.nn.Conv2d
    if weight.shape[0] % groups:
        raise ModelError(f"{label}: {weight.shape[0]} outputs cannot be split into {groups} groups")
    channels = groups * weight.shape[1]
    module = cls(channels, weight.shape[0], *window, groups=groups, device="meta")
    return _with_weights(module, weight, arrays["bias"], options)


def layer_of(node, label, options) -> torch.nn.Module:
    """The module of a node that is no graph; a ModelError that begins with ``label`` if the node is malformed."""
    kind, arrays = kind_of(node, label), arrays_of(node, label)
    if kind in ("LIF", "LI"):
        return driven(arrays["r"], _box(arrays, "tau", label, options, kind == "LIF"), options)
    if kind in ("CubaLIF", "CubaLI"):
        return _cuba(arrays, label, options, kind == "CubaLIF")
    if kind in ("IF", "I"):
        return _integrator(kind, arrays, options)
    if kind in ("Linear", "Affine"):
        outputs, inputs = arrays["weight"].shape
        module = torch.nn.Linear(inputs, outputs, kind == "Affine", device="meta")
        return _with_weights(module, arrays["weight"], arrays.get("bias"), options)
    if kind in ("Conv1d", "Conv2d"):
        return _convolution(kind, node, arrays, label, options)
    if kind in ("SumPool2d", "AvgPool2d"):
        pool: Any = SumPool2d if kind == "SumPool2d" else torch.nn.AvgPool2d
        return pool(*window_of(node, label)[:3])
    if kind == "Flatten":
        start, end = (d + 1 if d >= 0 else d for d in (int(node.start_dim), int(node.end_dim)))
        return torch.nn.Flatten(start, end)  # NIR counts axes without the batch
    if kind == "Scale":
        return Scale(options.tensor(arrays["scale"]))
    if kind == "Threshold":
        return Threshold(options.tensor(arrays["threshold"]))
    if kind == "Delay":
        steps = delay_steps(arrays["delay"], label, options)
        return Delay(torch.tensor(arrays["delay"]), torch.tensor(steps), options.dt)
    return torch.nn.Identity()
