"""Write what Norse's encoders, decoders, filters, logic and containers compute to tests/data/norse_signals.npz.

tests/bridge/test_norse_signals.py compares. Run it with a Python that has Norse, numpy and torch, and not this package::

    python tests/tools/norse_signals.py tests/data/norse_signals.npz

Only what Norse 1.1.0 does right is here; forward values are those of its main branch.
"""

from __future__ import annotations

import sys

import norse
import norse.torch as nt
import numpy as np
import torch
from norse.torch.functional.decode import sum_decode
from norse.torch.functional.logical import muller_c, posedge_detector
from norse.torch.functional.regularization import spike_accumulator, voltage_accumulator
from norse.torch.module.exp_filter import ExpFilter

SEED = 5
CONVOLUTIONS = {
    "plain": {},
    "stride": {"stride": 2, "padding": (1, 0)},
    "dilation": {"dilation": (1, 2), "padding": 1},
    "groups": {"groups": 2, "kernel_size": (2, 3)},
}
FED_BACK = (-1, 0, 1)  # output_modules


def encoders():
    """Values and gradients of population codes; trains of the Poisson codes from a seed; latencies."""
    x = torch.tensor([[0.1, 0.5, 2.0], [1.3, 0.0, 0.7]])
    found = {"population x": x}
    for name, scale in (("default", None), ("number", 1.7), ("tensor", torch.tensor(3.0))):
        leaf = x.clone().requires_grad_(True)
        code = nt.population_encode(leaf, 5, scale)
        (code * torch.arange(5.0)).sum().backward()
        found[f"population {name}"] = code
        if scale is not None:  # through the largest value Norse has half of the gradient
            found[f"population {name} gradient"] = leaf.grad
    found["distances"] = nt.euclidean_distance(x, x.flip(0))
    found["rbf"] = nt.gaussian_rbf(x, 0.3)
    found["signed x"] = signed = torch.linspace(-1.2, 1.2, 12).reshape(3, 4)
    for name in ("poisson_encode", "signed_poisson_encode"):
        found[name] = getattr(nt, name)(signed, 40, 400, generator=torch.Generator().manual_seed(SEED))
        found[f"{name}_step"] = getattr(nt, f"{name}_step")(signed, 400, generator=torch.Generator().manual_seed(SEED))
    trains = (torch.rand(20, 3, 4) < 0.15).float()
    trains[:, 0, 0] = 0
    leaf = trains.clone().requires_grad_(True)
    first = nt.spike_latency_encode(leaf)
    (first * torch.arange(first.numel()).reshape(first.shape)).sum().backward()
    found |= {"trains": trains, "first": first, "first gradient": leaf.grad}
    found["current"] = current = torch.linspace(0, 6, 7)
    p = nt.LIFParameters(v_th=torch.tensor(0.7), tau_mem_inv=torch.tensor(83.3))
    found["latency"] = nt.spike_latency_lif_encode(current, 30, p)
    found["constant"] = nt.constant_current_lif_encode(current, 30, p)
    return found


def decoders(trains):
    """Counts and times; gradients where no neuron is silent, since Norse's fails otherwise."""
    found = {"counts": sum_decode(trains)}
    for count in (1, 3):
        found[f"times {count}"] = nt.SpikesToTimesDecoder(count)(trains)
        found[f"steps {count}"] = nt.SpikesToTimesDecoder(count, convert_indices_to_times=False)(trains)
    busy = torch.cat([(torch.rand(20, 2, 3) < 0.3).float(), torch.ones(2, 2, 3)]).requires_grad_(True)
    times = nt.SpikesToTimesDecoder(2)(busy)
    (times * torch.arange(1.0, times.numel() + 1).reshape(times.shape)).sum().backward()
    return found | {"busy": busy, "busy times": times, "busy gradient": busy.grad}


def logic():
    """All rows of the truth tables."""
    y, a, b = (column.reshape(-1) for column in torch.meshgrid(*[torch.tensor([0.0, 1.0])] * 3, indexing="ij"))
    found = {name: getattr(nt, f"logical_{name}")(a, b) for name in ("and", "or", "xor")}
    return found | {"logic inputs": torch.stack([y, a, b]), "muller_c": muller_c(y, a, b), "posedge": posedge_detector(a, b)}


def filters_and_maps():
    """ExpFilter with and without bias; LConv2d."""
    found = {"filter x": torch.randn(12, 2, 4), "images": torch.randn(3, 2, 4, 7, 6)}
    for name, options in (("bias", {"tau_filter_inv": 333.3}), ("no bias", {"bias": False, "dt": 0.002})):
        module = ExpFilter(4, 3, **options)
        found[f"filter {name}"] = module(found["filter x"])
        found |= {f"filter {name} {key}": value for key, value in module.state_dict().items()}
    for name, options in CONVOLUTIONS.items():
        module = nt.LConv2d(4, 6, **{"kernel_size": 3} | options)
        found |= {f"convolution {name}": module(found["images"]), f"convolution {name} weight": module.weight}
    return found


def containers():
    """Steps of RecurrentSequential, and the sums of RegularizationCell."""
    linear, x = torch.nn.Linear(4, 4), 20 * torch.rand(15, 2, 4)
    found = {"fed x": x, "fed weight": linear.weight, "fed bias": linear.bias}
    for place in FED_BACK:
        model, state, outputs = nt.RecurrentSequential(linear, nt.LIFCell(), output_modules=place), None, []
        for row in x:
            out, state = model(row, state)
            outputs.append(out)
        found |= {f"fed back {place}": torch.stack(outputs), f"fed back {place} v": state.state[1].v}
    cell, state = nt.LIFCell(), None
    spikes, voltages = nt.RegularizationCell(spike_accumulator), nt.RegularizationCell(voltage_accumulator)
    sums = []
    for row in x:
        z, state = cell(row, state)
        sums.append((spikes(z, state)[1], voltages(z, state)[1]))
    return found | {"sum of spikes": torch.stack([a for a, _ in sums]), "sum of voltages": torch.stack([b for _, b in sums])}


def main(path):
    """Write the file."""
    torch.manual_seed(1)
    found = encoders()
    found |= decoders(found["trains"]) | logic() | filters_and_maps() | containers()
    arrays = {name: value.detach().numpy() for name, value in found.items()}
    np.savez_compressed(path, version=np.array(norse.__version__), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
