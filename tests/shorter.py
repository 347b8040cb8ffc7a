"""Long tables of cases, of which every run of the tests takes some, and the slow tests (pytest -m slow) the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def shorter(cases: Iterable[tuple[Any, ...]], every_run: Callable[..., bool]) -> list[Any]:
    """The cases as parameters of a test; those that ``every_run(*case)`` does not hold for are slow."""
    return [pytest.param(*case, marks=() if every_run(*case) else pytest.mark.slow) for case in cases]
