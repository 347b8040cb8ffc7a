"""What Norse's encoders, decoders, filters, logic and containers compute, stored by tests/tools/norse_signals.py: the same here."""

from pathlib import Path

import numpy as np
import pytest
import torch

import norse_bridge as nb

STORED = np.load(Path(__file__).parent.parent / "data" / "norse_signals.npz")
SEED = 5  # of the tool
CONVOLUTIONS = {
    "plain": {},
    "stride": {"stride": 2, "padding": (1, 0)},
    "dilation": {"dilation": (1, 2), "padding": 1},
    "groups": {"groups": 2, "kernel_size": (2, 3)},
}


def stored(name):
    return torch.from_numpy(STORED[name])


def assert_equal(found, name):
    wanted = stored(name)
    assert found.dtype == wanted.dtype
    assert torch.equal(found, wanted), name


def assert_close(found, name):
    wanted = stored(name)
    assert found.shape == wanted.shape
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "scale"), [("default", None), ("number", 1.7), ("tensor", torch.tensor(3.0))])
def test_population_codes(name, scale):
    x = stored("population x").requires_grad_(True)
    code = nb.population_encode(x, 5, scale)
    (code * torch.arange(5.0)).sum().backward()
    assert_close(code, f"population {name}")
    if scale is not None:
        torch.testing.assert_close(x.grad, stored(f"population {name} gradient"), rtol=1e-5, atol=1e-5)
    assert torch.equal(nb.PopulationEncoder(5, scale)(x), code)


def test_distances_and_kernels():
    x = stored("population x")
    assert_equal(nb.euclidean_distance(x, x.flip(0)), "distances")
    assert_close(nb.gaussian_rbf(x, 0.3), "rbf")


@pytest.mark.parametrize("name", ["poisson_encode", "signed_poisson_encode"])
def test_poisson_trains_of_a_seed(name):
    """On the CPU, where Norse draws the signed trains too, a generator gives the same spikes."""
    x = stored("signed x")
    assert_equal(getattr(nb, name)(x, 40, 400, generator=torch.Generator().manual_seed(SEED)), name)
    assert_equal(getattr(nb, f"{name}_step")(x, 400, generator=torch.Generator().manual_seed(SEED)), f"{name}_step")


def test_latencies():
    trains, current = stored("trains").requires_grad_(True), stored("current")
    first = nb.spike_latency_encode(trains)
    (first * torch.arange(first.numel()).reshape(first.shape)).sum().backward()
    assert_equal(first.detach(), "first")
    assert_equal(trains.grad, "first gradient")
    assert torch.equal(nb.SpikeLatencyEncoder()(trains), first)
    p = nb.LIFParameters(v_th=torch.tensor(0.7), tau_mem_inv=torch.tensor(83.3))
    assert_equal(nb.constant_current_lif_encode(current, 30, p), "constant")
    assert_equal(nb.spike_latency_lif_encode(current, 30, p), "latency")
    assert_equal(nb.SpikeLatencyLIFEncoder(30, p)(current), "latency")


def test_decoders():
    trains = stored("trains")
    assert_equal(nb.sum_decode(trains), "counts")
    for count in (1, 3):
        assert_equal(nb.SpikesToTimesDecoder(count)(trains), f"times {count}")
        assert_equal(nb.SpikesToTimesDecoder(count, convert_indices_to_times=False)(trains), f"steps {count}")
    busy = stored("busy").requires_grad_(True)
    times = nb.SpikesToTimesDecoder(2)(busy)
    (times * torch.arange(1.0, times.numel() + 1).reshape(times.shape)).sum().backward()
    assert_equal(times.detach(), "busy times")
    assert_equal(busy.grad, "busy gradient")


def test_logic():
    y, a, b = stored("logic inputs")
    for name in ("and", "or", "xor"):
        assert_equal(getattr(nb, f"logical_{name}")(a, b), name)
    assert_equal(nb.muller_c(y, a, b), "muller_c")
    assert_equal(nb.posedge_detector(a, b), "posedge")


@pytest.mark.parametrize(("name", "options"), [("bias", {"tau_filter_inv": 333.3}), ("no bias", {"bias": False, "dt": 0.002})])
def test_filters(name, options):
    module = nb.ExpFilter(4, 3, **options)
    prefix = f"filter {name} "
    module.load_state_dict({key.removeprefix(prefix): stored(key) for key in STORED.files if key.startswith(prefix)})
    assert_close(module(stored("filter x")), f"filter {name}")


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_over_time(name):
    module = nb.LConv2d(4, 6, **{"kernel_size": 3} | CONVOLUTIONS[name])
    module.load_state_dict({"weight": stored(f"convolution {name} weight")})
    assert_close(module(stored("images")), f"convolution {name}")


@pytest.mark.parametrize("place", [-1, 0, 1])
def test_feedback(place):
    model = nb.RecurrentSequential(torch.nn.Linear(4, 4), nb.LIFCell(), output_modules=place)
    wanted = {"module.0.weight": stored("fed weight"), "module.0.bias": stored("fed bias")}
    model.load_state_dict(wanted)  # the names of Norse; the neurons' parameters stay as they are
    state, outputs = None, []
    for row in stored("fed x"):
        out, state = model(row, state)
        outputs.append(out)
    assert_close(torch.stack(outputs), f"fed back {place}")
    assert_close(state.state[1].v, f"fed back {place} v")


def test_regularisation():
    cell, state = nb.LIFCell(), None
    spikes, voltages = nb.RegularizationCell(nb.spike_accumulator), nb.RegularizationCell(nb.voltage_accumulator)
    sums = []
    for row in stored("fed x"):
        z, state = cell(row, state)
        out, count = spikes(z, state)
        assert out is z
        sums.append((count, voltages(z, state)[1]))
    assert_equal(torch.stack([count for count, _ in sums]).detach(), "sum of spikes")
    assert_close(torch.stack([total for _, total in sums]), "sum of voltages")
