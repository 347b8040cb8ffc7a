"""Brunel's random balanced network of excitatory and inhibitory neurons with delta synapses.

Source: Brunel (2000), J. Comput. Neurosci. 8:183, model A: sect. 2.1 and fig. 8C, the asynchronous irregular state at g = 5,
nu_ext/nu_thr = 2. The paper has 12,500 neurons (C_E = 1000); 10,000 is the size that benchmarks of simulators use.
"""

from __future__ import annotations

from eventsim.errors import NetworkError
from eventsim.models import AT_GRID, LIFDelta
from eventsim.network import Network, Population, Projection
from eventsim.networks.example import Example
from eventsim.rules import FixedInDegree
from eventsim.stimuli import PoissonNoise

TAU_MEM = 20.0  # ms
THRESHOLD = 20.0  # mV above rest
RESET = 10.0  # mV above rest
REFRACTORY = 2.0  # ms
DELAY = 1.5  # ms
EXCITATORY_SHARE = 0.8
EPSILON = 0.1  # connection probability: C_E = EPSILON * N_E, C_I = EPSILON * N_I


def brunel(*, neurons: int = 10_000, g: float = 5.0, eta: float = 2.0, weight: float = 0.1, dt: float = 0.1) -> Example:
    """Build the network: tau dV/dt = -V, jumps of J mV (excitatory) and -g J (inhibitory), fixed in-degrees.

    Parameters
    ----------
    neurons : total number, 80 % of them excitatory
    g : strength of an inhibitory synapse relative to an excitatory one
    eta : nu_ext / nu_thr, external rate relative to the one that alone would reach threshold: nu_thr = theta / (J C_E tau)
    weight : J, mV
    dt : ms
    """
    if neurons < 50:
        raise NetworkError(f"brunel: neurons must be at least 50, not {neurons}; each excitatory in-degree is 8 % of it")
    excitatory = round(EXCITATORY_SHARE * neurons)
    sizes = {"exc": excitatory, "inh": neurons - excitatory}
    neuron = LIFDelta(tau_mem=TAU_MEM, v_leak=0.0, v_th=THRESHOLD, v_reset=RESET, refractory=REFRACTORY, order=AT_GRID)
    in_degrees = {name: round(EPSILON * size) for name, size in sizes.items()}
    weights = {"exc": weight, "inh": -g * weight}
    external = eta * 1000.0 * THRESHOLD / (weight * TAU_MEM)  # spikes/s: C_E trains of nu_ext each
    network = Network(
        populations=tuple(Population(name, size, neuron) for name, size in sizes.items()),
        projections=tuple(
            Projection(source, target, FixedInDegree(in_degrees[source]), weight=weights[source], delay=DELAY)
            for source in sizes
            for target in sizes
        ),
        inputs=tuple(PoissonNoise(name, rate=external, weight=weight) for name in sizes),
    )
    description = "Balanced random network with delta synapses, asynchronous irregular activity (Brunel 2000, model A)."
    return Example("brunel", network, dt, 1000.0, 200.0, ("exc", "inh"), description)
