"""From tensors to what the kernels read, and back: arrivals sorted in time, parameters in rows, words of a context.

Seconds become milliseconds here, and nowhere else.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch

from eventsim.ceiling import rises
from eventsim.errors import ModelError, SimulationError
from norse_bridge.family import MS, check_parameters
from norse_bridge.fused.threads import run_on_threads

GROUPS = 16  # whose gradients of weights are summed apart, for any number of threads
SOON = 1e-6  # ms: no bound is needed for what comes earlier
SMALL_WORK = 1 << 12  # arrivals times neurons below which one thread is as fast as several


class Rows(NamedTuple):
    """Parameters of neurons as the kernels read them, (1 or neurons, parameters), in ms; ``still``: with v_leak = 0.

    rises : (2 states, 1 or neurons), how far each state can lift the voltage (`eventsim.ceiling`)
    """

    values: torch.Tensor
    still: torch.Tensor
    rises: torch.Tensor


def rows_of(family, p, neurons: int, label: str) -> Rows:
    """The rows of Norse's parameter tuple ``p``; a ModelError that begins with ``label`` says what cannot be."""
    check_parameters(family, p, label)
    model, found = family.model, []
    for name, value in family.contract_params(p, 1.0)._asdict().items():
        value = torch.as_tensor(value)
        if value.requires_grad:
            raise ModelError(f"{label}: {name} requires a gradient; weights and spike times have one here, parameters have none")
        if value.ndim > 1 or value.shape not in ((), (1,), (neurons,)):
            raise ModelError(f"{label}: {name} must be one number or one for each of {neurons} neurons, not of shape {value.shape}")
        found.append(value.to("cpu", torch.float64))
    model(**{name: value.numpy() if value.ndim else value.item() for name, value in zip(model.Params._fields, found, strict=True)})
    values = torch.stack(torch.broadcast_tensors(*(value.reshape(-1) for value in found)), 1).contiguous()
    fields = model.Params._fields
    if model.spiking and bool((values[:, fields.index("v_reset")] >= values[:, fields.index("v_th")]).any()):
        raise ModelError(f"{label}: v_reset must lie below v_th, or a neuron fires without end")
    still = values.clone()
    still[:, fields.index("v_leak")] = 0.0
    return Rows(values, still, torch.from_numpy(_rises(model, values.numpy().tobytes(), len(values)).copy()))


@functools.lru_cache(maxsize=64)
def _rises(model, values: bytes, rows: int) -> np.ndarray:
    """`eventsim.ceiling.rises` of rows of parameters."""
    columns = np.frombuffer(values).reshape(rows, -1).T
    return np.ascontiguousarray(rises(model, model.Params(*columns), SOON, rows))


class Arrivals(NamedTuple):
    """What arrives in each sample, in the order of time.

    time : (batch, events), ms, inf behind the last one; source : (batch, events), int32; many : (batch,)
    order : (batch, events), the place of each among the inputs' spikes; shape : of the tensor of spike times
    """

    time: torch.Tensor
    source: torch.Tensor
    many: torch.Tensor
    order: torch.Tensor
    shape: torch.Size

    def gradient(self, of_time, like):
        """The gradient of the spike times in s, in their shape, from that of the arrivals in ms."""
        batch, inputs, spikes = self.shape
        found = of_time.new_zeros((batch, inputs * spikes)).scatter_(1, self.order, of_time * MS)
        return found.reshape(self.shape).to(like.dtype)


def arrivals_of(times, duration: float) -> Arrivals:
    """The spikes of ``times`` (batch, inputs, spikes) in s until ``duration`` ms."""
    batch, inputs, spikes = times.shape
    flat = times.detach().to(torch.float64).reshape(batch, inputs * spikes) * MS
    time, order = flat.sort(dim=1, stable=True)
    count = ((time <= duration) & (time < math.inf)).sum(1)
    events = int(count.max()) if batch else 0
    time, order = time[:, :events].contiguous(), order[:, :events].contiguous()
    return Arrivals(time, (order // max(1, spikes)).to(torch.int32), count, order, times.shape)


def check_spikes(times, weights, label: str) -> None:
    """Refuse what no kernel could read; errors begin with ``label``."""
    for name, tensor, axes in (("times", times, "(batch, inputs, spikes)"), ("weights", weights, "(neurons, inputs)")):
        if (
            not isinstance(tensor, torch.Tensor)
            or tensor.dtype not in (torch.float32, torch.float64)
            or tensor.device.type != "cpu"
        ):
            raise SimulationError(f"{label}: {name} must be a float32 or float64 tensor on the CPU")
        if tensor.ndim != axes.count(",") + 1:
            raise SimulationError(f"{label}: {name} must have the axes {axes}, not the shape {tuple(tensor.shape)}")
    if times.shape[1] != weights.shape[1]:
        raise SimulationError(f"{label}: there are spikes of {times.shape[1]} inputs and weights of {weights.shape[1]}")
    if not bool((times >= 0.0).all()):
        raise SimulationError(f"{label}: spike times must not be negative or NaN; inf stands for no spike")
    if not bool(weights.isfinite().all()):
        raise SimulationError(f"{label}: weights must be finite")


def milliseconds_of(value, label: str, name: str, finite: bool = False) -> float:
    """A time span in ms of one in s; a SimulationError if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0.0 or (finite and value == math.inf):
        raise SimulationError(f"{label}: {name} must be a number of seconds, not negative, not {value!r}")
    return MS * value


def plain(tensor) -> torch.Tensor:
    """As the kernels read it: float64, one number after another."""
    return tensor.detach().to(torch.float64).contiguous()


def groups_of(batch: int) -> tuple[int, int]:
    """``(samples of a group, groups)``"""
    group = max(1, -(-batch // GROUPS))
    return group, -(-batch // group)


def summed(groups) -> torch.Tensor:
    """The sum over the first axis, in its order."""
    total = groups[0].clone() if len(groups) else groups.new_zeros(groups.shape[1:])
    for other in groups[1:]:
        total += other
    return total


def call(kernel, size: int, words: dict[int, Any], count: int, workers: int) -> None:
    """Call a kernel with a context of these words, numbers or tensors, for ``count`` samples or groups."""
    context = (ctypes.c_int64 * size)()
    for word, value in words.items():
        context[word] = value.data_ptr() if isinstance(value, torch.Tensor) else value
    run_on_threads(kernel, context, count, workers)


def workers_for(work: int, pieces: int) -> int:
    """Threads for so much work, in so many pieces."""
    return max(1, min(torch.get_num_threads(), pieces)) if work >= SMALL_WORK else 1
