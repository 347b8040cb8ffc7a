"""Layers in continuous time: the spikes of the exact engine, gradients beside differences, threads, what is refused."""

from __future__ import annotations

import functools
import math

import event_nets
import numpy as np
import pytest
import torch

import norse_bridge as nb
from eventsim import LIF, Network, Population, Projection, Simulation, Spikes, SpikeSource
from eventsim.errors import ModelError, SimulationError
from norse_bridge.events import (
    EventLI,
    EventLIF,
    EventLIFRecurrent,
    event_li,
    event_li_max,
    event_lif,
    event_lif_recurrent,
)

P = nb.LIFParameters(tau_mem_inv=torch.tensor(50.0), v_reset=torch.tensor(-0.25))
NEURON = LIF(tau_mem=20.0, tau_syn=5.0, v_reset=-0.25)


def net(inputs=6, hidden=9, outputs=5, batch=3, seed=0):
    """Spike times and the weights of two layers, float64."""
    g = torch.Generator().manual_seed(seed)
    times = 0.03 * torch.rand(batch, inputs, 3, dtype=torch.float64, generator=g)
    times[:, 1, 0] = times[:, 0, 0]  # two spikes at one time
    times[0, 2] = math.inf
    first = 6.0 * torch.rand(hidden, inputs, dtype=torch.float64, generator=g) - 1.0
    second = 3.0 * torch.rand(outputs, hidden, dtype=torch.float64, generator=g)
    return times, first, second


def engine(times, sizes, projections, duration):
    """What the exact engine fires, each population's (neurons, spikes) in s, for one sample."""
    given = times.flatten().numpy() * 1000.0
    neurons = np.repeat(np.arange(times.shape[0]), times.shape[1])
    fired = np.isfinite(given)
    order = np.argsort(given[fired], kind="stable")
    source = SpikeSource(times=given[fired][order], neurons=neurons[fired][order])
    network = Network(
        [Population("inputs", times.shape[0], source), *(Population(name, n, NEURON) for name, n in sizes.items())],
        [Projection(a, b, weights.numpy().T.copy(), delay=delay) for a, b, weights, delay in projections],
    )
    spikes = Simulation(network, method="exact", record=[Spikes(name) for name in sizes]).run(1000.0 * duration).spikes
    return {name: [spikes[name].times[spikes[name].neurons == n] / 1000.0 for n in range(size)] for name, size in sizes.items()}


def assert_same(found, wanted):
    """The same float64 spike times, and nothing else than inf behind them."""
    assert sum(map(len, wanted)) > 5
    for row, times in zip(found.detach().numpy(), wanted, strict=True):
        assert np.array_equal(row[np.isfinite(row)], times)


@pytest.mark.parametrize("seed", range(5))
def test_layers_fire_when_the_exact_engine_does(seed):
    times, first, second = net(seed=seed)
    hidden = event_lif(times, first, P, duration=0.08)
    outputs = event_lif(hidden, second, P, duration=0.08)
    sizes = {"hidden": len(first), "outputs": len(second)}
    for b in range(len(times)):
        wanted = engine(times[b], sizes, [("inputs", "hidden", first, 0.0), ("hidden", "outputs", second, 0.0)], 0.08)
        assert_same(hidden[b], wanted["hidden"])
        assert_same(outputs[b], engine(hidden[b], {"outputs": 5}, [("inputs", "outputs", second, 0.0)], 0.08)["outputs"])
        for row, both in zip(outputs[b], wanted["outputs"], strict=True):  # ms to s and back between the layers is a rounding
            assert np.allclose(row[row.isfinite()], both, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_recurrent_layers_fire_when_the_exact_engine_does(seed):
    times, weights, _ = net(seed=seed)
    fed_back = 3.0 * torch.rand(9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 1.5
    fired = event_lif_recurrent(times, weights, fed_back, P, delay=0.0015, duration=0.05)
    for b in range(len(times)):
        wanted = engine(times[b], {"h": 9}, [("inputs", "h", weights, 0.0), ("h", "h", fed_back, 1.5)], 0.05)
        assert_same(fired[b], wanted["h"])


SLOW = [pytest.param(nets, seed, marks=pytest.mark.slow) for nets, seed in ((300, 0), (350, 1), (350, 2))]  # 1,000


@pytest.mark.parametrize(("nets", "seed"), [(24, 0), *SLOW])
def test_gradients_are_those_of_differences(nets, seed):
    """Times, weights, recurrent weights and those of a readout; losses on spikes, on voltages and on the greatest voltage."""
    worst, again, spikes = event_nets.check(nets, seed)
    print(f"{nets} nets, {spikes} spikes: {worst:.1e} at most; {again} were drawn again")
    assert again <= nets / 4 and spikes > 20 * nets


def shown(times):
    """Spike times in units of 10 ms, 0 where there is none."""
    return torch.where(times.isfinite(), 100.0 * times, 0.0)


def test_gradcheck():
    times, first, second = net(4, 3, 2, batch=2)
    times[0, 2] = 0.017
    fed_back = torch.rand(3, 3, dtype=torch.float64) - 0.7
    leaves = [t.requires_grad_() for t in (times, first, fed_back, second)]
    options = {"eps": 1e-7, "atol": 1e-5}
    times[:, 1, 0].detach().add_(0.0011)  # a difference would part what comes at one time
    assert torch.autograd.gradcheck(lambda t, w: shown(event_lif(t, w, P, spikes=3)), leaves[:2], **options)
    fired = functools.partial(event_lif_recurrent, p=P, spikes=3, duration=0.06)
    assert torch.autograd.gradcheck(lambda t, w, r: shown(fired(t, w, r)), leaves[:3], **options)
    assert torch.autograd.gradcheck(lambda t, w: event_li(t, w, torch.tensor([0.04, 0.01])), leaves[:2], **options)
    assert torch.autograd.gradcheck(lambda t, w: event_li_max(t, w)[0], leaves[:2], **options)


def test_a_neuron_without_recurrence_is_the_same_in_both_layers():
    times, weights, _ = net()
    both = []
    for layer in (lambda t, w: event_lif(t, w, P), lambda t, w: event_lif_recurrent(t, w, torch.zeros(9, 9).double(), P)):
        t, w = times.clone().requires_grad_(), weights.clone().requires_grad_()
        fired = layer(t, w)
        both.append([fired.detach(), *torch.autograd.grad(shown(fired).sum(), (t, w))])
    assert torch.equal(both[0][0], both[1][0])
    for one, other in zip(*both, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_missing_spike_and_a_silent_neuron_have_no_gradient():
    times = torch.tensor([[[0.001], [math.inf]]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[8.0, 3.0], [0.5, 9.0]], dtype=torch.float64, requires_grad=True)
    fired = event_lif(times, weights, spikes=3)
    assert fired.shape == (1, 2, 3) and fired[0, 0, 0].isfinite() and not fired[0, 1].isfinite().any()
    of_times, of_weights = torch.autograd.grad(torch.exp(-fired).sum(), (times, weights))
    assert of_times[0, 0] != 0 and of_times[0, 1] == 0
    assert of_weights[0, 0] > 0 and not of_weights[0, 1] and not of_weights[1].any()


def test_a_voltage_is_the_closed_solution():
    """A spike of weight 1 at 0: v(t) = (exp(-t/20) - exp(-t/5)) / 3 in ms, greatest at log(4) 20/3."""
    weights, at = torch.ones(1, 1, dtype=torch.float64), torch.tensor([0.0031, 0.0, 0.04], dtype=torch.float64)
    p = nb.LIParameters(tau_mem_inv=torch.tensor(50.0))
    times = torch.zeros(1, 1, 1, dtype=torch.float64)
    wanted = (torch.exp(-at / 0.02) - torch.exp(-at / 0.005)) / 3.0
    assert torch.allclose(event_li(times, weights, at, p)[0, 0], wanted, rtol=1e-12, atol=1e-15)
    greatest, when = event_li_max(times, weights, p)
    assert when.item() == pytest.approx(math.log(4.0) / 150.0, rel=1e-12)
    assert greatest.item() == pytest.approx((4.0 ** (-1 / 3) - 4.0 ** (-4 / 3)) / 3.0, rel=1e-12)
    assert event_li_max(times, -weights, p)[0].item() == 0.0


def test_near_grazing_the_gradient_grows_as_the_inverse_root():
    """dt/dw is proportional to 1/sqrt(w - w_0) above the weight w_0 with which the peak just reaches the threshold."""
    least = 3.0 / (4.0 ** (-1 / 3) - 4.0 ** (-4 / 3))
    p, slopes = nb.LIFParameters(tau_mem_inv=torch.tensor(50.0)), []
    for excess in (1e-6, 1e-8):
        w = torch.tensor([[least * (1.0 + excess)]], dtype=torch.float64, requires_grad=True)
        fired = event_lif(torch.zeros(1, 1, 1, dtype=torch.float64), w, p, spikes=1)
        slopes.append(torch.autograd.grad(fired.sum(), w)[0].item())
    assert slopes[1] / slopes[0] == pytest.approx(10.0, rel=1e-2)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_bits_do_not_depend_on_threads(recurrent):
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.manual_seed(0)
        layer = EventLIFRecurrent(20, 40, delay=0.002, duration=0.05) if recurrent else EventLIF(20, 40)
        readout = EventLI(40, 3)
        times = (0.02 * torch.rand(37, 20, 2)).requires_grad_()
        torch.set_num_threads(threads)
        try:
            readout(layer(times)).square().sum().backward()
        finally:
            torch.set_num_threads(before)
        found.append([times.grad, *(w.grad for w in (*layer.parameters(), *readout.parameters()))])
    assert all(torch.equal(a, b) and a.any() for a, b in zip(*found, strict=True))


def test_parameters_of_each_neuron():
    times, weights, _ = net()
    rates = torch.linspace(40.0, 120.0, len(weights), dtype=torch.float64)
    fed_back = torch.zeros(9, 9, dtype=torch.float64)
    many = event_lif(times, weights, P._replace(tau_mem_inv=rates), spikes=4)
    recurrent = event_lif_recurrent(times, weights, fed_back, P._replace(tau_mem_inv=rates), spikes=4)
    for n, rate in enumerate(rates):
        alone = event_lif(times, weights[n : n + 1], P._replace(tau_mem_inv=rate), spikes=4)
        assert torch.equal(alone[:, 0], many[:, n]) and torch.equal(alone[:, 0], recurrent[:, n])


def test_float32_modules_train_and_are_saved():
    torch.manual_seed(0)
    layer, other = EventLIF(5, 7), EventLIF(5, 7)
    times = 0.01 * torch.rand(4, 5, 1)
    fired = layer(times)
    assert fired.dtype == torch.float32 and fired.shape[:2] == (4, 7)
    fired.nan_to_num(posinf=0.0).sum().backward()
    assert layer.weights.grad.dtype == torch.float32 and layer.weights.grad.any()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(times), fired)
    assert EventLI(7, 2)(fired).shape == (4, 2) and EventLI(7, 2)(fired, torch.tensor([0.01, 0.02, 0.03])).shape == (4, 2, 3)


@pytest.mark.parametrize("recurrent", [False, True])
def test_neurons_that_fire_without_end_need_a_duration(recurrent):
    p, times, weights = P._replace(v_leak=torch.tensor(1.5)), torch.zeros(1, 1, 1), torch.ones(1, 1)

    def layer(**options):
        return event_lif_recurrent(times, weights, weights, p, **options) if recurrent else event_lif(times, weights, p, **options)

    with pytest.raises(SimulationError, match="give a duration"):
        layer()
    assert layer(duration=0.5).shape[2] > 10 and layer(duration=0.5, spikes=2).shape[2] == 2


REFUSED = {
    "negative or NaN": lambda t, w: event_lif(t - 1.0, w),
    "of 3 inputs and weights of 2": lambda t, w: event_lif(torch.zeros(1, 3, 1), w),
    "axes": lambda t, w: event_lif(t[0], w),
    "float32 or float64": lambda t, w: event_lif(t.long(), w),
    "weights must be finite": lambda t, w: event_lif(t, w / 0.0),
    "spikes must be": lambda t, w: event_lif(t, w, spikes=0),
    "duration must be": lambda t, w: event_lif(t, w, duration=-1.0),
    "delay must be": lambda t, w: event_lif_recurrent(t, w, torch.ones(1, 1), delay=math.inf),
    "recurrent_weights must be": lambda t, w: event_lif_recurrent(t, w, torch.ones(2, 2)),
    "finite and not negative": lambda t, w: event_li(t, w, torch.tensor([math.inf])),
    "at must be": lambda t, w: event_li(t, w, torch.zeros(3, 1)),
    "v_reset must lie below": lambda t, w: event_lif(t, w, P._replace(v_reset=torch.tensor(1.0))),
    "requires a gradient": lambda t, w: event_lif(t, w, P._replace(v_th=torch.tensor(1.0, requires_grad=True))),
    "one for each of 1 neurons": lambda t, w: event_lif(t, w, P._replace(v_th=torch.ones(4))),
    "tau_mem must": lambda t, w: event_lif(t, w, P._replace(tau_mem_inv=torch.tensor(-1.0))),
    "p must be": lambda t, w: event_lif(t, w, 3.0),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_is_refused(text):
    with pytest.raises((ModelError, SimulationError), match=text):
        REFUSED[text](torch.zeros(1, 2, 1), torch.ones(1, 2))


def test_nothing_arrives():
    nothing = torch.full((2, 3, 1), math.inf)
    weights = torch.ones(4, 3, requires_grad=True)
    assert not event_lif(nothing, weights).isfinite().any() and event_lif(nothing[:0], weights).shape == (0, 4, 1)
    assert not event_lif_recurrent(nothing, weights, torch.ones(4, 4)).isfinite().any()
    value, when = event_li_max(nothing, weights)
    assert not value.any() and not when.any()
    value.sum().backward()
    assert not weights.grad.any()
