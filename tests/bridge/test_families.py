"""What all families share: the same spikes dense and sparse, gradients, parameters of each neuron, signatures."""

import copy
import inspect
import itertools
import pickle

import numpy as np
import pytest
import torch
from shorter import shorter

import norse_bridge as nb
from eventsim.errors import ModelError
from eventsim.models import LIFBoxSubtract

LSNN_P = nb.LSNNParameters(tau_adapt_inv=torch.tensor(50.0), beta=torch.tensor(0.2), v_th=torch.tensor(0.3))
REFRAC_P = nb.LIFRefracParameters(nb.LIFParameters(v_th=torch.tensor(0.5)), torch.tensor(3.0))
EX_P = nb.LIFExParameters(delta_T=torch.tensor(0.2), v_th=torch.tensor(0.5))
ADEX_P = nb.LIFAdExParameters(
    adaptation_current=torch.tensor(0.5), adaptation_spike=torch.tensor(0.1), tau_ada_inv=torch.tensor(20.0), v_th=torch.tensor(0.5)
)
ADEX_REFRAC_P = nb.LIFAdExRefracParameters(ADEX_P, torch.tensor(3.0))
IAF_P = nb.IAFParameters(v_th=torch.tensor(2.0), v_reset=torch.tensor(-0.5))
FEED_FORWARD = {
    "LIF": lambda: nb.LIF(),
    "IAF": lambda: nb.IAF(IAF_P),
    "LSNN": lambda: nb.LSNN(LSNN_P),
    "LIFBox": lambda: nb.LIFBox(nb.LIFBoxParameters(v_th=torch.tensor(0.2))),
    "LIFBox subtract": lambda: nb.LIFBox(nb.LIFBoxParameters(v_th=torch.tensor(0.2), reset_method=nb.reset_subtract)),
    "LIFRefrac": lambda: nb.Lift(nb.LIFRefracCell(REFRAC_P)),
    "LIFEx": lambda: nb.LIFEx(EX_P),
    "LIFAdEx": lambda: nb.LIFAdEx(ADEX_P),
    "LIFAdExRefrac": lambda: nb.Lift(nb.LIFAdExRefracCell(ADEX_REFRAC_P)),
    "Izhikevich": lambda: nb.Izhikevich(nb.tonic_bursting),
}
RECURRENT = {
    "LIF": lambda n, m: nb.LIFRecurrent(n, m),
    "LSNN": lambda n, m: nb.LSNNRecurrent(n, m, LSNN_P),
    "LIFRefrac": lambda n, m: nb.LIFRefracRecurrent(n, m, REFRAC_P),
    "LIFEx": lambda n, m: nb.LIFExRecurrent(n, m, EX_P),
    "LIFAdEx": lambda n, m: nb.LIFAdExRecurrent(n, m, ADEX_P),
    "LIFAdExRefrac": lambda n, m: nb.LIFAdExRefracRecurrent(n, m, ADEX_REFRAC_P),
    "Izhikevich": lambda n, m: nb.IzhikevichRecurrent(n, m, nb.tonic_bursting),
}
WEIGHTS = {"Izhikevich": 300.0}  # times the drawn weights, so that neurons fire; 4 for the others
DRIVE = {"LIFBox": 4.0, "Izhikevich": 40.0}  # up to which a neuron's input goes; 0.9 for the others
CELLS = {name: getattr(nb, f"{name}Cell") for name in FEED_FORWARD if " " not in name}


def behavior(p):
    """The spiking behaviour that a layer of Izhikevich neurons with parameters p has."""
    return nb.IzhikevichSpikingBehavior(nb.IzhikevichParameters(*p[:-2]), nb.IzhikevichState(*p[-2:]))


def cell_of(name, p=None):
    """A cell with parameters p, or its default ones."""
    if name == "Izhikevich":
        return nb.IzhikevichCell(nb.tonic_spiking if p is None else behavior(p))
    return CELLS[name]() if p is None else CELLS[name](p)


def scaled(model, factor):
    """The model in float64 with its weights times the factor, so that it fires."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "weight" in name:
                parameter.mul_(factor)
    return model.double()


KINDS = (*FEED_FORWARD, *(f"{name} recurrent" for name in RECURRENT))


@pytest.mark.parametrize(
    ("kind", "data", "update"),
    shorter(
        itertools.product(KINDS, ("spikes", "real"), ("dense", "sparse", "auto")),
        lambda kind, data, update: kind in ("LIF", "LIF recurrent") or (data == "real") == (update == "dense"),
    ),
)
def test_dense_and_sparse_give_the_same_spikes(kind, data, update):
    torch.manual_seed(2)
    name = kind.removesuffix(" recurrent")
    layers = [torch.nn.Linear(15, 25), FEED_FORWARD[name]()] if name == kind else [RECURRENT[name](15, 25)]
    net = scaled(
        nb.SequentialState(*layers, torch.nn.Linear(25, 12), FEED_FORWARD[name](), return_hidden=True), WEIGHTS.get(name, 4.0)
    )
    x = (torch.rand(300, 2, 15) < 0.2).double() if data == "spikes" else torch.randn(300, 2, 15, dtype=torch.float64)
    hidden, _ = net(x)
    result = nb.simulate(net, x, update=update)
    for layer, wanted in zip(result.spikes, (hidden[len(layers) - 1], hidden[-1]), strict=True):
        assert 0.01 < wanted.mean() < 0.6
        assert torch.count_nonzero(result.dense_spikes(layer) != wanted) == 0


@pytest.mark.parametrize("name", CELLS)
def test_every_parameter_can_be_one_for_each_neuron_and_be_trained(name):
    """A layer whose parameters differ between neurons is as many layers of one neuron; all parameters get a gradient."""
    torch.manual_seed(3)
    default = cell_of(name).p
    neurons, steps = 4, 60

    def varied(p):
        numbers = {}
        for field, value in p._asdict().items():
            if isinstance(value, tuple):
                numbers[field] = varied(value)
            elif field in ("method", "alpha", "reset_method"):
                numbers[field] = 5.0 if field == "alpha" else value
            elif field == "rho_reset":
                numbers[field] = torch.tensor([1.0, 2.0, 3.0, 4.0])
            else:
                numbers[field] = (value * torch.linspace(0.7, 1.3, neurons) + torch.linspace(-0.02, 0.02, neurons)).requires_grad_()
        return type(p)(**numbers)

    def of_neuron(p, j):
        pick = lambda v: of_neuron(v, j) if isinstance(v, tuple) else v[j].detach() if torch.is_tensor(v) and v.ndim else v  # noqa: E731
        return type(p)(*(pick(value) for value in p))

    p = varied(default)
    x = torch.rand(steps, 2, neurons) * DRIVE.get(name, 0.9)
    cell = cell_of(name, p)
    out = nb.Lift(cell)(x)[0]
    assert out.sum() > 10
    for j in range(neurons):
        alone = nb.Lift(cell_of(name, of_neuron(p, j)))(x[..., j : j + 1])[0]
        assert torch.equal(alone[..., 0], out[..., j])
    (out * torch.randn_like(out)).sum().backward()
    trained = dict(cell.named_parameters())
    assert len(trained) >= len(default) - 3
    for field, parameter in trained.items():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), field


def test_the_resets_of_lif_box():
    """Drive 2, from 0: with v' = v + 0.1 (2 - v) it crosses 1 after 7 steps; soft, what is above the threshold stays."""
    x = torch.full((20, 1, 1), 2.0, dtype=torch.float64)
    for method, after in ((nb.reset_value, lambda v: 0.0), (nb.reset_subtract, lambda v: v - 1.0)):
        out, states = nb.LIFBox(nb.LIFBoxParameters(reset_method=method), record_states=True)(x)
        v, rows = 0.0, []
        for _ in range(20):
            v += 0.1 * (2.0 - v)
            fired = v > 1.0
            v = after(v) if fired else v
            rows.append((fired, v))
        assert out.flatten().tolist() == [float(fired) for fired, _ in rows] and out.sum() >= 2
        np.testing.assert_allclose(
            states.v.flatten().detach(), [v for _, v in rows], rtol=0, atol=1e-7
        )  # dt tau_mem_inv is a float32
    with pytest.raises(ModelError, match="reset_value or reset_subtract"):
        nb.LIFBoxCell(nb.LIFBoxParameters(reset_method=lambda z, v, reset, th: v))
    z, v = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 1.5])
    assert nb.reset_value(z, v, 0.25, 1.0).tolist() == [0.5, 0.25] and nb.reset_subtract(z, v, 0.25, 1.0).tolist() == [0.5, 0.5]


def test_signatures_show_the_default_parameters():
    for name in CELLS.keys() - {"Izhikevich"}:
        signature = inspect.signature(CELLS[name])
        assert type(signature.parameters["p"].default).__name__ == f"{name}Parameters"
    assert list(inspect.signature(nb.LSNN).parameters) == ["p", "adjoint", "dt", "activation_sparse", "record_states"]
    assert list(inspect.signature(nb.IAF).parameters) == ["p", "dt", "activation_sparse", "record_states"]
    assert list(inspect.signature(nb.Izhikevich).parameters) == ["spiking_method", "dt", "activation_sparse", "record_states"]
    assert list(inspect.signature(nb.LIFRecurrent).parameters)[:3] == ["input_size", "hidden_size", "p"]


def test_a_class_of_ones_own_keeps_its_signature():
    class Mine(nb.LIFCell):
        def __init__(self, gain):
            super().__init__(nb.LIFParameters(v_th=torch.tensor(gain)))

    assert list(inspect.signature(Mine).parameters) == ["gain"]
    assert Mine(0.3).p.v_th == np.float32(0.3)


def test_an_lsnn_layer_that_is_asked_for_norses_adjoint_has_the_gradient():
    x = torch.rand(50, 2, 6) * 2.0
    grads = []
    for adjoint in (False, True):
        y = x.clone().requires_grad_()
        out, _ = nb.LSNN(nb.LSNNParameters(alpha=5.0), adjoint)(y)
        (out * torch.linspace(-1.0, 1.0, out.numel()).reshape(out.shape)).sum().backward()
        grads.append(y.grad)
    assert grads[0].abs().sum() > 0 and torch.equal(*grads)


def test_the_threshold_of_an_lsnn_neuron_rises_with_each_spike_and_relaxes():
    p = nb.LSNNParameters(tau_adapt_inv=torch.tensor(20.0), beta=torch.tensor(0.5))
    x = torch.zeros(400, 1, 1)
    x[:100] = 1.0
    out, states = nb.LSNN(p, record_states=True)(x)
    b = states.b.flatten().detach()
    fired = out.flatten().bool()
    assert fired.sum() > 3
    lifted = b[1:] - (b[:-1] + 0.02 * (1.0 - b[:-1]))  # dt tau_adapt_inv = 0.02
    np.testing.assert_allclose(lifted, torch.where(fired[1:], 0.5, 0.0), atol=1e-6)
    assert 1.0 < b[-1] < 1.1  # v_th is where it rests


def test_a_copy_of_a_layer_is_of_the_same_model():
    layer = nb.LIFBox(nb.LIFBoxParameters(reset_method=nb.reset_subtract))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        network = nb.to_network(nb.SequentialState(torch.nn.Linear(2, 3), other))
        assert network.population("layer1").neuron.model is LIFBoxSubtract
