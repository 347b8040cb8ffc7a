"""A small net of each convertible kind, trained for some steps, then run in eventsim: 0 differing spikes in float64."""

from collections import OrderedDict

import pytest
import torch
from map_oracles import assert_simulates, binary, run_dense, scaled, train
from torch import nn

import norse_bridge as nb
from eventsim.errors import NetworkError

LOW = nb.LIFParameters(v_th=0.3)
BOX = nb.LIFBoxParameters(v_th=0.1)


class Twice(nn.Module):
    """A module of one's own that only moves features."""

    moves_features = True

    def forward(self, x):
        return torch.cat([x.flip(-1), x], -1)


class Mixed(nn.Module):
    """A module of one's own that says which of torch's computes the same."""

    def __init__(self, channels):
        super().__init__()
        self.mixing = nn.Parameter(torch.randn(channels, channels, 1, 1))

    def kernel(self):
        return 3 * self.mixing.exp() - 3

    def forward(self, x):
        return nn.functional.conv2d(x, self.kernel(), stride=2)

    def exported_as(self):
        conv = nn.Conv2d(*self.mixing.shape[1::-1], 1, stride=2, bias=False).to(self.mixing)
        conv.weight.data = self.kernel().detach()
        return conv


CELLS = {
    "conv1d": (4.0, (3, 12), lambda: [nn.Conv1d(3, 6, 3, 2, "valid", groups=3), nb.LIFCell(), nn.Conv1d(6, 4, 3, dilation=2), nb.LIFCell()]),
    "conv2d": (
        5.0,
        (2, 8, 9),
        lambda: [nn.Conv2d(2, 4, 3, (2, 1), (1, 2), groups=2), nb.LIFCell(), nn.Conv2d(4, 3, 2, padding="same", dilation=2), nb.LIFCell()],
    ),
    "conv2d circular": (5.0, (2, 6, 6), lambda: [nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), nb.LIFCell()]),
    "conv3d": (5.0, (1, 4, 5, 5), lambda: [nn.Conv3d(1, 3, (2, 3, 3), padding=1), nb.LIFCell(), nn.AvgPool3d(2), nn.Flatten(), nb.LIFCell()]),
    "conv transpose": (5.0, (3, 4, 4), lambda: [nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1), nb.LIFCell()]),
    "avg pool behind spikes": (
        7.0,
        (2, 7, 7),
        lambda: [nn.Conv2d(2, 3, 3), nb.LIFCell(), nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(3, 2, 2), nb.LIFCell(LOW)],
    ),
    "adaptive avg pool": (9.0, (2, 6, 6), lambda: [nn.Conv2d(2, 3, 3, padding=1), nb.LIFCell(), nn.AdaptiveAvgPool2d(4), nb.LIFCell()]),
    "sum pool": (4.0, (2, 6, 6), lambda: [nn.Conv2d(2, 3, 3, padding=1), nb.LIFCell(), nb.SumPool2d(3, 2, 1), nb.LIFCell()]),
    "lp pool": (4.0, (2, 8), lambda: [nn.Conv1d(2, 3, 3), nb.LIFCell(), nn.LPPool1d(1, 2), nb.LIFCell(LOW)]),
    "max pool": (
        9.0,
        (2, 8, 8),
        lambda: [nn.Conv2d(2, 3, 3, padding=1), nb.LIFCell(), nn.MaxPool2d(2), nn.Conv2d(3, 8, 3), nb.LIFCell(LOW), nn.MaxPool2d(2)],
    ),
    "max pool 1d": (5.0, (2, 9), lambda: [nn.Conv1d(2, 3, 3), nb.LIFCell(), nn.MaxPool1d(3, 2, 1, ceil_mode=True), nb.LIFCell(LOW)]),
    "max pool 3d": (5.0, (1, 5, 5, 5), lambda: [nn.Conv3d(1, 2, 2), nb.LIFCell(), nn.MaxPool3d(2, 1, 1, 2), nn.Flatten(), nb.LIFCell(LOW)]),
    "adaptive max pool": (5.0, (2, 5, 5), lambda: [nn.Conv2d(2, 2, 2), nb.LIFCell(), nn.AdaptiveMaxPool2d((3, 1)), nb.LIFCell(LOW)]),
    "maxima in turn": (
        12.0,
        (2, 8, 8),
        lambda: [nn.Conv2d(2, 4, 3), nb.LIFRefracCell(), nn.MaxPool2d(2), nn.ZeroPad2d(1), nn.Dropout(), nn.MaxPool2d(2, 1), nb.LIFBoxCell(BOX)],
    ),
    "batch norm": (
        2.0,
        (2, 6, 6),
        lambda: [nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nb.LIFCell(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3, padding=1), nb.LIFCell()],
    ),
    "batch norm 1d": (4.0, (6,), lambda: [nn.Linear(6, 8), nn.BatchNorm1d(8), nb.LIFCell(), nn.BatchNorm1d(8), nn.Linear(8, 4), nb.LICell()]),
    "upsampled": (
        4.0,
        (2, 4, 4),
        lambda: [nn.Conv2d(2, 8, 2), nb.LIFCell(), nn.PixelShuffle(2), nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(2, 2, 3), nb.LIFCell()],
    ),
    "several axes": (4.0, (3, 5), lambda: [nn.Linear(5, 6), nb.LIFCell(), nn.Unflatten(2, (2, 3)), nn.Linear(3, 4), nb.LIFCell(), nn.Flatten(), nb.LILinearCell(24, 2)]),
    "relu of spikes": (12.0, (5,), lambda: [nn.Linear(5, 8), nb.LIFCell(), nn.ReLU(), nn.Linear(8, 4), nb.LSNNCell(), nn.ReLU6()]),
    "a module of one's own": (4.0, (2, 7, 7), lambda: [nn.Conv2d(2, 3, 2), nb.LIFCell(), Mixed(3), Twice(), nb.LIFCell()]),
    "nested": (
        4.0,
        (2, 6, 6),
        lambda: [
            nb.SequentialState(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Identity()), nb.LIFCell()),
            nn.Sequential(OrderedDict(pool=nn.MaxPool2d(2), flat=nn.Flatten())),
            nb.SequentialState(nb.SequentialState(nb.LIFRecurrentCell(12, 6)), nn.Dropout()),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CELLS)
def test_a_net_of_cells(kind):
    factor, shape, parts = CELLS[kind]
    model = scaled(nb.SequentialState(*parts()), factor)
    train(model, binary(20, 3, *shape, rate=0.4))
    assert_simulates(model, binary(200, 2, *shape, rate=0.4))


LAYERS = {
    "conv and max pool": (
        5.0,
        (2, 8, 8),
        lambda: [nb.Lift(nn.Conv2d(2, 3, 3, padding=1)), nb.LIF(), nb.Lift(nn.MaxPool2d(2)), nn.Flatten(2), nn.Linear(48, 6), nb.LIFRecurrent(6, 5)],
    ),
    "batch norm": (
        12.0,
        (2, 6, 6),
        lambda: [nb.Lift(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))), nb.LSNN(), nb.Lift(nn.AvgPool2d(2)), nn.Flatten(2), nb.LIF(LOW)],
    ),
    "lifted cells": (
        5.0,
        (2, 8),
        lambda: [nb.Lift(nb.SequentialState(nn.Conv1d(2, 3, 3), nb.LIFCell(), nn.MaxPool1d(2), nn.Conv1d(3, 2, 2), nb.LIFCell(LOW)))],
    ),
    "without a lift": (5.0, (8, 9), lambda: [nn.Linear(9, 8), nb.LIF(), nn.MaxPool2d(2), nn.Linear(4, 5), nb.LIF(), nn.AvgPool2d(2), nn.Flatten(2), nb.LI()]),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYERS)
def test_a_net_over_time(kind):
    factor, shape, parts = LAYERS[kind]
    model = scaled(nb.SequentialState(*parts()), factor)
    train(model, binary(20, 3, *shape, rate=0.4))
    assert_simulates(model, binary(200, 2, *shape, rate=0.4))


@pytest.mark.parametrize("update", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_maximum_over_spikes_is_exact_in_every_update_and_type(update, dtype):
    """Dyadic weights, so that nothing is rounded: the layer, and the pools behind it that fire in the same step."""
    model = nb.SequentialState(
        nn.Linear(12, 24),
        nb.IAFCell(nb.IAFParameters(v_th=torch.tensor(2.0))),
        nn.MaxPool1d(3, 2, 1),
        nn.MaxPool1d(2),
        nb.IAFCell(nb.IAFParameters(v_th=torch.tensor(1.5))),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.round(parameter * 64) / 16)
    model = model.to(dtype)
    data = binary(500, 3, 12).to(dtype)
    result = assert_simulates(model, data, update)
    assert [p.name for p in result.network.populations] == ["input", "layer1", "pool1", "pool2", "layer2"]
    assert result.outputs.dtype == dtype
    fired = sum(len(spikes.times) for spikes in result.spikes.values())
    assert result.counters.spikes == data.count_nonzero() + fired  # those of the pools count, too


def test_analogue_data_go_through_what_lies_in_front_of_the_first_layer():
    model = scaled(nb.SequentialState(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nb.LIFCell(), nn.MaxPool2d(2)), 3.0)
    data = torch.rand(200, 2, 2, 6, 6, dtype=torch.float64)
    train(model, data[:20])
    assert_simulates(model, data)


def test_names_of_pools():
    parts = OrderedDict(
        [
            ("0", nb.LIFCell()),
            ("best", nn.MaxPool1d(2)),
            ("2", nb.LIFCell()),
            ("3", nn.MaxPool1d(1)),
            ("pool2", nn.MaxPool1d(1)),
            ("5", nb.LIFCell()),
        ]
    )
    model = nb.SequentialState(parts)
    assert [p.name for p in nb.to_network(model, (2, 4)).populations] == [
        "input",
        "layer1",
        "best",
        "layer2",
        "pool2_",
        "pool2",
        "layer3",
    ]


def test_a_module_stands_for_what_it_is_exported_as():
    inner = nb.SequentialState(nn.Linear(3, 4), nb.LIFCell())

    class Model(nn.Module):
        """A model whose forward is a loop of its own."""

        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return run_dense(self.inner, x)[0]

        def exported_as(self):
            return nb.Lift(self.inner)

    model = scaled(Model(), 5.0)
    data = binary(100, 2, 3, rate=0.4)
    result = nb.simulate(model, data)
    assert result.outputs.mean() > 0.01
    assert torch.equal(result.outputs, model(data).detach())
    with pytest.raises(NetworkError, match="is in another Lift, and would take the batch for time"):
        nb.to_network(nb.Lift(model))
