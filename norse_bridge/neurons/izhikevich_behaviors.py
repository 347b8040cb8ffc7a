"""The spiking behaviours of Izhikevich neurons, as Norse has them: parameters, and the state to start from.

Every behaviour is a constant: layers copy what is in it.

Source: Izhikevich (2004), IEEE Trans. Neural Netw. 15:1063, figure 1; the numbers are Norse's.
"""

from __future__ import annotations

import torch

from norse_bridge.neurons.izhikevich import IzhikevichParameters, IzhikevichSpikingBehavior, IzhikevichState


def create_izhikevich_spiking_behavior(a, b, c, d, v_rest, u_rest, tau_inv=250.0):
    """A behaviour that starts from v = v_rest and u = b u_rest (u_rest is, as in Norse, a voltage)."""
    return _behavior(a, b, c, d, v_rest, u_start=torch.as_tensor(u_rest) * b, tau_inv=tau_inv)


def _behavior(a, b, c, d, v_start, u_start=None, **more):
    v = torch.as_tensor(v_start)
    state = IzhikevichState(v, v * b if u_start is None else torch.as_tensor(u_start))
    return IzhikevichSpikingBehavior(IzhikevichParameters(a=a, b=b, c=c, d=d, **more), state)


tonic_spiking = _behavior(0.02, 0.2, -65.0, 6.0, -70.0)
phasic_spiking = _behavior(0.02, 0.25, -65.0, 6.0, -64.0)
tonic_bursting = _behavior(0.02, 0.2, -50.0, 2.0, -70.0)
phasic_bursting = _behavior(0.02, 0.25, -55.0, 0.05, -64.0, tau_inv=200.0)
mixed_mode = _behavior(0.02, 0.2, -55.0, 4.0, -70.0)
spike_frequency_adaptation = _behavior(0.01, 0.2, -65.0, 8.0, -70.0)
class_1_exc = _behavior(0.02, -0.1, -55.0, 6.0, -60.0, mn=4.1, bias=108.0)
class_2_exc = _behavior(0.2, 0.26, -65.0, 0.0, -64.0)
spike_latency = _behavior(0.02, 0.2, -65.0, 6.0, -70.0)
subthreshold_oscillation = _behavior(0.05, 0.26, -60.0, 0.0, -62.0)
resonator = _behavior(0.1, 0.26, -60.0, -1.0, -62.0)
integrator = _behavior(0.02, -0.1, -55.0, 6.0, -60.0, mn=4.1, bias=108.0)
rebound_spike = _behavior(0.03, 0.25, -60.0, 4.0, -64.0, tau_inv=200.0)
rebound_burst = _behavior(0.03, 0.25, -52.0, 0.0, -64.0, tau_inv=200.0)
threshold_variability = _behavior(0.03, 0.25, -60.0, 4.0, -64.0)
bistability = _behavior(0.1, 0.26, -60.0, 0.0, -61.0)
dap = _behavior(1.0, 0.2, -60.0, -21.0, -70.0, tau_inv=100.0)
accomodation = _behavior(0.02, 1.0, -55.0, 4.0, -65.0, u_start=-16.0, tau_inv=500.0)
inhibition_induced_spiking = _behavior(-0.02, -1.0, -60.0, 8.0, -63.8)
inhibition_induced_bursting = _behavior(-0.026, -1.0, -45.0, -2.0, -63.8)
