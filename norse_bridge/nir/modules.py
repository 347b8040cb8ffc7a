"""The nodes of NIR that neither torch nor Norse has, as modules that take one step: (batch, ...) -> (batch, ...).

Scale: y = s x, Threshold: y = H(x - threshold), Delay: y(t) = x(t - delay), ScaledInput: y = neuron(s x),
CubaLIF: I' = synapse(w_in x), y = lif(r I').
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.models import IAFSubtract as IAF_SUBTRACT
from eventsim.models import Integrator as INTEGRATOR
from norse_bridge.family import Family
from norse_bridge.layer import OF_FAMILY, Cell
from norse_bridge.neurons import iaf
from norse_bridge.pytree import state_tuple
from norse_bridge.surrogate import threshold


class Scale(torch.nn.Module):
    """Each feature times its own weight. scale : the shape of the features, or ()."""

    def __init__(self, scale):
        super().__init__()
        self.scale = torch.nn.Parameter(scale)

    def forward(self, x):
        return self.scale * x


class Threshold(torch.nn.Module):
    """1 where the input is above the threshold, else 0. threshold : the shape of the features, or (); method, alpha : surrogate."""

    def __init__(self, threshold, method="super", alpha=100.0):
        super().__init__()
        self.method, self.alpha = method, alpha
        self.register_buffer("threshold", threshold)

    def forward(self, x):
        return threshold(x - self.threshold, self.method, self.alpha)


class Delay(torch.nn.Module):
    """``y(t) = x(t - steps dt)``, 0 before the first input: ``forward(x, state=None) -> (y, state)``.

    delay : s, the shape of the features or (): what is exported; steps : int64, the same in whole steps of dt, as
    `norse_bridge.nir.layers.delay_steps` rounds it. The state is the input of the last steps, the oldest first: (longest delay in
    steps, batch, ...).
    """

    delay: torch.Tensor
    steps: torch.Tensor

    def __init__(self, delay, steps, dt=0.001):
        super().__init__()
        self.dt = dt
        self.register_buffer("delay", delay)
        self.register_buffer("steps", steps, persistent=False)
        self.longest = int(self.steps.max()) if self.steps.numel() else 0

    @property
    def register(self) -> bool:
        """Whether no output depends on the input of the same step."""
        return self.steps.numel() > 0 and int(self.steps.min()) > 0

    def initial_state(self, x):
        """Silence before the first step. x : (batch, ...), or anything of its shape and type."""
        return x.new_zeros((self.longest, *x.shape))

    def past(self, state):
        """What a register says in this step: (batch, ...)."""
        index = (self.longest - self.steps).broadcast_to(state.shape[1:])
        return state.gather(0, index[None])[0]

    def forward(self, x, state=None):
        state = self.initial_state(x) if state is None else state
        heard = torch.cat([state, x[None]])  # (longest + 1, batch, ...)
        return self.past(heard), heard[1:]


class ScaledInput(torch.nn.Module):
    """A neuron whose input is multiplied by ``scale``, its NIR resistance: ``forward(x, state=None) -> (output, state)``."""

    def __init__(self, scale, neuron):
        super().__init__()
        self.register_buffer("scale", scale)
        self.neuron = neuron

    def forward(self, x, state=None):
        return self.neuron(self.scale * x, state)


@state_tuple
class CubaState(NamedTuple):
    """The states of the synapse and of the membrane."""

    synapse: Any
    lif: Any


class CubaLIF(torch.nn.Module):
    """A membrane behind a synapse: ``I' = synapse(w_in x)``, then ``lif(r I')``: ``forward(x, state=None) -> (output, state)``.

    w_in, r : tensors, the shape of the features or (); synapse : a LIBoxCell with v_leak = 0, whose voltage is the current;
    lif : a LIFBoxCell, or a LIBoxCell for NIR's CubaLI.
    """

    def __init__(self, w_in, synapse, r, lif):
        super().__init__()
        self.register_buffer("w_in", torch.as_tensor(w_in))
        self.register_buffer("r", torch.as_tensor(r))
        self.synapse, self.lif = synapse, lif

    def forward(self, x, state=None):
        state = CubaState(None, None) if state is None else state
        current, synapse = self.synapse(self.w_in * x, state.synapse)
        output, lif = self.lif(self.r * current, state.lif)
        return output, CubaState(synapse, lif)


class IAFSubtractCell(iaf.IAFCell, family=iaf.FAMILY._replace(model=IAF_SUBTRACT)):
    """`IAFCell` whose spike takes v_th off the voltage."""


@state_tuple
class IntegratorParameters(NamedTuple):
    """v_start: the initial voltage, in the unit of v."""

    v_start: Any = torch.as_tensor(0.0)


def _integrator_contract(p, dt):
    return INTEGRATOR.Params(slope=torch.zeros(()), v_start=p.v_start)


INTEGRATOR_FAMILY = Family(INTEGRATOR, _integrator_contract, iaf.IAFFeedForwardState, Parameters=IntegratorParameters)


class IntegratorCell(Cell, family=INTEGRATOR_FAMILY):
    """``v' = v + x``, one step: (batch, ...) -> (voltages (batch, ...), IAFFeedForwardState). It never fires."""

    def __init__(self, p=OF_FAMILY, dt=0.001, **options):
        super().__init__(p, dt=dt, **options)
