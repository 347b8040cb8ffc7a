"""Random small nets in continuous time, and what central differences say of their gradients."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from norse_bridge import LIFParameters, LIParameters
from norse_bridge.events import event_li, event_li_max, event_lif, event_lif_recurrent

STEPS = 1e-5, 1e-6  # of weights, and of times in units of 10 ms; the second where the first is too wide for a nearly grazing spike
RELATIVE = 1e-6  # of the largest component of a tensor's gradient
FAR = 1e-4  # s by which the place of a greatest voltage moves in a step if another one has become the greatest
READS = torch.tensor([0.035, 0.012, 0.05], dtype=torch.float64)  # s
UNIT = 0.01  # s


class Net(NamedTuple):
    """times : (2, inputs, spikes), s; weights : (neurons, inputs); recurrent : (neurons, neurons) or None; delay : s; out : (2,
    neurons), weights of a readout; kind : of the loss"""

    times: torch.Tensor
    weights: torch.Tensor
    recurrent: torch.Tensor | None
    delay: float
    out: torch.Tensor
    p: LIFParameters
    li: LIParameters
    kind: str


KINDS = ("spikes", "read", "max", "max until")


def draw(generator, number):
    """Net ``number``: every other one is recurrent; the kinds of losses take turns."""

    def uniform(*shape, low=0.0, high=1.0):
        return low + (high - low) * torch.rand(*shape, dtype=torch.float64, generator=generator)

    def choice(low, high):
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    inputs, neurons = choice(1, 4), choice(2, 6)
    times = uniform(2, inputs, choice(1, 3), high=0.03)
    times[uniform(*times.shape) < 0.1] = math.inf
    mem, syn = float(uniform(1, low=40.0, high=200.0)), float(uniform(1, low=80.0, high=400.0))
    if number % 10 == 0:
        syn = mem
    p = LIFParameters(
        tau_mem_inv=torch.tensor(mem, dtype=torch.float64),
        tau_syn_inv=torch.tensor(syn, dtype=torch.float64),
        v_leak=uniform(neurons, low=-0.3, high=0.3) if number % 3 == 0 else torch.tensor(0.1, dtype=torch.float64),
        v_reset=torch.tensor(-0.2, dtype=torch.float64),
    )
    return Net(
        times,
        uniform(neurons, inputs, low=-1.0, high=7.0),
        uniform(neurons, neurons, low=-2.0, high=1.0) if number % 2 else None,
        float(uniform(1, high=0.005)) if number % 4 == 1 else 0.0,
        uniform(2, neurons, low=-1.0, high=2.0),
        p,
        LIParameters(p.tau_syn_inv, p.tau_mem_inv, torch.tensor(0.0, dtype=torch.float64)),
        KINDS[number // 2 % len(KINDS)],
    )


class Changed(Exception):
    """Within the step of the differences the net does something else: spikes appear, vanish or change their order."""


def spikes_of(net, times, weights, recurrent):
    """The spikes of a net, s."""
    if recurrent is None:
        return event_lif(times, weights, net.p, duration=0.06)
    return event_lif_recurrent(times, weights, recurrent, net.p, delay=net.delay, duration=0.06)


def value_of(net, mix, values):
    """``(loss, signature)`` of (times in units of 10 ms, weights, recurrent weights or None, readout weights)."""
    scaled, weights, recurrent, out = values
    times = scaled * UNIT
    fired = spikes_of(net, times, weights, recurrent)
    moments = [times.detach().flatten(1), fired.detach().flatten(1)]
    if net.delay:
        moments.append(moments[1] + net.delay)
    if net.kind == "read":
        moments.append(READS.expand(len(times), -1))
    if net.kind == "max until":
        moments.append(torch.full((len(times), 1), 0.03, dtype=torch.float64))
    when, at_arrival = torch.zeros(1), torch.zeros(1)
    if net.kind == "spikes":
        shown = torch.where(fired.isfinite(), fired / UNIT, 0.0)
        terms = shown + 0.1 * shown**2
    elif net.kind == "read":
        terms = event_li(fired, out, READS, net.li)
    else:
        terms, when = event_li_max(fired, out, net.li, duration=0.03 if net.kind == "max until" else math.inf)
        at_arrival = ((when[:, :, None] - moments[1][:, None]).abs() < 1e-12).any(2)
    signature = fired.isfinite().sum(2), torch.cat(moments, 1).argsort(dim=1, stable=True), at_arrival, when
    return (mix[: terms.numel()].reshape(terms.shape) * terms).sum(), signature


def same(one, other):
    """Whether two signatures are those of one smooth piece."""
    (counts, order, kinks, when), (counts2, order2, kinks2, when2) = one, other
    equal = torch.equal(counts, counts2) and torch.equal(order, order2) and torch.equal(kinks, kinks2)
    return equal and bool(((when - when2).abs() < FAR).all())


def differences(net, mix, values, which, step):
    """Central differences of fourth order of the loss with respect to one of the values."""
    _, signature = value_of(net, mix, values)
    tensor = values[which]
    found = torch.zeros_like(tensor)
    for place in range(tensor.numel()):
        if not torch.isfinite(tensor.reshape(-1)[place]):
            continue
        at = {}
        for shift in (-2, -1, 1, 2):
            moved = tensor.clone()
            moved.reshape(-1)[place] += shift * step
            at[shift], other = value_of(net, mix, [moved if number == which else v for number, v in enumerate(values)])
            if not same(signature, other):
                raise Changed
        found.reshape(-1)[place] = (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * step)
    return found


def compare(net, generator):
    """The largest deviation of a gradient from its differences, relative to its largest component; and the number of spikes."""
    mix = torch.rand(4096, dtype=torch.float64, generator=generator) - 0.3
    values = [net.times / UNIT, net.weights, net.recurrent, net.out]
    leaves = [v if v is None else v.clone().requires_grad_() for v in values]
    value, (counts, *_) = value_of(net, mix, leaves)
    if not value.requires_grad or not counts.any():
        raise Changed
    wanted = [leaf for leaf in leaves if leaf is not None]
    gradients = iter(torch.autograd.grad(value, wanted, allow_unused=True))
    worst = 0.0
    with torch.no_grad():
        for which, leaf in enumerate(leaves):
            if leaf is None:
                continue
            gradient = next(gradients)
            if gradient is None:
                assert which == 3 and net.kind == "spikes"
                continue
            deviations = []
            for step in STEPS:
                found = differences(net, mix, values, which, step)
                deviations.append(float((found - gradient).abs().max() / gradient.abs().max().clamp(min=1e-3)))
                if deviations[-1] <= RELATIVE:
                    break
            worst = max(worst, min(deviations))
    return worst, int(counts.sum())


def check(nets, seed=0):
    """Compare so many nets; ``(the worst deviation, nets drawn again, spikes)``."""
    generator = torch.Generator().manual_seed(seed)
    worst, again, spikes = 0.0, 0, 0
    for number in range(nets):
        while True:
            try:
                deviation, fired = compare(draw(generator, number), generator)
                break
            except Changed:
                again += 1
        assert deviation <= RELATIVE, f"net {number}: {deviation}"
        worst, spikes = max(worst, deviation), spikes + fired
    return worst, again, spikes
