"""An entrance that does what none may, so that it is known to be found."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path

import numpy as np
from fuzz.draw import Draw

from eventsim import EventsimError

OUTCOMES = ("worked", "refused", "found", "found", "found", "found", "worked")


def ill(draw: Draw, folder: Path) -> None:
    """Case 1 is refused; 2 hangs, 3 crashes, 4 takes memory, 5 raises what is no error of the project."""
    if draw.number_of_case == 1:
        raise EventsimError("as it should be")
    if draw.number_of_case == 2:
        time.sleep(60.0)
    if draw.number_of_case == 3:
        ctypes.string_at(0)
    if draw.number_of_case == 4:
        np.zeros(2**31)
    if draw.number_of_case == 5:
        raise KeyError("a name")


ENTRANCES = {"ill": ill}
