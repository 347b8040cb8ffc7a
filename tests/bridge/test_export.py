"""to_network: each linear module as a sparse matrix against torch in float64, and the structure of the network."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import settings

import norse_bridge as nb
from eventsim.errors import NetworkError
from eventsim.models import BEFORE_FLOW
from eventsim.models import LI as LI_MODEL
from eventsim.models import LIF as LIF_MODEL
from eventsim.stimuli import SpikeSource

quick = settings(deadline=None, max_examples=40)


class Branches(torch.nn.Sequential):
    """A container that calls its modules in a way of its own."""

    def forward(self, x):
        return x + super().forward(x)


def model():
    return nb.SequentialState(
        nb.Lift(torch.nn.Conv2d(1, 2, 3)),
        nb.LIF(nb.LIFParameters(v_th=0.7, tau_syn_inv=150.0)),
        torch.nn.Flatten(2),
        torch.nn.Linear(18, 5),
        nb.LIFRecurrent(5, 4),
        torch.nn.Dropout(0.5),
        torch.nn.Linear(4, 3, bias=False),
        nb.LI(),
    )


def test_structure_of_the_network():
    net = model()
    network = nb.to_network(net, (1, 5, 5))
    assert [(p.name, p.size) for p in network.populations] == [("input", 25), ("layer1", 18), ("layer2", 4), ("layer3", 3)]
    assert isinstance(network.populations[0].neuron, SpikeSource)
    wires = [(p.source, p.target, p.delay.minimum, p.delay.maximum) for p in network.projections]
    assert wires == [
        ("input", "layer1", 0.0, 0.0),
        ("layer1", "layer2", 0.0, 0.0),
        ("layer2", "layer2", 1.0, 1.0),
        ("layer2", "layer3", 0.0, 0.0),
    ]
    assert [p.connectivity.nnz for p in network.projections] == [2 * 9 * 9, 18 * 4, 4 * 3, 12]
    assert [(i.target, i.value.shape) for i in network.inputs] == [("layer1", (18,)), ("layer2", (4,))]
    np.testing.assert_array_equal(network.inputs[0].value, np.repeat(net[0].lifted_module.bias.detach().numpy(), 9))
    for population, kind in zip(network.populations[1:], (LIF_MODEL, LIF_MODEL, LI_MODEL), strict=True):
        assert population.neuron.model is kind
        assert population.neuron.method == "euler"
        assert population.neuron.order == BEFORE_FLOW
    params = network.populations[1].neuron.params
    assert params.tau_mem == pytest.approx(10.0, rel=1e-6)
    assert params.tau_syn == pytest.approx(1000 / 150, rel=1e-6)
    assert params.v_th == np.float32(0.7)


def test_coefficients_are_norses_float32_products():
    for rate in (61.0, 83.3, 100.0, 137.7, 333.0):
        for dt in (0.001, 0.0007, 0.0001):
            network = nb.to_network(nb.LIF(nb.LIFParameters(tau_mem_inv=rate), dt=dt), 3)
            neuron = network.populations[1].neuron
            assert np.float32(1000 * dt / neuron.params.tau_mem) == np.float32(dt) * np.float32(rate)


def test_names_and_input():
    named = nb.SequentialState(OrderedDict(fc=torch.nn.Linear(3, 4), hidden=nb.LIF(), fc2=torch.nn.Linear(4, 2), out=nb.LI()))
    assert [p.name for p in nb.to_network(named, input_name="eyes").populations] == ["eyes", "hidden", "out"]
    nested = nb.SequentialState(OrderedDict(a=named, b=nb.SequentialState(torch.nn.Identity())))
    assert [p.name for p in nb.to_network(nested).populations] == ["input", "a.hidden", "a.out"]
    for single in (nb.LIFRecurrent(3, 4), nb.LIFRecurrentCell(3, 4), nb.LILinearCell(3, 4), nb.Lift(nb.LIFRecurrentCell(3, 4))):
        assert [(p.name, p.size) for p in nb.to_network(single).populations] == [("input", 3), ("layer1", 4)]
    shared = nb.LIFCell()
    twice = nb.to_network(nb.SequentialState(torch.nn.Linear(3, 4), shared, torch.nn.Linear(4, 4), shared))
    assert [p.name for p in twice.populations] == ["input", "layer1", "layer2"]


def test_zeros_and_small_weights_are_dropped():
    linear = torch.nn.Linear(3, 2, bias=False)
    linear.weight.data = torch.tensor([[0.5, 0.0, -0.1], [-0.5, 0.25, 1e-30]])
    net = nb.SequentialState(linear, nb.LIF())
    assert nb.to_network(net).projections[0].connectivity.nnz == 5
    kept = nb.to_network(net, threshold=0.25).projections[0]
    assert kept.connectivity.nnz == 2
    rows = np.repeat(np.arange(3), np.diff(kept.connectivity.indptr))
    assert rows.tolist() == [0, 0]
    assert kept.connectivity.weights.tolist() == [0.5, -0.5]
    assert nb.to_network(net, threshold=9.0).projections == ()
    recurrent = nb.to_network(nb.LIFRecurrent(3, 4, recurrent_weights=torch.eye(4) + torch.diag(torch.ones(3), 1)))
    assert recurrent.projections[1].connectivity.nnz == 3
    assert recurrent.projections[1].connectivity.indptr.tolist() == [0, 0, 1, 2, 3]  # w[0, 1]: from neuron 1 to neuron 0
    assert recurrent.projections[1].connectivity.targets.tolist() == [0, 1, 2]


def test_float64_weights_are_kept():
    net = nb.SequentialState(torch.nn.Linear(3, 2), nb.LIF()).double()
    net[0].weight.data.fill_(1 / 3)
    network = nb.to_network(net)
    assert (network.projections[0].connectivity.weights == 1 / 3).all()
    assert network.populations[1].neuron.params.tau_mem == 10.0


def test_parameters_of_each_neuron_follow_the_features():
    p = nb.LIFParameters(v_th=torch.rand(2, 1, 1) + 0.5, v_reset=torch.rand(3, 3))
    net = nb.SequentialState(torch.nn.Conv2d(1, 2, 3), nb.LIFCell(p))
    neuron = nb.to_network(net, (1, 5, 5)).populations[1].neuron
    np.testing.assert_array_equal(neuron.params.v_th.reshape(2, 3, 3), p.v_th.expand(2, 3, 3).numpy())
    np.testing.assert_array_equal(neuron.params.v_reset.reshape(2, 3, 3), p.v_reset.expand(2, 3, 3).numpy())
    with pytest.raises(NetworkError, match=r"layer1.*\(7,\)"):
        nb.to_network(nb.SequentialState(torch.nn.Linear(3, 4), nb.LIF(nb.LIFParameters(v_th=torch.ones(7)))))


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (
            nb.SequentialState(torch.nn.Linear(3, 3), torch.nn.ReLU(), nb.LIF()),
            None,
            r"'1' \(ReLU\) is exported right behind spikes alone",
        ),
        (nb.SequentialState(torch.nn.Linear(3, 3), nb.LIF(), torch.nn.Linear(3, 2)), None, r"ends in module '2' \(Linear\)"),
        (nb.SequentialState(torch.nn.Linear(3, 3)), None, "ends in"),
        (
            nb.SequentialState(torch.nn.Linear(3, 3), nb.LIF(), torch.nn.Linear(3, 2), torch.nn.Dropout()),
            None,
            r"ends in module '2' \(Linear\): end it with a spiking layer",
        ),
        (nb.SequentialState(nb.LIFCell(), torch.nn.Flatten()), (2, 3), r"ends in module '1' \(Flatten\)"),
        (nb.SequentialState(nb.LIFCell(), torch.nn.BatchNorm1d(3).eval()), 3, r"ends in module '1' \(BatchNorm1d\)"),
        (torch.nn.Sequential(), 3, "no spiking layer"),
        (nb.SequentialState(nb.LI(), torch.nn.Linear(3, 3), nb.LIF()), 3, r"follows module '0' \(LI\), which never fires"),
        (nb.SequentialState(nb.Lift(nb.Lift(torch.nn.Linear(3, 3))), nb.LIF()), None, r"module '0' \(Lift\) is in another Lift"),
        (Branches(nb.LIFCell()), 3, r"^Branches cannot become part of a network: it is none of the modules"),
        (nb.SequentialState(nb.Lift(torch.nn.Linear(3, 3)), nb.LIFCell()), None, "mixes cells"),
        (nb.LIF(), None, "input_shape"),
        (nb.SequentialState(torch.nn.Conv2d(1, 2, 3), nb.LIFCell()), None, "input_shape"),
        (nb.SequentialState(torch.nn.Conv2d(1, 2, 3), nb.LIFCell()), (2, 5, 5), r"\(1, height, width\).*\(2, 5, 5\)"),
        (nb.SequentialState(torch.nn.Conv2d(1, 2, 3), nb.LIFCell()), (1, 2, 5), "spans 3 pixels, too many for the 2"),
        (nb.SequentialState(torch.nn.Linear(3, 4), nb.LIF()), (5,), "Linear takes 3 features"),
        (nb.SequentialState(nb.LIFRecurrent(3, 4)), (5,), "take 3 features"),
        (
            nb.SequentialState(torch.nn.Flatten(1), nb.LIF()),
            (2, 3),
            r"Flatten\(1\).*start at axis 2: use Flatten\(2\), or put it into Lift",
        ),
        (nb.SequentialState(torch.nn.Flatten(0), nb.LIFCell()), (2, 3), r"Flatten\(0\) would join the batch.*use Flatten\(1\)$"),
        (nb.LIF(nb.LIFParameters(method="logistic")), 3, r"^LIF fires by chance \(method='logistic'\)"),
        (
            nb.SequentialState(torch.nn.Linear(3, 3), nb.LIFRecurrentCell(3, 3, nb.LIFParameters(method="circ_dist"))),
            None,
            r"module '1' \(LIFRecurrentCell\).*'circ_dist'",
        ),
        (nb.SequentialState(torch.nn.Linear(3, 4), nb.LIFCell(), torch.nn.Linear(4, 4), nb.LI()), None, "mixes cells"),
        (nb.SequentialState(torch.nn.Linear(3, 4), nb.LIF(), torch.nn.Linear(4, 4), nb.LI(dt=0.002)), None, "time steps"),
        (nb.SequentialState(torch.nn.Dropout(), torch.nn.Identity()), None, "no spiking layer"),
    ],
)
def test_what_cannot_be_exported_is_named(net, shape, message):
    with pytest.raises(NetworkError, match=message):
        nb.to_network(net, shape)


def test_given_dt_replaces_that_of_the_layers():
    net = nb.SequentialState(torch.nn.Linear(3, 4), nb.LIFRecurrent(4, 4)).double()
    network = nb.to_network(net, dt=0.0005)
    assert network.populations[1].neuron.params.tau_mem == pytest.approx(10.0)
    assert network.projections[1].delay.maximum == 0.5


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    ("place", "label"),
    [
        (lambda m: m[0].weight, "module '0' .Linear.: 1 of its 12 weights"),
        (lambda m: m[0].bias, "module '0' .Linear.: 1 of its 4"),
        (lambda m: m[1].input_weights, "module '1' .LIFRecurrentCell.: 1 of its 20"),
        (lambda m: m[1].recurrent_weights, "module '1' .LIFRecurrentCell.: 1 of its 25"),
        (lambda m: m[2].input_weights, "module '2' .LILinearCell.: 1 of its 10"),
    ],
)
def test_weights_that_are_not_finite_are_refused(value, place, label):
    net = nb.SequentialState(torch.nn.Linear(3, 4), nb.LIFRecurrentCell(4, 5), nb.LILinearCell(5, 2))
    place(net).data.view(-1)[1] = value
    for threshold in (0.0, 0.5):
        with pytest.raises(NetworkError, match=label):
            nb.to_network(net, threshold=threshold)
    with pytest.raises(NetworkError, match=label):
        nb.simulate(net, torch.rand(3, 1, 3))


def test_weights_of_a_convolution_that_are_not_finite_are_refused():
    for place in ("weight", "bias"):
        net = nb.SequentialState(torch.nn.Conv2d(1, 2, 3), nb.LIFCell())
        getattr(net[0], place).data.view(-1)[0] = torch.nan
        with pytest.raises(NetworkError, match="module '0' .Conv2d.: 1 of its"):
            nb.to_network(net, (1, 5, 5))


def test_a_product_of_weights_that_overflows_is_refused():
    net = nb.SequentialState(torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False), nb.LIF()).double()
    for part in net[:2]:
        part.weight.data.fill_(1e200)
    net[1].weight.data[0, 0] = -1e200  # inf - inf, which is NaN
    with pytest.raises(NetworkError, match="module '2' .LIF.: the product"), np.errstate(all="ignore"):
        nb.to_network(net)


@pytest.mark.parametrize("threshold", [-0.1, float("nan"), None, "much"])
def test_a_threshold_that_is_none_is_refused(threshold):
    for run in (
        lambda: nb.to_network(nb.LIF(), 3, threshold=threshold),
        lambda: nb.simulate(nb.LIF(), torch.rand(3, 1, 2), threshold=threshold),
    ):
        with pytest.raises(NetworkError, match="threshold must be a number of 0 or more"):
            run()


def test_the_threshold_is_that_of_each_modules_own_weights():
    """To prune at the export is to export the pruned model: the means of a pool, products of weights and biases are left alone."""
    torch.manual_seed(3)
    net = nb.SequentialState(
        torch.nn.Conv2d(1, 2, 3),
        torch.nn.AvgPool2d(3),
        torch.nn.Flatten(),
        torch.nn.Linear(2, 8),
        nb.LIFRecurrentCell(8, 5),
        nb.LILinearCell(5, 2),
    )
    pruned = copy.deepcopy(net)
    small = 0.2
    for weights in (
        pruned[0].weight,
        pruned[3].weight,
        pruned[4].input_weights,
        pruned[4].recurrent_weights,
        pruned[5].input_weights,
    ):
        weights.data[weights.data.abs() <= small] = 0.0
    got, wanted = (nb.to_network(m, (1, 5, 5), threshold=t) for m, t in ((net, small), (pruned, 0.0)))
    plain = nb.to_network(net, (1, 5, 5))
    assert len(got.projections) == len(wanted.projections) == 3
    for a, b, full in zip(got.projections, wanted.projections, plain.projections, strict=True):
        assert a.connectivity.nnz == b.connectivity.nnz < full.connectivity.nnz
        for part in ("weights", "targets", "indptr"):
            np.testing.assert_array_equal(getattr(a.connectivity, part), getattr(b.connectivity, part))
    assert np.abs(got.projections[0].connectivity.weights).min() < small  # products of weights, over nine pixels
    np.testing.assert_array_equal(got.inputs[0].value, wanted.inputs[0].value)
    assert nb.to_network(nb.LIF(), 3, threshold=9.0).projections[0].connectivity.nnz == 3


def test_a_weight_at_the_threshold_is_dropped_in_its_own_type():
    linear = torch.nn.Linear(2, 1, bias=False)
    linear.weight.data = torch.tensor([[0.1, 0.11]])  # float32(0.1) is above 0.1
    assert nb.to_network(nb.SequentialState(linear, nb.LIF()), threshold=0.1).projections[0].connectivity.nnz == 1


def test_names_made_here_are_unused_ones():
    def names(net, **options):
        return [p.name for p in nb.to_network(net, **options).populations]

    mixed = nb.SequentialState(OrderedDict([("0", nb.LIFRecurrent(3, 4)), ("1", nb.LIFRecurrent(4, 4)), ("layer2", nb.LIF())]))
    assert names(mixed) == ["input", "layer1", "layer2_", "layer2"]
    assert names(mixed, input_name="layer1") == ["layer1", "layer1_", "layer2_", "layer2"]
    called = nb.SequentialState(OrderedDict(layer1=torch.nn.Linear(3, 4), input=nb.LIF(), input_=nb.LI()))
    assert names(called) == ["input__", "input", "input_"]
    assert names(called, input_name="eyes") == ["eyes", "input", "input_"]
    with pytest.raises(NetworkError, match="input_name='input' is the name of a layer"):
        names(called, input_name="input")


def test_random_surrogates_are_refused_in_simulate_too():
    net = nb.SequentialState(torch.nn.Linear(3, 4), nb.LIF(nb.LIFParameters(method="logistic")), torch.nn.Linear(4, 2), nb.LI())
    with pytest.raises(NetworkError, match="module '1' .LIF. fires by chance"):
        nb.simulate(net, torch.rand(3, 1, 3))
