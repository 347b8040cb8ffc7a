"""How synapses are stored changes nothing but, with float16, the weights themselves; and by exactly what is promised."""

from __future__ import annotations

import numpy as np
import pytest

from eventsim import (
    LIF,
    FixedOutDegree,
    FixedProbability,
    LIFExcInh,
    Network,
    Normal,
    PoissonNoise,
    Population,
    Projection,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
)
from eventsim.connectivity import Connectivity
from eventsim.errors import NetworkError


def spikes_of(network, duration, names, **settings):
    """(population, step, neuron) of all spikes, and the counters."""
    simulation = Simulation(network, 0.1, record=[Spikes(name) for name in names], **settings)
    recording = simulation.run(duration)
    rows = [
        np.stack([np.full(len(data.times), n), np.rint(data.times / 0.1), data.neurons])
        for n, data in enumerate(recording.spikes.values())
    ]
    return np.concatenate(rows, axis=1), simulation


def rounded(weights):
    return weights.astype(np.float32).astype(np.float16).astype(np.float64)


def recurrent(store):
    """Excitation and inhibition; ``store`` is what happens to the weights."""
    rng = np.random.default_rng(1)
    n = 300
    matrix = rng.random((n, n)) < 0.1
    weights = np.where(np.arange(n)[:, None] < 240, rng.normal(1.7, 0.4, (n, n)), rng.normal(-9.3, 2.0, (n, n)))
    connectivity = Connectivity.from_dense(matrix * 1.0)
    sources, targets = np.nonzero(matrix)
    connectivity = Connectivity.from_coo(sources, targets, n, n, store(weights[matrix]))
    neuron = LIF(tau_mem=20.0, tau_syn=5.0, v_th=20.0, refractory=2.0)
    return Network(
        (Population("cells", n, neuron, initial={"v": Normal(5.0, 5.0)}),),
        (Projection("cells", "cells", connectivity, delay=1.5),),
        (PoissonNoise("cells", 2500.0, 8.0),),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("update", ["dense", "sparse"])
def test_float16_is_the_same_as_rounding_the_weights_before(dtype, update):
    settings = {"dtype": dtype, "update": update}
    narrow, simulation = spikes_of(recurrent(np.asarray), 100.0, ["cells"], weight_dtype="float16", **settings)
    wide, _ = spikes_of(recurrent(rounded), 100.0, ["cells"], **settings)
    other, _ = spikes_of(recurrent(np.asarray), 100.0, ["cells"], **settings)
    assert simulation._parts[0].rows.weights.dtype == np.float16
    assert narrow.shape[1] > 500 and np.array_equal(narrow, wide)
    assert not np.array_equal(narrow, other)  # the rounding is seen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_float16_is_read_exactly(dtype):
    """One synapse for each finite number of 16 bits, from one spike: what arrives is the number, sign of zero aside."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)].astype(np.float64)
    n = len(values)
    for update in ("dense", "sparse"):
        network = Network(
            (Population("source", 1, SpikeSource([0.1], [0])), Population("cells", n, LIF(tau_syn=5.0, v_th=1e9))),
            (Projection("source", "cells", Connectivity.from_coo(np.zeros(n, int), np.arange(n), 1, n, values), delay=0.1),),
        )
        simulation = Simulation(network, 0.1, dtype=dtype, weight_dtype="float16", update=update)
        simulation.run(0.2)
        assert np.array_equal(simulation.state("cells", "i"), values.astype(dtype))


def test_float16_with_workers_and_pieces_gives_the_same_bits():
    one, first = spikes_of(recurrent(np.asarray), 60.0, ["cells"], weight_dtype="float16", workers=1)
    three, second = spikes_of(recurrent(np.asarray), 60.0, ["cells"], weight_dtype="float16", workers=3)
    assert np.array_equal(one, three)
    assert np.array_equal(first.state("cells"), second.state("cells"))


def test_what_weight_dtype_refuses():
    network = recurrent(np.asarray)
    with pytest.raises(SimulationError, match="weight_dtype must be float16 or float32 or float64, not int16"):
        Simulation(network, 0.1, weight_dtype="int16")
    with pytest.raises(SimulationError, match="weight_dtype float64 is wider than the state's dtype, float32"):
        Simulation(network, 0.1, weight_dtype="float64")
    with pytest.raises(NetworkError, match="'cells' -> 'cells': a weight of magnitude .* overflows float16"):
        Simulation(recurrent(lambda w: 1e4 * w), 0.1, weight_dtype="float16")
    with pytest.raises(NetworkError, match="'cells' -> 'cells': a weight of magnitude .* becomes 0 in float16"):
        Simulation(recurrent(lambda w: 1e-9 * w), 0.1, weight_dtype="float16")


def large(size, out_degree, shared, recurrent):
    """A group of more slots than 16 bits can number, on two ports, driven by some sources."""
    weight = 4.0 if shared else Normal(4.0, 1.0)
    sources = Population("in", 40, SpikeSource(np.repeat(np.arange(1.0, 9.0), 40), np.tile(np.arange(40), 8)))
    cells = Population("cells", size, LIFExcInh(tau_mem=20.0, v_th=10.0, refractory=1.0))
    return Network(
        (sources, cells),
        (
            Projection("in", "cells", FixedOutDegree(out_degree), weight=weight, delay=0.5, port="exc"),
            Projection("in", "cells", FixedOutDegree(out_degree // 10), weight=-0.1, delay=0.5, port="inh"),
            *([Projection("cells", "cells", FixedProbability(2e-5), weight=weight, delay=1.0, port="exc")] if recurrent else []),
        ),
    )


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("out_degree", "targets"), [(20_000, np.uint16), (2_000, np.uint32)])
def test_groups_beyond_16_bits_are_the_same_for_one_worker_and_for_many(out_degree, targets, shared):
    """One worker has slots beyond 2**16 in blocks, or as 32 bits where segments would be short; five workers have neither."""
    network = large(70_000, out_degree, shared, recurrent=targets == np.uint32)
    one, first = spikes_of(network, 12.0, ["cells"], dtype="float64", workers=1, update="dense")
    five, second = spikes_of(network, 12.0, ["cells"], dtype="float64", workers=5, update="dense")
    sparse, _ = spikes_of(network, 12.0, ["cells"], dtype="float64", workers=1, update="sparse")
    assert first._parts[0].rows.targets.dtype == targets
    assert all(part.rows.targets.dtype == np.uint16 for part in second._parts)
    assert one.shape[1] > 1000 and one[2].max() > 2**16
    assert np.array_equal(one, five) and np.array_equal(one, sparse)
    assert np.array_equal(first.state("cells", "exc"), second.state("cells", "exc"))
    assert first.counters.synaptic_events == second.counters.synaptic_events
