"""What torch makes of an input, against the map and the network that the export makes of the module: test oracles."""

from __future__ import annotations

import numpy as np
import torch

import norse_bridge as nb
from norse_bridge.export import stages
from norse_bridge.leaves import becomes_population, leaves
from norse_bridge.linear_maps import LinearMap


def matrix_of(module, shape) -> LinearMap:
    """The map of a linear module, as the export sees it in front of a spiking layer."""
    return stages(nb.SequentialState(module, nb.LIFCell()), shape)[1][0].into


def assert_equals_torch(module, shape):
    """The map of a module is what the module computes, in float64 to rounding, and stores each entry once and in order."""
    module = module.double()
    into = matrix_of(module, shape)
    x = torch.randn(3, *shape, dtype=torch.float64)
    with torch.no_grad():
        wanted = module(x)
    bias = 0.0 if into.bias is None else into.bias
    got = (into.matrix @ x.reshape(3, -1).numpy().T).T + bias
    assert into.shape == tuple(wanted.shape[1:])
    np.testing.assert_allclose(got, wanted.reshape(3, -1).numpy(), rtol=1e-12, atol=1e-12)
    assert (into.matrix.data != 0).all()
    copy = into.matrix.copy()
    copy.has_canonical_format = False
    copy.sum_duplicates()
    assert np.array_equal(copy.indices, into.matrix.indices)


def scaled(model, factor):
    """The model in float64 with all weights times ``factor``, so that it fires."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "weight" in name:
                parameter.mul_(factor)
    return model.double()


def binary(steps, batch, *shape, rate=0.2):
    """Random spikes in float64: (steps, batch, *shape)."""
    return (torch.rand(steps, batch, *shape) < rate).double()


def run_cells(model, data):
    """A model of cells, stepped over time."""
    rows, state = [], None
    for now in data:
        out, state = model(now, state)
        rows.append(out)
    return torch.stack(rows)


def run_dense(model, data):
    """``(outputs, [spikes of each module that becomes a population])`` of a model in torch, all (time, batch, ...)."""
    chain = leaves(model)
    layers = [leaf for leaf in chain if becomes_population(leaf.module)]
    seen = {id(leaf.module): [] for leaf in layers}

    def keep(module, inputs, output):
        seen[id(module)].append((output[0] if isinstance(output, tuple) else output).detach())

    hooks = [leaf.module.register_forward_hook(keep) for leaf in layers]
    cells = not any(leaf.lifted or getattr(leaf.module, "over_time", False) for leaf in chain)
    outputs = run_cells(model, data) if cells else model(data)
    for hook in hooks:
        hook.remove()
    spikes = [torch.stack(rows) if len(rows) > 1 else rows[0] for rows in seen.values()]
    return (outputs[0] if isinstance(outputs, tuple) else outputs), spikes


def train(model, data, steps=3):
    """A few steps of Adam towards random targets, so that weights and running statistics are those of a trained model."""
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        outputs, _ = run_dense(model, data)
        (outputs.mean(0) - torch.rand(outputs.shape[1:], dtype=outputs.dtype)).square().sum().backward()
        optimiser.step()
    return model.eval()


def assert_simulates(model, data, update="auto", least=0.005):
    """Every layer and pool of a model fires in the engine as in torch, and a readout has the same voltage."""
    with torch.no_grad():
        outputs, spikes = run_dense(model, data)
    result = nb.simulate(model, data, update=update)
    names = [population.name for population in result.network.populations[1:]]
    assert len(names) == len(spikes)
    for name, wanted in zip(names, spikes, strict=True):
        if name in result.spikes:
            assert least < wanted.mean() < 0.95, f"{name} fires with {wanted.mean():.3f} in a step"
            assert torch.count_nonzero(result.dense_spikes(name) != wanted) == 0, name
    assert result.outputs.shape == outputs.shape
    assert torch.allclose(result.outputs, outputs, rtol=1e-9, atol=1e-12)
    return result
