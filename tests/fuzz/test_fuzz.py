"""Odd input through every entrance: it works or is refused by an error of this project, within seconds and a gibibyte."""

from __future__ import annotations

import sys

import numpy as np
import pytest

for package in ("torch", "nir", "h5py"):
    pytest.importorskip(package)
if not sys.platform.startswith("linux"):
    pytest.skip("the limits of the cases are those of Linux", allow_module_level=True)

from fuzz.draw import Draw  # noqa: E402
from fuzz.entrances import CASES, entrance  # noqa: E402
from fuzz.ill import OUTCOMES  # noqa: E402
from fuzz.processes import line_of, reports  # noqa: E402

SHORT = 10  # cases of each entrance in the short form
PIECE = 250  # cases of a test of the long form


def check(name: str, first: int, last: int) -> None:
    found = list(reports(name, first, last))
    print(line_of(found))
    wrong = [f"PYTHONPATH=tests python -m fuzz {name} {r['number']}\n{r['text']}" for r in found if r["outcome"] == "found"]
    assert not wrong, "\n\n".join(wrong)
    assert [report["number"] for report in found] == list(range(first, last))


@pytest.mark.parametrize("name", CASES)
def test_a_few_odd_inputs(name):
    check(name, 0, SHORT)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "first"), [(name, first) for name, cases in CASES.items() for first in range(0, cases, PIECE)])
def test_ten_thousand_odd_inputs(name, first):
    check(name, first, min(first + PIECE, CASES[name]))


def test_there_are_ten_thousand():
    assert sum(CASES.values()) >= 10_000
    assert all(callable(entrance(name)) for name in CASES)


def test_a_case_is_the_same_in_every_run():
    array = np.arange(5.0)
    for number in range(50):
        one, other = (repr(Draw("network-file", number).array(array)) for _ in range(2))
        assert one == other


def test_what_crashes_hangs_or_takes_too_much_is_found():
    """The processes themselves are tried: with an entrance that does all of this."""
    found = list(reports("ill", 0, len(OUTCOMES)))
    assert [report["number"] for report in found] == list(range(len(OUTCOMES)))
    assert tuple(report["outcome"] for report in found) == OUTCOMES
    assert "Timeout" in found[2]["text"] and "Segmentation fault" in found[3]["text"] and "MemoryError" in found[4]["text"]
