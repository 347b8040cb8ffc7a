"""Cases in processes of their own, so that one that ends its process is found, too; what came of them, and how it adds up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


def reports(name: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """What came of the cases of an entrance from ``first`` to before ``last``; one that ended its process is ``found``, too."""
    while first < last:
        begun, done = None, first
        with tempfile.TemporaryFile("w+") as errors, _start(name, first, last, errors) as process:
            assert process.stdout is not None
            for line in process.stdout:
                report = json.loads(line)
                if "begin" in report:
                    begun = report["begin"]
                else:
                    done = report["number"] + 1
                    yield report
            code = process.wait()
            errors.seek(0)
            said = errors.read()
        if begun is None:
            raise RuntimeError(f"the cases of {name} cannot be run: {said[-3000:]}")
        if done < last:
            text = f"the process ended with {code}: {said.strip().splitlines()[0] if said.strip() else ''}"
            yield {
                "entrance": name,
                "number": begun,
                "outcome": "found",
                "text": text,
                "trace": said[-3000:],
                "seconds": 0,
                "bytes": 0,
            }
        first = max(done, begun + 1)


def _start(name: str, first: int, last: int, errors: Any) -> subprocess.Popen:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = os.environ | {"PYTHONPATH": path, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "fuzz", name, str(first), str(last)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True, env=variables, cwd=TESTS.parent)


def line_of(found: list[dict[str, Any]]) -> str:
    """The reports of an entrance in a line."""
    counted = {outcome: sum(report["outcome"] == outcome for report in found) for outcome in ("worked", "refused", "found")}
    slowest, largest = (max(found, key=lambda report: report[key]) for key in ("seconds", "bytes"))
    return (
        f"{found[0]['entrance']:18}{len(found):6}{counted['worked']:8}{counted['refused']:9}{counted['found']:7}"
        f"{slowest['seconds']:8.2f} s (case {slowest['number']}){largest['bytes'] / 2**20:8.0f} MiB (case {largest['number']})"
    )
