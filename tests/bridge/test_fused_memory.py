"""What a compiled loop keeps for its gradient is freed as soon as nothing needs it."""

import gc
import weakref

import pytest
import torch

import norse_bridge as nb


@pytest.mark.parametrize("layer", [nb.LIF(), nb.LIFRecurrent(5, 6)], ids=["LIF", "LIFRecurrent"])
def test_a_graph_is_freed_with_its_result(layer):
    gc.collect()
    gc.disable()  # so that only what refers to nothing else is freed
    try:
        outputs, state = layer(torch.rand(4, 3, 5, requires_grad=True))
        node = outputs.grad_fn
        while not hasattr(node, "again"):
            node = node.next_functions[0][0]
        kept = weakref.ref(node.again)
        outputs.sum().backward()
        assert kept() is not None
        del node, outputs, state
        assert kept() is None
    finally:
        gc.enable()
