"""Logic on spikes: truth tables, types and gradients."""

import pytest
import torch

import norse_bridge as nb

A, B = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
TABLES = [
    ("logical_and", (A, B), [0, 0, 0, 1]),
    ("logical_or", (A, B), [0, 1, 1, 1]),
    ("logical_xor", (A, B), [0, 1, 1, 0]),
    ("posedge_detector", (A, B), [0, 0, 1, 0]),
    ("muller_c", (torch.zeros_like(A), A, B), [0, 0, 0, 1]),
    ("muller_c", (torch.ones_like(A), A, B), [0, 1, 1, 1]),
]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize(("name", "inputs", "wanted"), TABLES)
def test_truth_tables(name, inputs, wanted, kind):
    """bool, too: Norse's xor and posedge_detector fail on it."""
    found = getattr(nb, name)(*(column.to(kind) for column in inputs))
    assert found.dtype == kind
    assert found.tolist() == wanted


def gradients(function, *inputs):
    leaves = [torch.tensor(value, requires_grad=True) for value in inputs]
    function(*leaves).backward()
    return [leaf.grad.item() for leaf in leaves]


def test_gradients():
    assert gradients(nb.logical_and, 0.0, 1.0) == [1.0, 0.0]
    assert gradients(nb.logical_xor, 0.0, 1.0) == [-1.0, 1.0]
    assert gradients(nb.posedge_detector, 1.0, 0.0) == [1.0, -1.0]
    assert gradients(nb.logical_or, 0.0, 1.0) == pytest.approx([1 / 101**2] * 2, rel=1e-6)
    assert gradients(nb.logical_or, 0.0, 0.0) == [1.0, 1.0]
    # x1 x2 + (x1 + x2) y at y = 1, x1 = 1, x2 = 0 is 1; its derivatives are 1, 1 and 2
    assert gradients(nb.muller_c, 1.0, 1.0, 0.0) == pytest.approx([1 / 101**2, 1 / 101**2, 2 / 101**2], rel=1e-6)


def test_a_c_element_changes_when_its_inputs_agree():
    x1, x2 = torch.tensor([0, 1, 1, 0, 0, 1, 0.0]), torch.tensor([0, 0, 1, 1, 0, 0, 1.0])
    y, outputs = torch.tensor(0.0), []
    for a, b in zip(x1, x2, strict=True):
        y = nb.muller_c(y, a, b)
        outputs.append(y.item())
    assert outputs == [0, 0, 1, 1, 0, 0, 0]
