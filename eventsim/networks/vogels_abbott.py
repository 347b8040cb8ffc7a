"""The network of Vogels and Abbott, with currents (CUBA) or conductances (COBA) as synapses: activity that sustains itself.

Source: Vogels & Abbott (2005), J. Neurosci. 25:10786; as benchmarks 1 (COBA) and 2 (CUBA) of Brette et al. (2007), J. Comput.
Neurosci. 23:349, appendix B:

    CUBA: tau dV/dt = (E_L - V) + g_exc + g_inh, synapses of 1.62 mV and -9 mV, E_L = -49 mV
    COBA: C dV/dt = g_L (E_L - V) + g_exc (E_exc - V) + g_inh (E_inh - V), synapses of 6 nS and 67 nS, E_L = -60 mV
"""

from __future__ import annotations

from typing import Any, NamedTuple

from eventsim.distributions import Normal, Uniform
from eventsim.errors import NetworkError
from eventsim.models import AT_GRID, LIFCondExp, LIFExcInh, Neuron
from eventsim.network import Network, Population, Projection
from eventsim.networks.example import Example
from eventsim.rules import FixedProbability

EXCITATORY_SHARE = 0.8
LEAK = 10.0  # nS; with the capacity of 200 pF the time constant of 20 ms
V_TH, V_RESET, REFRACTORY = -50.0, -60.0, 5.0  # mV, mV, ms
TAU_MEM, TAU_EXC, TAU_INH = 20.0, 5.0, 10.0  # ms


class Variant(NamedTuple):
    """What the two benchmarks do not share."""

    neuron: Neuron
    weights: dict[str, float]
    initial: dict[str, Any]
    description: str


CUBA = Variant(
    neuron=LIFExcInh(
        tau_mem=TAU_MEM,
        tau_exc=TAU_EXC,
        tau_inh=TAU_INH,
        v_leak=-49.0,
        v_th=V_TH,
        v_reset=V_RESET,
        r_mem=1.0,
        refractory=REFRACTORY,
        order=AT_GRID,
    ),
    weights={"exc": 1.62, "inh": -9.0},  # mV of synaptic drive (the membrane's resistance is in it): 0.27 * 60/10, -4.5 * 20/10
    initial={"v": Uniform(V_RESET, V_TH)},
    description="Self-sustained irregular activity with current-based synapses (Vogels & Abbott 2005; Brette et al. 2007, CUBA).",
)
COBA = Variant(
    neuron=LIFCondExp(
        tau_mem=TAU_MEM,
        tau_exc=TAU_EXC,
        tau_inh=TAU_INH,
        v_leak=-60.0,
        v_th=V_TH,
        v_reset=V_RESET,
        e_exc=0.0,
        e_inh=-80.0,
        r_mem=1.0 / LEAK,
        refractory=REFRACTORY,
        order=AT_GRID,
    ),
    weights={"exc": 6.0, "inh": 67.0},  # nS
    initial={  # a twentieth of the inhibitory conductances start below 0: those neurons fire first, and keep the network going
        "v": Normal(-65.0, 5.0),
        "exc": Normal(4.0 * LEAK, 1.5 * LEAK),
        "inh": Normal(20.0 * LEAK, 12.0 * LEAK),
    },
    description="Self-sustained irregular activity, synapses are conductances (Vogels & Abbott 2005; Brette et al. 2007, COBA).",
)
VARIANTS = {"cuba": CUBA, "coba": COBA}


def vogels_abbott(
    *, synapses: str = "cuba", neurons: int = 4000, probability: float = 0.02, delay: float | None = None, dt: float = 0.1
) -> Example:
    """Build the network: 80 % excitatory, every pair connected with ``probability``.

    The start is random. CUBA: V uniform between reset and threshold; E_L lies 1 mV above threshold, so that every neuron fires
    on its own. COBA: V and both conductances normal, about what they are in the active network, with the constants of R. Brette's
    script for Brian (2007). Some conductances start below 0 there, and must: cut off at 0 the activity dies within 35 ms for a
    third of the seeds. E_L lies 10 mV below threshold, so that activity which dies does not come back; small networks do not
    sustain it at all.

    Parameters
    ----------
    synapses : "cuba" (currents, benchmark 2) or "coba" (conductances, benchmark 1)
    neurons : total number
    probability : of a synapse between any two
    delay : ms, of all synapses; None: one step
    dt : ms
    """
    if synapses not in VARIANTS:
        raise NetworkError(f"vogels-abbott: synapses must be {' or '.join(VARIANTS)}, not {synapses!r}")
    if neurons < 5:
        raise NetworkError(f"vogels-abbott: neurons must be at least 5, not {neurons}")
    if delay is not None and not delay > 0:
        raise NetworkError(f"vogels-abbott: delay must be above 0 ms, not {delay}")
    variant = VARIANTS[synapses]
    excitatory = round(EXCITATORY_SHARE * neurons)
    sizes = {"exc": excitatory, "inh": neurons - excitatory}
    network = Network(
        populations=tuple(Population(name, size, variant.neuron, initial=variant.initial) for name, size in sizes.items()),
        projections=tuple(
            Projection(
                source,
                target,
                FixedProbability(probability),
                weight=variant.weights[source],
                delay=dt if delay is None else delay,
                port=source,
            )
            for source in sizes
            for target in sizes
        ),
    )
    return Example("vogels-abbott", network, dt, 1000.0, 200.0, ("exc", "inh"), variant.description)
