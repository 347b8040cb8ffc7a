"""What Norse computes for plasticity and receptive fields, stored by tests/tools/norse_plasticity.py: the same values."""

from pathlib import Path

import numpy as np
import pytest
import torch

import norse_bridge as nb
from norse_bridge.plasticity.stdp import ALGORITHMS

with np.load(Path(__file__).parent.parent / "data" / "norse_plasticity.npz") as file:
    STORED = {name: file[name] for name in file.files}
RATES = [torch.tensor(value) for value in (0.8, 0.9, 13.0, 17.0)]


def stored(name):
    return torch.from_numpy(STORED[name])


def assert_same(found, name, atol=1e-6):
    assert np.abs(STORED[name]).sum() > 0, name  # there is something to compare
    np.testing.assert_allclose(found.detach().numpy(), STORED[name], rtol=1e-6, atol=atol, err_msg=name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", ["linear", "conv2d"])
def test_stdp_equals_norse(kind, algorithm):
    geometry = {"stride": 2, "padding": 1, "dilation": 2} if kind == "conv2d" else {}
    p = nb.STDPParameters(
        torch.tensor(0.7),
        torch.tensor(0.6),
        torch.tensor(30.0),
        torch.tensor(40.0),
        stdp_algorithm=algorithm,
        eta_plus=0.2,
        eta_minus=0.15,
        w_min=-0.2,
        w_max=0.7,
        mu=torch.tensor(0.6),
        **geometry,
    )
    z_pre, z_post, w = (stored(f"{kind} {algorithm} {name}") for name in ("z_pre", "z_post", "w0"))
    state = nb.STDPState(torch.zeros_like(z_pre[0]), torch.zeros_like(z_post[0]))
    weights = []
    for pre, post in zip(z_pre, z_post, strict=True):
        w, state = getattr(nb, f"stdp_step_{kind}")(pre, post, w, state, p)
        weights.append(w)
    assert (weights[-1] - weights[0]).abs().max() > 0.1
    assert_same(torch.stack(weights[9::10]), f"{kind} {algorithm} w")
    assert_same(state.t_pre, f"{kind} {algorithm} t_pre")
    assert_same(state.t_post, f"{kind} {algorithm} t_post")


def test_sensors_equal_norse():
    state = nb.CorrelationSensorState(*(torch.zeros(1, 3, 4) for _ in range(3)))
    traces = nb.STDPSensorState(torch.zeros(1, 3), torch.zeros(1, 4))
    equal = nb.STDPSensorParameters(*RATES[:2], RATES[2], RATES[2])
    for pre, post in zip(stored("sensor z_pre"), stored("sensor z_post"), strict=True):
        state = nb.correlation_sensor_step(pre, post, state, nb.CorrelationSensorParameters(*RATES))
        traces = nb.stdp_sensor_step(pre, post, traces, equal)
    for name, value in state._asdict().items():
        assert_same(value, f"sensor {name}")
    assert_same(traces.a_pre, "stdp sensor a_pre")
    assert_same(traces.a_post, "stdp sensor a_post")


def test_the_update_of_weights_equals_norse():
    linear = torch.nn.Linear(24, 12)
    linear.load_state_dict({"weight": stored("update matrix"), "bias": stored("update bias")})
    state = nb.CorrelationSensorState(*(stored(f"sensor {name}").clone() for name in nb.CorrelationSensorState._fields))
    assert_same(nb.correlation_based_update(10, linear, stored("update w0"), state, 0.3, 5), "update w")


def test_lif_correlation_equals_norse():
    p = nb.LIFCorrelationParameters(input_correlation_parameters=nb.CorrelationSensorParameters(*RATES))
    cell, state, out = nb.LIFCorrelation(3, 4, p), None, []
    for row in stored("lif x"):
        z, state = cell(row, stored("lif w_in"), stored("lif w_rec"), state)
        out.append(z)
    assert torch.equal(torch.stack(out), stored("lif out")) and 10 < sum(z.sum() for z in out) < 200
    for side in ("lif", "input_correlation", "recurrent_correlation"):
        for name, value in getattr(state, f"{side}_state")._asdict().items():
            assert_same(value, f"lif {side} {name}", atol=1e-5)


def test_short_term_plasticity_equals_norse():
    p = nb.TsodyksMakramParameters(21.0, 50.0, 3.0, 0.3)
    state, out = nb.TsodyksMakramState(torch.zeros(2, 3), torch.ones(2, 3)), []
    for row in stored("stp z"):
        released, state = nb.stp_step(row, state, p)
        out.append(released)
    assert_same(torch.stack(out), "stp out")
    assert_same(state.u, "stp u")
    assert_same(state.x, "stp x")


def test_kernels_equal_norse():
    """Release 1.1.0 has neither x nor y, and its derivative at an angle runs along what is now the other axis."""
    scale, angle, ratio = torch.tensor(1.7), torch.tensor(0.4), torch.tensor(0.6)
    c = nb.covariance_matrix(ratio, 1.0 / ratio, angle) * scale
    assert_same(c, "covariance")
    kernel = nb.gaussian_kernel(9, c, 0, 0, 4)
    assert_same(kernel, "gaussian")
    assert_same(nb.derive_kernel(kernel.T, angle).T, "derived")
    assert_same(nb.spatial_receptive_field(scale, angle, ratio, 0, 0, 9, domain=5), "field")
    columns = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.5])
    rows = nb.spatial_parameters(*columns, [(0, 1), (2, 0)], include_replicas=True)
    assert_same(rows[:, [0, 1, 2, 5, 6]], "parameters")
    assert_same(nb.temporal_scale_distribution(5, 2.0, None, 1.7), "scales")


def test_layers_of_receptive_fields_equal_norse():
    columns = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.5])
    layer = nb.SpatialReceptiveField2d(2, 7, nb.spatial_parameters(*columns, 0, include_replicas=True), padding=2)
    assert_same(layer.weights, "layer weights")
    assert_same(layer(stored("layer x")), "layer out")
    temporal, state, out = nb.TemporalReceptiveField((2, 3), n_scales=3, min_scale=2.0), None, []
    assert_same(temporal.ps, "temporal ps")
    for row in stored("temporal x"):
        v, state = temporal(row, state)
        out.append(v)
    assert_same(torch.stack(out), "temporal out")
