"""Kernels under Numba's bounds checks: no index ever leaves its array, whatever comes in. All code is compiled anew: slow.

A kernel that fails as a C callback only prints what went wrong, so that any output on stderr is a failure here.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run_checked(*command):
    """(exit status, stdout, stderr) of a Python process with bounds checks on and nothing kept on disk."""
    environment = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "EVENTSIM_CACHE_DIR": "off",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    }
    made = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000)
    return made.returncode, made.stdout, made.stderr


BROKEN = """
import ctypes, numpy as np
from numba import carray, types
from eventsim.cpu.pointers import KERNEL, view
from eventsim.jit import compile_callback, jit

@jit
def inner(address, j):
    return view(address, 3, types.int64)[j]

def kernel(context, t, count):
    return inner(carray(context, (1,))[0], t)

made = compile_callback(KERNEL, kernel, None)
values = np.arange(3)
context = np.array([values.ctypes.data])
call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(made.address)
print(call(context.ctypes.data, 2, 0))
{more}
"""


@pytest.mark.slow
def test_a_kernel_that_leaves_its_array_is_noticed():
    """The test of the tests below: the same code, well and broken."""
    status, out, err = run_checked("-c", BROKEN.format(more=""))
    assert (status, out, err) == (0, "2\n", "")
    _, _, err = run_checked("-c", BROKEN.format(more="call(context.ctypes.data, 3, 0)"))
    assert "IndexError" in err and "out of bounds" in err


SUITES = {
    "random networks": ["tests/engine/test_same_spikes.py", "-k", "reference or chunking or noise"],
    "inputs": ["tests/engine/test_inputs.py"],
    "recording": ["tests/engine/test_recording.py"],
    "refused": ["tests/engine/test_refused.py"],
    "jumps and predictions": ["tests/engine/test_exactness.py", "-k", "long or far or rebound or float32"],
    "changing updates": ["tests/engine/test_update_modes.py"],
    "rows and rules": ["tests/connectivity"],
    "procedural": ["tests/engine/test_procedural.py"],
    "dense windows": ["tests/exact/test_exact_dense.py", "tests/exact/test_exact_calendar.py", "-k", "small or busy or calendar"],
}


@pytest.mark.slow
@pytest.mark.parametrize("suite", SUITES)
def test_nothing_leaves_its_array(suite):
    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", "-s"]  # -s: what a callback prints reaches stderr
    status, out, err = run_checked("-m", "pytest", *options, *SUITES[suite])
    assert status == 0, out[-6000:] + err[-2000:]
    assert "passed" in out and "Exception ignored" not in out and "IndexError" not in out
    assert err == ""
