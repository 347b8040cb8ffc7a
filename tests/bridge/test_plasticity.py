"""Plasticity: values computed by hand, batches, nothing given is changed, errors."""

import copy
import dataclasses
import inspect
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import norse_bridge as nb
from eventsim.errors import ModelError, SimulationError

F64 = torch.float64
FAST = nb.STDPParameters(
    a_pre=2.0, a_post=3.0, tau_pre_inv=100.0, tau_post_inv=200.0, eta_plus=0.5, eta_minus=0.25, hardbound=False
)


def spikes(*shape, dtype=F64):
    return (torch.rand(*shape) < 0.4).to(dtype)


def paired(pre_at, post_at, p=FAST, steps=12):
    """The weight of one synapse, 0 at first, after one pre- and one postsynaptic spike."""
    w, state = torch.zeros(1, 1, dtype=F64), nb.STDPState(torch.zeros(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64))
    for step in range(steps):
        pre, post = (torch.full((1, 1), float(step == at), dtype=F64) for at in (pre_at, post_at))
        w, state = nb.stdp_step_linear(pre, post, w, state, p)
    return w.item()


@pytest.mark.parametrize("gap", [1, 4])
def test_a_pair_of_spikes_changes_a_weight_by_the_trace_between_them(gap):
    """The trace is dt tau a after a spike and loses a tenth (pre), a fifth (post) in a step."""
    assert paired(2, 2 + gap) == pytest.approx(0.5 * 0.1 * 2.0 * 0.9**gap, rel=1e-12)
    assert paired(2 + gap, 2) == pytest.approx(-0.25 * 0.2 * 3.0 * 0.8**gap, rel=1e-12)


def test_spikes_of_one_step_count_in_both_sums():
    assert paired(3, 3) == pytest.approx(0.5 * 0.1 * 2.0 - 0.25 * 0.2 * 3.0, rel=1e-12)


def test_stdp_sums_over_the_batch():
    z_pre, z_post, w = spikes(5, 3), spikes(5, 4), torch.rand(4, 3, dtype=F64)
    state = nb.STDPState(torch.rand(5, 3, dtype=F64), torch.rand(5, 4, dtype=F64))
    together, after = nb.stdp_step_linear(z_pre, z_post, w, state, FAST)
    changes = []
    for row in range(5):
        rows = slice(row, row + 1)
        alone, one = nb.stdp_step_linear(z_pre[rows], z_post[rows], w, nb.STDPState(state.t_pre[rows], state.t_post[rows]), FAST)
        changes.append(alone - w)
        assert torch.equal(one.t_pre, after.t_pre[rows]) and torch.equal(one.t_post, after.t_post[rows])
    torch.testing.assert_close(together, w + sum(changes), rtol=0, atol=1e-14)
    assert (together - w).abs().max() > 0.1


@pytest.mark.parametrize("stride, padding, dilation", [(1, 0, 1), ((2, 1), (1, 2), (1, 2)), (2, 1, 2)])
def test_a_convolution_learns_in_every_place_where_a_weight_acts(stride, padding, dilation):
    """Patch by patch, the convolution is a linear map: the sum of the changes in all places."""
    p = dataclasses.replace(FAST, stride=stride, padding=padding, dilation=dilation)
    z_pre, w = spikes(2, 3, 7, 8), torch.rand(4, 3, 3, 2, dtype=F64)
    z_post = spikes(*torch.nn.functional.conv2d(z_pre, w, None, stride, padding, dilation).shape)
    state = nb.STDPState(torch.rand_like(z_pre), torch.rand_like(z_post))
    found, after = nb.stdp_step_conv2d(z_pre, z_post, w, state, p)
    patches = torch.nn.Unfold((3, 2), dilation, padding, stride)  # (batch, weights of a neuron, places)
    rows = [patches(value).transpose(1, 2).flatten(0, 1) for value in (z_pre, state.t_pre)]
    outs = [value.flatten(2).transpose(1, 2).flatten(0, 1) for value in (z_post, state.t_post)]
    wanted, traces = nb.stdp_step_linear(rows[0], outs[0], w.flatten(1), nb.STDPState(rows[1], outs[1]), p)
    torch.testing.assert_close(found, wanted.reshape(w.shape), rtol=0, atol=1e-12)
    torch.testing.assert_close(patches(after.t_pre).transpose(1, 2).flatten(0, 1), traces.t_pre, rtol=0, atol=1e-12)
    assert (found - w).abs().max() > 0.1


@pytest.mark.parametrize(
    "algorithm, plus, minus",
    [
        ("additive", [0.1] * 5, [0.2] * 5),
        ("additive_step", [0.1, 0.1, 0.1, 0.0, 0.0], [0.0, 0.0, 0.2, 0.2, 0.2]),
        ("multiplicative_pow", [0.1 * 1.1**2, 0.1, 0.1 * 0.36, 0.0, 0.0], [0.0, 0.0, 0.2 * 0.16, 0.2, 0.2 * 1.1**2]),
        ("multiplicative_relu", [0.11, 0.1, 0.06, 0.0, 0.0], [0.0, 0.0, 0.08, 0.2, 0.22]),
    ],
)
def test_learning_rates_by_the_weight(algorithm, plus, minus):
    """Beyond a bound the distance to it counts as 0; Norse's power of a negative distance is NaN."""
    p = nb.STDPParameters(stdp_algorithm=algorithm, mu=2.0, eta_plus=0.1, eta_minus=0.2, w_min=1.0, w_max=2.0)
    w = torch.tensor([0.9, 1.0, 1.4, 2.0, 2.1], dtype=F64)
    rates = [torch.as_tensor(rate(w), dtype=F64).expand(5) for rate in (p.A_plus, p.A_minus)]
    torch.testing.assert_close(rates[0], torch.tensor(plus, dtype=F64), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(rates[1], torch.tensor(minus, dtype=F64), rtol=1e-12, atol=1e-15)
    assert p.bounding_func(w).tolist() == [1.0, 1.0, 1.4, 2.0, 2.0]
    assert dataclasses.replace(p, hardbound=False).bounding_func(w) is w


def test_weights_outside_their_bounds_come_back():
    p = nb.STDPParameters(stdp_algorithm="multiplicative_pow", mu=0.5)
    state = nb.STDPState(torch.ones(1, 2), torch.ones(1, 2))
    w, _ = nb.stdp_step_linear(torch.ones(1, 2), torch.ones(1, 2), torch.tensor([[-0.5, 0.5], [0.4, 1.5]]), state, p)
    assert torch.isfinite(w).all() and w.min() == 0.0 and w.max() == 1.0


def test_bounds_and_rates_may_be_tensors_for_each_weight():
    w_max = torch.tensor([[0.1, 0.2, 0.3]])
    p = nb.STDPParameters(eta_plus=torch.tensor([[9.0, 0.0, 9.0]]), eta_minus=0.0, w_max=w_max)
    state = nb.STDPState(torch.ones(1, 3), torch.zeros(1, 1))
    w, _ = nb.stdp_step_linear(torch.ones(1, 3), torch.ones(1, 1), torch.zeros(1, 3), state, p)
    torch.testing.assert_close(w, torch.tensor([[0.1, 0.0, 0.3]]))


def test_no_step_changes_what_it_is_given():
    """Norse's STDP changes the traces of the given state."""
    for dtype in (torch.float32, F64):
        pre, post = spikes(2, 3, dtype=dtype), spikes(2, 4, dtype=dtype)
        traces, sensors = (
            (torch.rand(2, 3, dtype=dtype), torch.rand(2, 4, dtype=dtype)),
            torch.rand(3, 2, 3, 4, dtype=dtype).unbind(0),
        )
        cases = [
            (nb.stdp_step_linear, pre, post, torch.rand(4, 3, dtype=dtype), nb.STDPState(*traces)),
            (nb.stdp_sensor_step, pre, post, nb.STDPSensorState(*traces)),
            (nb.correlation_sensor_step, pre, post, nb.CorrelationSensorState(*sensors)),
            (nb.stp_step, pre, nb.TsodyksMakramState(*traces[:1], traces[0]), nb.TsodyksMakramParameters()),
        ]
        for step, *arguments in cases:
            before = copy.deepcopy(arguments)
            results = step(*arguments)
            results = [value for part in results for value in (part if isinstance(part, tuple) else (part,))]
            assert all(value.dtype == dtype for value in results), step
            for old, new in zip(before, arguments, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(tuple(old), tuple(new), strict=True) if torch.is_tensor(a)), step


def test_stdp_parameters_are_checked_and_never_change():
    for name, bad in {
        "stdp_algorithm": "addtive",
        "tau_pre_inv": 0.0,
        "tau_post_inv": torch.tensor([1.0, -1.0]),
        "a_pre": float("nan"),
        "eta_plus": float("inf"),
        "mu": -1.0,
        "w_min": 2.0,
        "stride": 0,
        "padding": (0, -1),
        "dilation": 0,
    }.items():
        with pytest.raises(ModelError, match=name):
            nb.STDPParameters(**{name: bad})
    p = nb.STDPParameters(stdp_algorithm="multiplicative_relu", stride=(2, 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.w_max = 3.0
    w = torch.rand(3)
    for other in (pickle.loads(pickle.dumps(p)), copy.deepcopy(p)):
        assert torch.equal(other.A_plus(w), p.A_plus(w)) and other.stride == (2, 1)


def test_names_that_norse_does_not_export_have_its_signatures():
    defaults = {name: q.default for name, q in inspect.signature(nb.STDPParameters).parameters.items()}
    wanted = {
        "a_pre": 1.0,
        "a_post": 1.0,
        "tau_pre_inv": 20.0,
        "tau_post_inv": 20.0,
        "w_min": 0.0,
        "w_max": 1.0,
        "eta_plus": 0.001,
        "eta_minus": 0.001,
        "stdp_algorithm": "additive",
        "mu": 0.0,
        "hardbound": True,
        "convolutional": False,
        "stride": 1,
        "padding": 0,
        "dilation": 1,
    }
    assert list(defaults) == list(wanted) and defaults == wanted
    for step in (nb.stdp_step_linear, nb.stdp_step_conv2d):
        assert list(inspect.signature(step).parameters) == ["z_pre", "z_post", "w", "state_stdp", "p_stdp", "dt"]
    assert nb.STDPState._fields == ("t_pre", "t_post")


def test_shapes_that_do_not_fit_are_named():
    state = nb.STDPState(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(SimulationError, match=r"stdp_step_linear.*\(3, 4\)"):
        nb.stdp_step_linear(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(3, 4), state)
    image = torch.zeros(2, 3, 5, 5)
    with pytest.raises(SimulationError, match=r"stdp_step_conv2d.*\(2, 4, 5, 5\)"):
        nb.stdp_step_conv2d(image, torch.zeros(2, 4, 5, 5), torch.zeros(4, 3, 3, 3), state)
    with pytest.raises(SimulationError, match="stdp_step_conv2d"):
        nb.stdp_step_conv2d(image, torch.zeros(2, 4, 3, 3), torch.zeros(4, 2, 3, 3), state)
    sensors = nb.CorrelationSensorState(*(torch.zeros(1, 3, 4) for _ in range(3)))
    with pytest.raises(SimulationError, match=r"correlation_sensor_step.*\(1, 3, 4\)"):
        nb.correlation_sensor_step(torch.zeros(2, 3), torch.zeros(2, 4), sensors)


def test_each_trace_of_the_stdp_sensor_has_its_own_rate():
    """Norse lets both decay with tau_c_inv."""
    p = nb.STDPSensorParameters(eta_p=2.0, eta_m=3.0, tau_ac_inv=200.0, tau_c_inv=100.0)
    state = nb.STDPSensorState(torch.zeros(1, 1, dtype=F64), torch.zeros(1, 1, dtype=F64))
    for step in range(5):
        spike = torch.full((1, 1), float(step == 0), dtype=F64)
        state = nb.stdp_sensor_step(spike, spike, state, p)
    assert state.a_pre.item() == pytest.approx(2.0 * 0.9**4, rel=1e-12)
    assert state.a_post.item() == pytest.approx(3.0 * 0.8**4, rel=1e-12)


def test_a_correlation_sensor_holds_a_trace_once_the_other_side_has_spiked():
    """Pre at 0, post at 3, pre at 7: c loses a tenth a step while the last spike was pre, ac a fifth while it was post."""
    p = nb.CorrelationSensorParameters(eta_p=2.0, eta_m=3.0, tau_ac_inv=200.0, tau_c_inv=100.0)
    state = nb.CorrelationSensorState(*(torch.zeros(1, 1, 1, dtype=F64) for _ in range(3)))
    for step in range(9):
        pre, post = (torch.full((1, 1), float(step in at), dtype=F64) for at in ((0, 7), (3,)))
        state = nb.correlation_sensor_step(pre, post, state, p)
        if step == 6:
            assert state.post_pre.item() == 1.0
            assert state.correlation_trace.item() == pytest.approx(2.0 * 0.9**3, rel=1e-12)
            assert state.anti_correlation_trace.item() == pytest.approx(3.0 * 0.8**3, rel=1e-12)
    assert state.post_pre.item() == 0.0
    assert state.correlation_trace.item() == pytest.approx((2.0 * 0.9**3 + 2.0) * 0.9, rel=1e-12)
    assert state.anti_correlation_trace.item() == pytest.approx(3.0 * 0.8**4, rel=1e-12)


def test_spikes_of_both_sides_leave_the_order_of_a_sensor_as_it_is():
    for order in (0.0, 1.0):
        state = nb.CorrelationSensorState(torch.full((1, 1, 1), order), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
        assert nb.correlation_sensor_step(torch.ones(1, 1), torch.ones(1, 1), state).post_pre.item() == order


def test_a_batch_of_correlation_sensors_is_its_samples():
    """Norse's fail for more than one sample."""
    state = singles = None
    for _ in range(20):
        pre, post = spikes(3, 4), spikes(3, 2)
        if state is None:
            state = nb.CorrelationSensorState(*(torch.zeros(3, 4, 2, dtype=F64) for _ in range(3)))
            singles = [nb.CorrelationSensorState(*(value[row : row + 1] for value in state)) for row in range(3)]
        state = nb.correlation_sensor_step(pre, post, state)
        singles = [
            nb.correlation_sensor_step(pre[row : row + 1], post[row : row + 1], single) for row, single in enumerate(singles)
        ]
    for field, column in zip(state, zip(*singles, strict=True), strict=True):
        assert field.sum() > 1 and torch.equal(field, torch.cat(column))


def test_the_update_of_weights_by_correlation():
    """Every ts_frequency steps; the weights given stay, the traces start anew, the batch counts on average."""
    linear = torch.nn.Linear(2 * 6, 6)
    w = torch.rand(3, 2, requires_grad=True)
    traces = torch.rand(2, 4, 2, 3)
    state = nb.CorrelationSensorState(torch.ones(4, 2, 3), traces[0].clone(), traces[1].clone())
    assert nb.correlation_based_update(7, linear, w, state, 0.5, 5) is w
    assert torch.equal(state.correlation_trace, traces[0])
    before = w.detach().clone()
    new = nb.correlation_based_update(10, linear, w, state, 0.5, 5)
    each = [linear(torch.cat([traces[0, row].flatten(), traces[1, row].flatten()])).reshape(3, 2) for row in range(4)]
    torch.testing.assert_close(new, w + 0.5 * sum(each) / 4)
    assert torch.equal(w, before)
    assert state.correlation_trace.abs().sum() == state.anti_correlation_trace.abs().sum() == 0
    assert state.post_pre.sum() == 24  # the order of spikes is no trace
    new.sum().backward()
    assert torch.equal(w.grad, torch.ones(3, 2)) and linear.weight.grad is None


def test_a_trace_that_started_anew_has_no_past():
    spikes_of_neurons = torch.rand(1, 3, requires_grad=True)
    state = nb.CorrelationSensorState(*(torch.zeros(1, 2, 3) for _ in range(3)))
    state = nb.correlation_sensor_step(torch.ones(1, 2), spikes_of_neurons, state)
    nb.correlation_based_update(0, torch.nn.Linear(12, 6), torch.zeros(3, 2), state, 0.5, 5)
    state = nb.correlation_sensor_step(torch.ones(1, 2), 2.0 * spikes_of_neurons, state)
    state.anti_correlation_trace.sum().backward()
    assert torch.equal(spikes_of_neurons.grad, torch.full((1, 3), 4.0))


def test_updates_that_do_not_fit_are_refused():
    state = nb.CorrelationSensorState(*(torch.zeros(1, 2, 3) for _ in range(3)))
    with pytest.raises(SimulationError, match=r"traces.*\(1, 2, 3\).*\(2, 3\)"):
        nb.correlation_based_update(0, torch.nn.Linear(12, 6), torch.zeros(2, 3), state, 0.5, 5)
    with pytest.raises(SimulationError, match="ts_frequency"):
        nb.correlation_based_update(0, torch.nn.Linear(12, 6), torch.zeros(3, 2), state, 0.5, 0)


def test_constant_firing_brings_short_term_plasticity_to_its_fixed_point():
    """u = U / (dt tau_f_inv + U), x = d / (d + u) with d = dt tau_d_inv."""
    p = nb.TsodyksMakramParameters(tau_f_inv=100.0, tau_d_inv=200.0, U=0.3)
    state, z = nb.TsodyksMakramState(torch.zeros(2, dtype=F64), torch.ones(2, dtype=F64)), torch.tensor([1.0, 0.0], dtype=F64)
    for _ in range(300):
        out, state = nb.stp_step(z, state, p)
    u = 0.3 / (0.1 + 0.3)
    x = 0.2 / (0.2 + u)
    torch.testing.assert_close(state.u, torch.tensor([u, 0.0], dtype=F64), rtol=1e-12, atol=0)
    torch.testing.assert_close(state.x, torch.tensor([x, 1.0], dtype=F64), rtol=1e-12, atol=0)
    torch.testing.assert_close(out, torch.tensor([u * x, 0.0], dtype=F64), rtol=1e-12, atol=0)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_resources_stay_between_0_and_1_and_what_is_released_leaves_them(train):
    p = nb.TsodyksMakramParameters()
    state = nb.TsodyksMakramState(torch.zeros(1, dtype=F64), torch.ones(1, dtype=F64))
    for z in train:
        out, new = nb.stp_step(torch.tensor([float(z)], dtype=F64), state, p)
        recovered = new.x - state.x + out
        assert torch.allclose(recovered, 0.001 * p.tau_d_inv * (1.0 - state.x), atol=1e-15)
        assert 0.0 <= new.u <= 1.0 and 0.0 <= new.x <= 1.0 and (out > 0) == z
        state = new


def lif_correlation(batch, steps=40, dtype=F64):
    cell = nb.LIFCorrelation(5, 3, dt=0.002)
    w_in, w_rec = (4.0 * torch.rand(3, 5) - 1.0).to(dtype), (2.0 * torch.rand(3, 3) - 2.0).to(dtype)
    x, state, out = spikes(steps, batch, 5, dtype=dtype), None, []
    for row in x:
        z, state = cell(row, w_in, w_rec, state)
        out.append(z)
    return x, w_in, w_rec, torch.stack(out), state


def test_lif_correlation_is_recurrent_lif_with_sensors():
    x, w_in, w_rec, out, state = lif_correlation(batch=4)
    layer = nb.LIFRecurrent(5, 3, dt=0.002, input_weights=w_in, recurrent_weights=w_rec, autapses=True)
    wanted, last = layer(x)
    assert torch.equal(out, wanted) and 0.05 < out.mean() < 0.9
    assert all(torch.equal(a, b) for a, b in zip(state.lif_state, last, strict=True))
    before = torch.cat([torch.zeros(1, 4, 3, dtype=F64), out[:-1]])
    for pre, found in ((x, state.input_correlation_state), (before, state.recurrent_correlation_state)):
        sensors = nb.CorrelationSensorState(*(torch.zeros(4, pre.shape[-1], 3, dtype=F64) for _ in range(3)))
        for row, z in zip(pre, out, strict=True):
            sensors = nb.correlation_sensor_step(row, z, sensors, dt=0.002)
        assert all(torch.equal(a, b) for a, b in zip(sensors, found, strict=True))


def test_lif_correlation_registers_its_parameters():
    p = nb.LIFCorrelationParameters(nb.LIFParameters(v_th=torch.tensor(0.3, requires_grad=True), alpha=torch.tensor(5.0)))
    cell = nb.LIFCorrelation(2, 3, p)
    assert [name for name, _ in cell.named_parameters()] == ["parameter_tuple.lif_parameters.v_th"]
    assert len(cell.state_dict()) == 6 + 4 + 4
    z, state = cell(torch.ones(2, 2), torch.rand(3, 2), torch.rand(3, 3))
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert other.p.lif_parameters.v_th == p.lif_parameters.v_th and "hidden_size=3" in repr(other)
    cell(torch.ones(2, 2), torch.rand(3, 2), torch.rand(3, 3), state)[0].sum().backward()
    assert torch.isfinite(cell.p.lif_parameters.v_th.grad)
    with pytest.raises(ModelError, match="LIFCorrelationParameters.*input_correlation_parameters"):
        nb.LIFCorrelation(2, 3, nb.LIFParameters())
    with pytest.raises(ModelError, match="method"):
        nb.LIFCorrelation(2, 3, nb.LIFCorrelationParameters(nb.LIFParameters(method="sper")))
