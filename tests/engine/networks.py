"""Random networks for property tests: delays, refractoriness, recurrence, layers without delay, all models and orders."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from eventsim import (
    AFTER_RESET,
    BEFORE_FLOW,
    BEFORE_RESET,
    IAF,
    LI,
    LIF,
    IAFSubtract,
    LIFCondExp,
    LIFDelta,
    LIFExcInh,
    LIFResetAll,
    LIFSubtract,
    Network,
    Population,
    Projection,
    SpikeSource,
)
from eventsim.connectivity import Connectivity

DT = 0.5
STEPS = 60


def neurons(draw, size):
    """A neuron of any kind. Each kind is machine code of its own, so the kinds are few and their values many."""
    tau = st.sampled_from([2.0, 5.0, 11.0])
    a, b, c = draw(tau), draw(tau), draw(tau)
    leak, reset = (
        draw(st.sampled_from([0.0, 0.0, 0.3, 1.4])),
        draw(st.sampled_from([0.0, -0.4])),
    )  # a leak above threshold: fires by itself
    kinds = [
        lambda: LIF(tau_mem=a, tau_syn=b, v_leak=leak, v_reset=reset, refractory=draw(st.sampled_from([0.5, 2.0]))),
        lambda: LIF(tau_mem=a, tau_syn=b, v_leak=leak, v_reset=reset, method="euler", order=BEFORE_FLOW),
        lambda: LIF(tau_mem=a, tau_syn=b, v_leak=leak, v_th=np.linspace(0.8, 1.2, size), refractory=1.0, order=AFTER_RESET),
        lambda: LIF(tau_mem=np.linspace(a, 12.0, size), tau_syn=b, v_leak=leak, method="euler"),
        lambda: LIFResetAll(tau_mem=a, tau_syn=b, v_leak=leak, refractory=1.5, hold=("v", "i"), order=BEFORE_RESET),
        lambda: LIF(tau_mem=a, tau_syn=b, v_leak=leak, refractory=1.5, hold="i"),  # a held current drives a running voltage
        lambda: LIFDelta(tau_mem=a, v_leak=leak, v_reset=reset),
        lambda: IAF(v_reset=reset),
        lambda: IAFSubtract(v_th=0.7),
        lambda: LIFSubtract(tau_mem=a, tau_syn=b, v_leak=leak, v_th=0.8, refractory=draw(st.sampled_from([0.0, 1.0]))),
        lambda: LIFExcInh(tau_mem=a, tau_exc=b, tau_inh=c, v_leak=leak, refractory=1.0),
        lambda: LIFCondExp(tau_mem=a, tau_exc=b, tau_inh=c, v_leak=leak, refractory=1.0),
    ]
    return draw(st.sampled_from(kinds))()


def connectivity(draw, sources, targets, shortest):
    """Random synapses with delays from ``shortest`` steps on; several between the same two neurons may occur."""
    count = draw(st.integers(0, 4 * targets))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    delays = (shortest + rng.integers(0, 1 + draw(st.sampled_from([0, 3, 20])), count)) * DT
    return Connectivity.from_coo(
        rng.integers(0, sources, count),
        rng.integers(0, targets, count),
        sources,
        targets,
        weights=rng.normal(0.25, 0.5, count),
        delays=delays,
    )


@st.composite
def driven_networks(draw):
    """(network, spikes of its source as 0 and 1 (STEPS, neurons))."""
    sizes = [draw(st.integers(1, 12)) for _ in range(draw(st.integers(2, 4)))]
    populations = [Population("input", sizes[0], SpikeSource())]
    populations += [Population(f"layer{i}", n, neurons(draw, n)) for i, n in enumerate(sizes[1:], 1)]
    if draw(st.booleans()):
        populations.append(Population("readout", 3, LI()))
        sizes.append(3)
    projections = []
    for a, source in enumerate(populations):
        for b, target in enumerate(populations):
            if b == 0 or not source.spiking or not (b == a + 1 or draw(st.booleans())):
                continue
            forward = b > a and draw(st.booleans())
            port = draw(st.sampled_from([None, *list(target.neuron.model.ports)[-1:]]))
            made = connectivity(draw, sizes[a], sizes[b], 0 if forward else 1)
            projections.append(Projection(source.name, target.name, made, port=port))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spikes = (rng.random((STEPS, sizes[0])) < draw(st.sampled_from([0.02, 0.3]))).astype(np.uint8)
    return Network(populations, projections), spikes
