"""Temporal receptive fields: every input drives neurons of several time constants.

    tau_mem_inv = 1 / (dt scale), with the scales of `temporal_scale_distribution`

Source: Lindeberg (2016), J. Math. Imaging Vis. 55:50, first-order integrators; the distribution is Norse's.
"""

from __future__ import annotations

import torch

from eventsim.errors import ModelError, SimulationError
from norse_bridge.neurons.lif_box import LIBoxCell, LIBoxParameters
from norse_bridge.receptive_fields import temporal_scale_distribution


def li_box_parameters(tau_mem_inv):
    """LIBoxParameters with these rates, in 1/s."""
    return LIBoxParameters(tau_mem_inv=tau_mem_inv)


class TemporalReceptiveField(torch.nn.Module):
    """Neurons of several time scales for every input: (batch, *shape) -> ((batch, n_scales, *shape), state).

    shape : of the input without its batch; channels first
    activation : the class of a cell of neurons, called with parameters and ``dt=dt``
    activation_state_map : from the rates in 1/s to the cell's parameters; needed for another activation than LIBoxCell
    min_scale, max_scale, c : as in `temporal_scale_distribution`; a scale of 1 is a time constant of one dt
    time_constants : the rates in 1/s in the place of scales: one for each scale, (n_scales), or of a shape that broadcasts to
        (n_scales, *shape); a Parameter is kept as it is
    dt : s

    The rates ``ps``, by default (n_scales, channels, 1, ...), are trained. The cell is made of them in every step, so that
    gradients reach them through any activation_state_map.
    """

    def __init__(
        self,
        shape,
        n_scales=4,
        activation=LIBoxCell,
        activation_state_map=li_box_parameters,
        min_scale=1,
        max_scale=None,
        c=1.41421,
        time_constants=None,
        dt=0.001,
    ):
        super().__init__()
        self.shape, self.n_scales, self.dt = torch.Size(shape), int(n_scales), dt
        self.activation, self.activation_state_map = activation, activation_state_map
        self.one_each = (self.n_scales, *(1 for _ in self.shape))
        if time_constants is None:
            scales = temporal_scale_distribution(self.n_scales, min_scale, max_scale, c)
            time_constants = ((1.0 / dt) / scales).reshape(self.one_each).repeat(1, *self.shape[:1], *self.one_each[2:])
        elif time_constants.shape != self.one_each[:1] and not _fits(time_constants, (self.n_scales, *self.shape)):
            raise ModelError(
                f"TemporalReceptiveField: time_constants must have the shape (n_scales,), here {self.one_each[:1]}, or one that "
                f"broadcasts to {(self.n_scales, *self.shape)}, not {tuple(time_constants.shape)}"
            )
        known = isinstance(time_constants, torch.nn.Parameter)
        self.ps = time_constants if known else torch.nn.Parameter(time_constants.detach().clone())

    @property
    def neurons(self):
        """The cell with the rates as they are now."""
        rates = self.ps.reshape(self.one_each) if self.ps.shape == self.one_each[:1] else self.ps
        return self.activation(self.activation_state_map(rates), dt=self.dt)

    def forward(self, x, state=None):
        batch = x.shape[: x.ndim - len(self.shape)]
        if x.shape != (*batch, *self.shape):
            raise SimulationError(
                f"TemporalReceptiveField: the input must have the shape {('batch', *self.shape)}, not {tuple(x.shape)}"
            )
        copies = x.unsqueeze(len(batch)).expand(*batch, self.n_scales, *self.shape)
        return self.neurons(copies, state)  # (batch, n_scales, *shape)

    def extra_repr(self):
        return f"shape={tuple(self.shape)}, n_scales={self.n_scales}, activation={self.activation.__name__}, dt={self.dt}"


def _fits(tensor, shape):
    """Whether a tensor broadcasts to the shape."""
    try:
        return torch.broadcast_shapes(tensor.shape, shape) == shape
    except RuntimeError:
        return False
