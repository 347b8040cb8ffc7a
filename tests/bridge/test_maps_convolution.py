"""Convolutions and their transposes as sparse matrices, against torch in float64."""

import time
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from map_oracles import assert_equals_torch, matrix_of
from torch import nn
from torch.nn.utils import parametrizations, prune

from eventsim.errors import NetworkError
from norse_bridge.linear_maps import index_type
from norse_bridge.maps.convolution import convolution
from norse_bridge.maps.windows import Axis, look

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def each(draw, dims, low, high):
    """A number for each axis."""
    return draw(st.tuples(*[st.integers(low, high)] * dims))


@st.composite
def convolutions(draw):
    dims = draw(st.sampled_from([1, 2, 2, 3]))
    groups = draw(st.integers(1, 3))
    channels, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, dilation = each(draw, dims, 1, 3), each(draw, dims, 1, 2)
    padding = draw(st.one_of(st.just(each(draw, dims, 0, 3)), st.sampled_from(["same", "valid", 0, 1, 2])))
    stride = (1,) * dims if padding == "same" else each(draw, dims, 1, 3)
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    bias = draw(st.booleans())
    module = CONVOLUTIONS[dims](channels, outputs, kernel, stride, padding, dilation, groups, bias=bias, padding_mode=mode)
    return module, (channels, *each(draw, dims, 5, 5 + 4 // dims))


@given(convolutions())
@settings(deadline=None, max_examples=100)
def test_convolution(case):
    with warnings.catch_warnings():
        # torch's own notice that "same" padding of an even kernel is copied
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        assert_equals_torch(*case)


@st.composite
def transposed(draw):
    dims, groups = draw(st.sampled_from([1, 2, 2, 3])), draw(st.integers(1, 2))
    channels, outputs = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, stride, dilation = each(draw, dims, 1, 3), each(draw, dims, 1, 3), each(draw, dims, 1, 3)
    padding = tuple(draw(st.integers(0, d * (k - 1) // 2)) for d, k in zip(dilation, kernel, strict=True))
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    bias = draw(st.booleans())
    module = TRANSPOSED[dims](channels, outputs, kernel, stride, padding, more, groups, bias, dilation)
    return module, (channels, *each(draw, dims, 1, 4))


@given(transposed())
@settings(deadline=None, max_examples=80)
def test_transposed_convolution(case):
    assert_equals_torch(*case)


def test_a_matrix_written_out():
    """One channel, a kernel of three weights, stride 2, one zero on each side: by hand."""
    conv = nn.Conv1d(1, 1, 3, stride=2, padding=1, bias=False).double()
    conv.weight.data = torch.tensor([[[1.0, 2.0, 3.0]]]).double()
    assert matrix_of(conv, (1, 4)).matrix.toarray().tolist() == [[2, 3, 0, 0], [0, 1, 2, 3]]
    assert matrix_of(conv, (1, 5)).matrix.toarray().tolist() == [[2, 3, 0, 0, 0], [0, 1, 2, 3, 0], [0, 0, 0, 1, 2]]


def test_weights_are_those_that_act():
    """Normalised and pruned weights are what torch makes of the parameters."""
    assert_equals_torch(parametrizations.weight_norm(nn.Conv1d(2, 3, 2)), (2, 5))
    pruned = prune.l1_unstructured(nn.Conv1d(2, 3, 2), "weight", 8)
    assert_equals_torch(pruned, (2, 5))
    assert matrix_of(pruned, (2, 5)).matrix.nnz == 4 * 4


def test_depthwise_convolutions_store_their_own_weights_alone():
    into = matrix_of(nn.Conv2d(6, 6, 3, groups=6), (6, 8, 8))
    assert into.matrix.nnz == 6 * 36 * 9


def test_a_layer_of_vgg11_is_converted_in_seconds():
    conv = nn.Conv2d(64, 128, 3, padding=1)
    start = time.process_time()
    into = matrix_of(conv, (64, 16, 16))
    taken = time.process_time() - start
    assert into.matrix.nnz == 64 * 128 * (3 * 16 - 2) ** 2
    assert into.matrix.indices.dtype == into.matrix.indptr.dtype == np.int32
    assert taken < 5.0  # a third of a second on an idle core


def test_indices_are_wide_where_they_have_to_be():
    assert index_type(2**31 - 1, 5) == np.int32
    assert index_type(5, 2**31) == np.int64


def test_columns_beyond_32_bits():
    """A convolution over more features than 32 bits can number: one output pixel, so that it is small all the same."""
    seen = look([Axis(2, 1)], (2,), "it")._replace(inputs=2**30)
    matrix = convolution(np.arange(1.0, 9.0).reshape(1, 4, 2), 1, seen)
    assert matrix.shape == (1, 2**32)
    assert matrix.indices.tolist() == [c * 2**30 + k for c in range(4) for k in range(2)]
    assert matrix.data.tolist() == list(range(1, 9))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.Conv1d(2, 3, 3), (2, 5, 5), r"features \(2, length\), it is given \(2, 5, 5\)"),
        (nn.Conv1d(2, 3, 3), (2,), r"features \(2, length\), it is given \(2,\)"),
        (nn.Conv2d(2, 3, 3), (3, 5, 5), r"features \(2, height, width\), it is given \(3, 5, 5\)"),
        (nn.Conv3d(2, 3, 3), (2, 5, 5), r"features \(2, depth, height, width\)"),
        (nn.Conv2d(2, 3, (3, 2), dilation=3), (2, 6, 6), "spans 7 pixels, too many for the 6 that it is given, padded by 0"),
        (nn.ConvTranspose2d(2, 3, 1, padding=2), (2, 3, 9), r"would have sizes \(-1, 5\)"),
        (nn.LazyConv2d(3, 3), (2, 5, 5), r"module '0' \(LazyConv2d\): it has no weights before its first input"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_inputs_that_do_not_fit_are_refused(module, shape, message):
    with pytest.raises(NetworkError, match=message):
        matrix_of(module, shape)
