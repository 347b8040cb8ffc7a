"""Tuples of tensors as one thing: methods of all parameter and state tuples, tuples of one's own, Norse's pytree functions."""

import csv
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch.utils import _pytree

import norse_bridge as nb
from eventsim.errors import ModelError

METHODS = ("to", "cuda", "cpu", "int", "float", "broadcast")
with (Path(__file__).parent.parent / "data" / "norse_names.csv").open(newline="") as file:
    NAMES = [row["name"] for row in csv.DictReader(file) if row["kind"] == "tuple"]
TUPLES = [getattr(nb, name) for name in NAMES if hasattr(nb, name)]


class Mine(nb.StateTuple, NamedTuple, metaclass=nb.MultipleInheritanceNamedTupleMeta):
    """A state of one's own, in Norse's way."""

    v: Any
    count: int = 2

    def doubled(self):
        return self._replace(v=2 * self.v)


class Narrower(Mine):
    """A subclass of a tuple."""


@nb.state_tuple
class Decorated(NamedTuple):
    """A state of one's own, in our way."""

    v: Any
    name: str = "a"


@pytest.mark.parametrize("kind", TUPLES, ids=lambda kind: kind.__name__)
def test_all_tuples_have_the_methods_of_a_state_tuple(kind):
    """And are NamedTuples, as torch's pytrees, torch.func and torch.compile know them."""
    assert kind.__bases__ == (tuple,) and all(hasattr(kind, name) for name in METHODS)
    values = kind(*range(len(kind._fields)))
    assert _pytree.tree_leaves(values) == list(range(len(values)))


def test_parameters_change_type_and_place():
    p = nb.LIFRefracParameters(nb.LIFParameters(v_th=0.5), torch.tensor(2.5))
    for found, dtype in ((p.to(torch.float64), torch.float64), (p.int(), torch.int32), (p.int().float(), torch.float32)):
        assert type(found) is nb.LIFRefracParameters and type(found.lif) is nb.LIFParameters
        assert found.rho_reset.dtype == found.lif.v_leak.dtype == found.lif.alpha.dtype == dtype
        assert found.lif.v_th == 0.5 and type(found.lif.v_th) is float and found.lif.method == "super"
    assert p.int().rho_reset == 2 and p.rho_reset == 2.5
    assert p.to("meta").lif.tau_mem_inv.device.type == "meta"
    assert p.cpu().lif.tau_mem_inv.device.type == "cpu"


def test_cuda_needs_a_device():
    if torch.cuda.is_available():
        assert nb.LIFParameters().cuda().v_th.device.type == "cuda"
    else:
        with pytest.raises((AssertionError, RuntimeError), match="CUDA|cuda|NVIDIA"):
            nb.LIFParameters().cuda()


def test_broadcast():
    template = torch.zeros(2, 3)
    p = nb.LIFParameters(v_th=torch.arange(6.0).reshape(2, 3), v_leak=0.25).broadcast(template)
    assert p.tau_mem_inv.tolist() == [[100.0] * 3] * 2 and p.v_th.tolist() == [[0, 1, 2], [3, 4, 5]] and p.v_leak == 0.25
    p.tau_mem_inv[0, 0] = 1.0  # memory of its own
    assert p.tau_mem_inv.sum() == 501 and nb.LIFParameters().tau_mem_inv == 100
    assert torch.equal(nb.broadcast_input(3, template), torch.full((2, 3), 3))
    assert torch.equal(nb.broadcast_input(torch.tensor([3.0]), template), torch.full((2, 3), 3.0))
    scalar = torch.tensor(2.0, requires_grad=True)
    nb.broadcast_input(scalar, template).sum().backward()
    assert scalar.grad == 6
    with pytest.raises(ModelError, match=r"shape \(3,\) cannot take the shape \(2, 3\).*one element"):
        nb.broadcast_input(torch.ones(3), template)


def test_broadcast_parameters_give_the_same_spikes():
    x = torch.rand(40, 2, 3) * 2
    p = nb.LIFParameters()
    wanted = nb.LIF(p)(x)[0]
    assert wanted.sum() > 0 and torch.equal(nb.LIF(p.broadcast(x[0]))(x)[0], wanted)


@pytest.mark.parametrize("kind", [Mine, Narrower, Decorated])
def test_tuples_of_ones_own(kind):
    values = kind(torch.ones(2))
    assert kind._fields[0] == "v" and values._replace(v=1).v == 1 and kind.__doc__.startswith("A s")
    assert type(values.to(torch.float64)) is kind and values.to(torch.float64).v.dtype == torch.float64
    assert values.int()[1] == values[1]
    leaves, spec = _pytree.tree_flatten([values])
    assert len(leaves) == 2 and type(_pytree.tree_unflatten(leaves, spec)[0]) is kind
    again = pickle.loads(pickle.dumps(values))
    assert type(again) is kind and torch.equal(again.v, values.v)
    if kind is not Decorated:
        assert isinstance(values, nb.StateTuple) and values.doubled().v.tolist() == [2.0, 2.0]


def test_a_class_without_fields_keeps_its_metaclass():
    class Mixin(metaclass=nb.MultipleInheritanceNamedTupleMeta):
        answer = 42

    class Both(Mixin, NamedTuple):
        x: int

    assert Both(3).answer == 42 and Both(x=3) == (3,)


def test_register_tuple_makes_pytrees_look_into_a_subclass():
    class Sub(nb.LIFState):
        pass

    for _ in range(2):
        nb.register_tuple(Sub)
        found = _pytree.tree_map(lambda x: 2 * x, [Sub(1, 2, 3)])
        assert found == [Sub(2, 4, 6)] and type(found[0]) is Sub


def test_map_only():
    double = nb.map_only(torch.Tensor)(lambda tensor: 2 * tensor)
    assert double(torch.tensor(3.0)) == 6 and double(3.0) == 3.0
    tree = {"a": [1, torch.tensor(2)], "b": nb.LIState(torch.tensor(3.0), None)}
    found = nb.tree_map_only(torch.Tensor, lambda tensor: tensor + 1, tree)
    assert found == {"a": [1, torch.tensor(3)], "b": nb.LIState(torch.tensor(4.0), None)}
    assert nb.tree_map_only((int, float), str, [1, 2.0, "c", None]) == ["1", "2.0", "c", None]


def test_clone_tensor():
    weights = torch.nn.Parameter(torch.ones(2))
    copy = nb.clone_tensor(weights)
    assert type(copy) is torch.Tensor and not copy.requires_grad and copy.data_ptr() != weights.data_ptr()
    assert torch.equal(copy, weights)
    assert nb.clone_tensor(weights, "meta").device.type == "meta"
    assert nb.clone_tensor(3.5) == 3.5 and nb.clone_tensor(3).dtype == torch.int64
    with pytest.raises(ModelError, match="a tensor or a number, not a str"):
        nb.clone_tensor("3")


def test_state_tuples_go_through_torch_func():
    state = nb.LIFFeedForwardState(torch.rand(4, 3), torch.rand(4, 3))
    x = torch.rand(4, 3)
    z, new = torch.func.vmap(lambda x, s: nb.lif_feed_forward_step(x, s))(x, state)
    wanted, other = nb.lif_feed_forward_step(x, state)
    assert torch.equal(z, wanted) and type(new) is type(state) and torch.equal(new.v, other.v)
