"""Encoders as functions: numbers into spike trains with time first, or into activities of a population.

    rate          z_t = 1 with probability dt f_max x
    latency       only the first spike of a train, so that a larger x is an earlier spike
    population    y_k = kernel(scale (x - c_k)^2), centres c_k spread evenly from 0 to scale

`norse_bridge.encoders` has them as modules.
"""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError
from norse_bridge.family import bind, compute_dtype
from norse_bridge.lifting import rows_of
from norse_bridge.neurons.lif import DEFAULT, FAMILY


def poisson_encode(input_values, seq_length, f_max=100, dt=0.001, generator=None):
    """Independent spikes with probability ``dt f_max x`` a step: (...) -> float32 (seq_length, ...).

    input_values in [0, 1]; f_max in spikes/s at 1; dt in s; generator on the device of the input. Nothing is clipped: a
    probability above 1 is 1.
    """
    shape = (seq_length, *input_values.shape)
    draw = torch.rand(shape, device=input_values.device, generator=generator)
    return (draw < dt * f_max * input_values).float()  # (time, ...)


def poisson_encode_step(input_values, f_max=1000, dt=0.001, generator=None):
    """One step of `poisson_encode`, with another default rate: (...) -> float32 (...)."""
    return poisson_encode(input_values, 1, f_max, dt, generator)[0]


def signed_poisson_encode(input_values, seq_length, f_max=100, dt=0.001, generator=None):
    """`poisson_encode` of ``|x|``, with the sign of x: (...) -> -1, 0 or 1 (seq_length, ...). input_values in [-1, 1]."""
    return torch.sign(input_values) * poisson_encode(input_values.abs(), seq_length, f_max, dt, generator)  # (time, ...)


def signed_poisson_encode_step(input_values, f_max=1000, dt=0.001, generator=None):
    """One step of `signed_poisson_encode`, with another default rate: (...) -> -1, 0 or 1 (...)."""
    return signed_poisson_encode(input_values, 1, f_max, dt, generator)[0]


def constant_current_lif_encode(input_current, seq_length, p=DEFAULT, dt=0.001):
    """The spikes of LIF membranes under a constant current: (...) -> (seq_length, ...). v starts at 0, as in Norse.

    The steps are those of `lif_current_encoder`.
    """
    if seq_length < 1:
        raise SimulationError(f"constant_current_lif_encode: seq_length must be 1 or more, not {seq_length}")
    dtype = compute_dtype(input_current, p)
    step = bind(FAMILY, p, dt, dtype)
    zero = torch.zeros_like(input_current, dtype=dtype)
    v, spikes = zero, []
    for _ in range(seq_length):
        s, _, z = step(FAMILY.model.State(v, zero), None, (input_current,))
        v = s.v
        spikes.append(z)
    return torch.stack(spikes)  # (time, ...)


def spike_latency_encode(input_spikes):
    """Only the first spike of each train: (time, ...) -> (time, ...).

    The gradient reaches each train's steps up to its first spike. Any value but 0 is a spike.
    """
    rows = rows_of(input_spikes, "spike_latency_encode")
    zero, kept = torch.zeros_like(rows[0]), []
    fired = zero != 0  # (...)
    for row in rows:
        kept.append(torch.where(fired, zero, row))
        fired = fired | (row != 0)
    return torch.stack(kept)  # (time, ...)


def spike_latency_lif_encode(input_current, seq_length, p=DEFAULT, dt=0.001):
    """The first spikes of `constant_current_lif_encode`: (...) -> (seq_length, ...). A larger current fires earlier."""
    return spike_latency_encode(constant_current_lif_encode(input_current, seq_length, p, dt))


def gaussian_rbf(tensor, sigma=1):
    """``exp(-d / (2 sigma^2))`` of squared distances d; any shape."""
    return torch.exp(-tensor / (2 * sigma**2))


def euclidean_distance(x, y):
    """The squared distance ``(x - y)^2`` of each pair of numbers; x and y broadcast."""
    return (x - y) ** 2


def population_encode(input_values, out_features, scale=None, kernel=gaussian_rbf, distance_function=euclidean_distance):
    """Each value as the activities of ``out_features`` neurons: (...) -> (..., out_features).

    scale : the last centre (the first is 0), and a factor of the distances; a number, or a tensor that broadcasts against
        input_values; None: the largest input value
    kernel : distances -> activities
    distance_function : ``(values, centres) ->`` distances, all of shape (..., out_features)
    """
    dtype, device = compute_dtype(input_values), input_values.device
    spread = torch.as_tensor(input_values.max() if scale is None else scale, dtype=dtype, device=device)[..., None]
    centres = spread * torch.linspace(0, 1, out_features, dtype=dtype, device=device)  # (..., out_features)
    values, centres = torch.broadcast_tensors(input_values[..., None], centres)
    return kernel(distance_function(values, centres) * spread)
