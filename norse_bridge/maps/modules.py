"""Which modules of torch are linear maps, which only act on spikes, and why others cannot be exported."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from eventsim.errors import NetworkError
from norse_bridge import encoders
from norse_bridge.linear_maps import LinearMap, identity_map, linear_map
from norse_bridge.maps import moving, pooling
from norse_bridge.maps.convolution import conv_map, conv_transpose_map
from norse_bridge.maps.norm import batch_norm_map
from norse_bridge.pooling import SumPool2d

SILENT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity)
UNCHANGED_SPIKES = (nn.ReLU, nn.ReLU6)  # 0 -> 0 and 1 -> 1
MOVING = (nn.Unflatten, nn.Unfold, nn.PixelShuffle, nn.PixelUnshuffle)
PADDING = (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)
REPEATING = (
    *(nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    *(nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    *(nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
)


def _each(function, *kinds):
    """The classes over 1, 2 and 3 axes with ``function(module, at)``, which is told their number."""
    return {kind: partial(function, dims=dims) for dims, kind in enumerate(kinds, start=1)}


LINEAR: dict[Any, Any] = {
    nn.Linear: linear_map,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), conv_map),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), conv_transpose_map),
    **_each(pooling.avg_pool_map, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    **_each(pooling.lp_pool_map, nn.LPPool1d, nn.LPPool2d, nn.LPPool3d),
    **_each(pooling.adaptive_avg_pool_map, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    SumPool2d: partial(pooling.sum_pool_map, dims=2),
    nn.BatchNorm1d: partial(batch_norm_map, axes=(1, 2)),
    nn.BatchNorm2d: partial(batch_norm_map, axes=(3,)),
    nn.BatchNorm3d: partial(batch_norm_map, axes=(4,)),
    nn.SyncBatchNorm: partial(batch_norm_map, axes=(1, 2, 3, 4)),
    nn.Flatten: moving.flatten_map,
    **dict.fromkeys((*MOVING, *REPEATING), moving.moving_map),
    nn.ChannelShuffle: moving.channel_shuffle_map,
    **dict.fromkeys(PADDING, moving.padding_map),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d), moving.upsample_map),
    **dict.fromkeys((*SILENT, *UNCHANGED_SPIKES), lambda module, at: identity_map(at.shape)),
}
"""What makes the map of a module of each class: ``(module, Place) -> LinearMap``."""
MAXIMA: dict[Any, Any] = {
    **_each(pooling.max_pool_map, nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    **_each(pooling.adaptive_max_pool_map, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
}
"""What makes the map from the inputs to the neurons that a maximum over spikes becomes."""
FOR_SPIKES = (*UNCHANGED_SPIKES, *MAXIMA)
SUPPORTED = (
    "Linear; Conv, ConvTranspose, AvgPool, LPPool with norm_type=1, AdaptiveAvgPool, and right behind spikes MaxPool and "
    "AdaptiveMaxPool, all over 1 to 3 axes; SumPool2d; BatchNorm in eval mode; Flatten, Unflatten, padding, nearest Upsample, "
    "PixelShuffle, PixelUnshuffle, ChannelShuffle, Unfold; Dropout, Identity; right behind spikes ReLU; Sequential, "
    "SequentialState, Lift, LILinearCell and every spiking layer; and modules that offer one of these by a method exported_as()"
)
REASONS: tuple[tuple[Any, str], ...] = (
    (
        (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
        "it normalises every input by statistics of that input, which is not linear; use BatchNorm",
    ),
    (
        (nn.RNNBase, nn.RNNCellBase),
        "its state is analogue and goes through functions that are not linear; use a recurrent layer of spikes",
    ),
    ((nn.FractionalMaxPool2d, nn.FractionalMaxPool3d), "it pools over windows that are drawn; use MaxPool"),
    (
        (
            encoders.PoissonEncoder,
            encoders.PoissonEncoderStep,
            encoders.SignedPoissonEncoder,
            encoders.SignedPoissonEncoderStep,
            encoders.ConstantCurrentLIFEncoder,
            encoders.SpikeLatencyEncoder,
            encoders.PopulationEncoder,
        ),
        "it makes spikes of data; leave it out of the model, and give the data that it has encoded to the network",
    ),
)


def kind_of(module, kinds):
    """Which of the classes a module is an instance of and shares its `forward` with (and `_conv_forward`, by which torch's
    convolutions compute), or None: a subclass that computes something else is another module."""
    own = type(module)

    def same(kind, name):
        return getattr(own, name, None) is getattr(kind, name, None)

    return next((kind for kind in own.__mro__ if kind in kinds and same(kind, "forward") and same(kind, "_conv_forward")), None)


def check_initialised(module, label):
    """A NetworkError if a lazy module has not seen its first input."""
    if any(nn.parameter.is_lazy(value) for value in (*module.parameters(), *module.buffers())):
        raise NetworkError(f"{label}: it has no weights before its first input; call the model once")


def linear_step(module, at) -> LinearMap | None:
    """The linear map of a module, or None if it is not one.

    A module that is not torch's says by an attribute ``moves_features = True`` that each of its outputs is an input or 0.
    """
    if getattr(module, "moves_features", False):
        return moving.moving_map(module, at)
    kind = kind_of(module, LINEAR)
    return LINEAR[kind](module, at) if kind else None


def refusal(module) -> str:
    """Why a module cannot be exported."""
    for kinds, reason in REASONS:
        if isinstance(module, kinds):
            return reason
    if isinstance(module, (*LINEAR, *MAXIMA)):
        return "its class has a forward of its own"
    if type(module).__module__ == nn.ReLU.__module__:
        return "it is not linear, and what it is given are not spikes; put a spiking layer in its place"
    return "it is none of the modules that are known to be linear"
