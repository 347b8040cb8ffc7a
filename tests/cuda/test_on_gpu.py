"""What a GPU would run: kernels in Numba's simulator, and as PTX."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("numba_cuda", reason="needs the package numba-cuda (extras cuda12, cuda13)")

import eventsim as es
from eventsim import models
from tests.cuda.test_procedural_rows import network

IN_THE_SIMULATOR = """
from dataclasses import replace
from tests.cuda.dyadic import assert_same, network, run
net = network(12, 40000.0)
net = replace(net, projections=[replace(p, procedural={procedural}) for p in net.projections])
one, cpu = run(net, 6.0)
other, cuda = run(net, 6.0, backend="cuda")
assert cuda._engine.machine.name == "simulator"
assert_same(one, other)
assert cpu.counters[:3] == cuda.counters[:3]
print(cuda.counters.spikes, "spikes")
"""


@pytest.mark.parametrize("procedural", [False, True])
def test_kernels_run_in_the_simulator(procedural):
    settings = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "EVENTSIM_CUDA": ""}
    script = IN_THE_SIMULATOR.format(procedural=procedural)
    done = subprocess.run([sys.executable, "-c", script], env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 5


SPIKING = [name for name in models.__all__ if isinstance(getattr(models, name), es.Model)]


@pytest.mark.parametrize("name", SPIKING)
def test_kernels_of_float32_hold_no_float64(name):
    from eventsim.cuda.inspect import ptx_of

    neuron = getattr(models, name)
    net = es.Network([es.Population("a", 3, neuron(refractory=1.0))], [], [es.PoissonNoise("a", 100.0, 1.0)])
    text = ptx_of(net, 0.1, "float32")
    assert ".entry" in text
    assert not re.findall(r".*\.f64.*", text)
    assert "fma.rn.f32" not in text or name in ("LIFAdEx", "LIFEx")  # but in the exponential function of NVIDIA's library


def test_kernels_that_make_rows_compile_and_round_every_product():
    """What says where synapses are, how strong and how late, has float64 on a processor, and the same bits here."""
    from eventsim.cuda.inspect import ptx_of

    text = ptx_of(network(True), 0.125, "float32")
    assert ".entry" in text and "mul.rn.f64" in text and "fma.rn.f64" not in text
