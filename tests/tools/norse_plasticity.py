"""Write what Norse computes for plasticity and receptive fields to tests/data/norse_plasticity.npz.

Run it with a Python that has Norse 1.1.0, numpy and torch, and not this package::

    python tests/tools/norse_plasticity.py tests/data/norse_plasticity.npz

Only what Norse does right is here; tests/bridge/test_plasticity_traces.py compares.
"""

from __future__ import annotations

import sys

import norse
import norse.torch as nt
import numpy as np
import torch
from norse.torch.functional import receptive_field as rf
from norse.torch.functional import stdp

STEPS = 60
ALGORITHMS = ("additive", "additive_step", "multiplicative_pow", "multiplicative_relu")


def spikes(*shape):
    """Random spikes, a third of all, float32 of the shape."""
    return (torch.rand(*shape) < 0.3).float()


def stdp_traces(found):
    """Weights after every tenth step of STDP, linear and convolutional, and the last traces."""
    for algorithm in ALGORITHMS:
        options = {
            "stdp_algorithm": algorithm,
            "eta_plus": 0.2,
            "eta_minus": 0.15,
            "w_min": -0.2,
            "w_max": 0.7,
            "mu": torch.tensor(0.6),
        }
        cases = {
            "linear": (stdp.stdp_step_linear, {}, (2, 3), (2, 4), (4, 3)),
            "conv2d": (
                stdp.stdp_step_conv2d,
                {"convolutional": True, "stride": 2, "padding": 1, "dilation": 2},
                (2, 2, 6, 7),
                (2, 3, 2, 3),
                (3, 2, 3, 3),
            ),
        }
        for name, (step, geometry, pre, post, shape) in cases.items():
            p = stdp.STDPParameters(
                torch.tensor(0.7), torch.tensor(0.6), torch.tensor(30.0), torch.tensor(40.0), **options, **geometry
            )
            z_pre, z_post, w = spikes(STEPS, *pre), spikes(STEPS, *post), torch.rand(*shape) * 0.5
            key, rows = f"{name} {algorithm}", []
            found |= {f"{key} z_pre": z_pre, f"{key} z_post": z_post, f"{key} w0": w}
            state = stdp.STDPState(torch.zeros(pre), torch.zeros(post))
            for row in range(STEPS):
                w, state = step(z_pre[row], z_post[row], w, state, p)
                rows.append(w)
            found |= {f"{key} w": torch.stack(rows[9::10]), f"{key} t_pre": state.t_pre, f"{key} t_post": state.t_post}


def sensor_traces(found):
    """Sensors, LIFCorrelation, the update of weights, short-term plasticity: last states, all outputs."""
    rates = torch.tensor(0.8), torch.tensor(0.9), torch.tensor(13.0), torch.tensor(17.0)
    z_pre, z_post = spikes(STEPS, 1, 3), spikes(STEPS, 1, 4)
    found |= {"sensor z_pre": z_pre, "sensor z_post": z_post}
    state = nt.CorrelationSensorState(*(torch.zeros(1, 3, 4) for _ in range(3)))
    stdp_state = nt.STDPSensorState(torch.zeros(1, 3), torch.zeros(1, 4))
    equal = nt.STDPSensorParameters(*rates[:2], rates[2], rates[2])
    for row in range(STEPS):
        state = nt.correlation_sensor_step(z_pre[row], z_post[row], state, nt.CorrelationSensorParameters(*rates))
        stdp_state = nt.stdp_sensor_step(z_pre[row], z_post[row], stdp_state, equal)
    found |= {f"sensor {name}": value.clone() for name, value in zip(state._fields, state)}  # noqa: B905
    found |= {"stdp sensor a_pre": stdp_state.a_pre, "stdp sensor a_post": stdp_state.a_post}

    linear, w = torch.nn.Linear(24, 12), torch.rand(4, 3)
    found |= {"update matrix": linear.weight, "update bias": linear.bias, "update w0": w}
    found["update w"] = nt.correlation_based_update(10, linear, w, state, 0.3, 5)

    x, w_in, w_rec = spikes(STEPS, 1, 3), 20.0 * torch.rand(4, 3), 20.0 * torch.rand(4, 4) - 15.0
    found |= {"lif x": x, "lif w_in": w_in, "lif w_rec": w_rec}
    sensors = nt.CorrelationSensorParameters(*rates)
    cell = nt.LIFCorrelation(3, 4, nt.LIFCorrelationParameters(nt.LIFParameters(), sensors, nt.CorrelationSensorParameters()))
    state, out = None, []
    for row in x:
        z, state = cell(row, w_in, w_rec, state)
        out.append(z)
    found["lif out"] = torch.stack(out)
    for side in ("lif", "input_correlation", "recurrent_correlation"):
        inner = getattr(state, f"{side}_state")
        found |= {f"lif {side} {name}": value for name, value in zip(inner._fields, inner)}  # noqa: B905

    z, p = spikes(STEPS, 2, 3), nt.TsodyksMakramParameters(21.0, 50.0, 3.0, 0.3)
    state, out = nt.TsodyksMakramState(torch.zeros(2, 3), torch.ones(2, 3)), []
    for row in z:
        released, state = nt.stp_step(row, state, p)
        out.append(released)
    found |= {"stp z": z, "stp out": torch.stack(out), "stp u": state.u, "stp x": state.x}


def receptive_fields(found):
    """Kernels without derivatives (those of 1.1.0 run along the other axis), their derivative, scales, a temporal field."""
    scale, angle, ratio = torch.tensor(1.7), torch.tensor(0.4), torch.tensor(0.6)
    c = rf.covariance_matrix(ratio, 1.0 / ratio, angle) * scale
    kernel = rf.gaussian_kernel(9, c, 4)
    found |= {"covariance": c, "gaussian": kernel, "derived": rf.derive_kernel(kernel, angle)}
    found["field"] = rf.spatial_receptive_field(scale, angle, ratio, 9, domain=5)
    columns = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.5])
    found["parameters"] = rf.spatial_parameters(*columns, [(0, 1), (2, 0)], True)
    found["scales"] = rf.temporal_scale_distribution(5, 2.0, None, 1.7)
    layer = nt.SpatialReceptiveField2d(2, 7, rf.spatial_parameters(*columns, 0, True), padding=2)
    x = torch.rand(1, 2, 8, 8)
    found |= {"layer x": x, "layer out": layer(x), "layer weights": layer.weights}
    layer = nt.TemporalReceptiveField(torch.Size((2, 3)), n_scales=3, min_scale=2.0)
    x, state, out = torch.rand(8, 2, 2, 3), None, []
    for row in x:
        v, state = layer(row, state)
        out.append(v)
    found |= {"temporal x": x, "temporal ps": layer.ps, "temporal out": torch.stack(out)}


def main(path):
    """Write the file."""
    torch.manual_seed(1)
    found = {}
    stdp_traces(found)
    sensor_traces(found)
    receptive_fields(found)
    arrays = {name: value.detach().numpy() for name, value in found.items()}
    np.savez_compressed(path, version=np.array(norse.__version__), **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
