"""The same trained net on the same data, as dense layers in torch and as a sparse network in eventsim."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import Any

import torch

from norse_bridge.simulation import simulate


def compare(model, batches: Iterable[tuple[torch.Tensor, torch.Tensor]], dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """What both executions of a `Classifier`'s network make of the same samples.

    batches : pairs (x, labels). Each x is encoded once, so that both see the same.
    dtype : of both, weights and data

    The figures: ``samples``; ``accuracy_dense``, ``accuracy_sparse``; ``differing_decisions``, samples with another class;
    ``spikes`` of the dense layers and maxima; ``differing_spikes``, places (step, sample, neuron) where they are not the same;
    ``events``, synaptic events; ``dense_seconds``, ``sparse_seconds`` with compiling and conversion.
    """
    net = model.network.exported_as() if hasattr(model.network, "exported_as") else copy.deepcopy(model.network)
    net = net.cpu().to(dtype).eval()
    counts = dict.fromkeys(("samples", "dense", "sparse", "differing_decisions", "spikes", "differing_spikes", "events"), 0)
    seconds = {"dense_seconds": 0.0, "sparse_seconds": 0.0}
    for x, labels in batches:
        with torch.no_grad():
            encoded = model.encode(x).to(dtype)  # (time, batch, ...)
        start = time.perf_counter()
        voltages, fired = watched(net, encoded)
        between = time.perf_counter()
        result = simulate(net, encoded)
        seconds["sparse_seconds"] += time.perf_counter() - between
        seconds["dense_seconds"] += between - start
        dense, sparse = model.scores(voltages).argmax(-1), model.scores(result.outputs).argmax(-1)
        counts["samples"] += len(labels)
        counts["dense"] += int((dense == labels).sum())
        counts["sparse"] += int((sparse == labels).sum())
        counts["differing_decisions"] += int((dense != sparse).sum())
        counts["events"] += int(result.counters.synaptic_events)
        for name in result.spikes:
            counts["spikes"] += int(fired[name].sum())
            counts["differing_spikes"] += int((fired[name] != result.dense_spikes(name)).sum())
    accuracies = {f"accuracy_{kind}": counts.pop(kind) / counts["samples"] for kind in ("dense", "sparse")}
    return counts | accuracies | {name: round(value, 3) for name, value in seconds.items()}


@torch.no_grad()
def watched(net, x) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A net's output, and the outputs of its children by name: (time, batch, ...) each."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [child.register_forward_hook(keep(name)) for name, child in net.named_children()]
    try:
        output, _ = net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return output, seen


def in_words(found: dict[str, Any]) -> str:
    """A comparison in words."""
    return (
        f"simulated {found['samples']:,} samples: accuracy {100 * found['accuracy_dense']:.2f} % dense, "
        f"{100 * found['accuracy_sparse']:.2f} % sparse; {found['differing_decisions']} differing decisions, "
        f"{found['differing_spikes']} differing of {found['spikes']:,} spikes; {found['events']:,} synaptic events; "
        f"{found['dense_seconds']:.1f} s dense, {found['sparse_seconds']:.1f} s sparse"
    )
