"""The same net on the same spikes, as dense layers and as a sparse network."""

from __future__ import annotations

import copy
import time
from typing import Any, NamedTuple

import torch

from eventsim.cli.demo.training import decide, hidden_outputs, linear_layers
from eventsim.cli.waiting import waiting
from eventsim.recording import Spikes
from norse_bridge import SimulationResult, simulate


class Comparison(NamedTuple):
    """What both executions did with the test images; everything in float64.

    spikes : hidden spikes of the dense layers; differing : places (step, image, neuron) where the sparse ones differ
    readout_difference : the largest difference of a readout's voltage
    firing : share of the hidden neurons that fire in a step
    dense_operations : multiply-adds that the dense layers do; events : synaptic events of the sparse network
    dense_seconds, sparse_seconds : wall time, without compiling
    """

    accuracy_dense: float
    accuracy_sparse: float
    images: int
    steps: int
    spikes: int
    differing: int
    readout_difference: float
    firing: float
    dense_operations: int
    events: int
    synapses_dense: int
    synapses_kept: int
    dense_seconds: float
    sparse_seconds: float

    @property
    def ratio(self) -> float:
        """How many dense operations there are for each synaptic event."""
        return self.dense_operations / max(1, self.events)


class Compared(NamedTuple):
    """The comparison, the sparse run itself and the model in float64."""

    comparison: Comparison
    result: SimulationResult
    model: Any


def compare(model, spikes: torch.Tensor, labels: torch.Tensor) -> Compared:
    """Run the encoded test images both ways: spikes 0/1 (time, images, pixels), labels (images,)."""
    exact = copy.deepcopy(model).double()
    spikes = spikes.double()
    with waiting("compiling"):
        simulate(exact, spikes[:, :2])  # so that the times below are those of the work
    start = time.perf_counter()
    with torch.no_grad():
        outputs = hidden_outputs(exact, spikes)
    dense_seconds = time.perf_counter() - start
    start = time.perf_counter()
    with waiting("simulating"):
        result = simulate(exact, spikes, record=(Spikes("input"),))
    sparse_seconds = time.perf_counter() - start
    hidden = {"layer1": outputs[1], "layer2": outputs[3]}
    weights = [layer.weight for layer in linear_layers(exact)]
    steps, images = spikes.shape[:2]
    fired = sum(int(layer.sum()) for layer in hidden.values())
    comparison = Comparison(
        accuracy_dense=float((decide(outputs[-1]) == labels).double().mean()),
        accuracy_sparse=float((decide(result.outputs) == labels).double().mean()),
        images=images,
        steps=steps,
        spikes=fired,
        differing=sum(int((result.dense_spikes(name) != layer).sum()) for name, layer in hidden.items()),
        readout_difference=float((result.outputs - outputs[-1]).abs().max()),
        firing=fired / sum(layer.numel() for layer in hidden.values()),
        dense_operations=steps * images * sum(weight.numel() for weight in weights),
        events=int(result.counters.synaptic_events),
        synapses_dense=sum(weight.numel() for weight in weights),
        synapses_kept=sum(int(torch.count_nonzero(weight)) for weight in weights),
        dense_seconds=dense_seconds,
        sparse_seconds=sparse_seconds,
    )
    return Compared(comparison, result, exact)
