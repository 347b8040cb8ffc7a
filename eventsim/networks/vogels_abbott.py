"""The network of Vogels and Abbott with current-based synapses: activity that sustains itself after a random start.

Source: Vogels & Abbott (2005), J. Neurosci. 25:10786; as benchmark 2 (CUBA) of Brette et al. (2007), J. Comput. Neurosci. 23:349,
appendix B: tau dV/dt = (E_L - V) + g_exc + g_inh, synapses of 1.62 mV and -9 mV.
"""

from __future__ import annotations

from eventsim.distributions import Uniform
from eventsim.errors import NetworkError
from eventsim.models import AT_GRID, LIFExcInh
from eventsim.network import Network, Population, Projection
from eventsim.networks.example import Example
from eventsim.rules import FixedProbability

NEURON = LIFExcInh(
    tau_mem=20.0, tau_exc=5.0, tau_inh=10.0, v_leak=-49.0, v_th=-50.0, v_reset=-60.0, r_mem=1.0, refractory=5.0, order=AT_GRID
)  # fmt: skip
EXCITATORY_SHARE = 0.8
WEIGHTS = {"exc": 1.62, "inh": -9.0}  # mV of synaptic drive (the membrane's resistance is in it): 0.27 * 60/10, -4.5 * 20/10


def vogels_abbott(*, neurons: int = 4000, probability: float = 0.02, dt: float = 0.1) -> Example:
    """Build the network: 80 % excitatory, every pair connected with ``probability``, delay of one step.

    The start is random: V uniform between reset and threshold. E_L lies 1 mV above threshold, so every neuron fires on its own.
    """
    if neurons < 5:
        raise NetworkError(f"vogels-abbott: neurons must be at least 5, not {neurons}")
    excitatory = round(EXCITATORY_SHARE * neurons)
    sizes = {"exc": excitatory, "inh": neurons - excitatory}
    start = {"v": Uniform(NEURON.params.v_reset, NEURON.params.v_th)}
    network = Network(
        populations=tuple(Population(name, size, NEURON, initial=start) for name, size in sizes.items()),
        projections=tuple(
            Projection(source, target, FixedProbability(probability), weight=WEIGHTS[source], delay=dt, port=source)
            for source in sizes
            for target in sizes
        ),
    )
    description = "Self-sustained irregular activity with current-based synapses (Vogels & Abbott 2005; Brette et al. 2007, CUBA)."
    return Example("vogels-abbott", network, dt, 1000.0, 200.0, ("exc", "inh"), description)
