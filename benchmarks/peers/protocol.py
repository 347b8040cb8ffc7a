"""Questions and answers between a benchmark and a simulator in another process: one JSON object a line.

    {"build": {...}}     a network, as `benchmarks.describe` writes it     -> {"built_s", "memory", "version"}
    {"run_ms": 100.0}    go on for so many ms of biological time           -> {"wall_s", "spikes", "memory"}
    anything that fails                                                    -> {"error": what went wrong and what to do}

A question to run may have "settings", which the simulator's `run` takes as arguments.

Only the standard library: every interpreter can run this file.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from typing import Any, Protocol


class Simulator(Protocol):
    """What a peer defines. Times in s and ms as above, memory in bytes."""

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Build the network."""

    def run(self, ms: float, **settings: Any) -> dict[str, Any]:
        """Run it further."""


class Unable(Exception):
    """What was asked for cannot be done here; the text says what to do."""


def torch_library(name: str) -> Any:
    """Norse, or norse_bridge, which has the same names."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Unable(
            f"this Python cannot import {name} ({error}); pip install 'norse==1.1.0' torch, or give another --peer-python"
        ) from error


def peak_memory() -> int:
    """The most memory that this process has held, bytes.

    VmHWM where there is one: Linux carries the ``ru_maxrss`` of the process that started this one over.
    """
    try:
        with open("/proc/self/status") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def resident_memory() -> int:
    """The memory that this process holds now, bytes; where the system does not say, the most that it has held."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_memory()


def forget_peak() -> None:
    """Let `peak_memory` begin anew, where the system can (Linux)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # the peak of what was before stays


def answer(simulator: Simulator, message: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question; an error becomes text."""
    try:
        if "build" in message:
            return {**simulator.build(message["build"]), "memory": peak_memory()}
        if "run_ms" in message:
            return {**simulator.run(message["run_ms"], **message.get("settings", {})), "memory": peak_memory()}
        raise Unable(f"neither 'build' nor 'run_ms' in {sorted(message)}")
    except Unable as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def serve(simulator: Simulator) -> None:
    """Answer until the input ends. What simulators print goes to standard error, so that it is not taken for an answer."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            print(json.dumps(answer(simulator, json.loads(line))), file=out, flush=True)
