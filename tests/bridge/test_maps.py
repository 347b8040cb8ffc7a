"""Linear maps, batch normalisation and modules that move features, against torch in float64; and maps one after another."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from map_oracles import assert_equals_torch, matrix_of
from torch import nn

import norse_bridge as nb
from eventsim.errors import NetworkError
from norse_bridge.linear_maps import LinearMap, identity_map, is_identity, once_for_each, only_moves, then, without_zeros


@given(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.lists(st.integers(1, 3), max_size=2))
@settings(deadline=None, max_examples=40)
def test_linear(inputs, outputs, bias, lead):
    assert_equals_torch(nn.Linear(inputs, outputs, bias=bias), (*lead, inputs))


def test_consecutive_maps_compose():
    front = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.AvgPool2d(2),
        nn.Dropout(0.9),
        nn.Flatten(),
        nn.Linear(27, 4),
    ).double()
    into = matrix_of(front, (2, 6, 6))
    x = torch.randn(5, 2, 6, 6, dtype=torch.float64)
    wanted = front.eval()(x).detach().numpy()
    np.testing.assert_allclose((into.matrix @ x.reshape(5, -1).numpy().T).T + into.bias, wanted, rtol=1e-12)


def normalised(kind, channels, affine=True):
    """A batch normalisation in eval mode with statistics and weights that are not those of a new one."""
    norm = kind(channels, affine=affine).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3.0)
    if affine:
        norm.weight.data.normal_()
        norm.bias.data.normal_()
    return norm


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.BatchNorm1d, (4,)),
        (nn.BatchNorm1d, (4, 5)),
        (nn.BatchNorm2d, (4, 3, 5)),
        (nn.BatchNorm3d, (4, 2, 3, 2)),
    ],
)
def test_batch_norm(kind, shape, affine):
    assert_equals_torch(normalised(kind, 4, affine), shape)


def test_sync_batch_norm_is_a_batch_norm():
    norm = normalised(nn.BatchNorm2d, 3)
    sync = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(norm))
    got, wanted = matrix_of(sync, (3, 2, 2)), matrix_of(norm, (3, 2, 2))
    np.testing.assert_array_equal(got.matrix.toarray(), wanted.matrix.toarray())
    np.testing.assert_array_equal(got.bias, wanted.bias)


def test_batch_norm_is_folded_from_both_sides():
    """Behind a convolution, and in front of one whose zero padding is not normalised."""
    front = nn.Sequential(normalised(nn.BatchNorm2d, 2), nn.Conv2d(2, 3, 3, padding=1), normalised(nn.BatchNorm2d, 3))
    assert_equals_torch(front, (2, 4, 5))
    assert matrix_of(front, (2, 4, 5)).matrix.nnz == matrix_of(front[1], (2, 4, 5)).matrix.nnz


class Claimed(nn.Module):
    """A module of one's own that says that it only moves features, and does what it is made of."""

    moves_features = True

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


MOVES = [
    *((nn.Flatten(*axes), (2, 3, 4)) for axes in ((1, -1), (2, -1), (1, 2), (-2, -1), (2, 3))),
    (nn.Unflatten(1, (2, 3)), (6, 4)),
    (nn.Unflatten(-1, (2, 2)), (6, 4)),
    (nn.ZeroPad1d((1, 2)), (2, 3)),
    (nn.ZeroPad2d((1, 0, 2, -1)), (2, 3, 4)),
    (nn.ZeroPad3d(1), (2, 2, 2, 2)),
    (nn.ConstantPad2d(1, 0.0), (2, 3, 3)),
    (nn.ReflectionPad1d(2), (2, 4)),
    (nn.ReflectionPad2d((1, 2, 0, 1)), (2, 4, 4)),
    (nn.ReplicationPad3d(1), (2, 2, 2, 2)),
    (nn.CircularPad2d(1), (2, 3, 3)),
    (nn.PixelShuffle(2), (8, 2, 3)),
    (nn.PixelUnshuffle(2), (2, 4, 6)),
    (nn.ChannelShuffle(3), (6, 2, 2)),
    (nn.Unfold((2, 3), padding=1, stride=2), (2, 5, 6)),
    (nn.Upsample(scale_factor=2), (2, 3)),
    (nn.Upsample(scale_factor=(2, 1.5)), (2, 3, 4)),
    (nn.Upsample(size=(5, 2), mode="nearest-exact"), (2, 3, 4)),
    (nn.UpsamplingNearest2d(scale_factor=3), (2, 2, 2)),
    (Claimed(lambda x: torch.cat([x.flip(-1), 0 * x], 1)), (2, 3)),
    (nn.AlphaDropout(0.5).eval(), (3, 2)),
    (nn.FeatureAlphaDropout(0.5).eval(), (3, 2)),
    (nn.Dropout1d(0.5).eval(), (3, 2)),
]


@pytest.mark.parametrize(("module", "shape"), MOVES, ids=lambda value: type(value).__name__)
def test_modules_that_move_features(module, shape):
    assert_equals_torch(module, shape)
    assert only_moves(matrix_of(module, shape))


def test_dropout_in_training_mode_is_left_out():
    into = matrix_of(nn.Dropout(0.9).train(), (5,))
    assert is_identity(into.matrix)


class Doubled(nn.Linear):
    """A subclass that computes something else than its class."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.BatchNorm1d(3), (3,), r"'0' \(BatchNorm1d\): in training mode.*call eval\(\) on the model"),
        (nn.BatchNorm2d(3, track_running_stats=False).eval(), (3, 2, 2), "without running statistics"),
        (nn.BatchNorm2d(3).eval(), (3, 2), r"features with 3 axes, the first with 3 channels, it is given \(3, 2\)"),
        (nn.BatchNorm1d(3).eval(), (2, 3), "1 or 2 axes, the first with 3 channels"),
        (nn.GroupNorm(1, 3), (3, 2), r"'0' \(GroupNorm\) cannot become part of a network: it normalises every input"),
        (nn.LayerNorm(3), (3,), "LayerNorm.*it normalises every input.*supported are Linear; Conv"),
        (nn.InstanceNorm2d(3), (3, 2, 2), "InstanceNorm2d.*it normalises every input"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4), r"'0' \(Upsample\): mode='bilinear' cannot be exported"),
        (nn.UpsamplingBilinear2d(scale_factor=2), (2, 3, 4), r"\(UpsamplingBilinear2d\): mode='bilinear'"),
        (nn.ConstantPad1d(1, 0.5), (2, 3), "padding with 0.5 cannot be exported, with 0 it can"),
        (nn.PixelShuffle(2), (3, 2, 2), r"'0' \(PixelShuffle\): it does not take features \(3, 2, 2\); is input_shape right"),
        (nn.Unflatten(1, (2, 2)), (5,), r"\(Unflatten\): it does not take features"),
        (nn.Unflatten(0, (1, 3)), (5,), r"\(Unflatten\): it joins the batch with the features"),
        (Claimed(torch.neg), (3,), r"\(Claimed\): it does more than to move features: it changes them"),
        (Claimed(lambda x: x + 1), (3,), "it changes them, or mixes the batch"),
        (Claimed(lambda x: x / 2), (3,), "it changes them, or mixes the batch"),
        (Claimed(lambda x: x.flip(0)), (3,), "it changes them, or mixes the batch"),
        (Claimed(lambda x: (x, None)), (3,), r"\(Claimed\): it joins the batch"),
        (Claimed(torch.sum), (3,), r"\(Claimed\): it joins the batch"),
        (Claimed(lambda x: x.missing), (3,), r"\(Claimed\): it does not take features \(3,\).*missing"),
        (nn.Fold((2, 2), 1), (1, 4), r"\(Fold\) cannot become part of a network: it is none of the modules that are known"),
        (nn.Tanh(), (3,), r"\(Tanh\) cannot.*it is not linear, and what it is given are not spikes"),
        (nn.GRU(3, 3), (3,), r"\(GRU\) cannot.*its state is analogue"),
        (nn.FractionalMaxPool2d(2, 3), (1, 5, 5), "windows that are drawn; use MaxPool"),
        (nb.PoissonEncoder(5), (3,), r"\(PoissonEncoder\) cannot.*it makes spikes of data; leave it out"),
        (Doubled(3, 3), (3,), r"\(Doubled\) cannot.*its class has a forward of its own"),
    ],
)
def test_what_is_no_map_is_refused_by_name(module, shape, message):
    with pytest.raises(NetworkError, match=message):
        matrix_of(module, shape)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(2, 2, 1), (2, 4)),
        (nn.BatchNorm1d(4).eval(), (4,)),
        (nn.BatchNorm2d(2).eval(), (2, 4, 4)),
        (nn.AvgPool2d(2), (2, 4, 4)),
        (nn.ReflectionPad2d(1), (2, 4, 4)),
        (nn.Unflatten(1, (2, 2)), (4,)),
        (nn.ChannelShuffle(2), (2, 2)),
    ],
)
def test_what_would_take_time_or_batch_for_features_has_to_be_lifted(module, shape):
    """A model over time hands (time, batch, ...) to its modules; those that count axes from the front need a Lift."""
    with pytest.raises(NetworkError, match=rf"'0' \({type(module).__name__}\).*put it into Lift"):
        nb.to_network(nb.SequentialState(module, nb.LIF()), shape)
    lifted = nb.to_network(nb.SequentialState(nb.Lift(module), nb.LIF()), shape)
    assert lifted.populations[1].size > 0


def test_pools_over_all_features_need_no_lift():
    """Torch takes (time, batch, length) for (batch, channels, length), which pools the same numbers."""
    model = nb.SequentialState(nn.AvgPool1d(2), nb.LIF()).double()
    network = nb.to_network(model, 6)
    assert network.populations[1].size == 3
    x = torch.rand(5, 2, 6, dtype=torch.float64)
    got = torch.from_numpy(x.numpy() @ matrix_of(nn.AvgPool1d(2), (6,)).matrix.T.toarray())
    assert torch.allclose(got, model[0](x))


def test_the_parts_of_maps():
    eye = identity_map((2, 3))
    assert eye.shape == (2, 3) and is_identity(eye.matrix)
    double = LinearMap(2 * eye.matrix, np.ones(6), (6,))
    assert then(eye, double) is double
    assert then(double, eye).bias.tolist() == [1.0] * 6
    assert then(double, double).matrix.toarray().tolist() == (4 * np.eye(6)).tolist()
    assert then(double, double).bias.tolist() == [3.0] * 6
    swapped = eye.matrix[[1, 0, 2, 3, 4, 5]]
    assert not is_identity(swapped) and not is_identity(double.matrix) and not is_identity(eye.matrix[:, :5])
    assert only_moves(eye) and only_moves(LinearMap(swapped, None, (6,)))
    assert not only_moves(double) and not only_moves(eye._replace(bias=np.zeros(6)))
    block = without_zeros(swapped[:2, :2] + 0 * eye.matrix[:2, :2], "it")
    assert block.nnz == 2
    assert once_for_each(1, block) is block
    np.testing.assert_array_equal(once_for_each(3, block).toarray(), np.kron(np.eye(3), block.toarray()))
