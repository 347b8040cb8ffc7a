"""What training by first spikes refuses before it computes anything; errors begin with ``label``, who was called."""

from __future__ import annotations

import math

import torch

from eventsim.errors import SimulationError

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_number(value, label: str, name: str, what: str = "finite number of seconds", above: bool = False) -> None:
    """Refuse what is no finite number from 0 on, or with ``above`` no finite number above 0; ``what`` says what it should be."""
    fits = not isinstance(value, bool) and isinstance(value, (int, float)) and 0.0 <= value < math.inf
    if not fits or (above and value == 0.0):
        raise SimulationError(f"{label}: {name} must be a {what}, {'above 0' if above else 'not negative'}, not {value!r}")


def check_count(value, label: str, name: str, least: int) -> None:
    """Refuse what is no whole number from ``least`` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SimulationError(f"{label}: {name} must be a whole number, at least {least}, not {value!r}")


def check_first(first, label: str) -> None:
    """Refuse what are no times of first spikes, (batch, classes), of one sample and one class at least."""
    if not isinstance(first, torch.Tensor) or not first.is_floating_point():
        raise SimulationError(f"{label}: first must be a tensor of floats, (batch, classes), not {_kind(first)}")
    if first.ndim != 2 or not first.numel():
        raise SimulationError(
            f"{label}: first must be (batch, classes) with a sample and a class at least, not of shape {tuple(first.shape)}"
        )


def labels_of(labels, samples: int, classes: float, label: str, name: str = "labels") -> torch.Tensor:
    """``labels``, a tensor of whole numbers, as int64; there is one below ``classes`` for each of ``samples``."""
    if not isinstance(labels, torch.Tensor) or labels.dtype not in WHOLE:
        raise SimulationError(f"{label}: {name} must be a tensor of whole numbers (int64), not {_kind(labels)}")
    if labels.shape != (samples,):
        raise SimulationError(f"{label}: {name} must be one for each of {samples} samples, not of shape {tuple(labels.shape)}")
    labels = labels.to(torch.int64)
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        wanted = "0 or above" if classes == math.inf else f"from 0 to {classes - 1:.0f}, the neurons of the readout"
        raise SimulationError(f"{label}: {name} must be {wanted}; {int(outside[0])} is not")
    return labels


def samples_of(data, label: str, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """``(times, labels)`` of at least one sample; the labels as int64, from 0 on."""
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise SimulationError(f"{label}: {name} must be a pair (spike times, labels), not {_kind(data)}")
    times, labels = data
    if not isinstance(times, torch.Tensor) or times.ndim != 3:
        shape = f"of shape {tuple(times.shape)}" if isinstance(times, torch.Tensor) else _kind(times)
        raise SimulationError(f"{label}: the times of {name} must be a tensor (batch, inputs, spikes), not {shape}")
    if not len(times):
        raise SimulationError(f"{label}: {name} has no samples; give one at least")
    return times, labels_of(labels, len(times), math.inf, label, f"the labels of {name}")


def _kind(value) -> str:
    return f"one of {value.dtype}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
