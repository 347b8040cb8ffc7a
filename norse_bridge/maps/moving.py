"""Modules that only move features: each output is one of the inputs, or a 0.

Which one is read off by giving the module the numbers of the features instead of their values, so that whatever torch does with
axes is what the network does.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from eventsim.errors import NetworkError
from norse_bridge.linear_maps import LinearMap, csr

_LEAD = (2, 3)  # lengths of time and batch, to see them left alone


def moving_map(module, at) -> LinearMap:
    """Any module that only moves features; an error if it moves them between steps or items of a batch."""
    lead, size = _LEAD[2 - at.lead :], math.prod(at.shape)
    items = torch.arange(math.prod(lead), dtype=torch.float64).reshape(*lead, *[1] * len(at.shape))
    numbers = torch.arange(1, size + 1, dtype=torch.float64).reshape(at.shape)  # 0 is what padding puts in
    try:
        out = type(module).forward(module, items * size + numbers)
    except Exception as error:  # whatever a module of one's own raises
        raise NetworkError(f"{at.label}: it does not take features {at.shape}{_remedy(at)} ({error})") from error
    if not torch.is_tensor(out) or tuple(out.shape[: at.lead]) != lead:
        raise NetworkError(f"{at.label}: it joins {_before(at)} with the features{_remedy(at)}")
    shape = tuple(out.shape[at.lead :])
    own = torch.where(out != 0, out - items.reshape(*lead, *[1] * len(shape)) * size, 0)  # the same in every step and item
    numbers = own[(0,) * at.lead]
    if not torch.equal(own, numbers.expand_as(own)) or not _are_numbers(numbers, size):
        raise NetworkError(f"{at.label}: it does more than to move features: it changes them, or mixes {_before(at)}{_remedy(at)}")
    source = numbers.reshape(-1).numpy().astype(np.int64) - 1
    moved = source >= 0
    indptr = np.concatenate([[0], np.cumsum(moved)])
    return LinearMap(csr(np.ones(int(indptr[-1])), source[moved], indptr, (len(source), size)), None, shape)


def _are_numbers(values, size):
    return bool(((values >= 0) & (values <= size) & (values == values.round())).all())


def _before(at):
    return "time or batch" if at.lead > 1 else "the batch"


def _remedy(at):
    return ": put it into Lift" if at.lead > 1 else "; is input_shape right?"


def flatten_map(module, at) -> LinearMap:
    """`nn.Flatten` of features alone: only the shape changes."""
    axes = at.lead + len(at.shape)
    start = module.start_dim + axes if module.start_dim < 0 else module.start_dim
    if start < at.lead:
        remedy = f"use Flatten({at.lead})" + (", or put it into Lift" if at.lead > 1 else "")
        axis = "the time or batch axis" if at.lead > 1 else "the batch axis"
        raise NetworkError(
            f"{at.label}: Flatten({module.start_dim}) would join {axis} with the features, which start at axis {at.lead}: {remedy}"
        )
    return moving_map(module, at)


def channel_shuffle_map(module, at) -> LinearMap:
    """`nn.ChannelShuffle`, which takes the axis behind the first for channels."""
    if at.lead > 1:
        raise NetworkError(f"{at.label}: it would take the batch of (time, batch, ...) for channels{_remedy(at)}")
    return moving_map(module, at)


def padding_map(module, at) -> LinearMap:
    """`nn.ZeroPad1d`, `nn.ConstantPad1d` and so on, with zeros."""
    if module.value != 0:
        raise NetworkError(f"{at.label}: padding with {module.value} cannot be exported, with 0 it can")
    return moving_map(module, at)


def upsample_map(module, at) -> LinearMap:
    """`nn.Upsample` and its subclasses, where they repeat pixels."""
    if module.mode not in ("nearest", "nearest-exact"):
        raise NetworkError(f"{at.label}: mode={module.mode!r} cannot be exported, 'nearest' and 'nearest-exact' can")
    return moving_map(module, at)
