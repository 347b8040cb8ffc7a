"""Single neurons in 50 digits, from their equations alone: nothing of eventsim is called.

Between events every state of a linear neuron is an exponential polynomial, a sum of P(t) exp(-rate t). Zeros of such a sum f are found
by Rolle's theorem: exp(rate t) f has one term, or one degree, less in its derivative; between the zeros of that f has one zero at
most. So all crossings are found, with no assumption on how many there are. `QIF` has its own solution, by tan and by logarithms.

Besides its spikes a neuron gives their *conditioning*: by how much float64 may move them, to first order. Each state is rounded
at each event, to half a unit in the last place of the largest number in the neuron; errors flow as the states do; an error of the
margin is one of a spike's time by the slope there, and an error of a time one of all states by what the spike changed in their slopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath
from mpmath import mp, mpf

DIGITS = 50
PATIENCE = 100  # steps of Newton's method before every other one is a bisection: far out a step is a time constant long
EPS = mpf(2) ** -53


class Sum:
    """f(t) = sum of P(t) exp(-rate t): a dict from rate to the coefficients of P, the lowest first."""

    def __init__(self, terms: dict[Any, list[Any]]):
        self.terms = {}
        for rate, coefficients in terms.items():
            while coefficients and coefficients[-1] == 0:
                coefficients = coefficients[:-1]
            if coefficients:
                self.terms[rate] = coefficients

    def __call__(self, t):
        total = mpf(0)
        for rate, coefficients in self.terms.items():
            value = mpf(0)
            for c in reversed(coefficients):
                value = value * t + c
            total += value * mp.exp(-rate * t) if rate else value
        return total

    def __add__(self, other):
        terms = {rate: list(c) for rate, c in self.terms.items()}
        for rate, added in other.terms.items():
            old = terms.get(rate, [])
            longer = max(len(old), len(added))
            terms[rate] = [(old[n] if n < len(old) else mpf(0)) + (added[n] if n < len(added) else mpf(0)) for n in range(longer)]
        return Sum(terms)

    def scaled(self, factor):
        return Sum({rate: [factor * c for c in coefficients] for rate, coefficients in self.terms.items()})

    def sloped(self, lift):
        """exp(-lift t) d/dt (exp(lift t) f)"""
        found = {}
        for rate, c in self.terms.items():
            following = [(n + 1) * c[n + 1] for n in range(len(c) - 1)] + [mpf(0)]
            found[rate] = [d + (lift - rate) * value for d, value in zip(following, c, strict=True)]
        return Sum(found)

    def derivative(self):
        return self.sloped(mpf(0))

    def filtered(self, rate, start):
        """The solution of dx/dt = -rate x + f with x(0) = start."""
        found = Sum({})
        for other, c in self.terms.items():
            lag, made = rate - other, [mpf(0)] * (len(c) + 1)
            if lag == 0:
                made[1:] = [value / (n + 1) for n, value in enumerate(c)]
            else:
                for n in reversed(range(len(c))):
                    made[n] = (c[n] - (n + 1) * made[n + 1]) / lag
            found = found + Sum({other: made})
        return found + Sum({rate: [start - found(mpf(0))]})

    def zeros(self, end):
        """All in (0, end), ascending."""
        if sum(len(c) for c in self.terms.values()) <= 1:
            return []
        lift = min(self.terms)
        borders, found, slope = [mpf(0), *self.sloped(lift).zeros(end), end], [], self.derivative()
        values = [self(t) for t in borders]
        for a, b, left, right in zip(borders, borders[1:], values, values[1:], strict=False):
            if left * right < 0:
                found.append(self._root(slope, a, b, left))
        return found

    def _root(self, slope, a, b, left):
        t = (a + b) / 2
        for tries in range(1000):
            value = self(t)
            if value == 0:
                return t
            a, b = (t, b) if value * left > 0 else (a, t)
            rate = slope(t)
            new = t - value / rate if rate else a
            if not a < new < b or (tries > PATIENCE and tries % 2):
                new = (a + b) / 2
            if abs(new - t) <= mpf(10) ** (3 - DIGITS) * (abs(t) + mpf(10) ** -20):
                return new
            t = new
        raise ArithmeticError("no zero found")

    def first_above(self, end):
        """The first t in [0, end] from which on f is above 0, or None."""
        if self(mpf(0)) > 0:
            return mpf(0)
        borders = [mpf(0), *self.zeros(end), end]
        for a, b in zip(borders, borders[1:], strict=False):
            if self((a + b) / 2) > 0:
                return a
        return None

    def highest(self, end):
        """The greatest value in [0, end]."""
        return max(self(t) for t in [mpf(0), *self.derivative().zeros(end), end])


def constant(value):
    return Sum({mpf(0): [value]})


def decay(tau, start):
    return Sum({1 / tau: [start]})


def membrane(p, s, *currents):
    """v of tau_mem dv/dt = v_leak - v + currents"""
    drive = constant(p["v_leak"])
    for current in currents:
        drive = drive + current
    return drive.scaled(1 / p["tau_mem"]).filtered(1 / p["tau_mem"], s["v"])


# Each model: flow (p, s) -> states over time; how a weight lands, what a spike does.


def lif_flow(p, s):
    i = decay(p["tau_syn"], s["i"])
    return {"v": membrane(p, s, i.scaled(p["r_mem"])), "i": i}


def exc_inh_flow(p, s):
    exc, inh = decay(p["tau_exc"], s["exc"]), decay(p["tau_inh"], s["inh"])
    return {"v": membrane(p, s, exc.scaled(p["r_mem"]), inh.scaled(p["r_mem"])), "exc": exc, "inh": inh}


def alpha_flow(p, s):
    h = decay(p["tau_syn"], s["h"])
    i = h.scaled(mp.e / p["tau_syn"]).filtered(1 / p["tau_syn"], s["i"])
    return {"v": membrane(p, s, i.scaled(p["r_mem"])), "i": i, "h": h}


def ada_flow(p, s):
    i, b = decay(p["tau_syn"], s["i"]), decay(p["tau_adapt"], s["b"])
    return {"v": membrane(p, s, i.scaled(p["r_mem"]), b.scaled(mpf(-1))), "i": i, "b": b}


def lsnn_flow(p, s):
    b = constant(p["v_th"]) + decay(p["tau_adapt"], s["b"] - p["v_th"])
    return {**lif_flow(p, s), "b": b}


def delta_flow(p, s):
    return {"v": membrane(p, s)}


def line_flow(p, s):
    return {"v": Sum({mpf(0): [s["v"], p["slope"]]})}


def above_threshold(p, flow):
    return flow["v"] + constant(-p["v_th"])


def above_moving_threshold(p, flow):
    return flow["v"] + flow["b"].scaled(mpf(-1))


def to_reset(p, s):
    return {**s, "v": p["v_reset"]}


def to_nothing(p, s):
    return {"v": p["v_reset"], "i": mpf(0)}


def less_threshold(p, s):
    return {**s, "v": s["v"] - p["v_th"]}


def adapted(p, s):
    return {**s, "v": s["v"] - (p["v_th"] - p["v_reset"]), "b": s["b"] + p["beta"]}


def lifted(p, s):
    return {**s, "v": p["v_reset"], "b": s["b"] + p["beta"]}


def from_leak(p):
    return p["v_leak"]


@dataclass(frozen=True)
class Equations:
    flow: Any
    ports: dict[str, str]  # port to state
    reset: Any
    at_reset: tuple[str, ...] = ("v",)  # states that a spike sets, whatever they were
    margin: Any = above_threshold
    drive: tuple[str, str] = ("v_leak", "r_mem")  # what a current adds to, and its factor
    begin: Any = from_leak


EQUATIONS = {
    "LIF": Equations(lif_flow, {"i": "i", "v": "v"}, to_reset),
    "LIFResetAll": Equations(lif_flow, {"i": "i", "v": "v"}, to_nothing, ("v", "i")),
    "LIFSubtract": Equations(lif_flow, {"i": "i", "v": "v"}, less_threshold, ()),
    "LIFExcInh": Equations(exc_inh_flow, {"exc": "exc", "inh": "inh", "v": "v"}, to_reset),
    "LIFAlpha": Equations(alpha_flow, {"i": "h", "v": "v"}, to_reset),
    "LIFDelta": Equations(delta_flow, {"v": "v"}, to_reset),
    "IAF": Equations(line_flow, {"v": "v"}, to_reset, drive=("slope", ""), begin=lambda p: p["v_start"]),
    "IAFSubtract": Equations(line_flow, {"v": "v"}, less_threshold, (), drive=("slope", ""), begin=lambda p: p["v_start"]),
    "AdaLIF": Equations(ada_flow, {"i": "i", "v": "v"}, adapted, ()),
    "LSNN": Equations(lsnn_flow, {"i": "i", "v": "v"}, lifted, margin=above_moving_threshold),
}


class Linear:
    """A neuron of one of the linear models, in a state."""

    def __init__(self, name: str, p: dict[str, Any], states: tuple[str, ...]):
        self.e, self.p = EQUATIONS[name], p
        self.s = dict.fromkeys(states, mpf(0))
        self.s["v"] = self.e.begin(p)
        if name == "LSNN":
            self.s["b"] = p["v_th"]
        self.error = dict.fromkeys(states, mpf(0))

    def with_current(self, current):
        """Its parameters from now on."""
        name, factor = self.e.drive
        self.p = {**self.base, name: self.base[name] + (self.base[factor] if factor else 1) * current}

    def size(self):
        """The largest number that v is computed from."""
        known = [self.p[name] for name in ("v_leak", "v_th", "v_reset") if name in self.p]
        return max(
            abs(value) for value in (*known, *(value * self.p.get("r_mem", 1) for value in self.s.values()), *self.s.values())
        )

    def prepare(self, held):
        """The flow from here on; v stands still if held."""
        self.f = self.e.flow(self.p, self.s)
        if held:
            self.f["v"] = constant(self.s["v"])
        self.held = held

    def crossing(self, end):
        return self.e.margin(self.p, self.f).first_above(end)

    def slope_now(self):
        return self.e.margin(self.p, self.e.flow(self.p, self.s)).derivative()(mpf(0))

    def margin_error(self):
        return self.error["v"] + (self.error["b"] if self.e.margin is above_moving_threshold else 0)

    def slopes(self, held):
        found = {name: f.derivative()(mpf(0)) for name, f in self.e.flow(self.p, self.s).items()}
        return {**found, "v": mpf(0)} if held else found

    def advance(self, t):
        """Along the prepared flow; the error of each state is carried along by a flow without drive, each sign at its worst."""
        at_rest = {name: (mpf(0) if name in ("v_leak", "v_th", "slope") else value) for name, value in self.p.items()}
        new = dict.fromkeys(self.error, mpf(0))
        for name, error in self.error.items():
            if error == 0:
                continue
            moved = self.e.flow(at_rest, {other: (error if other == name else mpf(0)) for other in self.error})
            if self.held:
                moved["v"] = constant(error if name == "v" else mpf(0))
            for other in new:
                new[other] += abs(moved[other](t))
        size = self.size()
        self.s = {name: f(t) for name, f in self.f.items()}
        size = EPS * max(size, self.size())
        self.error = {name: new[name] + (size if name in ("v", "b") else EPS * abs(self.s[name])) for name in new}

    def land(self, port, weight, held):
        state = self.e.ports[port]
        if not (held and state == "v"):
            self.s = {**self.s, state: self.s[state] + weight}
            self.error[state] += EPS * (abs(self.s[state]) + abs(weight))

    def reset(self):
        self.s = self.e.reset(self.p, self.s)
        for name in self.e.at_reset:
            self.error[name] = EPS * abs(self.s[name])


class Quadratic:
    """A neuron of the quadratic model: tau_mem dv/dt = curve (v - v_leak)(v - v_crit) + drive."""

    def __init__(self, name: str, p: dict[str, Any], states: tuple[str, ...]):
        self.p, self.s, self.error = p, {"v": p["v_leak"]}, {"v": mpf(0)}

    def with_current(self, current):
        self.p = {**self.base, "drive": self.base["drive"] + self.base["r_mem"] * current}

    def prepare(self, held):
        self.held = held

    def _zeros(self, extra=0):
        middle = (self.p["v_leak"] + self.p["v_crit"]) / 2
        half = (self.p["v_crit"] - self.p["v_leak"]) / 2
        return middle, half**2 - self.p["drive"] / self.p["curve"] + extra

    def _rounding_of_c(self):
        half = (self.p["v_crit"] - self.p["v_leak"]) / 2
        return 2 * EPS * (half**2 + abs(self.p["drive"] / self.p["curve"]))

    def _time_to(self, goal, extra=0):
        """Until v has risen to the goal, or None."""
        (middle, c), p = self._zeros(extra), self.p
        a, b = self.s["v"] - middle, goal - middle
        scale = p["tau_mem"] / p["curve"]
        if a >= b:
            return mpf(0)
        if c < 0:
            k = mp.sqrt(-c)
            return scale * (mp.atan(b / k) - mp.atan(a / k)) / k
        k = mp.sqrt(c)
        if not (a > k or b < -k):
            return None
        return scale * (1 / a - 1 / b if k == 0 else mp.log((b - k) * (a + k) / ((b + k) * (a - k))) / (2 * k))

    def _after(self, t, extra=0):
        (middle, c), p = self._zeros(extra), self.p
        w, s = self.s["v"] - middle, p["curve"] * t / p["tau_mem"]
        k = mp.sqrt(abs(c))
        tangent = s if k == 0 else (mp.tan(k * s) if c < 0 else mp.tanh(k * s)) / k
        return middle + (w - c * tangent) / (1 - w * tangent), 1 / (1 - w * tangent) ** 2

    def crossing(self, end):
        found = self._time_to(self.p["v_th"])
        return found if found is not None and found <= end else None

    def slope_now(self):
        p, v = self.p, self.s["v"]
        return (p["curve"] * (v - p["v_leak"]) * (v - p["v_crit"]) + p["drive"]) / p["tau_mem"]

    def slopes(self, held):
        return {"v": mpf(0) if held else self.slope_now()}

    def margin_error(self):
        return self.error["v"]

    def advance(self, t):
        size = max(abs(self.s["v"]), abs(self.p["v_leak"]), abs(self.p["v_crit"]), abs(self.p["v_th"]))
        if not self.held and t > 0:
            change = self._rounding_of_c()
            v, gain = self._after(t)
            moved = max(abs(self._after(t, sign * change)[0] - v) for sign in (-1, 1))
            self.error = {"v": self.error["v"] * gain + EPS * size * max(gain, 1) + moved}
            self.s = {"v": v}

    def land(self, port, weight, held):
        if not held:
            self.s = {"v": self.s["v"] + weight}
            self.error["v"] += EPS * (abs(self.s["v"]) + abs(weight))

    def reset(self):
        self.s, self.error = {"v": self.p["v_reset"]}, {"v": EPS * abs(self.p["v_reset"])}


def simulate(name: str, params: dict[str, float], states, refractory: float, events, horizon: float):
    """``(times, conditioning)`` of the spikes in [0, horizon], lists of mpf.

    events : (time, port, weight) of each arrival, (time, None, current) where the current changes; ascending
    """
    with mpmath.workdps(DIGITS + 15):
        return _simulate(name, {k: mpf(v) for k, v in params.items()}, states, mpf(refractory), events, mpf(horizon))


def _simulate(name, p, states, refractory, events, horizon):
    neuron = (Quadratic if name == "QIF" else Linear)(name, p, states)
    neuron.base = p
    now, free, times, conditioning, late = mpf(0), mpf("-inf"), [], [], mpf(0)
    waiting = [(mpf(t), port, mpf(value)) for t, port, value in events]
    while True:
        following = min(waiting[0][0] if waiting else horizon, horizon)
        if waiting and following == now:
            while waiting and waiting[0][0] == now:
                _, port, value = waiting.pop(0)
                if port is None:
                    neuron.with_current(value)
                else:
                    neuron.land(port, value, now < free)
            continue
        held = now < free
        end = min(following, free) if held else following
        neuron.prepare(held)
        found = None if held else neuron.crossing(end - now)
        neuron.advance(end - now if found is None else found)
        now = end if found is None else now + found
        if held and now == free:
            neuron.error["v"] += abs(neuron.slopes(False)["v"]) * late
        if found is None:
            if now >= horizon:
                return times, conditioning
            continue
        slope = neuron.slope_now()
        late = EPS * now + (neuron.margin_error() / abs(slope) if found > 0 else mpf(0))
        times.append(now)
        conditioning.append(late)
        before = neuron.slopes(False)
        neuron.reset()
        free = now + refractory
        after = neuron.slopes(refractory > 0)
        for state in neuron.error:
            reset_to = state in (neuron.e.at_reset if isinstance(neuron, Linear) else ("v",))
            neuron.error[state] += abs(after[state] - (0 if reset_to else before[state])) * late
