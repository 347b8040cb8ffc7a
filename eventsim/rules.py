"""Connection rules: who connects to whom by chance or by scheme, as frozen descriptions; `eventsim.generate` makes their synapses.

Names and meanings are those of NEST (Senk et al. 2022, "Connectivity concepts in neuronal network modeling", PLoS Comput Biol 18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eventsim.errors import ConnectivityError
from eventsim.generate import (
    ALL_TO_ALL,
    IN_DEGREE,
    IN_SLOTS,
    ONE_TO_ONE,
    OUT_DEGREE,
    PROBABILITY,
    TOTAL_NUMBER,
    RuleCode,
    rule_code,
)


def _flag(value: Any, label: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ConnectivityError(f"{label} must be True or False, not {value!r}")
    return bool(value)


def _count(value: Any, label: str, limit: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value <= limit:
        raise ConnectivityError(f"{label} must be a whole number from 0 to {limit}, not {value!r}")
    return int(value)


class Rule:
    """How the synapses of a projection come about; one of the classes below.

    `self_connections` (autapses) matters only where a population projects to itself: ``same`` in the methods.
    """

    def _candidates(self, n: int, same: bool) -> int:
        return n - (same and not getattr(self, "self_connections", True))

    def check(self, n_source: int, n_target: int, label: str, same: bool = False) -> None:
        """Refuse populations between which the rule cannot be met."""

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """The expected number of synapses."""
        raise NotImplementedError

    def encode(self, n_source: int, n_target: int, same: bool) -> RuleCode:
        """The form that compiled code reads."""
        kind, k, p, multapses = self._code()
        no_self = same and not getattr(self, "self_connections", True)
        return rule_code(kind, n_source, n_target, k, p, multapses, no_self)

    def _code(self) -> tuple[int, int, float, bool]:
        """(kind, k, p, multapses)"""
        raise NotImplementedError


@dataclass(frozen=True)
class AllToAll(Rule):
    """Every source connects once to every target."""

    self_connections: bool = True

    def __post_init__(self):
        object.__setattr__(self, "self_connections", _flag(self.self_connections, "AllToAll: self_connections"))

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """n_source * n_target, less the diagonal if it is left out."""
        return float(n_source * self._candidates(n_target, same))

    def _code(self):
        return ALL_TO_ALL, 0, 1.0, False


@dataclass(frozen=True)
class OneToOne(Rule):
    """Source i connects to target i; both populations have one size."""

    def check(self, n_source: int, n_target: int, label: str, same: bool = False) -> None:
        """Refuse populations of different sizes."""
        if n_source != n_target:
            raise ConnectivityError(f"{label}: OneToOne needs populations of one size, not {n_source} and {n_target} neurons")

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """n_source."""
        return float(n_source)

    def _code(self):
        return ONE_TO_ONE, 0, 0.0, False


@dataclass(frozen=True)
class FixedProbability(Rule):
    """Each (source, target) pair is connected with probability p, independently: pairwise Bernoulli."""

    p: float
    self_connections: bool = True

    def __post_init__(self):
        p = self.p
        if isinstance(p, (bool, np.bool_)) or not isinstance(p, (int, float, np.integer, np.floating)) or not 0.0 <= p <= 1.0:
            raise ConnectivityError(f"FixedProbability: p must be a number from 0 to 1, not {p!r}")
        object.__setattr__(self, "p", float(p))
        object.__setattr__(self, "self_connections", _flag(self.self_connections, "FixedProbability: self_connections"))

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """p * pairs."""
        return self.p * n_source * self._candidates(n_target, same)

    def _code(self):
        return PROBABILITY, 0, self.p, False


@dataclass(frozen=True)
class FixedTotalNumber(Rule):
    """n synapses, each with a source and a target drawn uniformly with replacement: a pair may have several (multapses)."""

    n: int
    self_connections: bool = True

    def __post_init__(self):
        object.__setattr__(self, "n", _count(self.n, "FixedTotalNumber: n", 2**62))
        object.__setattr__(self, "self_connections", _flag(self.self_connections, "FixedTotalNumber: self_connections"))

    def check(self, n_source: int, n_target: int, label: str, same: bool = False) -> None:
        """Refuse a population of one neuron that must not connect to itself."""
        if self.n and self._candidates(n_source, same) < 1:
            raise ConnectivityError(f"{label}: FixedTotalNumber without self_connections needs more than one neuron")

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """n."""
        return float(self.n)

    def _code(self):
        return TOTAL_NUMBER, self.n, 0.0, True


def _check_degree(rule: Any, n: int, label: str, same: bool, whom: str) -> None:
    available = rule._candidates(n, same)
    if rule.k and (available < 1 or (not rule.multapses and rule.k > available)):
        raise ConnectivityError(
            f"{label}: {type(rule).__name__} asks for {rule.k} {whom}, only {available} are there; lower k or allow multapses"
        )


def _check_fields(rule: Any) -> None:
    name = type(rule).__name__
    object.__setattr__(rule, "k", _count(rule.k, f"{name}: k", 2**31 - 1))
    for field in ("multapses", "self_connections"):
        object.__setattr__(rule, field, _flag(getattr(rule, field), f"{name}: {field}"))


@dataclass(frozen=True)
class FixedInDegree(Rule):
    """Each target receives k synapses, their sources drawn uniformly: with replacement, or without if not `multapses`."""

    k: int
    multapses: bool = True
    self_connections: bool = True

    def __post_init__(self):
        _check_fields(self)

    def check(self, n_source: int, n_target: int, label: str, same: bool = False) -> None:
        """Refuse more sources than there are."""
        _check_degree(self, n_source, label, same, "sources of every target")

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """k * n_target."""
        return float(self.k * n_target)

    def _code(self):
        return IN_SLOTS if self.multapses else IN_DEGREE, self.k, 0.0, self.multapses


@dataclass(frozen=True)
class FixedOutDegree(Rule):
    """Each source makes k synapses, their targets drawn uniformly: with replacement, or without if not `multapses`."""

    k: int
    multapses: bool = True
    self_connections: bool = True

    def __post_init__(self):
        _check_fields(self)

    def check(self, n_source: int, n_target: int, label: str, same: bool = False) -> None:
        """Refuse more targets than there are."""
        _check_degree(self, n_target, label, same, "targets of every source")

    def expected(self, n_source: int, n_target: int, same: bool = False) -> float:
        """k * n_source."""
        return float(self.k * n_source)

    def _code(self):
        return OUT_DEGREE, self.k, 0.0, self.multapses
