"""What the kernels of this package share: the flow of a model of eventsim and of its adjoint, and parameters in rows.

All in float64 and in milliseconds. Nothing of a model is written here again but the decay of a current, which the adjoint needs
where an arrival moves (`bind_adjoint`).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

from eventsim.cpu.pointers import KERNEL
from eventsim.exact.exponentials import flow_ops
from eventsim.jit import compile_callback, compiled_once
from eventsim.jit import jit_borrowing as jit
from eventsim.models import lif
from eventsim.models.model import with_ops
from norse_bridge.fused.stamp import stamp

FLOAT64 = np.dtype(np.float64)


@functools.cache
def bind_parameters(model):
    """A function ``(table, row) -> Params``. table : (rows * parameters,)"""
    Params, count = model.Params, len(model.Params._fields)
    return jit(lambda table, row: Params(*to_fixed_tuple(table[row * count : row * count + count], count)))


@functools.cache
def bind_flow(model):
    """``(coefficients, advance)``: ``(t, p) -> Propagator`` over t ms, and ``(s, k, p) -> State``. Together they are what
    `eventsim.exact.crossing.bind_jump` makes of them, apart where neurons share the coefficients."""
    ops = flow_ops()
    exact = jit(model.exact)
    return jit(lambda t, p: exact(ops, t, p)), with_ops(model.advance, ops, jit)


@functools.cache
def bind_adjoint(model):
    """``(back, rise)``: what the adjoint variables do between events, and what moves an arrival in time.

    back : ``(of_v, of_i, k, still) -> (of_v, of_i)``, the transpose of the flow with coefficients k, which is linear where the
        parameters ``still`` have v_leak = 0: its columns are what it makes of the unit vectors (equation 3 of
        `norse_bridge.events`)
    rise : ``(of_v, of_i, still) -> value``, the derivative in ms of the adjoint of i (equation 7)
    """
    State, slope = model.State, jit(lif.slope)
    _, advance = bind_flow(model)

    @jit
    def back(of_v, of_i, k, still):
        v, i = advance(State(1.0, 0.0), k, still), advance(State(0.0, 1.0), k, still)
        return v.v * of_v + v.i * of_i, i.v * of_v + i.i * of_i

    @jit
    def rise(of_v, of_i, still):
        return of_i / still.tau_syn - of_v * slope(State(0.0, 1.0), still)

    return back, rise


@compiled_once
def compile_events(maker, *arguments):
    """The kernel ``(context, worker, count)`` that ``maker(*arguments)`` makes; it has an ``address``."""
    name = f"{stamp(Path(__file__).parent)} {maker.__module__}.{maker.__name__} {arguments}"
    return compile_callback(KERNEL, maker(*arguments), name, borrowing=True)
