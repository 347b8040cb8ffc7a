"""LI: leaky integrator with an exponentially decaying synaptic current. It never fires: a readout.

    tau_mem dv/dt = (v_leak - v) + r_mem i        tau_syn di/dt = -i        an arriving weight w: i -> i + w

The flow is that of `eventsim.models.lif`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.models import lif
from eventsim.models.model import Model


class Params(NamedTuple):
    tau_mem: Any = 10.0
    tau_syn: Any = 5.0
    v_leak: Any = 0.0
    r_mem: Any = 1.0


LI = Model(
    name="LI",
    State=lif.State,
    Params=Params,
    Propagator=lif.Propagator,
    exact=lif.exact,
    euler=lif.euler,
    euler_flow=lif.euler_flow,
    advance=lif.advance,
    ports=lif.LIF.ports,
    inject=lif.inject,
    initial=lif.initial,
    turning_time=lif.turning_time,
    positive=lif.LIF.positive,
    units={name: unit for name, unit in lif.LIF.units.items() if name not in ("v_th", "v_reset")},
    doc=__doc__,
)
