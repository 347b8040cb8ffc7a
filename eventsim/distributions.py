"""What weights, delays and initial states are drawn from. Frozen descriptions, and the compiled draw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from eventsim.errors import NetworkError
from eventsim.jit import jit
from eventsim.random import NORMAL_REACH, draw4, draw4_each, exp, normal, normal_each, uniform53

CONSTANT, PER_SYNAPSE, NORMAL, LOG_NORMAL, UNIFORM = range(5)
LEAST_MASS = 1e-6
"""A redrawn distribution must hit its range at least this often, or a draw would take for ever."""
BLOCK = 1024
"""Elements drawn at a time: their random bits stay in the L1 cache."""


class Encoded(NamedTuple):
    """A distribution as `draw` reads it."""

    kind: int
    a: float
    b: float
    low: float
    high: float
    redraw: bool
    values: np.ndarray


_NO_VALUES = np.zeros(0)
_NO_VALUES.flags.writeable = False


class Distribution:
    """Where values come from; one of the classes below. `minimum` and `maximum` bound every value that it can give."""

    @property
    def minimum(self) -> float:
        """No value is smaller."""
        raise NotImplementedError

    @property
    def maximum(self) -> float:
        """No value is larger."""
        raise NotImplementedError

    @property
    def magnitude(self) -> float:
        """No value is larger in magnitude."""
        return max(abs(self.minimum), abs(self.maximum))

    def encode(self) -> Encoded:
        """The form that compiled code reads."""
        raise NotImplementedError


def _number(value: Any, label: str, finite: bool = True) -> float:
    """A float, or an error that names ``label``."""
    if isinstance(value, (bool, np.bool_, str, bytes)) or np.ndim(value) != 0:
        raise NetworkError(f"{label} must be a number, not {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise NetworkError(f"{label} must be a number, not {value!r}") from error
    if math.isnan(number) or (finite and math.isinf(number)):
        raise NetworkError(f"{label} must be finite, not {number}")
    return number


@dataclass(frozen=True)
class Constant(Distribution):
    """The same value for every synapse; a projection then stores it once."""

    value: float

    def __post_init__(self):
        object.__setattr__(self, "value", _number(self.value, "Constant: value"))

    @property
    def minimum(self) -> float:
        """The value."""
        return self.value

    @property
    def maximum(self) -> float:
        """The value."""
        return self.value

    def encode(self) -> Encoded:
        """The form that compiled code reads."""
        return Encoded(CONSTANT, self.value, 0.0, -math.inf, math.inf, False, _NO_VALUES)


@dataclass(frozen=True, eq=False)
class PerSynapse(Distribution):
    """Given values, float32 or float64 array (n,): one for each synapse (or, for an initial state, each neuron).

    Synapses are numbered by source, then target, those of one pair in the order in which they were given: for CSR with sorted
    columns the stored order. The array is kept as a private copy, float32 where float32 was given.
    """

    values: Any

    def __post_init__(self):
        try:
            values = np.asarray(self.values)
        except ValueError as error:  # rows of different lengths
            raise NetworkError(f"PerSynapse: values must be a list of numbers: {error}") from error
        if values.dtype.kind not in "iuf" or values.ndim != 1:
            raise NetworkError(f"PerSynapse: values must be a list of numbers, not {values.dtype} of shape {values.shape}")
        # An array that is already unwritable and owns its data (those of a Connectivity) is shared: it may be gigabytes.
        if values.dtype not in (np.float32, np.float64) or values.flags.writeable or not values.flags.owndata:
            values = np.array(values, dtype=np.float32 if values.dtype == np.float32 else np.float64)
        values.flags.writeable = False
        object.__setattr__(self, "values", values)
        if not all(math.isfinite(bound) for bound in self._bounds):
            raise NetworkError(f"PerSynapse: values must be finite, value {int(np.argmin(np.isfinite(values)))} is not")

    @cached_property  # not a field: it must not be saved or compared
    def _bounds(self) -> tuple[float, float]:
        return (float(self.values.min()), float(self.values.max())) if self.values.size else (0.0, 0.0)

    @property
    def minimum(self) -> float:
        """The smallest value; 0 if there is none."""
        return self._bounds[0]

    @property
    def maximum(self) -> float:
        """The largest value; 0 if there is none."""
        return self._bounds[1]

    def encode(self) -> Encoded:
        """The form that compiled code reads."""
        return Encoded(PER_SYNAPSE, 0.0, 0.0, -math.inf, math.inf, False, self.values)


def _above(x: float) -> float:
    """The chance that a standard normal number exceeds x."""
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def _mass(low: float, high: float, mean: float, std: float) -> float:
    """The chance of low <= mean + std * z <= high."""
    if std == 0.0:
        return float(low <= mean <= high)
    a, b = (low - mean) / std, (high - mean) / std
    # In the tail where both differences are small numbers, so that nothing cancels.
    return _above(a) - _above(b) if a > 0.0 else _above(-b) - _above(-a)


def _check_range(name: str, spread: tuple[str, float], low: float, high: float, outside: str) -> None:
    """The checks that Normal and LogNormal share."""
    if spread[1] < 0.0:
        raise NetworkError(f"{name}: {spread[0]} must not be negative, not {spread[1]}")
    if low > high or low == math.inf or high == -math.inf:
        raise NetworkError(f"{name}: low {low} must not exceed high {high}")
    if outside not in ("redraw", "clip"):
        raise NetworkError(f"{name}: outside must be 'redraw' or 'clip', not {outside!r}")


def _check_mass(name: str, mass: float, low: float, high: float) -> None:
    if mass < LEAST_MASS:
        raise NetworkError(
            f"{name}: only {mass:.1e} of its draws fall within [{low}, {high}]; redrawing until one does takes for ever. "
            "Widen the range or use outside='clip'"
        )


@dataclass(frozen=True)
class Normal(Distribution):
    """mean + std * z with z standard normal, restricted to [low, high].

    mean, std : unit of the value
    low, high : unit of the value
    outside : 'redraw' draws again until a value is inside (the truncated normal law); 'clip' moves it to the nearest end
    """

    mean: float
    std: float
    low: float = -math.inf
    high: float = math.inf
    outside: str = "redraw"

    def __post_init__(self):
        for name in ("mean", "std"):
            object.__setattr__(self, name, _number(getattr(self, name), f"Normal: {name}"))
        for name in ("low", "high"):
            object.__setattr__(self, name, _number(getattr(self, name), f"Normal: {name}", finite=False))
        _check_range("Normal", ("std", self.std), self.low, self.high, self.outside)
        if self.outside == "redraw":
            _check_mass("Normal", _mass(self.low, self.high, self.mean, self.std), self.low, self.high)
        if not math.isfinite(abs(self.mean) + NORMAL_REACH * self.std):
            raise NetworkError(f"Normal: mean {self.mean} and std {self.std} overflow float64")

    @property
    def minimum(self) -> float:
        """The lower end of the range; -inf without one."""
        return self.low if self.std else min(max(self.mean, self.low), self.high)

    @property
    def maximum(self) -> float:
        """No draw is larger: the generator reaches `NORMAL_REACH` standard deviations."""
        return max(self.low, min(self.high, self.mean + NORMAL_REACH * self.std))

    @property
    def magnitude(self) -> float:
        """No draw is larger in magnitude, for the same reason."""
        least = min(self.high, max(self.low, self.mean - NORMAL_REACH * self.std))
        return max(abs(least), abs(self.maximum))

    def encode(self) -> Encoded:
        """The form that compiled code reads."""
        return Encoded(NORMAL, self.mean, self.std, self.low, self.high, self.outside == "redraw", _NO_VALUES)


@dataclass(frozen=True)
class LogNormal(Distribution):
    """exp(mu + sigma * z) with z standard normal, restricted to [low, high].

    mu, sigma : mean and standard deviation of the *logarithm* of the value; its median is exp(mu)
    low, high : unit of the value
    outside : 'redraw' or 'clip', as for Normal
    """

    mu: float
    sigma: float
    low: float = 0.0
    high: float = math.inf
    outside: str = "redraw"

    def __post_init__(self):
        for name in ("mu", "sigma"):
            object.__setattr__(self, name, _number(getattr(self, name), f"LogNormal: {name}"))
        for name in ("low", "high"):
            object.__setattr__(self, name, _number(getattr(self, name), f"LogNormal: {name}", finite=False))
        _check_range("LogNormal", ("sigma", self.sigma), self.low, self.high, self.outside)
        if self.mu + NORMAL_REACH * self.sigma > 709.0:
            raise NetworkError(f"LogNormal: mu {self.mu} and sigma {self.sigma} overflow float64")
        logs = (math.log(end) if end > 0.0 else -math.inf for end in (self.low, self.high))
        # A spread near the rounding of the logarithm: what counts is the one value that comes out.
        narrow = self.sigma < 1e-9
        mass = float(self.low <= math.exp(self.mu) <= self.high) if narrow else _mass(*logs, self.mu, self.sigma)
        if self.outside == "redraw":
            _check_mass("LogNormal", mass, self.low, self.high)

    @property
    def minimum(self) -> float:
        """The lower end of the range, at least 0."""
        return min(max(self.low, math.exp(self.mu) if self.sigma == 0.0 else 0.0), self.high)

    @property
    def maximum(self) -> float:
        """No draw is larger: the generator reaches `NORMAL_REACH` standard deviations."""
        return max(self.low, min(self.high, math.exp(self.mu + NORMAL_REACH * self.sigma)))

    def encode(self) -> Encoded:
        """The form that compiled code reads."""
        return Encoded(LOG_NORMAL, self.mu, self.sigma, self.low, self.high, self.outside == "redraw", _NO_VALUES)


@dataclass(frozen=True)
class Uniform(Distribution):
    """Evenly spread over [low, high), in the unit of the value."""

    low: float
    high: float

    def __post_init__(self):
        for name in ("low", "high"):
            object.__setattr__(self, name, _number(getattr(self, name), f"Uniform: {name}"))
        if self.low > self.high or not math.isfinite(self.high - self.low):
            raise NetworkError(f"Uniform: low {self.low} must not exceed high {self.high}, nor their difference overflow")

    @property
    def minimum(self) -> float:
        """The lower end."""
        return self.low

    @property
    def maximum(self) -> float:
        """The upper end."""
        return self.high

    def encode(self) -> Encoded:
        """The form that compiled code reads."""
        return Encoded(UNIFORM, self.low, self.high, self.low, self.high, False, _NO_VALUES)


def as_distribution(value: Any, label: str, length: int | None = None) -> Distribution:
    """A number, an array of ``length`` values or a Distribution, as a Distribution; errors name ``label``.

    ``length=None`` means that the number of values is not known beforehand (a connection rule): arrays are refused.
    """
    if not isinstance(value, Distribution):
        if isinstance(value, (str, bytes)) or value is None or callable(value):
            raise NetworkError(f"{label} must be a number, an array or a Distribution, not {value!r}")
        try:
            value = np.asarray(value) if isinstance(value, (list, tuple)) else value
        except ValueError as error:  # rows of different lengths
            raise NetworkError(f"{label} must be a number, an array or a Distribution: {error}") from error
        if np.ndim(value) == 0:
            return Constant(_number(value.item() if isinstance(value, np.ndarray) else value, label))
        try:
            value = PerSynapse(value)
        except NetworkError as error:
            raise NetworkError(f"{label}: {str(error).removeprefix('PerSynapse: ')}") from error
    if isinstance(value, PerSynapse) and length is None:
        raise NetworkError(
            f"{label}: an array needs a known number of synapses, and a connection rule's is not; give a number, a distribution "
            "such as Normal(...), or the connectivity as arrays"
        )
    if isinstance(value, PerSynapse) and len(value.values) != length:
        raise NetworkError(f"{label}: the array holds {len(value.values)} values, {length} are needed")
    return value


@jit
def _shape(kind, z, a, b):
    """A normal number of mean a and standard deviation b, or its exponential; modifies nothing."""
    return exp(a + b * z) if kind == LOG_NORMAL else a + b * z


@jit
def _draw_again(kind, a, b, low, high, redraw, key, edge, x):
    """``x`` if it is inside [low, high], else clipped, or drawn with attempt 1, 2, ... until it is; modifies nothing."""
    attempt = np.uint64(0)
    while not low <= x <= high:
        if not redraw:
            return low if x < low else high
        attempt += np.uint64(1)
        r0, r1, r2, r3 = draw4(key, np.uint64(edge), attempt)
        x = _shape(kind, normal(r0, r1, r2, r3), a, b)
    return x


@jit
def draw_alone(kind, a, b, low, high, redraw, key, edge):
    """As `draw`, of all but `PerSynapse`."""
    if kind == CONSTANT:
        return a
    r0, r1, r2, r3 = draw4(key, np.uint64(edge), np.uint64(0))
    if kind == UNIFORM:
        return a + (b - a) * uniform53(r0, r1)
    return _draw_again(kind, a, b, low, high, redraw, key, edge, _shape(kind, normal(r0, r1, r2, r3), a, b))


@jit
def draw(kind, a, b, low, high, redraw, values, key, edge):
    """The value of element ``edge`` (int64), float64, of an encoded distribution; modifies nothing.

    The counter is (edge, attempt): a pure function of the key and the element.
    """
    return np.float64(values[edge]) if kind == PER_SYNAPSE else draw_alone(kind, a, b, low, high, redraw, key, edge)


@jit
def _draw_block(kind, a, b, low, high, redraw, key, edges, count, bits, out):
    """Writes what `draw` gives for ``edges[:count]``, of the distributions that draw, to ``out[:count]``; ``bits`` is scratch."""
    draw4_each(key, edges, np.uint64(0), count, bits)
    if kind == UNIFORM:
        for j in range(count):
            out[j] = a + (b - a) * uniform53(bits[0, j], bits[1, j])
        return
    normal_each(bits, count, out)
    for j in range(count):
        x = _shape(kind, out[j], a, b)
        out[j] = x if low <= x <= high else _draw_again(kind, a, b, low, high, redraw, key, edges[j], x)


@jit
def draw_some(kind, a, b, low, high, redraw, key, edges, count, bits, out_values):
    """As `draw_each`, of the distributions that draw and of a constant; ``bits`` is scratch, uint32 (4, BLOCK)."""
    if kind == CONSTANT:
        for j in range(count):
            out_values[j] = a
        return
    for first in range(0, count, BLOCK):
        some = min(BLOCK, count - first)
        _draw_block(kind, a, b, low, high, redraw, key, edges[first:], some, bits, out_values[first:])


@jit
def draw_each(kind, a, b, low, high, redraw, values, key, edges, count, out_values):
    """Writes what `draw` gives for ``edges[:count]`` (int64) to ``out_values[:count]`` (float64), ten times as fast."""
    if kind == PER_SYNAPSE:
        for j in range(count):
            out_values[j] = values[edges[j]]
    else:
        draw_some(kind, a, b, low, high, redraw, key, edges, count, np.empty((4, BLOCK), np.uint32), out_values)


def sample(distribution: Distribution, key: np.uint64, n: int) -> np.ndarray:
    """``n`` values, float64 (n,); element j is a pure function of the key and j."""
    out = np.empty(n)
    draw_each(*distribution.encode(), np.uint64(key), np.arange(n), n, out)
    return out
