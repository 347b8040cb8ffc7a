"""Times to first spikes: silent neurons have one with the gradient of their voltage, the loss, training, what is refused."""

from __future__ import annotations

import math

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import ModelError, SimulationError
from norse_bridge.events import (
    EventLIF,
    EventLIFFirst,
    event_lif,
    event_lif_first,
    first_spike_accuracy,
    first_spike_loss,
    fit_first_spikes,
    push_silent,
)

DOUBLE = torch.float64
P = nb.LIFParameters(tau_mem_inv=torch.tensor(50.0, dtype=DOUBLE), tau_syn_inv=torch.tensor(50.0, dtype=DOUBLE))


def test_a_silent_neuron_has_the_time_of_its_peak():
    """A spike of weight w lifts v to w/e where both time constants are equal, after 20 ms."""
    weights = torch.tensor([[1.0], [2.0], [math.e * 2.0], [-1.0]], dtype=DOUBLE, requires_grad=True)
    times = torch.zeros(1, 1, 1, dtype=DOUBLE)
    first = event_lif_first(times, weights, P, late=0.05, lift=0.02)
    assert first[0, :2].tolist() == pytest.approx([0.05 + 0.02 * (1.0 - w / math.e) for w in (1.0, 2.0)], rel=1e-12)
    assert first[0, 2] == event_lif(times, weights, P, spikes=1)[0, 2, 0] and first[0, 3] == 0.05 + 0.02
    (gradient,) = torch.autograd.grad(first[0, :2].sum(), weights)
    assert gradient[:2, 0].tolist() == pytest.approx([-0.02 / math.e] * 2, rel=1e-12) and not gradient[2:].any()


def test_what_fires_too_late_is_silent():
    weights, times = torch.tensor([[3.0]], dtype=DOUBLE), torch.zeros(1, 1, 1, dtype=DOUBLE)
    when = event_lif(times, weights, P, spikes=1).item()
    assert event_lif_first(times, weights, P, late=when + 1e-9, lift=0.02).item() == when
    v = 3.0 * 0.5 * math.exp(-0.5)  # after 10 ms
    assert event_lif_first(times, weights, P, late=0.01, lift=0.02).item() == pytest.approx(0.01 + 0.02 * (1.0 - v), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_of_the_loss_is_that_of_differences(seed):
    """Two layers, some of whose neurons are silent: all weights and input times, to 1e-6 of the largest component."""
    torch.manual_seed(seed)
    times = 0.03 * torch.rand(4, 5, 1, dtype=DOUBLE)
    hidden = (1.5 + 0.8 * torch.randn(8, 5, dtype=DOUBLE)).requires_grad_()
    out = 0.7 + 0.5 * torch.randn(3, 8, dtype=DOUBLE)
    out[0] = 0.2 * torch.rand(8, dtype=DOUBLE)  # this one is silent
    labels, times, out = torch.arange(4) % 3, times.requires_grad_(), out.requires_grad_()

    def last(t, h, o):
        return event_lif_first(event_lif(t, h, P, spikes=1), o, P, late=0.045, lift=0.02)

    def loss(t, h, o):
        return first_spike_loss(last(t, h, o), labels, 0.005, early=0.01, early_tau=0.02)

    first = last(times, hidden, out)
    assert (first[:, 1:] < 0.045).any() and (first[:, 0] > 0.045).all()
    leaves = (times, hidden, out)
    found = torch.autograd.grad(loss(*leaves), leaves)
    with torch.no_grad():
        for leaf, gradient, step in zip(leaves, found, (1e-7, 1e-5, 1e-5), strict=True):
            wanted = torch.zeros_like(leaf)
            for place in range(leaf.numel()):
                flat, at = leaf.reshape(-1), {}
                value = flat[place].item()
                for shift in (-2, -1, 1, 2):
                    flat[place] = value + shift * step
                    at[shift] = loss(*leaves).item()
                flat[place] = value
                wanted.reshape(-1)[place] = (8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * step)
            assert gradient.any() and (gradient - wanted).abs().max() <= 1e-6 * wanted.abs().max()


def test_the_loss_is_its_formula():
    first = torch.tensor([[0.01, 0.02], [0.03, 0.01]], dtype=DOUBLE)
    found = first_spike_loss(first, torch.tensor([0, 0]), 0.01, early=0.1, early_tau=0.02)
    right = [math.log1p(math.exp(-1.0)), math.log1p(math.exp(2.0))]
    assert found.item() == pytest.approx((sum(right) + 0.1 * (math.expm1(0.5) + math.expm1(1.5))) / 2.0, rel=1e-12)


def test_accuracy_counts_spikes_alone():
    """Right; wrong; right by its voltage, but nobody has fired."""
    first = torch.tensor([[0.01, 0.02], [0.02, 0.01], [0.04, 0.06]])
    assert first_spike_accuracy(first, torch.zeros(3, dtype=torch.int64), 0.04) == pytest.approx(1.0 / 3.0)


def test_silent_readouts_learn_to_fire():
    """Which of two inputs fires first; at first no neuron of the readout reaches its threshold, and none would ever learn."""
    torch.manual_seed(0)
    times = 0.02 * torch.rand(200, 2, 1)
    data = times, (times[:, 1, 0] < times[:, 0, 0]).long()
    accuracies = {}
    for lift in (0.0, 0.02):
        torch.manual_seed(1)
        net = torch.nn.Sequential(EventLIF(2, 10, spikes=1, std=4.0), EventLIFFirst(10, 2, late=0.05, lift=lift, mean=1.0, std=0.5))
        assert first_spike_accuracy(net(times), data[1], 0.05) == 0.0
        options = {"early": 0.01, "early_tau": 0.02, "epochs": 30, "batch": 20, "rate": 0.05, "quiet": True}
        course = fit_first_spikes(net, data, data, 0.05, 0.003, **options)
        accuracies[lift] = course.accuracies[-1]
        assert len(course.losses) == len(course.accuracies) == 30
    assert accuracies[0.0] == 0.0 and accuracies[0.02] > 0.8


def test_training_repeats_with_its_seed():
    times, labels, weights = 0.02 * torch.rand(30, 2, 1), torch.arange(30) % 2, []
    for _ in range(2):
        torch.manual_seed(3)
        net = EventLIFFirst(2, 2, late=0.05, lift=0.02)
        fit_first_spikes(net, (times, labels), (times, labels), 0.05, 0.003, epochs=2, batch=10, jitter=0.001, quiet=True)
        weights.append(net.weights.detach())
    assert torch.equal(*weights)


def test_push_silent_changes_only_those_that_never_fire():
    weights = torch.zeros(2, 3)
    assert push_silent(weights, torch.tensor([[[0.1], [math.inf]], [[math.inf], [math.inf]]]), 0.5) == 1
    assert torch.equal(weights, torch.tensor([[0.0] * 3, [0.5] * 3]))


ONE = torch.zeros(1, 1, 1), torch.ones(1, 1)
REFUSED = {
    "late must be": lambda: event_lif_first(*ONE, late=math.inf, lift=0.0),
    "lift must be": lambda: event_lif_first(*ONE, late=0.1, lift=-1.0),
    "requires a gradient": lambda: event_lif_first(
        *ONE, P._replace(v_th=torch.tensor(1.0, requires_grad=True)), late=0.1, lift=0.1
    ),
    "tau and early_tau must": lambda: first_spike_loss(torch.ones(1, 2), torch.zeros(1).long(), 0.0),
    "must be finite": lambda: first_spike_loss(torch.full((1, 2), math.inf), torch.zeros(1).long(), 1.0),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused(text):
    with pytest.raises((ModelError, SimulationError), match=text):
        REFUSED[text]()
