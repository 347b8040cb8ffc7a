"""Models with code of their own: what to_network makes of them is the model, or an error that says why not."""

import re
import warnings

import pytest
import torch
from map_oracles import binary, run_cells
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import norse_bridge as nb
from eventsim.errors import NetworkError


class ScaledCell(nb.LIFCell):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class ScaledLayer(nb.LIFRecurrent):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class Charged(nb.LIFCell):
    def initial_state(self, x):
        return super().initial_state(x)._replace(v=torch.full(x.shape, 0.9, dtype=x.dtype))


class Called(nb.LIFCell):
    def __call__(self, x, state=None):
        return super().__call__(2 * x, state)


class Doubling:
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class MixedIn(Doubling, nb.LIFCell):
    pass


class Readout(nb.LILinearCell):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class Backwards(nb.Lift):
    def forward(self, x, state=None):
        return super().forward(x.flip(0), state)


class Own(nb.SequentialState):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class OwnConvolution(nn.Conv1d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, 2 * weight, bias)


class Field(nb.LConv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class SaysSo(ScaledCell):
    """Another forward, and what computes the same."""

    def exported_as(self):
        double = nn.Linear(4, 4, bias=False)
        double.weight.data = 2 * torch.eye(4, dtype=torch.float64)
        return nb.SequentialState(double, nb.LIFCell())


class Renamed(SaysSo):
    """Nothing but another name."""


class SaysTooLittle(SaysSo):
    def forward(self, x, state=None):
        return super().forward(2 * x, state)


class SparseWeights(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask * (t.abs() > 0.5)


def cells(*, first=None, cell=None):
    return nb.SequentialState(nn.Linear(3, 4) if first is None else first, nb.LIFCell() if cell is None else cell)


def changed(model, change):
    change(model)
    return model


def instance_forward(name, place):
    def change(model):
        module = place(model)
        known = getattr(module, name)
        setattr(module, name, lambda *given: known(*given))

    return change


def old(norm):
    """A norm of torch.nn.utils whose weight is stale: its sources have changed since the last forward."""

    def change(model):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            norm(model[0])
        for parameter in model[0].parameters():
            parameter.data.mul_(1.5)

    return change


def new_spectral_norm(model):
    parametrizations.spectral_norm(model[0])
    model[0].parametrizations.weight.original.data.normal_()


def sparse_weight(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch calls its CSR tensors a beta
        model[0].weight = nn.Parameter(model[0].weight.detach().to_sparse_csr())


def stale_mask(model):
    prune.l1_unstructured(model[0], "weight", 5)
    model[0].weight_orig.data.mul_(1.5)


def pruned_cell():
    cell = nb.LIFRecurrentCell(4, 4)
    SparseWeights.apply(cell, "recurrent_weights")
    cell.recurrent_weights_orig.data.mul_(1.5)
    return cell


def doubled(module, inputs, output=None):
    return (2 * inputs[0], *inputs[1:]) if output is None else (2 * output[0], output[1])


OWN = "has a {} of its own in the place of that of {}"
REPLACED = "its {} has been replaced in the module itself"
HOOK = r"forward hook \({}\), which may change"
PAIR = "returns .output, state., and nn.Sequential hands on the pair and keeps no state: use SequentialState"
STEADY = "in training mode its weight is another one in every forward; call eval.. on the model first"
first, last = (lambda m: m[0]), (lambda m: m[-1])
REFUSED = {
    "cell": (lambda: cells(cell=ScaledCell()), OWN.format("forward", "LIFCell")),
    "recurrent layer": (lambda: ScaledLayer(3, 4), OWN.format("forward", "LIFRecurrent")),
    "initial state": (lambda: cells(cell=Charged()), OWN.format("initial_state", "LIFCell")),
    "call": (lambda: cells(cell=Called()), OWN.format("__call__", "LIFCell")),
    "mixed in": (lambda: cells(cell=MixedIn()), OWN.format("forward", "LIFCell")),
    "LILinearCell": (lambda: cells(cell=Readout(4, 2)), OWN.format("forward", "LILinearCell")),
    "inside LILinearCell": (
        lambda: changed(cells(cell=nb.LILinearCell(4, 2)), lambda m: setattr(m[1], "integrator", ScaledCell())),
        r"module '1' \(LILinearCell\): its class.*" + OWN.format("forward", "LIFCell"),
    ),
    "Lift": (lambda: nb.SequentialState(Backwards(nn.Linear(3, 4)), nb.LIF()), OWN.format("forward", "Lift")),
    "SequentialState": (lambda: Own(nn.Linear(3, 4), nb.LIFCell()), OWN.format("forward", "SequentialState")),
    "exported_as": (lambda: nb.SequentialState(Field(1, 1, 1), nb.LIF()), OWN.format("forward", "LConv2d")),
    "exported_as of one's own": (lambda: cells(cell=SaysTooLittle()), OWN.format("forward", "SaysSo")),
    "convolution": (lambda: nb.SequentialState(OwnConvolution(1, 2, 3), nb.LIFCell()), "its class has a forward of its own"),
    "forward of the object": (lambda: changed(cells(), instance_forward("forward", last)), REPLACED.format("forward")),
    "forward of torch's": (lambda: changed(cells(), instance_forward("forward", first)), REPLACED.format("forward")),
    "forward of the model": (lambda: changed(cells(), instance_forward("forward", lambda m: m)), "SequentialState: its forward"),
    "initial state of the object": (lambda: changed(cells(), instance_forward("initial_state", last)), REPLACED.format("initial_state")),
    "hook": (lambda: changed(cells(), lambda m: m[1].register_forward_hook(doubled)), HOOK.format("doubled")),
    "hook before": (lambda: changed(cells(), lambda m: m[0].register_forward_pre_hook(doubled)), HOOK.format("doubled")),
    "hook of the model": (lambda: changed(cells(), lambda m: m.register_forward_pre_hook(doubled)), HOOK.format("doubled")),
    "hook of a compiled model": (
        lambda: changed(torch.compile(cells(), backend="eager"), lambda m: m.register_forward_pre_hook(doubled)),
        HOOK.format("doubled"),
    ),
    "hook in a Lift": (
        lambda: changed(nb.Lift(cells()), lambda m: m.lifted_module[0].register_forward_pre_hook(doubled)),
        HOOK.format("doubled"),
    ),
    "spectral_norm in training": (lambda: changed(cells(), old(spectral_norm)), STEADY),
    "parametrised spectral norm in training": (lambda: changed(cells(), new_spectral_norm), STEADY),
    "two cells in nn.Sequential": (lambda: nn.Sequential(nn.Linear(3, 4), nb.LIFCell(), nn.Linear(4, 2), nb.LIFCell()), "LIFCell.*" + PAIR),
    "two Lifts in nn.Sequential": (lambda: nn.Sequential(nb.Lift(cells()), nb.Lift(nb.LIFCell())), "Lift.*" + PAIR),
    "nested in nn.Sequential": (lambda: nn.Sequential(nn.Sequential(nn.Linear(3, 4), nb.LIFCell()), nn.Linear(4, 4)), "Sequential.*" + PAIR),
    "nn.Sequential in SequentialState": (lambda: nb.SequentialState(nn.Sequential(nn.Linear(3, 4), nb.LIFCell())), "Sequential.*" + PAIR),
    "compiled nn.Sequential in SequentialState": (
        lambda: nb.SequentialState(torch.compile(nn.Sequential(nn.Linear(3, 4), nb.LIFCell()), backend="eager")),
        "Sequential.*" + PAIR,
    ),
    "nn.Sequential in Lift": (lambda: nb.Lift(nn.Sequential(nn.Linear(3, 4), nb.LIFCell())), "Lift: the Sequential.*" + PAIR),
    "complex weights": (lambda: cells(first=nn.Linear(3, 4, dtype=torch.complex64)), r"'0' \(Linear\): it holds complex numbers"),
    "no values": (lambda: cells(first=nn.Linear(3, 4, device="meta")), r"'0' \(Linear\): it is on the device 'meta'"),
    "sparse weights": (lambda: changed(cells(), sparse_weight), r"'0' \(Linear\): it holds a sparse tensor .torch.sparse_csr."),
    "parameters without values": (
        lambda: cells(cell=nb.LIFCell(nb.LIFParameters(v_th=torch.ones(4, device="meta")))),
        r"'1' \(LIFCell\): it is on the device 'meta'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_model_with_code_of_its_own_is_refused(case):
    make, message = REFUSED[case]
    model = make()
    with pytest.raises(NetworkError, match=message):
        nb.to_network(model)
    with pytest.raises(NetworkError, match=message):
        nb.simulate(model, torch.zeros(2, 1, *((1, 1, 1) if case == "exported_as" else (3,))))


EQUAL = {
    "the same under another name": lambda: cells(cell=Renamed()),
    "says what it is": lambda: cells(cell=SaysSo()),
    "weight_norm": lambda: changed(cells(), old(weight_norm)),
    "spectral_norm": lambda: changed(cells(), old(spectral_norm)).eval(),
    "parametrised weight norm": lambda: changed(cells(), lambda m: parametrizations.weight_norm(m[0])),
    "parametrised spectral norm": lambda: changed(cells(), new_spectral_norm).eval(),
    "prune": lambda: changed(cells(), stale_mask),
    "prune twice": lambda: changed(changed(cells(), stale_mask), stale_mask),
    "prune of a recurrent cell": lambda: cells(cell=pruned_cell()),
    "nn.Sequential": lambda: nn.Sequential(nn.Linear(3, 4), nb.Lift(nb.LIFCell())),
    "nn.Sequential in nn.Sequential": lambda: nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Identity(), nb.LIF())),
    "compiled": lambda: torch.compile(cells(), backend="eager"),
    "compiled in part": lambda: cells(cell=torch.compile(nb.LIFCell(), backend="eager")),
    "state hooks": lambda: changed(cells(), lambda m: m.register_forward_state_hooks(doubled)),
}


@pytest.mark.parametrize("case", EQUAL)
def test_a_model_with_code_of_its_own_is_the_same_in_the_engine(case):
    torch.manual_seed(4)
    model, data = EQUAL[case](), binary(150, 2, 3, rate=0.4)
    with torch.no_grad():
        for name, parameter in model.double().named_parameters():
            if name.startswith(("0.weight", "0.bias", "_orig_mod.0.")) and "original1" not in name:
                parameter.mul_(8)
    result = nb.simulate(model, data)  # before the model has run: what hooks compute is computed here
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        wanted = model(data)[0] if case.startswith("nn.") else run_cells(model, data)
    assert 0.01 < wanted.mean() < 0.95
    assert torch.equal(result.outputs, wanted)


def test_a_sum_of_spikes_in_tensorboard_is_no_obstacle():
    class Writer:
        def add_scalar(self, *given):
            pass

    model = cells()
    model[1].register_forward_hook(nb.hook_spike_activity_sum("sum", Writer()))
    assert nb.to_network(model).populations[1].size == 4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.cell = nn.Linear(3, 4), nb.LIFCell()

    def forward(self, x, state=None):
        return self.cell(self.linear(x), state)


@pytest.mark.parametrize(
    "model",
    [
        Net(),
        torch.compile(Net(), backend="eager"),
        nb.ExpFilter(3, 3),
        nb.RecurrentSequential(nb.LIFCell()),
        nn.DataParallel(cells()),
        nb.SequentialState(nb.LIFCell(), nn.LSTM(3, 3)),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_is_not_supported_is_said_before_any_shape_is_asked_for(model):
    with pytest.raises(NetworkError, match="cannot become part of a network"):
        nb.to_network(model)


@pytest.mark.parametrize("model", [3, None, nb.LIFCell, cells])
def test_what_is_no_module_is_refused(model):
    with pytest.raises(NetworkError, match="the model must be a module of torch"):
        nb.to_network(model, 3)
    with pytest.raises(NetworkError, match="the model must be a module of torch"):
        nb.simulate(model, torch.zeros(2, 1, 3))


@pytest.mark.parametrize("dt", [0.0, -0.001, float("nan"), float("inf"), "0.001", True, torch.ones(2), [0.001]])
def test_a_time_step_that_is_none_is_refused(dt):
    with pytest.raises(NetworkError, match="^dt must be a number above 0, in s, not " + re.escape(repr(dt))):
        nb.to_network(nb.LIFCell(), 3, dt=dt)


def test_a_layers_time_step_is_checked_and_compared_by_value():
    with pytest.raises(NetworkError, match="^LIFCell: dt must be a number above 0"):
        nb.to_network(nb.LIFCell(dt=-0.001), 3)
    dt = [torch.tensor(0.002, dtype=torch.float64) for _ in range(2)]
    network = nb.to_network(nb.SequentialState(nb.LIFRecurrentCell(3, 4, dt=dt[0]), nb.LICell(dt=dt[1])), dt=None)
    assert network.projections[1].delay.maximum == 2.0
    given = nb.to_network(nb.LIFRecurrentCell(3, 4), dt=dt[0])
    assert given.projections[1].delay.maximum == 2.0


@pytest.mark.parametrize("shape", [-1, 0, (2, -3), (2, 0), 2.0, (2.5,), "3", ("a",), True, object(), torch.rand(2)])
def test_a_shape_of_nonsense_is_refused(shape):
    with pytest.raises(NetworkError, match="^input_shape must be "):
        nb.to_network(nb.LIFCell(), shape)


@pytest.mark.parametrize("shape", [6, (2, 3), [2, 3], torch.Size([2, 3]), torch.tensor(6), torch.tensor([2, 3]), range(2, 4)])
def test_a_shape_is_a_number_or_several(shape):
    assert nb.to_network(nb.LIFCell(), shape).populations[0].size == 6
