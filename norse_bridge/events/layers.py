"""Layers in continuous time as modules, with their weights as parameters.

Weights are drawn from a normal distribution of mean ``mean / inputs`` and standard deviation ``std / sqrt(inputs)``. With the
default time constants a spike of weight w lifts the voltage by w/4 at most: a neuron whose inputs fire together once is lifted to
2 thresholds on average by ``mean = 8``.
"""

from __future__ import annotations

import math

import torch

from norse_bridge.events.arrays import rows_of
from norse_bridge.events.checks import check_number
from norse_bridge.events.functions import event_li, event_li_max, event_lif, event_lif_recurrent
from norse_bridge.events.training import event_lif_first
from norse_bridge.neurons import li, lif
from norse_bridge.neurons.li import LIParameters
from norse_bridge.neurons.lif import LIFParameters
from norse_bridge.parameters import ParameterStore

MEAN, STD = 8.0, 2.0


def _drawn(outputs, inputs, mean, std):
    return torch.nn.Parameter(mean / max(1, inputs) + std / math.sqrt(max(1, inputs)) * torch.randn(outputs, inputs))


class _EventLayer(torch.nn.Module):
    """Weights, and a tuple of parameters that moves with the module."""

    family = lif.FAMILY

    def __init__(self, input_size, hidden_size, p, duration, mean, std):
        super().__init__()
        self.input_size, self.hidden_size, self.duration = int(input_size), int(hidden_size), float(duration)
        rows_of(self.family, p, self.hidden_size, type(self).__name__)  # refuses what cannot be
        self.parameter_tuple = ParameterStore(p)
        self.weights = _drawn(self.hidden_size, self.input_size, mean, std)

    @property
    def p(self):
        """The parameter tuple."""
        return self.parameter_tuple.values()

    def extra_repr(self):
        return f"{self.input_size}, {self.hidden_size}, duration={self.duration}"


class EventLIF(_EventLayer):
    """LIF neurons: (batch, inputs, spikes) -> (batch, hidden, spikes), times in s.

    Parameters
    ----------
    input_size, hidden_size : numbers of inputs and neurons
    p : `LIFParameters`, rates in 1/s; without gradient
    spikes : how many of each neuron's first spikes to give, or None: all
    duration : s; what comes later is not simulated
    mean, std : of the weights at first, see `norse_bridge.events.layers`

    ``weights`` : (hidden, inputs)
    """

    def __init__(
        self, input_size, hidden_size, p: LIFParameters = lif.DEFAULT, *, spikes=None, duration=math.inf, mean=MEAN, std=STD
    ):
        super().__init__(input_size, hidden_size, p, duration, mean, std)
        self.spikes = spikes

    def forward(self, times):
        return event_lif(times, self.weights, self.p, spikes=self.spikes, duration=self.duration)


class EventLIFFirst(_EventLayer):
    """LIF neurons as a readout of which only the first spike counts: (batch, inputs, spikes) -> (batch, outputs), s, all finite.

    late, lift : s, of the times that silent neurons have, see `event_lif_first`; all else as in `EventLIF`
    """

    def __init__(self, input_size, output_size, p: LIFParameters = lif.DEFAULT, *, late, lift, mean=MEAN, std=STD):
        check_number(late, "EventLIFFirst", "late")
        check_number(lift, "EventLIFFirst", "lift")
        super().__init__(input_size, output_size, p, late, mean, std)
        self.lift = float(lift)

    def forward(self, times):
        return event_lif_first(times, self.weights, self.p, late=self.duration, lift=self.lift)


class EventLIFRecurrent(_EventLayer):
    """LIF neurons that also hear one another: (batch, inputs, spikes) -> (batch, hidden, spikes), times in s.

    delay : s, from a spike to its arrival in the layer itself; recurrent_std : of the recurrent weights at first, whose mean is 0;
    all else as in `EventLIF`

    ``weights`` : (hidden, inputs); ``recurrent_weights`` : (hidden, hidden), the target first
    """

    def __init__(
        self,
        input_size,
        hidden_size,
        p: LIFParameters = lif.DEFAULT,
        *,
        delay=0.0,
        spikes=None,
        duration=math.inf,
        mean=MEAN,
        std=STD,
        recurrent_std=0.5,
    ):
        super().__init__(input_size, hidden_size, p, duration, mean, std)
        self.delay, self.spikes = float(delay), spikes
        self.recurrent_weights = _drawn(self.hidden_size, self.hidden_size, 0.0, recurrent_std)

    def forward(self, times):
        w, fed_back, p = self.weights, self.recurrent_weights, self.p
        return event_lif_recurrent(times, w, fed_back, p, delay=self.delay, spikes=self.spikes, duration=self.duration)


class EventLI(_EventLayer):
    """Leaky integrators as a readout: spike times (batch, inputs, spikes) -> the greatest voltage of each (batch, outputs).

    Called with ``at``, times in s of shape (reads,) or (batch, reads): the voltages then, (batch, outputs, reads).

    p : `LIParameters`; duration : s, until when the greatest voltage is looked for; all else as in `EventLIF`
    """

    family = li.FAMILY

    def __init__(self, input_size, output_size, p: LIParameters = li.DEFAULT, *, duration=math.inf, mean=0.0, std=STD):
        super().__init__(input_size, output_size, p, duration, mean, std)

    def forward(self, times, at=None):
        if at is not None:
            return event_li(times, self.weights, at, self.p)
        return event_li_max(times, self.weights, self.p, duration=self.duration)[0]
