"""Dual numbers for Numba kernels: a value and its partial derivatives, so that a model's own functions give their gradient.

    a + b: da + db        a b: b da + a db        f(a): f'(a) da

Which derivatives a number has is part of its type: what does not depend on an input costs nothing, and no product with a zero is
left to the compiler, which may not drop it (0 * inf is NaN). A number also carries ``alpha``, the parameter of the surrogate
gradient, to the one place that needs it, `dual_ops.fire`.

Source: Griewank & Walther (2008), Evaluating Derivatives, ch. 3 (forward mode).
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from eventsim.cpu.scalar import REALS, scalar_ops
from eventsim.jit import jit_borrowing as jit
from eventsim.ops import SMALL, Ops
from norse_bridge.surrogate import DERIVATIVES, SurrogateOps


class DualType(types.Type):
    """real : float32 or float64; active : the indices of the partial derivatives that it has, ascending"""

    def __init__(self, real, active):
        self.real, self.active = real, tuple(active)
        super().__init__(name=f"Dual({real}, {self.active})")


@register_model(DualType)
class _DualModel(models.StructModel):
    def __init__(self, manager, kind):
        members = [("value", kind.real), ("alpha", kind.real), *((f"d{index}", kind.real) for index in kind.active)]
        super().__init__(manager, kind, members)


def _is_real(kind):
    return isinstance(kind, (types.Float, DualType))


def _kind_of(*kinds):
    """The type of what is made of these: every derivative that one of them has."""
    duals = [kind for kind in kinds if isinstance(kind, DualType)]
    return DualType(duals[0].real, sorted({index for kind in duals for index in kind.active})) if duals else kinds[0]


def _value(context, builder, kind, number):
    return cgutils.create_struct_proxy(kind)(context, builder, number).value if isinstance(kind, DualType) else number


def _partial(context, builder, kind, number, index):
    """The partial derivative, or None where it is none of the number's."""
    if not isinstance(kind, DualType) or index not in kind.active:
        return None
    return getattr(cgutils.create_struct_proxy(kind)(context, builder, number), f"d{index}")


def _make(context, builder, kind, value, kinds, numbers, partial):
    """The number of type ``kind`` with the derivatives ``partial(index)``; alpha as in the first of ``numbers`` that has one."""
    if not isinstance(kind, DualType):
        return value
    made = cgutils.create_struct_proxy(kind)(context, builder)
    made.value = value
    carrier = next(place for place, given in enumerate(kinds) if isinstance(given, DualType))
    made.alpha = cgutils.create_struct_proxy(kinds[carrier])(context, builder, numbers[carrier]).alpha
    for index in kind.active:
        setattr(made, f"d{index}", partial(index))
    return made._getvalue()


def _binary(value_of, partial_of):
    """An intrinsic of two numbers. value_of : ``(builder, a, b)``; partial_of : ``(builder, a, b, value, da, db)``, where a
    derivative that is 0 is None."""

    @intrinsic
    def combine(typingctx, a, b):
        kind = _kind_of(a, b)

        def codegen(context, builder, signature, args):
            values = [_value(context, builder, *pair) for pair in zip(signature.args, args, strict=True)]
            value = value_of(builder, *values)

            def partial(index):
                given = [_partial(context, builder, *pair, index) for pair in zip(signature.args, args, strict=True)]
                return partial_of(builder, *values, value, *given)

            return _make(context, builder, kind, value, signature.args, args, partial)

        return kind(a, b), codegen

    return combine


def _sum_of(builder, a, b):
    """a + b, where one of them may be None for 0."""
    return b if a is None else a if b is None else builder.fadd(a, b)


def _difference_of(builder, a, b):
    return a if b is None else builder.fneg(b) if a is None else builder.fsub(a, b)


def _times(builder, a, b):
    return None if a is None else builder.fmul(a, b)


def _quotient_partial(builder, a, b, value, da, db):
    return builder.fdiv(_difference_of(builder, da, _times(builder, db, value)), b)


OPERATORS = {
    operator.add: _binary(lambda builder, a, b: builder.fadd(a, b), lambda builder, a, b, value, *d: _sum_of(builder, *d)),
    operator.sub: _binary(lambda builder, a, b: builder.fsub(a, b), lambda builder, a, b, value, *d: _difference_of(builder, *d)),
    operator.mul: _binary(
        lambda builder, a, b: builder.fmul(a, b),
        lambda builder, a, b, value, da, db: _sum_of(builder, _times(builder, da, b), _times(builder, db, a)),
    ),
    operator.truediv: _binary(lambda builder, a, b: builder.fdiv(a, b), _quotient_partial),
}
COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


@intrinsic
def chain(typingctx, value, derivative, number):
    """``f(number)`` of which the value and the derivative are given; a number without derivatives gives the value alone."""
    kind = number if isinstance(number, DualType) else value

    def codegen(context, builder, signature, args):
        def partial(index):
            return builder.fmul(args[1], _partial(context, builder, number, args[2], index))

        return _make(context, builder, kind, args[0], signature.args, args, partial)

    return kind(value, derivative, number), codegen


@intrinsic
def value_of(typingctx, number):
    """The value without its derivatives."""
    kind = number.real if isinstance(number, DualType) else number
    return kind(number), lambda context, builder, signature, args: _value(context, builder, number, args[0])


@intrinsic
def alpha_of(typingctx, number):
    """The parameter of the surrogate gradient that a number carries; for one without derivatives, which needs none, its value."""
    if not isinstance(number, DualType):
        return number(number), lambda context, builder, signature, args: args[0]
    return number.real(
        number
    ), lambda context, builder, signature, args: cgutils.create_struct_proxy(number)(context, builder, args[0]).alpha


@intrinsic
def _choose(typingctx, condition, a, b):
    kind = _kind_of(a, b)

    def codegen(context, builder, signature, args):
        pairs = list(zip(signature.args[1:], args[1:], strict=True))

        def pick(both):
            zero = context.get_constant(kind.real if isinstance(kind, DualType) else kind, 0.0)
            return builder.select(args[0], *(zero if one is None else one for one in both))

        value = pick([_value(context, builder, *pair) for pair in pairs])
        partial = lambda index: pick([_partial(context, builder, *pair, index) for pair in pairs])  # noqa: E731
        return _make(context, builder, kind, value, signature.args[1:], args[1:], partial)

    return kind(types.boolean, a, b), codegen


def _overload_operator(symbol, combine):
    @overload(symbol)
    def implement(a, b):
        if (isinstance(a, DualType) and _is_real(b)) or (isinstance(b, DualType) and _is_real(a)):
            return lambda a, b: combine(a, b)
        return None


def _overload_comparison(symbol):
    @overload(symbol)
    def implement(a, b):
        if isinstance(a, DualType) or isinstance(b, DualType):
            return lambda a, b: symbol(value_of(a), value_of(b))
        return None


for _symbol, _combine in OPERATORS.items():
    _overload_operator(_symbol, _combine)
for _symbol in COMPARISONS:
    _overload_comparison(_symbol)


@overload(operator.neg)
def _negate(a):
    if isinstance(a, DualType):
        minus_one = a.real(-1)
        return lambda a: chain(-value_of(a), minus_one, a)
    return None


@functools.cache
def pull(count: int):
    """An intrinsic ``(s, more, g) -> tuple`` of ``count`` numbers: for each input q the sum of g_o * d(o)/d(q) over all outputs o,
    which are the fields of s and then those of ``more``; g is a tuple as long as both, of plain numbers."""

    @intrinsic
    def make(typingctx, s, more, g):
        kinds = [*s.types, *more.types]
        real = g.types[0]
        result = types.UniTuple(real, count)

        def codegen(context, builder, signature, args):
            outputs = [builder.extract_value(args[0], place) for place in range(len(s.types))]
            outputs += [builder.extract_value(args[1], place) for place in range(len(more.types))]
            found = []
            for index in range(count):
                total = None
                for place, (kind, output) in enumerate(zip(kinds, outputs, strict=True)):
                    partial = _partial(context, builder, kind, output, index)
                    if partial is not None:
                        total = _sum_of(builder, total, builder.fmul(builder.extract_value(args[2], place), partial))
                found.append(context.get_constant(real, 0.0) if total is None else total)
            return context.make_tuple(builder, result, found)

        return result(s, more, g), codegen

    return make


@jit
def _gate(z):
    return z


@jit
def _detached(z):
    return value_of(z)


@jit
def _select(condition, a, b):
    return _choose(condition, a, b)


@jit
def _minimum(x, y):
    return _choose(value_of(x) < value_of(y), x, y)


@functools.cache
def surrogate_derivative(dtype: np.dtype, method: str):
    """``(x, alpha) -> d/dx`` of the surrogate gradient ``method``, on plain numbers of one type."""
    real: Any = REALS[dtype]
    scalar, number = scalar_ops(dtype), jit(lambda value: real(value))
    tanh, exp, sqrt = (jit(function) for function in (lambda x: np.tanh(x), lambda x: np.exp(x), lambda x: np.sqrt(x)))
    ops = SurrogateOps(number, scalar.absolute, scalar.relu, tanh, exp, sqrt)
    derivative = jit(DERIVATIVES[method])
    return jit(lambda x, alpha: derivative(ops, x, alpha))


@functools.cache
def dual_ops(dtype: np.dtype, method: str, detach: bool) -> Ops:
    """`eventsim.ops.Ops` on dual numbers; ``fire`` has the surrogate gradient ``method``, and with ``detach`` no gradient passes
    through the reset."""
    real: Any = REALS[dtype]
    scalar = scalar_ops(dtype)
    one, half, minus_half, small = real(1), real(0.5), real(-0.5), real(SMALL)
    derivative = surrogate_derivative(dtype, method)

    @jit
    def fire(margin):
        x = value_of(margin)
        return chain(scalar.fire(x), derivative(x, alpha_of(margin)), margin)

    @jit
    def relu(x):
        return chain(scalar.relu(value_of(x)), scalar.fire(value_of(x)), x)

    @jit
    def absolute(x):
        return chain(abs(value_of(x)), scalar.fire(value_of(x)) - scalar.fire(-value_of(x)), x)

    @jit
    def exp(x):
        e = real(np.exp(value_of(x)))
        return chain(e, e, x)

    @jit
    def expm1(x):
        e = real(np.expm1(value_of(x)))
        return chain(e, e + one, x)

    @jit
    def log1p(x):
        return chain(real(np.log1p(value_of(x))), one / (one + value_of(x)), x)

    @jit
    def sqrt(x):
        root = real(np.sqrt(value_of(x)))
        return chain(root, half / root, x)

    @jit
    def sin(x):
        return chain(real(np.sin(value_of(x))), real(np.cos(value_of(x))), x)

    @jit
    def cos(x):
        return chain(real(np.cos(value_of(x))), -real(np.sin(value_of(x))), x)

    @jit
    def arctan(x):
        v = value_of(x)
        return chain(real(np.arctan(v)), one / (one + v * v), x)

    @jit
    def phi(x):
        v = value_of(x)
        f = real(scalar.phi(v))
        return chain(f, minus_half if abs(v) < small else (real(np.exp(-v)) - f) / v, x)

    @jit
    def log1p_over(x):
        v = value_of(x)
        f = real(scalar.log1p_over(v))
        return chain(f, minus_half if abs(v) < small else (one / (one + v) - f) / v, x)

    return Ops(
        exp=exp,
        expm1=expm1,
        log1p=log1p,
        sqrt=sqrt,
        sin=sin,
        cos=cos,
        arctan=arctan,
        minimum=_minimum,
        absolute=absolute,
        phi=phi,
        log1p_over=log1p_over,
        relu=relu,
        select=_select,
        fire=fire,
        gate=_detached if detach else _gate,
    )
