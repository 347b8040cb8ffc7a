"""Rows of numbers as tuples, and weights as whole numbers.

What arrives at a neuron is summed as multiples of a power of two, in 64 bits (`eventsim.cuda.units.unit_of`): whole numbers give
the same sum in any order, so that a run gives the same bits every time although nobody knows which thread comes first.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from eventsim.cuda.machine import Machine

HALF_SCALE = 2.0**112  # float16 bits, moved to the place of a float32's, are the number times 2**-112


@functools.cache
def load(machine: Machine, count: int) -> Any:
    """A function ``(a, at, step) -> tuple`` of ``a[at], a[at + step] ... a[at + (count - 1) * step]``."""
    last = count - 1
    one = machine.jit(lambda a, at, step: (a[at + last * step],))
    if count == 1:
        return one
    before = load(machine, last)
    return machine.jit(lambda a, at, step: before(a, at, step) + one(a, at, step))


@functools.cache
def load_mixed(machine: Machine, mask: tuple[bool, ...]) -> Any:
    """A function ``(common, a, at, step) -> tuple``: where the mask holds ``a[at + f * step]``, elsewhere ``common[f]``."""
    last = len(mask) - 1
    one = machine.jit(
        (lambda common, a, at, step: (a[at + last * step],)) if mask[last] else (lambda common, a, at, step: (common[last],))
    )
    if last == 0:
        return one
    before = load_mixed(machine, mask[:last])
    return machine.jit(lambda common, a, at, step: before(common, a, at, step) + one(common, a, at, step))


@functools.cache
def store(machine: Machine, count: int) -> Any:
    """A function ``(a, at, step, values)`` that writes ``a[at + f * step] = values[f]``."""
    last = count - 1

    def one(a, at, step, values):
        a[at + last * step] = values[last]

    if count == 1:
        return machine.jit(one)
    before = store(machine, last)

    def all_of_them(a, at, step, values):
        before(a, at, step, values)
        a[at + last * step] = values[last]

    return machine.jit(all_of_them)


@functools.cache
def weight_reader(machine: Machine, stored: np.dtype, real: np.dtype) -> Any:
    """A function ``(weights, q) -> the weight`` as a number of the state's type. float16 is stored as its bits."""
    number = real.type
    if stored != np.dtype(np.uint16):
        return machine.jit(lambda weights, q: number(weights[q]))
    of_half = half_reader(machine, real)
    return machine.jit(lambda weights, q: of_half(weights[q]))


@functools.cache
def half_reader(machine: Machine, real: np.dtype) -> Any:
    """A function of the bits of a float16 that gives it as a number of the state's type."""
    number, single, scale = real.type, np.float32, np.float32(HALF_SCALE)

    def of_half(half):
        bits = np.int32(np.int64(half) << np.int64(48) >> np.int64(35)) & np.int32(-1879056384)  # 0x8FFFE000
        return number(np.int32(bits).view(single) * scale)

    return machine.jit(of_half)
