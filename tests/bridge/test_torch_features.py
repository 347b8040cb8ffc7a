"""Layers under torch.compile, torch.func, autocast, DistributedDataParallel and Lightning: the results of the plain layers."""

import copy
import itertools
import shutil

import pytest
import torch
from shorter import shorter

import norse_bridge as nb

STEPS, BATCH, INPUTS, HIDDEN = 12, 4, 5, 6
P = nb.LIFParameters(v_th=torch.tensor(0.3), alpha=torch.tensor(10.0))
LSNN_P = nb.LSNNParameters(v_th=torch.tensor(0.3), tau_adapt_inv=torch.tensor(50.0), beta=torch.tensor(0.2), alpha=10.0)


def trained(p):
    """The parameters with a threshold that is trained."""
    return p._replace(v_th=torch.nn.Parameter(p.v_th.clone()))


MODELS = {
    "LIF": lambda: nb.LIF(P),
    "LIF with states": lambda: nb.LIF(P, record_states=True),
    "LIFRecurrent": lambda: nb.LIFRecurrent(INPUTS, HIDDEN, P),
    "LSNN": lambda: nb.LSNN(LSNN_P),
    "LSNNRecurrent": lambda: nb.LSNNRecurrent(INPUTS, HIDDEN, LSNN_P),
    "layers": lambda: nb.SequentialState(torch.nn.Linear(INPUTS, HIDDEN), nb.LIF(trained(P)), torch.nn.Linear(HIDDEN, 3), nb.LI()),
    "cells": lambda: nb.Lift(
        nb.SequentialState(torch.nn.Linear(INPUTS, HIDDEN), nb.LIFCell(P), nb.LSNNRecurrentCell(HIDDEN, 3, LSNN_P), nb.LICell())
    ),
}
CELLS = {
    "LIFCell": lambda: nb.LIFCell(P),
    "LIFRefracRecurrentCell": lambda: nb.LIFRefracRecurrentCell(INPUTS, HIDDEN, nb.LIFRefracParameters(P)),
    "LIFAdExRefracCell": lambda: nb.LIFAdExRefracCell(
        nb.LIFAdExRefracParameters(nb.LIFAdExParameters(v_th=torch.tensor(0.3), alpha=torch.tensor(10.0)), torch.tensor(1.0))
    ),
    "IzhikevichCell": lambda: nb.IzhikevichCell(
        nb.IzhikevichSpikingBehavior(nb.tonic_spiking.p._replace(v_th=-80.0), nb.tonic_spiking.s)
    ),
    "CobaLIFCell": lambda: nb.CobaLIFCell(
        INPUTS, HIDDEN, nb.CobaLIFParameters(v_thresh=torch.tensor(-25.0), v_reset=torch.tensor(-20.0))
    ),
    "LIFMCRecurrentCell": lambda: nb.LIFMCRecurrentCell(INPUTS, HIDDEN, P),
    "adjoint": lambda: nb.SNNCell(nb.lif_feed_forward_adjoint_step, nb.LIFCell(P).initial_state, P),
    "cells": lambda: nb.SequentialState(torch.nn.Linear(INPUTS, HIDDEN), nb.LIFCell(P), torch.nn.Linear(HIDDEN, 3), nb.LICell()),
}


def model_of(name, makers=MODELS):
    """A model in float64, with weights that make it fire."""
    torch.manual_seed(5)
    model = makers[name]().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def sequence(steps=STEPS):
    return 2.0 * torch.rand(steps, BATCH, INPUTS, dtype=torch.float64)


def loss_of(output):
    return (output * torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype).reshape(output.shape)).sum()


def run(model, x, state=None):
    """``(output, tensors of the state, gradients of the input and of all parameters)``."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    output, state = model(x, state)
    loss_of(output).backward()
    tensors = [leaf for leaf in torch.utils._pytree.tree_leaves(state) if isinstance(leaf, torch.Tensor)]
    return output, tensors, [x.grad, *(parameter.grad for parameter in model.parameters())]


def assert_close(found, wanted):
    """The same outputs, states and gradients, up to the rounding of float64."""
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    assert wanted[0].abs().sum() > 0 and wanted[2][0].abs().sum() > 0


def compiles(test):
    """A test in which torch.compile runs into warnings of torch itself: that autograd functions are not to be instantiated, that
    the gradient of an inner tensor was looked at, that torch.jit is old."""
    for text in ("not be instantiated:DeprecationWarning", "not a leaf Tensor:UserWarning", "torch.jit:DeprecationWarning"):
        test = pytest.mark.filterwarnings(f"ignore:.*{text}")(test)
    return test


@pytest.fixture
def compiler():
    """torch.compile with nothing left over from other tests."""
    torch.compiler.reset()
    yield torch.compile
    torch.compiler.reset()


@compiles
@pytest.mark.parametrize(
    ("name", "backend"),
    shorter(itertools.product(MODELS, ("eager", "aot_eager")), lambda name, backend: backend == "aot_eager" or name == "layers"),
)
def test_compiled_layers(name, backend, compiler):
    """Cells make one graph; a layer's loop over time may stay a call of its own."""
    model, x = model_of(name), sequence(4)
    wanted = run(model, x)
    assert_close(run(compiler(model, backend=backend, fullgraph=name == "cells"), x), wanted)


@compiles
@pytest.mark.parametrize("name", CELLS)
def test_compiled_cells_take_and_return_states(name, compiler):
    model, x = model_of(name, CELLS), sequence(4)
    compiled = compiler(model, backend="aot_eager", fullgraph=True)
    state = other = None
    for row in x:
        out, state = model(row, state)
        found, other = compiled(row, other)
        torch.testing.assert_close((found, other), (out, state), rtol=1e-9, atol=1e-12)
        assert torch.utils._pytree.tree_structure(other) == torch.utils._pytree.tree_structure(state)
    assert out.abs().sum() > 0


@compiles
def test_a_compiled_cell_among_others_carries_its_state(compiler):
    cell, linear = nb.LIFCell(P).double(), torch.nn.Linear(INPUTS, INPUTS).double()
    plain, compiled = nb.SequentialState(cell, linear), nb.SequentialState(compiler(cell, backend="eager"), linear)
    x = sequence()
    wanted, state = nb.Lift(plain)(x)
    found, other = nb.Lift(compiled)(x)
    assert torch.equal(found, wanted) and torch.equal(other[0].v, state[0].v) and found.std() > 0


@compiles
@pytest.mark.parametrize("name", [pytest.param("layers", marks=pytest.mark.slow), "cells"])
def test_compiled_by_inductor(name, compiler):
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("inductor needs a C++ compiler")
    model, x = model_of(name), sequence(3)
    wanted = run(model, x)
    assert_close(run(compiler(model), x), wanted)


@pytest.mark.parametrize("name", MODELS)
def test_functional_call_and_grad(name):
    model, x = model_of(name), sequence()
    _, _, (x_grad, *wanted) = run(model, x)
    parameters = {key: value.detach() for key, value in model.named_parameters()}

    def loss(parameters, x):
        return loss_of(torch.func.functional_call(model, parameters, (x,))[0])

    found, found_x = torch.func.grad(loss, argnums=(0, 1))(parameters, x)
    torch.testing.assert_close(found_x, x_grad)
    torch.testing.assert_close(list(found.values()), wanted)


@pytest.mark.parametrize("name", MODELS)
def test_vmap_over_the_batch(name):
    """Each sample alone, as one batch of samples: outputs, and the gradients of each."""
    model, x = model_of(name), sequence()
    wanted, _, _ = run(model, x)
    found = torch.func.vmap(lambda one: model(one)[0], in_dims=1, out_dims=1)(x)
    torch.testing.assert_close(found, wanted)
    parameters = {key: value.detach() for key, value in model.named_parameters()}
    if not parameters:
        return  # no weights, no parameters that require a gradient

    def loss(parameters, one):
        return torch.func.functional_call(model, parameters, (one,))[0].square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 1))(parameters, x)
    for j in range(BATCH):
        alone = torch.func.grad(loss)(parameters, x[:, j])
        torch.testing.assert_close({key: value[j] for key, value in each.items()}, alone)


@pytest.mark.parametrize("name", ["LIF", "LIFRecurrent", "LSNN"])
def test_jacobians(name):
    model, x = model_of(name), sequence(5)[:, :1]

    def output(x):
        return model(x)[0]

    wanted = torch.autograd.functional.jacobian(output, x)
    assert wanted.abs().sum() > 0
    torch.testing.assert_close(torch.func.jacrev(output)(x), wanted)


@pytest.mark.parametrize("name", MODELS)
def test_under_autocast_states_are_float32(name):
    """Linear maps run in bfloat16, neurons in float32: near v_th a bfloat16 has steps of 1/256, and dt tau_mem_inv is 1/10."""
    model, x = model_of(name).float(), sequence().float().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, state = model(x)
    assert output.dtype == torch.float32 and torch.isfinite(output).all()
    leaves = [leaf for leaf in torch.utils._pytree.tree_leaves(state) if isinstance(leaf, torch.Tensor)]
    assert leaves and all(leaf.dtype == torch.float32 for leaf in leaves)
    loss_of(output).backward()
    for parameter in (x, *model.parameters()):
        assert parameter.grad.dtype == torch.float32 and torch.isfinite(parameter.grad).all()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize("make", [lambda: nb.LIF(P), lambda: nb.LSNN(LSNN_P)])
def test_neurons_under_autocast_are_those_of_float32(make):
    x = sequence(100).to(torch.bfloat16)
    wanted, state = make()(x.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, other = make()(x)
    assert wanted.sum() > 0 and torch.equal(found, wanted)
    assert all(torch.equal(a, b) for a, b in zip(other, state, strict=True))


def train_a_part(rank, processes, store, model, x, results):
    """In a process of its own: one backward pass over this rank's part of the batch; puts the gradients in ``results``."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=processes)
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    part = x.chunk(processes, dim=1)[rank]
    output, _ = parallel(part)
    output.square().mean().backward()
    torch.save([parameter.grad for parameter in model.parameters()], f"{results}{rank}.pt")
    torch.distributed.barrier()  # gloo may hang where one process has left while the other still works
    del parallel
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel_gives_the_gradients_of_one_process(tmp_path):
    if not torch.distributed.is_available():
        pytest.skip("torch was built without torch.distributed")
    model = torch.nn.ModuleList([torch.nn.Linear(INPUTS, HIDDEN), nb.LIFRecurrent(HIDDEN, HIDDEN, P), nb.LIF(P), nb.LI()])
    model = nb.SequentialState(*model).double()
    x = sequence()
    arguments = (2, tmp_path / "store", model, x, str(tmp_path / "gradients"))
    torch.multiprocessing.spawn(train_a_part, arguments, nprocs=2)
    output, _ = model(x)
    output.square().mean().backward()
    wanted = [parameter.grad for parameter in model.parameters()]
    assert all(gradient.abs().sum() > 0 for gradient in wanted)
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"gradients{rank}.pt"), wanted)


@pytest.mark.filterwarnings("ignore")  # those of Lightning: about workers, loggers, and what its own code does
def test_lightning_fits_saves_and_loads(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nb.SequentialState(torch.nn.Linear(INPUTS, HIDDEN), nb.LIF(trained(P)), nb.LIFRecurrent(HIDDEN, 3), nb.LI())

        def training_step(self, batch, index):
            x, wanted = batch
            voltages, _ = self.net(x.transpose(0, 1))
            return (voltages[-1] - wanted).square().mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    data = torch.utils.data.TensorDataset(torch.rand(8, STEPS, INPUTS) * 4, torch.rand(8, 3))
    model = Net()
    before = copy.deepcopy(model.state_dict())
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_steps=2, accelerator="cpu", devices=1, default_root_dir=tmp_path, **quiet)
    trainer.fit(model, torch.utils.data.DataLoader(data, batch_size=4))
    assert trainer.global_step == 2
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name, _ in model.named_parameters()}
    trainer.save_checkpoint(tmp_path / "net.ckpt")
    loaded = Net.load_from_checkpoint(tmp_path / "net.ckpt")
    x = torch.rand(STEPS, 2, INPUTS) * 4
    assert torch.equal(loaded.net(x)[0], model.net(x)[0])
    assert loaded.net[1].p.v_th == model.net[1].p.v_th
