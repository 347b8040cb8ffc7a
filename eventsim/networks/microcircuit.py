"""The cortical microcircuit of Potjans and Diesmann: 77,169 neurons and 299 million synapses under 1 mm^2 of cortex.

Source: Potjans & Diesmann (2014), Cereb. Cortex 24:785, table 5; in the version of the PyNEST reference implementation
(NEST simulator, examples Potjans_2014): Poisson or constant background, optimised initial voltages.
"""

from __future__ import annotations

import math

import numpy as np

from eventsim.distributions import Normal
from eventsim.errors import NetworkError
from eventsim.models import AFTER_RESET, LIF
from eventsim.network import Network, Population, Projection
from eventsim.networks.example import Example
from eventsim.rules import FixedTotalNumber
from eventsim.stimuli import Current, PoissonNoise

POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
CONNECTION_PROBABILITY = np.array(  # [target, source]
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
EXTERNAL_IN_DEGREE = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
BACKGROUND_RATE = 8.0  # spikes/s of each external fibre
PSP = 0.15  # mV, peak of an excitatory postsynaptic potential
G = -4.0  # an inhibitory weight relative to an excitatory one
L4E_TO_L23E = 2.0  # this one projection is twice as strong
WEIGHT_SPREAD = 0.1  # standard deviation relative to the mean
DELAY_MEAN = {"E": 1.5, "I": 0.75}  # ms, by the type of the source
DELAY_SPREAD = 0.5  # standard deviation relative to the mean
TAU_MEM, TAU_SYN, CAPACITY = 10.0, 0.5, 250.0  # ms, ms, pF
V_LEAK, V_RESET, V_TH, REFRACTORY = -65.0, -65.0, -50.0, 2.0  # mV, mV, mV, ms
START_MEAN = (-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43)  # mV, "optimised": no initial burst
START_SPREAD = (5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48)  # mV
DRIVES = ("poisson", "dc")
LEAST_SCALE_DC = 0.2  # seen: rates near the published ones from there on, silence at 0.1, volleys at 0.12
MEAN_RATES = (0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829)
"""Spikes/s per neuron at full scale, Poisson input: ``full_mean_rates`` of the PyNEST reference. Expected; scaling uses it."""


def current_per_potential() -> float:
    """pA of postsynaptic current whose potential peaks at 1 mV; 0.15 mV needs 87.8 pA.

    The potential is w tau_m tau_s / (C (tau_m - tau_s)) * (exp(-t/tau_m) - exp(-t/tau_s)), which peaks at
    t = ln(tau_m/tau_s) tau_m tau_s / (tau_m - tau_s).
    """
    ratio = (TAU_MEM / TAU_SYN) ** (1.0 / (TAU_SYN - TAU_MEM))
    return CAPACITY * (TAU_SYN - TAU_MEM) / (TAU_MEM * TAU_SYN * (ratio**TAU_MEM - ratio**TAU_SYN))


def synapse_numbers() -> np.ndarray:
    """Synapses of each projection at full scale, float64 (target, source).

    K = ln(1 - p) / ln(1 - 1/(N_source N_target)): so many draws with replacement connect a pair with probability p
    (Potjans & Diesmann 2014, eq. 1).
    """
    return np.log(1.0 - CONNECTION_PROBABILITY) / np.log1p(-1.0 / np.outer(SIZES, SIZES))


def mean_weights() -> np.ndarray:
    """Mean weight of each projection at full scale, pA (target, source)."""
    weights = np.full((8, 8), PSP * current_per_potential())
    weights[:, 1::2] *= G
    weights[0, 2] *= L4E_TO_L23E
    return weights


def external_current() -> np.ndarray:
    """pA into each population at full scale: the mean of its Poisson background, 0.001 tau_syn K_ext nu_bg w (DC drive)."""
    return 0.001 * TAU_SYN * EXTERNAL_IN_DEGREE * BACKGROUND_RATE * PSP * current_per_potential()


def compensating_current(scale: float, drive: str = "poisson") -> np.ndarray:
    """pA into each population that makes up for in-degrees scaled by ``scale`` and weights by 1/sqrt(scale): the mean input stays.

    van Albada et al. (2015), PLoS Comput. Biol. 11:e1004490, with the rates of the full network. A constant background is not
    scaled, so that with drive="dc" only the recurrent input is made up for.
    """
    in_degrees = synapse_numbers() / SIZES[:, None]
    recurrent = 0.001 * TAU_SYN * (mean_weights() * in_degrees * np.array(MEAN_RATES)).sum(axis=1)
    return (1.0 - np.sqrt(scale)) * (recurrent if drive == "dc" else recurrent + external_current())


def _background(scale: float, drive: str) -> list[PoissonNoise | Current]:
    """What comes from outside, with the current that scaling needs."""
    constant = compensating_current(scale, drive)
    if drive == "dc":
        return [Current(name, amplitude) for name, amplitude in zip(POPULATIONS, external_current() + constant, strict=True)]
    weight = PSP * current_per_potential() / np.sqrt(scale)
    inputs: list[PoissonNoise | Current] = [
        PoissonNoise(name, rate=BACKGROUND_RATE * round(float(count) * scale), weight=weight)
        for name, count in zip(POPULATIONS, EXTERNAL_IN_DEGREE, strict=True)
    ]
    if scale != 1.0:
        inputs += [Current(name, amplitude) for name, amplitude in zip(POPULATIONS, constant, strict=True)]
    return inputs


def _projections(scale: float, dt: float) -> list[Projection]:
    numbers = np.round(synapse_numbers() * scale * scale).astype(np.int64)
    weights = mean_weights() / np.sqrt(scale)
    projections = []
    for source, source_name in enumerate(POPULATIONS):
        delay = DELAY_MEAN[source_name[-1]]
        for target, target_name in enumerate(POPULATIONS):
            if numbers[target, source] == 0:
                continue
            mean = weights[target, source]
            low, high = (0.0, math.inf) if mean > 0 else (-math.inf, 0.0)  # no synapse changes its sign
            projections.append(
                Projection(
                    source_name,
                    target_name,
                    FixedTotalNumber(int(numbers[target, source])),
                    weight=Normal(mean, WEIGHT_SPREAD * abs(mean), low, high),
                    # The reference redraws below half a step and rounds to the grid, so that one step is the shortest delay.
                    delay=Normal(delay, DELAY_SPREAD * delay, low=np.nextafter(0.5 * dt, dt)),
                )
            )
    return projections


def microcircuit(*, scale: float = 1.0, drive: str = "poisson", dt: float = 0.1) -> Example:
    """Build the network. ``scale`` multiplies the number of neurons and the in-degrees; 1.0 is the published network.

    Below 1 weights grow by 1/sqrt(scale) and a constant current keeps the mean input, so that rates stay near the published
    ones; correlations do not.

    Parameters
    ----------
    scale : 0.001 to 1
    drive : "poisson", a train of 8 spikes/s for each external fibre, or "dc", a constant current of the same mean. Without the
        noise a network that is scaled down far falls silent, or fires in volleys: notes say so below a scale of 0.2.
    dt : ms
    """
    if not 0.001 <= scale <= 1.0:
        raise NetworkError(f"microcircuit: scale must lie between 0.001 and 1, not {scale}")
    if drive not in DRIVES:
        raise NetworkError(f"microcircuit: drive must be {' or '.join(DRIVES)}, not {drive!r}")
    neuron = LIF(
        tau_mem=TAU_MEM,
        tau_syn=TAU_SYN,
        v_leak=V_LEAK,
        v_th=V_TH,
        v_reset=V_RESET,
        r_mem=TAU_MEM / CAPACITY,  # mV/pA
        refractory=REFRACTORY,
        hold=("v",),
        order=AFTER_RESET,
    )
    sizes = np.maximum(1, np.round(SIZES * scale)).astype(int)
    populations = [
        Population(name, int(size), neuron, initial={"v": Normal(mean, spread)})
        for name, size, mean, spread in zip(POPULATIONS, sizes, START_MEAN, START_SPREAD, strict=True)
    ]
    notes = [] if scale == 1.0 else [f"scaled to {scale:g}: the expected rates are those of the full network"]
    if drive == "dc":
        notes.append("constant currents for the Poisson input: the expected rates are those with Poisson input")
    if drive == "dc" and scale < LEAST_SCALE_DC:
        notes.append(f"with constant currents and a scale below {LEAST_SCALE_DC:g} the activity may die or be synchronous")
    return Example(
        name="microcircuit",
        network=Network(tuple(populations), tuple(_projections(scale, dt)), tuple(_background(scale, drive))),
        dt=dt,
        duration=1000.0,
        discard=500.0,
        record=POPULATIONS,
        description="Layered cortical microcircuit of Potjans & Diesmann (2014) in the PyNEST reference version.",
        expected=MEAN_RATES,
        notes=tuple(notes),
    )
