"""All entrances by name, and how many cases of each there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from fuzz.draw import Draw

MODULES = {
    "from_files": {
        "network-file": 1500,
        "recording-npz": 600,
        "recording-hdf5": 900,
        "checkpoint": 600,
        "checkpoint-exact": 600,
        "written-file": 200,
        "connectome": 300,
        "run-folder": 100,
    },
    "from_arrays": {"connectivity": 1300, "projections": 500, "populations": 600, "inputs": 600, "simulations": 600},
    "from_bridge": {"nir-file": 500, "nir-graph": 400, "models": 200, "data-sets": 300, "weights": 100},
    "commands": {"command-line": 150, "environment": 50},
}
"""By the module that they are in, entrances and the cases of each: 10,100 together."""

CASES = {name: cases for names in MODULES.values() for name, cases in names.items()}


def entrance(name: str) -> Callable[[Draw, Path], None]:
    """The function of an entrance: it takes what is drawn and an empty folder."""
    module = next((module for module, names in MODULES.items() if name in names), name)
    found: Callable[[Draw, Path], None] = importlib.import_module(f"fuzz.{module}").ENTRANCES[name]
    return found
