"""``PYTHONPATH=tests python -m fuzz ENTRANCE NUMBER``: one case, with its error; with ``FIRST LAST`` many, a line of JSON each.

Every case but the first has LIMIT seconds, not counting what Numba compiles meanwhile, and may allocate CAP bytes. Longer ends the process.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.draw import Draw
from fuzz.entrances import entrance
from numba.core.event import Listener, register

from eventsim import EventsimError

LIMIT, FIRST, COMPILING = 5.0, 30.0, 600.0  # s; the first case of a process makes what all begin from
CAP = 2**30  # bytes


class Clock(Listener):
    """Ends the process when a case takes longer than LIMIT, or compiling something takes longer than COMPILING."""

    def __init__(self) -> None:
        self.start = self.began = self.compiling = 0.0
        self.depth, self.limit = 0, LIMIT
        register("numba:compiler_lock", self)

    def begin(self) -> None:
        """A case begins."""
        self.limit = LIMIT if self.start else FIRST
        self.compiling, self.start = 0.0, time.perf_counter()
        faulthandler.dump_traceback_later(self.limit, exit=True, file=sys.__stderr__)

    def end(self) -> float:
        """How long it took, in s."""
        faulthandler.cancel_dump_traceback_later()
        return self._taken()

    def _taken(self) -> float:
        return time.perf_counter() - self.start - self.compiling

    def on_start(self, event: Any) -> None:
        """Numba begins to compile, or to read what it has compiled."""
        self.depth += 1
        if self.depth == 1:
            self.began = time.perf_counter()
            faulthandler.dump_traceback_later(COMPILING, exit=True, file=sys.__stderr__)

    def on_end(self, event: Any) -> None:
        """It has done so."""
        self.depth -= 1
        if self.depth == 0:
            self.compiling += time.perf_counter() - self.began
            faulthandler.dump_traceback_later(max(0.1, self.limit - self._taken()), exit=True, file=sys.__stderr__)


def _status(name: str) -> int:
    """A size of this process in bytes, by its name in /proc."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def _allow(size: int) -> None:
    """So many bytes more may be allocated from now on."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + size, most))
    Path("/proc/self/clear_refs").write_text("5")  # the largest size begins anew


def run_case(name: str, case: Callable[[Draw, Path], None], number: int, clock: Clock) -> dict[str, Any]:
    """What came of a case: worked, refused, or found, which should not be."""
    report: dict[str, Any] = {"entrance": name, "number": number, "outcome": "worked", "text": ""}
    with tempfile.TemporaryDirectory() as folder:
        _allow(CAP)
        before = _status("VmRSS")
        clock.begin()
        try:
            case(Draw(name, number), Path(folder))
        except EventsimError as error:
            report |= {"outcome": "refused", "text": f"{type(error).__name__}: {error}"[:300]}
        except Exception as error:
            report |= {
                "outcome": "found",
                "text": f"{type(error).__name__}: {error}"[:300],
                "trace": traceback.format_exc()[-3000:],
            }
        report["seconds"] = round(clock.end(), 3)
        report["bytes"] = max(0, _status("VmHWM") - before)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    return report


def main(name: str, first: int, last: int | None = None) -> int:
    """Run case ``first``, or those up to before ``last``."""
    faulthandler.enable(sys.__stderr__)
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", UserWarning)  # they tell the user something on purpose
    case, clock = entrance(name), Clock()
    for number in range(first, first + 1 if last is None else last):
        print(json.dumps({"begin": number}), flush=True)
        report = run_case(name, case, number, clock)
        if last is None:
            print(report.pop("trace", ""))
        print(json.dumps(report), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
