"""Times before which a leaky membrane that hears nothing does not reach its threshold, from + - *, a square root and a division.

    tau_mem dv/dt = (v_leak - v) + d exp(-t/tau)        crosses where v = v_th; v is below it now, by rise = v_th - v

Let x = exp(t/tau_mem) - 1, m = tau_mem/tau and above = v_leak - v_th. Multiplied by exp(t/tau_mem), the solution crosses where

    rise = above x + d g(x)        g' = (1 + x)**-m, g(0) = 0: g = (1 - (1 + x)**(1 - m))/(m - 1)

and Bernoulli's inequality, (1 + x)**n >= 1 + n x for n >= 1 and <= for 0 <= n <= 1, has g between two quotients h = x/(1 + c x):

    n = m/2: with c = n, 1/h' = (1 + c x)**2 is no more than 1/g' for m >= 2, so that g <= h, and no less for m <= 2: g >= h
    n = m - 1: with c = n, g <= h for 1 <= m <= 2, and g >= h for m >= 2        c = 0: g <= h = x

With one that is above g for d > 0, below g for d < 0, above x + d h is nowhere less than above x + d g, and no later at the rise:

    above c x^2 + (above + d - c rise) x - rise = 0

The smallest x > 0 that solves it is turned into a time by t/tau_mem = log(1 + x) >= 3 x (2 + x)/(6 + 6 x + x^2), Pade's
approximant (the derivative of the difference is x^4/((1 + x)(6 + 6 x + x^2)^2)). If there is none, v never crosses.

Branches there are none, so that a loop over neurons is done several at a time. Where squares overflow the time is 0.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable

SLACK = 1e-14  # of the terms of a sum that may cancel, by which it is taken to be larger: roundings come to a tenth of it
ROUNDING = 2.0**-50  # of the threshold: v misses it by less than that
TINY = 1e-145  # added to a divisor, so that neither it nor its square vanishes


@register_jitable(forceinline=True)
def rise_to(ops, v_th, v):
    """How far v is below its threshold, by a few roundings less, and not below 0."""
    return ops.relu((v_th - ROUNDING * ops.absolute(v_th)) - v)


@register_jitable(forceinline=True)
def membrane_time(ops, tau_mem, num, den):
    """A time no later than that at which exp(t/tau_mem) - 1 = num/den; 0 where numbers are too large. ms"""
    squares = 6.0 * (den * (den + num)) + num * num
    t = 3.0 * tau_mem * (num / squares * (2.0 * den + num))
    return ops.select(t >= 0.0, t, 0.0)


@register_jitable(forceinline=True)
def without_current(ops, tau_mem, rise, above):
    """No later than where rise = above x. ms"""
    rises = above > 0.0
    return ops.select(rises, membrane_time(ops, tau_mem, rise, ops.select(rises, above, 1.0) + TINY), math.inf)


@register_jitable(forceinline=True)
def decays(ops, tau_mem, tau):
    """``tau c`` for d > 0, and for d < 0. ms"""
    half, lag = 0.5 * tau_mem, tau_mem - tau
    return ops.relu(ops.minimum(half, lag)), ops.select(half > lag, half, lag)


@register_jitable(forceinline=True)
def with_quotient(ops, tau_mem, rise, above, d, c, unit):
    """No later than where rise = above x + d x/(1 + (c/unit) x). ms

    Of the two forms of the root that one is taken in which nothing cancels; b, which may, is taken to be larger than it is.
    """
    a, d, lost = unit * above, unit * d, c * rise
    b = ((a + d) - lost) + SLACK * ((ops.absolute(a) + ops.absolute(d)) + lost)
    square = 4.0 * a * lost
    square = b * b + square
    root = ops.sqrt(ops.relu(square))
    forward = b > 0.0
    num = ops.select(forward, 2.0 * (unit * rise), root - b)
    den = ops.select(forward, b + root, 2.0 * (above * c)) + TINY
    never = (above <= 0.0) & ((b <= 0.0) | (square < 0.0))
    t = membrane_time(ops, tau_mem, num, ops.select(never, 1.0, den))
    return ops.select(never, math.inf, t)


@register_jitable(forceinline=True)
def with_current(ops, tau_mem, rise, above, d, tau):
    """No later than v crosses with one current. ms"""
    excitatory, inhibitory = decays(ops, tau_mem, tau)
    return with_quotient(ops, tau_mem, rise, above, d, ops.select(d > 0.0, excitatory, inhibitory), tau)


@register_jitable(forceinline=True)
def with_currents(ops, tau_mem, rise, above, d, tau, e, tau_e):
    """No later than v crosses with two currents, d and e. ms

    They are made one. Of one sign both get the c of that one which does more. Of two signs that below 0 gets the c of the other
    and a share of itself: with c of the other and its own c', (1 + c x)/(1 + c' x) is nowhere less than the smaller of 1 and c/c'.
    """
    d_low, d_high = decays(ops, tau_mem, tau)
    e_low, e_high = decays(ops, tau_mem, tau_e)
    d_low, d_high, e_low, e_high = d_low * tau_e, d_high * tau_e, e_low * tau, e_high * tau
    d_up, e_up = d > 0.0, e > 0.0
    c_d, c_e = ops.select(d_up, d_low, d_high), ops.select(e_up, e_low, e_high)
    least, most = ops.minimum(c_d, c_e), ops.select(c_d > c_e, c_d, c_e)
    c = ops.select(d_up, ops.select(e_up, least, c_d), ops.select(e_up, c_e, most))
    share = ops.select(d_up == e_up, 1.0, ops.minimum(1.0, c / ops.select(d_up, c_e, c_d)))
    d, e = ops.select(d_up, d, share * d), ops.select(e_up, e, share * e)
    both = (d + e) + SLACK * (ops.absolute(d) + ops.absolute(e))
    return with_quotient(ops, tau_mem, rise, above, both, c, tau * tau_e)
