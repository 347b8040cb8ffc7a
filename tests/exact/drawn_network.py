"""Networks of 1,000 neurons as plain arrays, for the exact engine, its reference in plain Python and NEST.

Three kinds: *layers*, five of 200, each of which drives the next one; *weak*, recurrent, in which each fires by itself;
*strong*, balanced and strongly coupled: with every model but those without a leak, what is rounded grows there until two runs part.
Only NumPy is used, and of it only raw bits of a generator, whose stream is fixed: NEST's interpreter draws the same network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NEURONS, SOURCES, LAYER, DEGREE, OUT = 1000, 50, 200, 40, 30
COMMON = {"v_th": 20.0, "v_reset": 10.0}
MEMBRANE = {"tau_mem": 20.0, "r_mem": 1.0, **COMMON}
SYNAPSE = {**MEMBRANE, "tau_syn": 2.0}
ADAPTS = {**SYNAPSE, "tau_adapt": 100.0, "beta": 0.5}
SQUARE = {"tau_mem": 5.0, "curve": 1.0, "v_leak": -1.0, "v_crit": 1.0, "v_th": 10.0, "v_reset": 0.0}
CURRENT, VOLTAGE = ("i", "i"), ("v", "v")


class Kind(NamedTuple):
    """gain, outer : of the weights within and from the sources; g : of inhibition; rate : of each source, spikes/ms
    delays : the shortest and the longest, ms; duration : ms
    """

    gain: float
    outer: float
    g: float
    delays: tuple[float, float]
    duration: float
    rate: float = 0.2


LAYERS, WEAK = Kind(3.0, 5.0, 5.0, (0.75, 3.0), 40.0), Kind(0.01, 2.0, 5.0, (0.75, 3.0), 40.0)


class Law(NamedTuple):
    """Of one model: its parameters and refractory period, the weight of an excitatory synapse, the ports of excitation and inhibition;
    what the neuron is driven by, by name, in the three kinds; where voltages begin; what is different in the strong kind."""

    params: dict[str, float]
    weight: float
    ports: tuple[str, str]
    drives: tuple[str, float, float, float]
    strong: Kind
    other: dict[str, float] = {}
    refractory: float = 2.0
    begin: tuple[float, float] = (10.0, 20.0)


def _balanced(gain, g):
    return Kind(gain, gain, g, (0.5, 1.0), 80.0)


QUICK = {"tau_syn": 1.0}
LEAK = ("v_leak", 12.0, 24.0, 18.0)
LAWS = {
    "IAF": Law(COMMON, 0.6, VOLTAGE, ("slope", 0.2, 0.8, 0.8), _balanced(1.5, 4.5)),
    "IAFSubtract": Law(COMMON, 0.6, VOLTAGE, ("slope", 0.2, 0.8, 0.8), _balanced(1.5, 4.5)),
    "LIFDelta": Law(
        MEMBRANE, 0.6, VOLTAGE, ("v_leak", 12.0, 24.0, 21.0), _balanced(5.0 / 3.0, 4.0), {"tau_mem": 5.0, "v_reset": 0.0}, 0.5
    ),
    "QIF": Law(SQUARE, 0.2, VOLTAGE, ("drive", 0.0, 2.0, 1.0), _balanced(2.5, 4.5), {}, 0.5, (-2.0, 2.0)),
    "LIF": Law(SYNAPSE, 6.0, CURRENT, LEAK, _balanced(13.0, 4.0), QUICK),
    "LIFResetAll": Law(SYNAPSE, 6.0, CURRENT, LEAK, _balanced(13.0, 4.0), QUICK),
    "LIFSubtract": Law(SYNAPSE, 6.0, CURRENT, LEAK, _balanced(24.0, 3.5), QUICK),
    "LIFExcInh": Law(
        {**MEMBRANE, "tau_exc": 2.0, "tau_inh": 4.0},
        6.0,
        ("exc", "inh"),
        LEAK,
        _balanced(13.0, 3.0),
        {"tau_exc": 1.0, "tau_inh": 1.5},
    ),
    "LIFAlpha": Law({**SYNAPSE, "tau_syn": 1.0}, 4.0, CURRENT, LEAK, _balanced(13.0, 4.0), {"tau_syn": 0.5}),
    "LSNN": Law(ADAPTS, 6.0, CURRENT, LEAK, _balanced(13.0, 4.0), QUICK),
    "AdaLIF": Law(ADAPTS, 6.0, CURRENT, LEAK, _balanced(13.0, 4.0), QUICK),
}
NO_LEAK = ("IAF", "IAFSubtract")
KINDS = ("layers", "weak", "strong")


class Draws:
    """Numbers from raw bits."""

    def __init__(self, seed):
        self.bits = np.random.PCG64(seed)

    def uniform(self, low, high, many):
        return low + (high - low) * ((self.bits.random_raw(many) >> np.uint64(11)) * 2.0**-53)

    def below(self, end, many):
        return np.floor(self.uniform(0.0, end, many)).astype(np.int64)


class DrawnNetwork:
    """model : a name in `LAWS`; kind : one of `KINDS`
    delays : "one" for all, "drawn" for any numbers, or "eighths" for those that are multiples of 1/8 ms
    """

    def __init__(self, model, kind, delays, seed=1):
        law, draws = LAWS[model], Draws(seed)
        self.model, self.kind, self.law = model, kind, {"layers": LAYERS, "weak": WEAK, "strong": law.strong}[kind]
        self.params = {**law.params, law.drives[0]: law.drives[1 + KINDS.index(kind)], **(law.other if kind == "strong" else {})}
        self.refractory, self.ports, self.duration = law.refractory, law.ports, self.law.duration
        many, outer = NEURONS * DEGREE, SOURCES * OUT
        self.source, self.target = draws.below(NEURONS, many), draws.below(NEURONS, many)
        if kind == "layers":
            self.source = draws.below(NEURONS - LAYER, many)
            self.target = self.source // LAYER * LAYER + LAYER + draws.below(LAYER, many)
        self.inhibits = self.source % 5 == 4
        self.weight = self.law.gain * law.weight * draws.uniform(0.5, 1.5, many) * np.where(self.inhibits, -self.law.g, 1.0)
        self.outer_source, self.outer_target = draws.below(SOURCES, outer), draws.below(LAYER, outer)
        self.outer_weight = self.law.outer * law.weight * draws.uniform(0.5, 1.5, outer)
        self.delay, self.outer_delay = self._delays(draws, delays, many), self._delays(draws, delays, outer)
        self.times = np.sort(draws.uniform(0.5, self.duration, round(SOURCES * self.law.rate * self.duration)))
        self.givers = draws.below(SOURCES, len(self.times))
        self.start = draws.uniform(*law.begin, NEURONS)

    def _delays(self, draws, delays, many):
        shortest, longest = self.law.delays
        if delays == "one":
            return np.full(many, shortest + 0.25)
        drawn = draws.uniform(shortest, longest, many)
        return drawn if delays == "drawn" else np.round(8.0 * drawn) / 8.0
