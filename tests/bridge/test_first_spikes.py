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


def test_a_tie_is_not_right():
    """Whichever of the classes that fire at once has the lower number; ties of others with one another do not matter."""
    first = torch.tensor([[0.1, 0.1, 0.2], [0.2, 0.1, 0.1], [0.1, 0.2, 0.2]])
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        place = torch.tensor(order).argsort()
        for labels, right in (([0, 1, 0], 1), ([1, 2, 0], 1), ([2, 0, 1], 0)):
            assert first_spike_accuracy(first[:, order], place[torch.tensor(labels)], 1.0) == pytest.approx(right / 3.0)
    assert first_spike_accuracy(torch.tensor([[0.1]]), torch.tensor([0]), 1.0) == 1.0
    assert first_spike_accuracy(torch.tensor([[math.inf, math.inf]]), torch.tensor([0]), math.inf) == 0.0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_labels_may_be_of_any_integer_type(dtype):
    first, labels = torch.tensor([[0.01, 0.02], [0.03, 0.01]]), torch.tensor([0, 1])
    assert first_spike_loss(first, labels.to(dtype), 0.01, early=0.1) == first_spike_loss(first, labels, 0.01, early=0.1)
    assert first_spike_accuracy(first, labels.to(dtype), 0.05) == 1.0


def test_without_early_its_time_scale_does_not_matter():
    """exp(600) is inf in float32, and 0 inf is NaN."""
    first = torch.tensor([[0.6, 0.4], [0.5, 0.55]], requires_grad=True)
    found = first_spike_loss(first, torch.tensor([0, 1]), 0.01, early=0.0, early_tau=0.001)
    right = [math.log1p(math.exp(20.0)), math.log1p(math.exp(5.0))]
    assert found.item() == pytest.approx(sum(right) / 2.0, rel=1e-6)
    (gradient,) = torch.autograd.grad(found, first)
    assert gradient[0].tolist() == pytest.approx([50.0, -50.0], rel=1e-6)


def test_a_loss_or_gradient_that_overflows_is_refused():
    """exp(87) = 6.1e37 is a float32, and 10 times as much is none; a gradient with 1 / early_tau = 1000 overflows first."""
    labels = torch.tensor([0])
    for early, time, dtype, fits in (
        (1.0, 0.6, torch.float32, False),
        (1.0, 0.6, DOUBLE, True),
        (1e-3, 0.087, torch.float32, True),
        (1e-2, 0.087, torch.float32, False),
    ):
        first = torch.tensor([[time, time]], dtype=dtype, requires_grad=True)
        if not fits:
            with pytest.raises(SimulationError, match="early_tau = 0.001 s is too short for times up to .* float32; take a longer"):
                first_spike_loss(first, labels, 0.01, early=early, early_tau=0.001)
            continue
        found = first_spike_loss(first, labels, 0.01, early=early, early_tau=0.001)
        assert found.item() == pytest.approx(math.log(2.0) + early * math.expm1(time / 0.001), rel=1e-4)
        assert torch.autograd.grad(found, first)[0].isfinite().all()
    with pytest.raises(SimulationError, match="tau = 1e-42 s is too short"):
        first_spike_loss(torch.tensor([[0.6, 0.4]]), labels, 1e-42)


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


class _Normalised(torch.nn.Module):
    """A net with statistics, a part of which is kept in eval mode, that remembers in which modes it was called."""

    def __init__(self):
        super().__init__()
        self.first, self.moving, self.still = EventLIFFirst(2, 2, late=0.05, lift=0.02), *map(torch.nn.BatchNorm1d, (2, 2))
        self.still.eval()
        self.calls = []

    def forward(self, times):
        first = self.first(times)
        self.calls.append((len(times), self.training, self.moving.training, self.still.training, torch.is_grad_enabled()))
        return first + 0.001 * (self.moving(first) + self.still(first))


def test_validation_is_only_looked_at():
    """Statistics are those of the training data alone, weights do not depend on the validation, and modes come back."""
    times, labels, found = 0.02 * torch.rand(30, 2, 1), torch.arange(30) % 2, []
    for unseen in (times[:4], 0.5 * times[:7]):
        torch.manual_seed(3)
        net = _Normalised()
        fit_first_spikes(net, (times, labels), (unseen, labels[: len(unseen)]), 0.05, 0.003, epochs=2, batch=10, quiet=True)
        found.append(torch.cat([value.detach().double().reshape(-1) for value in net.state_dict().values()]))
        assert net.moving.num_batches_tracked == 6 and net.still.num_batches_tracked == 0
        assert (net.training, net.moving.training, net.still.training) == (True, True, False)
        assert [call for call in net.calls if call[0] == 10] == [(10, True, True, False, True)] * 6
        assert [call for call in net.calls if call[0] == len(unseen)] == [(len(unseen), False, False, False, False)] * 2
    assert torch.equal(*found)


def test_modes_come_back_where_validation_fails():
    net = torch.nn.Sequential(EventLIFFirst(2, 2, late=0.05, lift=0.02), torch.nn.BatchNorm1d(2))
    good, labels = torch.zeros(3, 2, 1), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(SimulationError, match="must not be negative"):
        fit_first_spikes(net, (good, labels), (good - 1.0, labels), 0.05, 0.003, quiet=True)
    assert all(module.training for module in net.modules())


def test_push_silent_changes_only_those_that_never_fire():
    weights = torch.zeros(2, 3)
    assert push_silent(weights, torch.tensor([[[0.1], [math.inf]], [[math.inf], [math.inf]]]), 0.5) == 1
    assert torch.equal(weights, torch.tensor([[0.0] * 3, [0.5] * 3]))


def _fit(count=4, labels=4, unseen=4, net=None, **options):
    """A training of ``count`` samples, 2 classes."""
    net = net or EventLIFFirst(3, 2, late=0.05, lift=0.02)
    given = options.pop("label_values", torch.arange(labels) % 2)
    validation = options.pop("validation", (torch.zeros(unseen, 3, 1), torch.zeros(unseen).long()))
    late, tau = options.pop("late", 0.05), options.pop("tau", 0.003)
    return fit_first_spikes(net, (torch.zeros(count, 3, 1), given), validation, late, tau, epochs=1, quiet=True, **options)


TWO = torch.tensor([[0.1, 0.2]])
ZERO = torch.zeros(1).long()
ONE = torch.zeros(1, 1, 1), torch.ones(1, 1)
REFUSED = {
    "late must be": lambda: event_lif_first(*ONE, late=math.inf, lift=0.0),
    "lift must be": lambda: event_lif_first(*ONE, late=0.1, lift=-1.0),
    "requires a gradient": lambda: event_lif_first(
        *ONE, P._replace(v_th=torch.tensor(1.0, requires_grad=True)), late=0.1, lift=0.1
    ),
    "EventLIFFirst: late must be .* not inf": lambda: EventLIFFirst(3, 2, late=math.inf, lift=0.1),
    "EventLIFFirst: late must be .* not -0.1": lambda: EventLIFFirst(3, 2, late=-0.1, lift=0.1),
    "EventLIFFirst: lift must be .* not nan": lambda: EventLIFFirst(3, 2, late=0.1, lift=math.nan),
    "EventLIFFirst: lift must be .* not None": lambda: EventLIFFirst(3, 2, late=0.1, lift=None),
    "loss: tau must be .* above 0, not 0.0": lambda: first_spike_loss(TWO, ZERO, 0.0),
    "loss: tau must be .* not 'a'": lambda: first_spike_loss(TWO, ZERO, "a"),
    "loss: early_tau must be .* not inf": lambda: first_spike_loss(TWO, ZERO, 0.1, early_tau=math.inf),
    "loss: early must be .* not -1.0": lambda: first_spike_loss(TWO, ZERO, 0.1, early=-1.0),
    "loss: first must be .* not of shape .2,.": lambda: first_spike_loss(TWO[0], ZERO, 0.1),
    "loss: first must be .* a sample and a class": lambda: first_spike_loss(TWO[:0], ZERO[:0], 0.1),
    "loss: first must be a tensor of floats": lambda: first_spike_loss([[0.1]], ZERO, 0.1),
    "loss: labels must be from 0 to 1, .* 5 is not": lambda: first_spike_loss(TWO, torch.tensor([5]), 0.1),
    "loss: labels must be from 0 to 1, .* -100 is not": lambda: first_spike_loss(TWO, torch.tensor([-100]), 0.1),
    "loss: labels must be .* not one of torch.float32": lambda: first_spike_loss(TWO, torch.zeros(1), 0.1),
    "loss: labels must be .* not a list": lambda: first_spike_loss(TWO, [0], 0.1),
    "loss: labels must be one for each of 1": lambda: first_spike_loss(TWO, torch.zeros(2).long(), 0.1),
    "accuracy: late must be .* not nan": lambda: first_spike_accuracy(TWO, ZERO, math.nan),
    "accuracy: labels must be from 0 to 1": lambda: first_spike_accuracy(TWO, ZERO + 2, 0.1),
    "accuracy: first must be .* a sample": lambda: first_spike_accuracy(TWO[:0], ZERO[:0], 0.1),
    "spikes: training has no samples": lambda: _fit(0, 0),
    "spikes: validation has no samples": lambda: _fit(unseen=0),
    "the labels of training must be one for each of 4": lambda: _fit(labels=2),
    "the labels of training must be 0 or above; -1": lambda: _fit(label_values=torch.tensor([0, 1, 0, -1])),
    "the labels of training must be from 0 to 1, .*; 2": lambda: _fit(label_values=torch.tensor([0, 1, 0, 2])),
    "the labels of validation must be from 0 to 1, .*; 7": lambda: _fit(validation=(torch.zeros(1, 3, 1), ZERO + 7)),
    "validation must be a pair": lambda: _fit(validation=None),
    "the times of validation must be": lambda: _fit(validation=(torch.zeros(1), ZERO)),
    "what the net gives: first must be": lambda: _fit(net=EventLIF(3, 2, spikes=1)),
    "spikes: batch must be .* at least 1, not 0": lambda: _fit(batch=0),
    "spikes: batch must be .* not 2.5": lambda: _fit(batch=2.5),
    "spikes: rate must be .* not -1.0": lambda: _fit(rate=-1.0),
    "spikes: jitter must be .* not nan": lambda: _fit(jitter=math.nan),
    "spikes: late must be .* not inf": lambda: _fit(late=math.inf),
    "spikes: tau must be .* not 'a'": lambda: _fit(tau="a"),
    "must be finite": lambda: first_spike_loss(torch.full((1, 2), math.inf), torch.zeros(1).long(), 1.0),
}


def test_what_is_refused_has_changed_nothing():
    """A label without a neuron in the last batch is found before the first step."""
    net = EventLIFFirst(3, 2, late=0.05, lift=0.02)
    before = net.weights.detach().clone()
    with pytest.raises(SimulationError, match="2 is not"):
        _fit(net=net, label_values=torch.tensor([0, 1, 0, 2]), batch=1)
    assert torch.equal(net.weights, before)


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused(text):
    with pytest.raises((ModelError, SimulationError), match=text):
        REFUSED[text]()
