"""Pooling as sparse matrices, against torch in float64; maxima against torch on spikes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from map_oracles import assert_equals_torch, matrix_of
from torch import nn

import norse_bridge as nb
from eventsim.errors import NetworkError
from norse_bridge.export import stages

AVERAGES = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
MAXIMA = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
NORMS = {1: nn.LPPool1d, 2: nn.LPPool2d, 3: nn.LPPool3d}
ADAPTIVE = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
ADAPTIVE_MAXIMA = {1: nn.AdaptiveMaxPool1d, 2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}


@st.composite
def windows(draw, some=(1, 2, 2, 3)):
    """``(dims, shape, kernel, stride or None, padding, ceil_mode)`` as torch allows them."""
    dims = draw(st.sampled_from(some))
    shape = (draw(st.integers(1, 3)), *draw(st.tuples(*[st.integers(4, 4 + 4 // dims)] * dims)))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * dims))
    stride = draw(st.one_of(st.none(), st.tuples(*[st.integers(1, 3)] * dims)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return dims, shape, kernel, stride, padding, draw(st.booleans())


@given(windows(), st.booleans(), st.one_of(st.none(), st.integers(1, 5)))
@settings(deadline=None, max_examples=150)
def test_avg_pool(case, counted, divisor):
    dims, shape, kernel, stride, padding, ceil = case
    more = {} if dims == 1 else {"divisor_override": divisor}
    assert_equals_torch(AVERAGES[dims](kernel, stride, padding, ceil, counted, **more), shape)


@given(windows())
@settings(deadline=None, max_examples=50)
def test_lp_pool_with_norm_1_is_a_sum(case):
    dims, shape, kernel, stride, _, ceil = case
    kernel, stride = (kernel[0], stride and stride[0]) if dims == 1 else (kernel, stride)
    assert_equals_torch(NORMS[dims](1, kernel, stride, ceil), shape)


@given(windows(some=(2,)), st.integers(0, 6))
@settings(deadline=None, max_examples=50)
def test_sum_pool(case, more):
    _, shape, kernel, stride, padding, _ = case
    module = nb.SumPool2d(kernel, stride, (padding[0] + more, padding[1]))  # as much padding as one likes
    assert_equals_torch(module, shape)
    assert (matrix_of(module, shape).matrix.data == 1).all()


def test_sum_pool_is_a_sum():
    x = torch.arange(16.0, requires_grad=True)
    assert nb.SumPool2d(2)(x.reshape(1, 4, 4)).tolist() == [[[10.0, 18.0], [42.0, 50.0]]]
    y = nb.SumPool2d((2, 3), 2, (1, 0))(x.reshape(1, 1, 4, 4))
    assert y.tolist() == [[[[3.0], [42.0], [39.0]]]]
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0, 0.0] * 4
    assert repr(nb.SumPool2d(2)) == "SumPool2d(kernel_size=2, stride=2, padding=0)"


@given(st.integers(1, 3), st.data())
@settings(deadline=None, max_examples=60)
def test_adaptive_avg_pool(dims, data):
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * (dims + 1)))
    size = data.draw(st.tuples(*[st.one_of(st.none(), st.integers(1, 7))] * dims))
    assert_equals_torch(ADAPTIVE[dims](size if dims > 1 else size[0] or 3), shape)


def test_pools_with_plain_numbers():
    assert_equals_torch(nn.AvgPool2d(2), (2, 6, 5))
    assert_equals_torch(nn.AvgPool2d(3, 2, 1), (2, 6, 5))
    assert_equals_torch(nn.AvgPool2d((2,), (1,), (1,)), (2, 6, 5))
    assert_equals_torch(nn.AvgPool2d(2), (6, 5))  # torch takes (batch, height, width) for (channels, height, width)
    assert_equals_torch(nn.AdaptiveAvgPool2d(1), (2, 6, 5))
    assert_equals_torch(nn.LPPool2d(1.0, 2), (2, 6, 5))


def maxima_of(module, shape):
    """The map in front of the neurons that a maximum over spikes becomes."""
    found = stages(nb.SequentialState(nb.LIFCell(), module), shape)[1]
    assert [stage.name for stage in found] == ["layer1", "pool1"]
    return found[1].into


def assert_maximum(module, shape):
    into = maxima_of(module, shape)
    z = (torch.rand(20, *shape, dtype=torch.float64) < 0.2).double()
    wanted = module(z)
    got = (into.matrix @ z.reshape(20, -1).numpy().T).T > 0.5
    assert into.shape == tuple(wanted.shape[1:])
    assert into.bias is None
    assert (into.matrix.data == 1).all()
    np.testing.assert_array_equal(got, wanted.reshape(20, -1).numpy())


@given(windows(), st.integers(1, 2))
@settings(deadline=None, max_examples=150)
def test_max_pool(case, dilation):
    dims, shape, kernel, stride, padding, ceil = case
    module = MAXIMA[dims](kernel, stride, padding, dilation, ceil_mode=ceil)
    try:
        wanted = module(torch.zeros(1, *shape))
    except RuntimeError:  # the window is larger than what it slides over
        wanted = torch.full((1,), -torch.inf)
    if wanted.isfinite().all():
        assert_maximum(module, shape)
    else:
        with pytest.raises(NetworkError, match="too many for the|lies in the padding alone"):
            maxima_of(module, shape)


@given(st.integers(1, 3), st.data())
@settings(deadline=None, max_examples=40)
def test_adaptive_max_pool(dims, data):
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * (dims + 1)))
    size = data.draw(st.tuples(*[st.integers(1, 7)] * dims))
    assert_maximum(ADAPTIVE_MAXIMA[dims](size if dims > 1 else size[0]), shape)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.MaxPool2d(2, return_indices=True), r"'1' \(MaxPool2d\): return_indices=True cannot be exported"),
        (nn.AdaptiveMaxPool2d(2, return_indices=True), r"'1' \(AdaptiveMaxPool2d\): return_indices=True"),
        (nn.MaxPool2d(2, padding=1, dilation=7), r"'1' \(MaxPool2d\): one of its windows lies in the padding alone"),
        (nn.MaxPool3d(2), r"'1' \(MaxPool3d\): it takes at most|features \(channels, depth"),
        (nn.MaxPool2d(7), r"spans 7 pixels, too many for the 6"),
    ],
)
def test_maxima_that_have_no_meaning_for_spikes_are_refused(module, message):
    with pytest.raises(NetworkError, match=message):
        nb.to_network(nb.SequentialState(nb.LIFCell(), module, nb.LIFCell()), (6, 6))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([nn.MaxPool2d(2), nb.LIFCell()], "no spiking layer lies in front of it"),
        ([nn.Conv2d(2, 2, 1), nn.MaxPool2d(2), nb.LIFCell()], "no spiking layer lies in front of it"),
        ([nb.LIFCell(), nn.Conv2d(2, 2, 1), nn.MaxPool2d(2), nb.LIFCell()], "what lies between changes their values"),
        ([nb.LIFCell(), nn.AvgPool2d(2), nn.MaxPool2d(2), nb.LIFCell()], "what lies between changes their values"),
        ([nb.LIFCell(), nn.BatchNorm2d(2).eval(), nn.AdaptiveMaxPool2d(2), nb.LIFCell()], "changes their values"),
        ([nb.LIFCell(), nn.Conv2d(2, 2, 1), nn.ReLU(), nb.LIFCell()], "what lies between changes their values"),
        ([nb.LICell(), nn.MaxPool2d(2)], "no spiking layer lies in front of it"),
    ],
)
def test_maxima_of_analogue_values_are_refused(parts, message):
    with pytest.raises(NetworkError, match=rf"is exported right behind spikes alone.*{message}.*no maximum of analogue values"):
        nb.to_network(nb.SequentialState(*parts), (2, 4, 4))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.AvgPool2d(2), (4,), r"features \(channels, height, width\), it is given \(4,\)"),
        (nn.AvgPool1d(2), (2, 3, 4), "it takes at most 3 axes, it is given 4; is input_shape right"),
        (nn.LPPool2d(2, 2), (1, 4, 4), "with norm_type=2 it is not linear; norm_type=1, which is a sum, is supported"),
        (nb.SumPool2d(5), (1, 4, 4), "spans 5 pixels, too many for the 4"),
    ],
)
def test_pools_that_do_not_fit_are_refused(module, shape, message):
    with pytest.raises(NetworkError, match=message):
        matrix_of(module, shape)
