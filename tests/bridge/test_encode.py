"""Encoders: numbers into spike trains and population codes."""

import copy
import math

import numpy as np
import pytest
import torch

import norse_bridge as nb
from eventsim.errors import ModelError, SimulationError


def test_poisson_encoder_statistics():
    """Counts of independent Bernoulli trials: mean within 5 sigma, variance p (1 - p), no memory over time."""
    x = torch.tensor([0.0, 0.1, 0.5, 1.0, 20.0]).expand(400, 5)
    steps = 500
    z = nb.PoissonEncoder(steps, f_max=100)(x)
    assert z.shape == (steps, 400, 5)
    assert z.dtype == torch.float32
    for k, value in enumerate(x[0].tolist()):
        p = min(0.1 * value, 1.0)
        train = z[:, :, k]
        assert abs(train.mean().item() - p) <= 5 * math.sqrt(p * (1 - p) / train.numel())
        assert train.var(dim=0).mean().item() == pytest.approx(p * (1 - p), rel=0.02, abs=1e-12)
        overlap = (train[1:] * train[:-1]).mean().item()
        assert overlap == pytest.approx(p * p, abs=5 * math.sqrt((p * p + 1e-12) / train.numel()))


def test_poisson_encoding_is_reproducible_and_has_norses_defaults():
    x = torch.full((2000,), 0.5)
    draws = [nb.poisson_encode(x, 20, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)
    assert draws[0].mean().item() == pytest.approx(0.05, abs=0.006)
    step = nb.poisson_encode_step(x, generator=torch.Generator().manual_seed(7))
    assert step.shape == x.shape
    assert step.mean().item() == pytest.approx(0.5, abs=0.06)
    assert nb.poisson_encode(x, 20, f_max=100, dt=0.002).mean().item() == pytest.approx(0.1, abs=0.01)


def test_constant_current_encoder():
    current = torch.tensor([[0.5, 1.5, 4.0]])
    z = nb.ConstantCurrentLIFEncoder(200)(current)
    assert z.shape == (200, 1, 3)
    v, wanted = np.zeros(3, np.float32), []
    for _ in range(200):
        v = v + np.float32(0.001) * np.float32(100) * ((np.float32(0) - v) + current[0].numpy())
        fired = v - np.float32(1) > 0
        v = np.where(fired, np.float32(0), v)
        wanted.append(fired)
    assert np.array_equal(z[:, 0].numpy(), np.stack(wanted))
    assert z.sum(0)[0, 0] == 0 < z.sum(0)[0, 1] < z.sum(0)[0, 2]


def test_signed_trains_are_trains_of_the_magnitude_with_the_sign():
    x = torch.linspace(-1, 1, 9).expand(300, 9)
    z = nb.SignedPoissonEncoder(100, f_max=500)(x)
    assert z.shape == (100, 300, 9)
    assert set(z.unique().tolist()) == {-1.0, 0.0, 1.0}
    for k, value in enumerate(x[0].tolist()):
        p = 0.5 * abs(value)
        train = z[:, :, k]
        assert (train * value >= 0).all()
        assert abs(train.abs().mean().item() - p) <= 5 * math.sqrt(p * (1 - p) / train.numel())
    z = nb.SignedPoissonEncoderStep(f_max=500)(x)
    assert z.shape == x.shape
    assert abs(z[:, 0].mean().item() + 0.5) <= 5 * math.sqrt(0.25 / 300)
    z = nb.PoissonEncoderStep(f_max=500)(x[:, -1])
    assert abs(z.mean().item() - 0.5) <= 5 * math.sqrt(0.25 / 300)


@pytest.mark.parametrize("name", ["poisson_encode", "signed_poisson_encode"])
def test_trains_are_drawn_where_the_input_is(name):
    """Norse draws the signed trains on the CPU; here a draw on another device than the input's is an error."""
    elsewhere = torch.zeros(3, 2, device="meta")
    assert getattr(nb, name)(elsewhere, 5).device.type == "meta"
    assert getattr(nb, f"{name}_step")(elsewhere).shape == (3, 2)


def test_only_the_first_spike_of_a_train_stays():
    trains = torch.tensor([[0, 1, 0, 0], [1, 1, 0, -1], [1, 0, 0, 1]]).T[..., None].float()  # (time, trains, 1)
    first = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]).T[..., None]
    for kind in (torch.float32, torch.float64, torch.int32):
        found = nb.spike_latency_encode(trains.to(kind))
        assert found.dtype == kind
        assert torch.equal(found, first.to(kind))
    assert torch.equal(nb.spike_latency_encode(trains.bool()), first.bool())


def test_a_stronger_current_fires_earlier():
    """v_t = x (1 - 0.9^t) > 1 for the first time at t = log(1 - 1/x) / log 0.9, rounded up."""
    current = torch.tensor([0.9, 1.5, 2.5, 4.0, 11.0], dtype=torch.float64)
    z = nb.SpikeLatencyLIFEncoder(50)(current)
    assert z.sum(0).tolist() == [0, 1, 1, 1, 1]
    steps = [math.ceil(math.log(1 - 1 / x) / math.log(0.9)) - 1 for x in current[1:].tolist()]
    assert z[:, 1:].argmax(0).tolist() == steps
    assert steps[-1] == 0


def test_parameters_of_the_lif_encoders_are_trained_and_saved():
    """In Norse they are plain attributes; gradients reach them and `.to()` moves them here."""
    p = nb.LIFParameters(v_th=torch.tensor(0.7, requires_grad=True))
    for kind in (nb.ConstantCurrentLIFEncoder, nb.SpikeLatencyLIFEncoder):
        encoder = kind(20, p)
        encoder(torch.tensor([1.0, 2.0])).sum().backward()
        (threshold,) = encoder.parameters()
        assert threshold.grad.item() < 0
        assert encoder.double().p.tau_mem_inv.dtype == torch.float64
        kind(20, p).load_state_dict({})  # one of Norse
    with pytest.raises(ModelError, match="ConstantCurrentLIFEncoder: p must be LIFParameters"):
        nb.ConstantCurrentLIFEncoder(20, 0.7)
    with pytest.raises(SimulationError, match="seq_length must be 1 or more, not 0"):
        nb.constant_current_lif_encode(torch.ones(2), 0)


def test_a_constant_current_is_encoded_in_its_own_type():
    assert nb.constant_current_lif_encode(torch.tensor([3.0], dtype=torch.float64), 9).dtype == torch.float64
    whole = nb.constant_current_lif_encode(torch.tensor([3]), 9)
    assert torch.equal(whole, nb.constant_current_lif_encode(torch.tensor([3.0]), 9))


def test_population_codes_are_the_equation():
    x = torch.tensor([[0.2, 1.0], [1.6, 0.5]], dtype=torch.float64)
    code = nb.population_encode(x, 5)
    centres = np.linspace(0, 1.6, 5)
    wanted = np.exp(-((x.numpy()[..., None] - centres) ** 2) * 1.6 / 2)
    np.testing.assert_allclose(code, wanted, rtol=1e-14)
    wide = nb.population_encode(x, 5, 2.0, kernel=lambda d: nb.gaussian_rbf(d, 3), distance_function=lambda a, b: (a - b).abs())
    np.testing.assert_allclose(wide, np.exp(-np.abs(x.numpy()[..., None] - np.linspace(0, 2, 5)) * 2 / 18), rtol=1e-14)
    assert nb.population_encode(torch.tensor(1.0), 3).shape == (3,)
    assert nb.population_encode(torch.tensor([1, 2]), 3).dtype == torch.float32


def test_each_value_may_have_a_scale_of_its_own():
    """Norse, whose documentation allows it, fails for scales with axes."""
    x, scale = torch.rand(4, 3), torch.tensor([1.0, 2.5, 0.7])
    code = nb.PopulationEncoder(6, scale)(x)
    assert code.shape == (4, 3, 6)
    for k, one in enumerate(scale.tolist()):
        torch.testing.assert_close(code[:, k], nb.population_encode(x[:, k], 6, one), rtol=1e-6, atol=1e-6)


def test_distance_functions_see_values_and_centres_of_one_shape():
    seen = []
    nb.population_encode(torch.rand(4, 3), 6, distance_function=lambda a, b: seen.append((a.shape, b.shape)) or (a - b) ** 2)
    assert seen == [((4, 3, 6), (4, 3, 6))]


def test_population_codes_have_their_gradient():
    """Also through the largest value, of which Norse leaves out what it does to the centres."""
    x = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: nb.population_encode(x, 4), (x,))
    scale = torch.rand(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, scale: nb.population_encode(x, 4, scale), (x, scale))


def test_encoders_can_be_copied():
    x = torch.rand(3, 2)
    for encoder in (nb.PopulationEncoder(4, torch.tensor(2.0)), nb.ConstantCurrentLIFEncoder(9), nb.SpikeLatencyEncoder()):
        assert torch.equal(copy.deepcopy(encoder)(x), encoder(x))
