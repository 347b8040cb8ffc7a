"""What a figure was measured on: the machine, the versions, the time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from benchmarks.process import ROOT

PACKAGES = ("numpy", "numba", "scipy", "torch", "scikit-learn")


def _line_of(path: str, key: str) -> str | None:
    """What follows the colon of the first line that begins with ``key``."""
    try:
        with open(path) as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), None)
    except OSError:
        return None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> list[float] | None:
    """The load averages of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None


def machine() -> dict[str, Any]:
    """Processor, cores, memory in bytes, operating system, load averages."""
    memory = _line_of("/proc/meminfo", "MemTotal")
    return {
        "processor": _line_of("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "memory": 1024 * int(memory.split()[0]) if memory else None,
        "system": platform.platform(),
        "load_average": load(),
    }


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions() -> dict[str, Any]:
    """Of Python, of what eventsim stands on, and of eventsim: the commit, and whether files differ from it."""
    commit = _git("rev-parse", "HEAD")
    changed = None if commit is None else bool(_git("status", "--porcelain", "--", "eventsim", "norse_bridge"))
    return {
        "python": sys.version.split()[0],
        **{package: _installed(package) for package in PACKAGES},
        "eventsim_commit": commit,
        "eventsim_changed_since": changed,
    }


def now() -> str:
    """The time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
