"""Whether this process was forked off another one, whose threads it does not have."""

from __future__ import annotations

import os

_forks = [0]


def forks() -> int:
    """How often the process has become a child since this package was imported: 0 if it is none."""
    return _forks[0]


def _note() -> None:
    _forks[0] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)
