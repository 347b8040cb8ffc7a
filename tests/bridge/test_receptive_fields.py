"""Receptive fields: against exact Gaussians and their derivatives, and as layers: gradients, states, copies."""

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

import norse_bridge as nb
from eventsim.errors import ModelError, SimulationError
from norse_bridge.temporal_receptive_field import li_box_parameters

F64 = torch.float64
SCALES, ANGLES, RATIOS = (torch.tensor(values) for values in ([1.0, 2.0], [0.0, 0.5], [1.0, 0.5]))


def numbers(*values):
    return [torch.tensor(value, dtype=F64) for value in values]


def test_the_covariance_has_its_axes_at_the_angle():
    c = nb.covariance_matrix(*numbers([2.0, 0.3], 0.5, [0.4, -2.0]))
    for k, (along, angle) in enumerate(((2.0, 0.4), (0.3, -2.0))):
        axes = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=F64)
        torch.testing.assert_close(
            axes.T @ c[k] @ axes, torch.diag(torch.tensor([along**2, 0.25], dtype=F64)), rtol=1e-12, atol=1e-15
        )
    torch.testing.assert_close(nb.covariance_matrix(2, 0.5, 0.0), torch.tensor([[4.0, 0.0], [0.0, 0.25]]))


def test_a_kernel_is_the_normal_density_with_columns_along_x():
    c = nb.covariance_matrix(*numbers(2.0, 0.7, 0.4))
    points = np.linspace(-3, 3, 7)
    grid = np.stack(np.meshgrid(points, points, indexing="xy"), axis=-1)
    wanted = multivariate_normal((1.0, -0.5), c.numpy()).pdf(grid)
    np.testing.assert_allclose(nb.gaussian_kernel(7, c, 1.0, -0.5, 3), wanted, rtol=1e-12)
    stack = nb.gaussian_kernel(7, torch.stack([c, 2.0 * c]), *numbers([1.0, 0.0], [-0.5, 0.0]), domain=3)
    np.testing.assert_allclose(stack[0], wanted, rtol=1e-12)
    assert nb.gaussian_kernel(5, torch.eye(2), 4.0, -8.0).argmax() == 3  # the domain is 8: the first row, the fourth column


def field_exactly(scale, angle, ratio, x, y, size, domain, dx, dy):
    """A field and, for dx + dy = 1 or 2, the exact derivatives of its Gaussian, times scale and the distance of points."""
    c = nb.covariance_matrix(*numbers(ratio, 1.0 / ratio, angle)).numpy() * scale
    points = np.linspace(-domain, domain, size)
    r = np.stack(np.meshgrid(points, points, indexing="xy"), axis=-1) - (x, y)
    g = np.exp(-0.5 * np.einsum("...i,ij,...j", r, np.linalg.inv(c), r))
    g /= g.sum()
    step = points[1] - points[0]
    directions = [np.array([math.cos(a), math.sin(a)]) for a in [angle] * dx + [angle + math.pi / 2] * dy]
    slopes = [-(r @ np.linalg.inv(c) @ d) for d in directions]
    if len(slopes) == 2:
        return g * (slopes[0] * slopes[1] - directions[0] @ np.linalg.inv(c) @ directions[1]) * (scale * step) ** 2
    return g * slopes[0] * scale * step if slopes else g


def test_a_field_sums_to_one_and_is_the_gaussian():
    case = 1.7, 0.4, 0.6, 1.0, -0.5
    found = nb.spatial_receptive_field(*numbers(*case), 21, domain=5)
    np.testing.assert_allclose(found, field_exactly(*case, 21, 5, 0, 0), rtol=1e-12)
    assert nb.spatial_receptive_field(*case, 21, domain=5).dtype == torch.float32  # of numbers alone


@pytest.mark.parametrize("dx, dy", [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)])
def test_derivatives_come_closer_to_the_exact_ones_with_the_square_of_the_distance_of_points(dx, dy):
    case = 2.3, 0.4, 0.7, 1.0, -0.5
    errors = []
    for size in (81, 161):
        found = nb.spatial_receptive_field(*numbers(*case), size, dx, dy, 10).numpy()
        wanted = field_exactly(*case, size, 10, dx, dy)
        errors.append(np.abs(found - wanted).max() / np.abs(wanted).max())
    assert errors[1] < 0.02 and 3.5 < errors[0] / errors[1] < 4.5


def test_the_derivative_of_a_slope_is_exact_everywhere():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    for angle in (0.0, 0.7, math.pi / 2):
        wanted = 2.0 * math.cos(angle) + 3.0 * math.sin(angle)
        torch.testing.assert_close(nb.derive_kernel(2.0 * columns + 3.0 * rows, angle), torch.full((4, 6), wanted))
    stack = nb.derive_kernel(torch.stack([columns, rows]), torch.tensor([0.0, 0.3]))
    torch.testing.assert_close(stack, torch.tensor([1.0, math.sin(0.3)])[:, None, None].expand(2, 4, 6))


def test_each_derivative_is_multiplied_by_the_scale():
    rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(7.0), indexing="ij")
    derived = nb.derive_spatial_receptive_field(columns**2 * rows, 3.0, 0.0, [(0, 0), (2, 0), (1, 1), (2, 1)])
    torch.testing.assert_close(derived[0], columns**2 * rows)
    for found, wanted in zip(derived[1:], (9.0 * 2.0 * rows, 9.0 * 2.0 * columns, 27.0 * torch.full((7, 7), 2.0)), strict=True):
        torch.testing.assert_close(found[2:-2, 2:-2], wanted[2:-2, 2:-2], rtol=1e-5, atol=1e-4)
    assert torch.equal(derived[1], nb.derive_spatial_receptive_field_single(columns**2 * rows, 3.0, 0.0, 2, 0))
    for gamma, wanted in ((1, [2.0, 2.0, 2.0]), (0, [1.0, 2.0, 4.0]), (0.5, [2**0.5, 2.0, 2**1.5])):
        assert [nb.calculate_normalization(dx, 2.0, gamma) for dx in range(3)] == pytest.approx(wanted)


def test_narrow_fields_are_right_in_float32_too():
    case = 20.0, math.pi / 4, 0.03, 0.4, 0.1
    found = nb.spatial_receptive_field(*(torch.tensor(value) for value in case), 15, domain=8)
    np.testing.assert_allclose(found, field_exactly(*case, 15, 8, 0, 0), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", [(1e-4, 0.0, 1.0, 0.4, 0.4), (1.0, 0.3, 0.5, 300.0, -200.0)])
def test_a_field_that_misses_all_points_has_no_nan(case):
    """Where the density is 0 at every point in float32, Norse divides 0 by 0."""
    values = [torch.tensor(value, requires_grad=True) for value in case]
    assert nb.gaussian_kernel(9, nb.covariance_matrix(values[2], 1 / values[2], values[1]) * values[0], *values[3:], 8).max() == 0
    field = nb.spatial_receptive_field(*values, 9, domain=8)
    assert field.sum().item() == pytest.approx(1.0) and field.max() > 0.9
    (field * torch.rand(9, 9)).sum().backward()
    assert all(torch.isfinite(value.grad) for value in values)


@pytest.mark.parametrize("dx, dy", [(0, 0), (1, 2)])
def test_gradients_of_a_field(dx, dy):
    values = [value.requires_grad_() for value in numbers([1.7, 2.0], [0.4, -1.0], [0.6, 1.0], [1.0, 0.0], [-0.5, 0.2])]
    assert torch.autograd.gradcheck(lambda *v: nb.spatial_receptive_field(*v, 6, dx, dy, 5), values)


def test_rows_of_parameters():
    rows = nb.spatial_parameters(SCALES, ANGLES, RATIOS, [(0, 0), (1, 0)], x=torch.tensor([0.0, 3.0]), y=-1)
    assert rows.shape == (2 * 2 * 1 * 2 * 2 + 2 * 1 * 1 * 2 * 2, 7)
    assert rows[:3].tolist() == [[1.0, 0.0, 0.5, 0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.5, 0.0, -1.0, 1.0, 0.0], [1.0, 0.0, 0.5, 3.0, -1.0, 0.0, 0.0]]  # fmt: skip
    circles = rows[rows[:, 2] == 1.0]
    assert torch.equal(circles, rows[16:]) and (circles[:, 1] == 0.0).all() and len(circles) == 8
    everything = nb.spatial_parameters(
        SCALES, ANGLES, RATIOS, [(0, 0), (1, 0)], x=torch.tensor([0.0, 3.0]), y=-1, include_replicas=True
    )
    assert len(everything) == 32 and len(everything.unique(dim=0)) == 32
    assert {tuple(row) for row in rows.tolist()} < {tuple(row) for row in everything.tolist()}


@pytest.mark.parametrize(
    "derivatives, pairs",
    [(0, [(0, 0)]), (1, [(0, 0), (0, 1), (1, 0)]), (torch.tensor([[1, 0], [2, 2]]), [(1, 0), (2, 2)])],
)
def test_derivatives_as_a_number_and_as_pairs(derivatives, pairs):
    rows = nb.spatial_parameters(1.0, 0.0, 0.5, derivatives)
    assert [tuple(row) for row in rows[:, 5:].int().tolist()] == pairs


@pytest.mark.parametrize("derivatives", [-1, 0.5, [], [1, 2], [(1, 2, 3)], [(0, -1)], [(0.5, 0)], [(float("nan"), 0)]])
def test_derivatives_that_are_none_are_refused(derivatives):
    with pytest.raises(ModelError, match="derivatives must be"):
        nb.spatial_parameters(1.0, 0.0, 0.5, derivatives)


def test_fields_of_rows_are_those_of_their_parameters():
    rows = nb.spatial_parameters(SCALES.to(F64), ANGLES.to(F64), RATIOS.to(F64), 2, 0.3, -0.2)[torch.randperm(48)]
    fields = nb.spatial_receptive_fields_with_derivatives(rows, 9, 4.0)
    for row, field in zip(rows, fields, strict=True):
        alone = nb.spatial_receptive_field(*row[:5], 9, int(row[5]), int(row[6]), 4.0)
        torch.testing.assert_close(field, alone, rtol=1e-12, atol=1e-14)
    assert inspect.signature(nb.spatial_receptive_fields_with_derivatives).parameters["domain"].default == 1
    with pytest.raises(ModelError, match=r"\(n, 7\).*\(48, 5\)"):
        nb.spatial_receptive_fields_with_derivatives(rows[:, :5], 9)


def test_spatio_temporal_parameters():
    """Norse's raises an error."""
    times = torch.tensor([1.0, 4.0, 9.0])
    rows = nb.spatio_temporal_parameters(SCALES, ANGLES, RATIOS, 1, times)
    spatial = nb.spatial_parameters(SCALES, ANGLES, RATIOS, 1)
    assert rows.shape == (3 * len(spatial), 8)
    assert torch.equal(rows.reshape(-1, 3, 8)[:, :, :7], spatial[:, None].expand(-1, 3, 7))
    assert torch.equal(rows.reshape(-1, 3, 8)[:, :, 7], times.expand(len(spatial), 3))
    assert len(nb.spatio_temporal_parameters(SCALES, ANGLES, RATIOS, 1, times, include_replicas=True)) > len(rows)


def test_temporal_scales():
    torch.testing.assert_close(nb.temporal_scale_distribution(4), torch.tensor([1.0, 2**0.5, 2.0, 8**0.5]), rtol=1e-5, atol=0)
    torch.testing.assert_close(nb.temporal_scale_distribution(3, 4.0, c=3.0), torch.tensor([2.0, 6.0, 18.0]))
    torch.testing.assert_close(nb.temporal_scale_distribution(3, 1, 16.0), torch.tensor([1.0, 2.0, 4.0]))
    assert len(nb.temporal_scale_distribution(0)) == 0
    for bad in ({"min_scale": 0}, {"min_scale": 2, "max_scale": 1}, {"c": -1.0}):
        with pytest.raises(ModelError, match="above 0, max_scale not below"):
            nb.temporal_scale_distribution(3, **bad)
    with pytest.raises(ModelError, match="2 scales or more, not 1"):
        nb.temporal_scale_distribution(1, 1, 4)


def rows_of_fields(dtype=torch.float32):
    return nb.spatial_parameters(SCALES.to(dtype), ANGLES.to(dtype), RATIOS.to(dtype), 1, x=0.5)


def layers(dtype=torch.float32, **options):
    columns = SCALES.to(dtype), ANGLES.to(dtype), RATIOS.to(dtype)
    return {
        "spatial": nb.SpatialReceptiveField2d(2, 7, rows_of_fields(dtype), **options),
        "sampled": nb.SampledSpatialReceptiveField2d(2, 7, *columns, 1, x=0.5, **options),
        "parameterized": nb.ParameterizedSpatialReceptiveField2d(2, 7, *columns, 1, x=0.5, **options),
    }


KINDS = ["spatial", "sampled", "parameterized"]


@pytest.mark.parametrize("aggregate", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_convolves_with_its_fields(kind, aggregate):
    """Norse's raises an error without aggregate."""
    bias = torch.rand(18 if aggregate else 36)
    layer = layers(aggregate=aggregate, bias=bias, stride=2, padding=(3, 1), dilation=1)[kind]
    fields = nb.spatial_receptive_fields_with_derivatives(rows_of_fields(), 7, 8)
    x = torch.rand(3, 2, 12, 14)
    each = [torch.nn.functional.conv2d(x[:, [channel]], fields[:, None], None, 2, (3, 1)) for channel in range(2)]
    wanted = (sum(each) if aggregate else torch.cat(each, dim=1)) + bias[:, None, None]
    found = layer(x)
    assert found.shape[1] == layer.out_channels == len(bias)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(layer.rf_parameters, rows_of_fields())
    assert "size=7" in repr(layer)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_any_order_of_passes(kind):
    """Two forward passes, then their backward passes; then again after a step: Norse's weights are renewed by a hook."""
    layer = layers(F64, optimize_log=False)[kind]
    x = torch.rand(2, 2, 9, 9, dtype=F64)
    weights = torch.randn(2, 18, 3, 3, dtype=F64)
    names, values = zip(*layer.named_parameters(), strict=True)
    assert names == ("raw_scales", "raw_angles", "raw_ratios", "raw_x", "raw_y")

    def loss(*given):
        return (torch.func.functional_call(layer, dict(zip(names, given, strict=True)), (x,)) * weights).sum()

    for _ in range(2):
        assert torch.autograd.gradcheck(loss, values)
        layer.zero_grad()
        losses = [(layer(x) * weights).sum() for _ in range(2)]
        for one in losses:
            one.backward()
        wanted = torch.autograd.grad(loss(*values), values)
        for value, gradient in zip(values, wanted, strict=True):
            torch.testing.assert_close(value.grad, 2.0 * gradient)
        torch.optim.SGD(values, lr=1e-3).step()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_the_parameters_at_any_time(kind):
    layer, x = layers()[kind], torch.rand(1, 2, 9, 9)
    before = layer(x)
    copied, pickled = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    with torch.no_grad():
        layer.log_scales += 0.5
        layer.raw_angles.data.mul_(2.0)  # what autograd does not see
    after = layer(x)
    assert (after - before).abs().max() > 1e-3
    assert torch.equal(copied(x), before) and torch.equal(pickled(x), before)
    assert set(layer.state_dict()) == {"log_scales", "raw_angles", "log_ratios", "raw_x", "raw_y"}
    copied.load_state_dict(layer.state_dict())
    assert torch.equal(copied(x), after)
    assert copied.double()(x.double()).dtype == F64
    torch.testing.assert_close(copied(x.double()).float(), after, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        assert torch.equal(layer(x), after)


def test_what_is_trained():
    kinds = layers()
    assert {name: p.numel() for name, p in kinds["sampled"].named_parameters()} == {
        "log_scales": 2,
        "raw_angles": 2,
        "log_ratios": 2,
        "raw_x": 1,
        "raw_y": 1,
    }
    for kind in ("spatial", "parameterized"):
        assert [p.numel() for p in kinds[kind].parameters()] == [18] * 5
    assert not list(nb.SpatialReceptiveField2d(2, 7, rows_of_fields(), optimize_fields=False).parameters())
    for kind in (nb.SampledSpatialReceptiveField2d, nb.ParameterizedSpatialReceptiveField2d):
        layer = kind(
            2, 7, SCALES, ANGLES, RATIOS, 1, optimize_scales=False, optimize_angles=False, optimize_x=False, optimize_y=False
        )
        assert [name for name, _ in layer.named_parameters()] == ["log_ratios"]
        layer(torch.rand(1, 2, 9, 9)).sum().backward()
        before = layer.ratios.detach().clone()
        torch.optim.SGD(layer.parameters(), lr=0.1).step()
        assert (layer.ratios - before).abs().max() > 0 and layer(torch.ones(1, 2, 9, 9)).shape[1] == 18
    bias = torch.nn.Parameter(torch.zeros(18))
    assert nb.SpatialReceptiveField2d(2, 7, rows_of_fields(), bias=bias).bias is bias


@pytest.mark.parametrize("kind", KINDS)
def test_scales_and_ratios_stay_positive_when_trained_as_logarithms(kind):
    x = torch.ones(1, 2, 9, 9)
    for log in (True, False):
        layer = layers(optimize_log=log)[kind]
        torch.testing.assert_close(layer.scales.sort().values[0], torch.tensor(1.0))
        layer.scales.sum().backward()
        torch.optim.SGD([layer.log_scales if log else layer.raw_scales], lr=3.0).step()
        assert (layer.scales > 0).all() == log
        if log:
            assert torch.isfinite(layer(x)).all()
    with pytest.raises(RuntimeError, match="log_scales"):  # a logarithm is never taken for a scale
        layer.load_state_dict(layers()[kind].state_dict())


def test_values_of_a_sampled_layer_are_shared_and_circles_stay_single():
    layer = layers()["sampled"]
    with torch.no_grad():
        layer.log_ratios.copy_(torch.log(torch.tensor([0.9, 0.4])))
        layer.raw_x.fill_(-1.0)
    rows = layer.rf_parameters
    assert len(rows) == 18 and (rows[:, 3] == -1.0).all()
    assert rows[:, 2].unique().tolist() == pytest.approx([0.4, 0.9]) and (rows[rows[:, 2] > 0.5, 1] == 0.0).all()


def test_fields_of_nonsense_are_refused():
    with pytest.raises(ModelError, match=r"\(n, 7\).*1\.1\.0"):
        nb.SpatialReceptiveField2d(2, 7, torch.ones(3, 5))
    for column, bad, name in ((0, 0.0, "scales"), (2, -1.0, "ratios"), (1, float("nan"), "angles"), (3, float("inf"), "x")):
        rows = rows_of_fields()
        rows[1, column] = bad
        with pytest.raises(ModelError, match=f"SpatialReceptiveField2d: {name} must be"):
            nb.SpatialReceptiveField2d(2, 7, rows)
    with pytest.raises(ModelError, match=r"bias must be None or a tensor of shape \(18,\), not True"):
        layers(bias=True)
    with pytest.raises(ModelError, match="2 by 2 points"):
        nb.SpatialReceptiveField2d(1, 1, rows_of_fields()).weights  # noqa: B018


def test_the_names_that_norse_does_not_export_have_its_signatures():
    wanted = {
        "calculate_normalization": "(dx, scale, gamma=1)",
        "covariance_matrix": "(sigma1, sigma2, phi)",
        "derive_kernel": "(kernel, angle)",
        "derive_spatial_receptive_field": "(field, scale, angle, derivatives)",
        "derive_spatial_receptive_field_single": "(field, scale, angle, dx, dy)",
        "spatial_parameters": "(scales, angles, ratios, derivatives, x=0, y=0, include_replicas=False)",
        "spatio_temporal_parameters": "(scales, angles, ratios, derivatives, temporal_scales, include_replicas=False)",
        "temporal_scale_distribution": "(n_scales, min_scale=1, max_scale=None, c=1.41421)",
    }
    for name, signature in wanted.items():
        assert str(inspect.signature(getattr(nb, name))) == signature, name


def test_a_temporal_field_is_a_leaky_integrator_for_each_scale():
    """A scale s has the time constant s dt: a constant input x comes to x (1 - (1 - 1/s)^n) in n steps."""
    layer, x, state = nb.TemporalReceptiveField((2, 3, 4), n_scales=3, max_scale=16), torch.rand(5, 2, 3, 4), None
    assert layer.ps.shape == (3, 2, 1, 1) and list(layer.state_dict()) == ["ps"]
    for step in range(1, 5):
        v, state = layer(x, state)
        wanted = [x * (1.0 - (1.0 - 1.0 / scale) ** step) for scale in (1.0, 2.0, 4.0)]
        torch.testing.assert_close(v, torch.stack(wanted, dim=1), rtol=1e-5, atol=1e-6)
    unbatched, _ = layer(x[0])
    assert unbatched.shape == (3, 2, 3, 4) and "n_scales=3" in repr(layer)
    with pytest.raises(SimulationError, match=r"\(5, 3, 2, 4\)"):
        layer(torch.rand(5, 3, 2, 4))


def doubled(rates):
    return nb.LIFParameters(tau_mem_inv=2.0 * rates, alpha=torch.tensor(5.0))


def test_rates_are_trained_through_any_map_in_any_order():
    layer = nb.TemporalReceptiveField((4,), 2, nb.LIFCell, doubled, dt=0.01)
    layer = pickle.loads(pickle.dumps(copy.deepcopy(layer)))
    x, grads = torch.rand(30, 3, 4), []
    for _ in range(2):  # a second pass uses the rates as they are then
        out, state, total = [], None, 0.0
        for row in x:
            z, state = layer(row, state)
            total = total + z.sum()
        layer.zero_grad()
        total.backward()
        grads.append(layer.ps.grad.clone())
        out.append(total.item())
        with torch.no_grad():
            layer.ps.mul_(0.5)
    assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in grads) and not torch.equal(*grads)
    assert torch.equal(layer.neurons.p.tau_mem_inv, 2.0 * layer.ps)


def test_rates_may_be_given():
    x = torch.rand(5, 2, 3)
    given = torch.nn.Parameter(torch.tensor([100.0, 50.0]))
    layer = nb.TemporalReceptiveField((2, 3), n_scales=2, time_constants=given)
    assert layer.ps is given
    torch.testing.assert_close(layer(x)[0], torch.stack([0.1 * x, 0.05 * x], dim=1))
    each = 100.0 * torch.rand(2, 2, 3)
    layer = nb.TemporalReceptiveField((2, 3), n_scales=2, time_constants=each)
    assert layer.ps is not each
    torch.testing.assert_close(layer(x)[0], 0.001 * each * x[:, None])
    for shape, scales in (((2,), 4), ((3, 1, 1), 2), ((1, 2, 2, 3), 2)):
        with pytest.raises(ModelError, match="time_constants must have the shape"):
            nb.TemporalReceptiveField((2, 3), n_scales=scales, time_constants=torch.ones(shape))


def test_receptive_fields_in_a_sequence_of_layers():
    model = nb.SequentialState(
        nb.SampledSpatialReceptiveField2d(1, 5, SCALES, ANGLES, RATIOS, 0),
        nb.TemporalReceptiveField((6, 4, 4), n_scales=2),
        torch.nn.Flatten(),
        torch.nn.Linear(2 * 6 * 16, 3),
        nb.LIFCell(),
    )
    state = None
    for row in torch.rand(4, 2, 1, 8, 8):
        out, state = model(row, state)
    assert out.shape == (2, 3) and state[1].v.shape == (2, 2, 6, 4, 4)
    (out + state[-1].v).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert li_box_parameters(3.0).tau_mem_inv == 3.0


def test_receptive_fields_under_vmap():
    """An ensemble of layers in one call."""
    ensemble = [layers()["sampled"] for _ in range(3)]
    for k, layer in enumerate(ensemble):
        layer.log_scales.data += 0.1 * k
    stacked, buffers = torch.func.stack_module_state(ensemble)
    x = torch.rand(2, 2, 9, 9)
    with torch.no_grad():
        found = torch.func.vmap(lambda p, b: torch.func.functional_call(ensemble[0], (p, b), (x,)))(stacked, buffers)
        for layer, out in zip(ensemble, found, strict=True):
            torch.testing.assert_close(layer(x), out, rtol=1e-5, atol=1e-6)


def test_receptive_fields_compile_into_one_graph():
    layer, x = layers()["sampled"], torch.rand(2, 2, 9, 9)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
