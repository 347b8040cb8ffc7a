"""LConv2d: a Conv2d at every step."""

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError

OPTIONS = [
    {"kernel_size": 3},
    {"kernel_size": (2, 5), "stride": (2, 1), "padding": (0, 3)},
    {"kernel_size": 3, "padding": "same", "dilation": 2},
    {"kernel_size": 3, "padding": "valid", "groups": 2, "dtype": torch.float64},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_step_is_a_conv2d_and_the_whole_a_conv3d(options):
    module = nb.LConv2d(4, 6, **options)
    flat = torch.nn.Conv2d(4, 6, bias=False, **options)
    flat.weight.data = module.weight.data[..., 0]
    x = torch.randn(3, 2, 4, 9, 8, dtype=options.get("dtype"))
    out = module(x)
    torch.testing.assert_close(out, torch.stack([flat(now) for now in x]))
    deep = torch.nn.Conv3d.forward(module, x.permute(1, 2, 3, 4, 0)).permute(4, 0, 1, 2, 3)
    torch.testing.assert_close(out, deep)
    assert module.bias is None and module.weight.shape[-1] == 1


def test_between_layers_over_time():
    model = nb.SequentialState(nb.LConv2d(1, 2, 3), nb.LIF(), torch.nn.Flatten(2), torch.nn.Linear(32, 3), nb.LI())
    out, _ = model(5 * torch.rand(7, 2, 1, 6, 6))
    out.sum().backward()
    assert out.shape == (7, 2, 3)
    assert model[0].weight.grad.abs().sum() > 0


def test_other_axes_are_refused():
    with pytest.raises(SimulationError, match=r"axes \(time, batch, channels, height, width\), not the shape \(1, 6, 6\)"):
        nb.LConv2d(1, 2, 3)(torch.rand(1, 6, 6))
