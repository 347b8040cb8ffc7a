"""What learning by first spikes needs: times that silent neurons have, too, a loss on them, and help for those that never fire."""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError
from norse_bridge.events.checks import check_first, check_number, labels_of
from norse_bridge.events.functions import event_li_max, event_lif
from norse_bridge.neurons import lif
from norse_bridge.neurons.li import LIParameters


def event_lif_first(times, weights, p=lif.DEFAULT, *, late, lift):
    """When LIF neurons fire first, and for those that do not, how far they are from it: finite, and with a gradient.

        t = the first spike              where it comes before ``late``
        t = late + lift (v_th - u)       else; u <= v_th is the greatest voltage until ``late``

    A silent neuron has no spike time to differentiate. Where a loss wants it earlier, the gradient of u raises its voltage until
    it fires. There t jumps from ``late`` to the time of the peak, always towards earlier.

    times : (batch, inputs, spikes), s; weights : (neurons, inputs); p : `LIFParameters`
    late : s; lift : s for each unit of the voltage; with 0 silent neurons have no gradient

    Returns (batch, neurons), s; below ``late`` for those that fire before, and for no others.
    """
    for name, value in (("late", late), ("lift", lift)):
        check_number(value, "event_lif_first", name)
    first = event_lif(times, weights, p, spikes=1, duration=late)[..., 0]  # (batch, neurons)
    fired = first < late
    if bool(fired.all()):
        return first
    membrane = LIParameters(p.tau_syn_inv, p.tau_mem_inv, p.v_leak)
    greatest, _ = event_li_max(times, weights, membrane, duration=late)
    return torch.where(fired, first, late + lift * (p.v_th - greatest).clamp(min=0.0))


def first_spike_loss(first, labels, tau, *, early=0.0, early_tau=1.0):
    """The loss of classes whose neuron shall fire first, averaged over the batch; c is the label.

        L = -log(softmax(-t / tau)_c) + early (exp(t_c / early_tau) - 1)

    first : (batch, classes), s, finite: of `event_lif_first`; labels : (batch,), whole numbers
    tau : s, by how much the right neuron has to be earlier
    early, early_tau : weight, and time scale in s, of what wants the right neuron early. The first term is content with the order
        of times; where that is an order among silent neurons, the second makes the right one fire. With 0 it is left out.

    A SimulationError says which time scale is too short where a term, or the gradient of the second, overflows: as a loss it would
    be inf or NaN.

    Goeltz et al. (2021), Nat. Mach. Intell. 3:823, eq. 6; tau, early and early_tau are their xi tau_s, alpha and beta tau_s.
    """
    check_loss("first_spike_loss", tau, early, early_tau)
    check_first(first, "first_spike_loss")
    labels = labels_of(labels, *first.shape, "first_spike_loss")
    if not bool(first.detach().isfinite().all()):
        raise SimulationError("first_spike_loss: times must be finite; event_lif_first gives silent neurons one")
    order = torch.nn.functional.cross_entropy(-first / tau, labels)
    _check_overflow(order.detach() + 1.0 / tau, "tau", tau, first)  # no derivative is greater than 1 / tau
    if early == 0:
        return order
    right = first.gather(1, labels[:, None])  # (batch, 1)
    growth = torch.expm1(right / early_tau)
    added = early * growth.mean()
    _check_overflow((added + early / early_tau * (growth.max() + 1.0)).detach(), "early_tau", early_tau, right)
    return order + added


def check_loss(label, tau, early, early_tau):
    """Refuse parameters of `first_spike_loss` that are none; errors begin with ``label``."""
    check_number(tau, label, "tau", above=True)
    check_number(early_tau, label, "early_tau", above=True)
    check_number(early, label, "early", "finite number")


def _check_overflow(value, name, scale, times):
    if not bool(value.isfinite()):
        raise SimulationError(
            f"first_spike_loss: {name} = {scale!r} s is too short for times up to {times.detach().max().item():.3g} s: "
            f"the loss overflows {str(times.dtype).removeprefix('torch.')}; take a longer {name}"
            + (", or early = 0" if name == "early_tau" else "")
        )


def push_silent(weights, times, step, least=0.0):
    """Add ``step`` to all weights of the neurons that fire in no more than a share ``least`` of the samples; how many they are.

    weights : (neurons, inputs), modified in place; times : (batch, neurons, spikes), what they fire

    A silent neuron has no gradient, and would stay silent for ever.
    """
    share = (times[..., 0] < float("inf")).to(torch.float64).mean(0)
    silent = share <= least
    with torch.no_grad():
        weights[silent] += step
    return int(silent.sum())
