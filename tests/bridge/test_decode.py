"""Decoders: counts, and times of the first spikes, with gradients that silent neurons do not break."""

import math

import pytest
import torch

import norse_bridge as nb
from eventsim.errors import SimulationError

INF = math.inf


def trains():
    """(time, 1, neurons): spikes at steps 1, 3, 4; at 0 and 2; at 4; none."""
    z = torch.zeros(5, 1, 4)
    for neuron, steps in enumerate([[1, 3, 4], [0, 2], [4], []]):
        z[steps, 0, neuron] = 1.0
    return z


STEPS = torch.tensor([[1, 0, 4, INF], [3, 2, INF, INF], [4, INF, INF, INF]])[:, None]


def test_sums():
    assert nb.sum_decode(trains()).tolist() == [[3, 2, 1, 0]]
    assert nb.sum_decode(trains(), 2).shape == (5, 1)
    assert nb.sum_decode(trains(), dimension=(0, 2)).tolist() == [6]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_times_of_the_first_spikes(count):
    assert torch.equal(nb.ToSpikeTimes.apply(trains(), count), STEPS[:count])
    assert torch.equal(nb.SpikesToTimesDecoder(count, convert_indices_to_times=False)(trains()), STEPS[:count])
    torch.testing.assert_close(nb.SpikesToTimesDecoder(count, dt=0.01)(trains()), 0.01 * STEPS[:count])


def test_there_are_as_many_rows_as_asked_for():
    """Norse returns no more rows than there are steps."""
    times = nb.SpikesToTimesDecoder(7, convert_indices_to_times=False)(trains())
    assert torch.equal(times[:3], STEPS)
    assert torch.equal(times[3:], torch.full((4, 1, 4), INF))
    assert torch.equal(nb.ToSpikeTimes.apply(trains()[:0], 2), torch.full((2, 1, 4), INF))


def test_any_value_but_0_is_a_spike():
    """Norse scales the times by the values."""
    for z in (2.5 * trains(), -trains(), trains().bool(), trains().int(), trains().double()):
        times = nb.ToSpikeTimes.apply(z, 2)
        assert times.dtype == (z.dtype if z.dtype.is_floating_point else torch.float32)
        assert torch.equal(times.float(), STEPS[:2])


def test_times_have_any_axes_behind_time():
    z = (torch.rand(9, 2, 3, 4) < 0.3).float()
    times = nb.ToSpikeTimes.apply(z, 2)
    assert times.shape == (2, 2, 3, 4)
    assert torch.equal(times[:, 1, 2, 3], nb.ToSpikeTimes.apply(z[:, 1, 2, 3], 2))


def test_gradients_go_negated_to_the_spikes_and_nowhere_else():
    """Norse fails as soon as a neuron has fewer spikes than are asked for."""
    z = trains().requires_grad_(True)
    factors = torch.arange(1.0, 13.0).reshape(3, 1, 4)
    (nb.ToSpikeTimes.apply(z, 3) * factors).sum().backward()
    wanted = torch.zeros(5, 1, 4)
    wanted[[1, 3, 4], 0, 0] = -torch.tensor([1.0, 5.0, 9.0])
    wanted[[0, 2], 0, 1] = -torch.tensor([2.0, 6.0])
    wanted[4, 0, 2] = -3.0
    assert torch.equal(z.grad, wanted)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_long_trains_in_half_precision(kind):
    """bfloat16 knows no whole number between 1024 and 1032, float16 none between 4096 and 4100."""
    z = torch.zeros(5000, 1, 2, dtype=kind)
    z[1027, 0, 0] = z[4099, 0, 1] = 1.0
    z.requires_grad_(True)
    times = nb.ToSpikeTimes.apply(z, 1)
    assert times.tolist() == [[[1027.0, 4099.0]]]
    times.sum().backward()
    assert z.grad.dtype == kind
    assert z.grad.nonzero().tolist() == [[1027, 0, 0], [4099, 0, 1]]


def test_losses_that_are_infinite_for_silent_neurons_leave_finite_gradients():
    z = trains().requires_grad_(True)
    loss = (nb.SpikesToTimesDecoder(2)(z) - 0.002).square().sum()
    loss.backward()
    assert loss == INF
    assert z.grad.isfinite().all()
    assert z.grad[1, 0, 0] == pytest.approx(-2 * (0.001 - 0.002) * 0.001)
    assert z.grad[:, 0, 3].abs().sum() == 0
    (nb.SpikesToTimesDecoder(2)(z) * torch.nan).sum().backward()
    assert z.grad[:, 0, 3].abs().sum() == 0


def test_times_train_a_weight_towards_an_earlier_spike():
    weight = torch.tensor([2.0], requires_grad=True)
    optimiser = torch.optim.SGD([weight], lr=200.0)
    first = []
    for _ in range(20):
        z, _ = nb.LIF(nb.LIFParameters(alpha=torch.tensor(1.0)))((weight * torch.ones(60, 1))[:, None])
        time = nb.SpikesToTimesDecoder()(z).sum()
        first.append(time.item())
        optimiser.zero_grad()
        time.backward()
        optimiser.step()
    assert first[0] > first[-1]
    assert first == sorted(first, reverse=True)


def test_times_under_torch_func():
    z = (torch.rand(12, 5, 3) < 0.15).float()
    assert (z.sum(0) == 0).any()

    def loss(z):
        return torch.nan_to_num(nb.ToSpikeTimes.apply(z, 2), posinf=0.0).square().sum()

    together = torch.func.grad(loss)(z)
    each = torch.func.vmap(torch.func.grad(loss), in_dims=1, out_dims=1)(z)
    assert torch.equal(each, together)
    assert together.abs().sum() > 0
    decoder = nb.SpikesToTimesDecoder(20)
    assert torch.equal(torch.func.vmap(decoder, in_dims=1, out_dims=1)(z), decoder(z))


def test_a_count_of_spikes_is_1_or_more():
    assert nb.SpikesToTimesDecoder(torch.tensor(2))(trains()).shape[0] == 2  # Norse 1.1.0 takes a tensor
    for wrong in (0, -1):
        with pytest.raises(SimulationError, match="spike_count must be 1 or more"):
            nb.SpikesToTimesDecoder(wrong)
