"""Norse's adjoint functions: a step that keeps its inputs alone for the backward pass, which takes the step again.

    forward: (z, s') = step(x, s, W)      backward: the (surrogate) gradient of that same step, for x, s, W and the parameters

In Norse the backward pass is a discretised adjoint equation (after Wunderlich & Pehle 2021, Sci. Rep. 11:12829), which is not the
gradient of the forward pass: its coupling from v to i has tau_syn_inv where the step has tau_mem_inv. Here both passes are those of
the step, and what stays of the idea is the memory: nothing from inside the step is kept between the passes.

Each step of Norse has two lines here. ``X.apply(input, *fields of the state, *rest of the step's arguments)`` returns the spikes
and the fields of the new state, ``x_adjoint_step(input, s, *rest)`` what the step returns. Sparse (COO) input is taken by all.
"""

from __future__ import annotations

import inspect

import torch
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten
from torch.utils.checkpoint import checkpoint

from norse_bridge.neurons.lif import LIFFeedForwardState, LIFState, lif_feed_forward_step, lif_step
from norse_bridge.neurons.lif_mc import lif_mc_step
from norse_bridge.neurons.lif_mc_refrac import lif_mc_refrac_step
from norse_bridge.neurons.lif_refrac import (
    LIFRefracFeedForwardState,
    LIFRefracState,
    lif_refrac_feed_forward_step,
    lif_refrac_step,
)
from norse_bridge.neurons.lsnn import LSNNFeedForwardState, LSNNState, lsnn_feed_forward_step, lsnn_step


def recomputed(step, *args, **named):
    """``step(*args, **named)``, which is taken once more in the backward pass. Gradients reach every tensor in the arguments, also
    those in tuples; random spikes are drawn again as they were. Inside torch.func, which knows no such thing, the step is plain."""
    if torch._C._are_functorch_transforms_active():
        return step(*args, **named)
    leaves, spec = tree_flatten((args, named))

    def run(*leaves):
        args, named = tree_unflatten(leaves, spec)
        return step(*args, **named)

    return checkpoint(run, *leaves, use_reentrant=False)


def adjoint_step(name, step):
    """The step under Norse's name: ``(input, s, *rest of the step's arguments)``, recomputed in the backward pass."""

    def adjoint(input, s, *rest, **named):
        return recomputed(step, input, s, *rest, **named)

    adjoint.__name__ = adjoint.__qualname__ = name
    adjoint.__doc__ = f"`{step.__name__}`, recomputed in the backward pass: ``(z, state)``, and its gradient."
    adjoint.__dict__["__signature__"] = _signature(step, ("input", "s"))
    return adjoint


def adjoint_function(name, step, state):
    """The class with ``apply(input, *fields, *rest of the step's arguments) -> (z, *fields of the new state)``.

    state : from the fields to the state, such as the class of the tuple; its arguments are the fields' names
    """
    fields = tuple(inspect.signature(state).parameters)
    recurrent = "input_weights" in inspect.signature(step).parameters  # the state begins with z, which is returned once

    def apply(input, *rest):
        z, new = recomputed(step, input, state(*rest[: len(fields)]), *rest[len(fields) :])
        return (z, *tree_leaves(new)[1 if recurrent else 0 :])

    apply.__dict__["__signature__"] = signature = _signature(step, ("input", *fields))
    doc = f"``apply({', '.join(signature.parameters)})``: `{step.__name__}`, recomputed in the backward pass."
    return type(name, (), {"__module__": __name__, "__doc__": doc, "apply": staticmethod(apply)})


def _signature(step, first):
    """The step's signature with the arguments ``first`` in the place of input and state."""
    rest = list(inspect.signature(step).parameters.values())[2:]
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in first] + rest)


def _held(z, v, i, rho):
    return LIFRefracState(LIFState(z, v, i), rho)


def _held_feed_forward(v, i, rho):
    return LIFRefracFeedForwardState(LIFFeedForwardState(v, i), rho)


LIFFeedForwardAdjointFunction = adjoint_function("LIFFeedForwardAdjointFunction", lif_feed_forward_step, LIFFeedForwardState)
lif_feed_forward_adjoint_step = adjoint_step("lif_feed_forward_adjoint_step", lif_feed_forward_step)

LIFFeedForwardSparseAdjointFunction = adjoint_function(
    "LIFFeedForwardSparseAdjointFunction", lif_feed_forward_step, LIFFeedForwardState
)
lif_feed_forward_adjoint_step_sparse = adjoint_step("lif_feed_forward_adjoint_step_sparse", lif_feed_forward_step)

LIFAdjointFunction = adjoint_function("LIFAdjointFunction", lif_step, LIFState)
lif_adjoint_step = adjoint_step("lif_adjoint_step", lif_step)

LIFSparseAdjointFunction = adjoint_function("LIFSparseAdjointFunction", lif_step, LIFState)
lif_adjoint_step_sparse = adjoint_step("lif_adjoint_step_sparse", lif_step)

LIFAdjointRefracFeedForwardFunction = adjoint_function(
    "LIFAdjointRefracFeedForwardFunction", lif_refrac_feed_forward_step, _held_feed_forward
)
lif_refrac_feed_forward_adjoint_step = adjoint_step("lif_refrac_feed_forward_adjoint_step", lif_refrac_feed_forward_step)

LIFAdjointRefracFunction = adjoint_function("LIFAdjointRefracFunction", lif_refrac_step, _held)
lif_refrac_adjoint_step = adjoint_step("lif_refrac_adjoint_step", lif_refrac_step)

LIFSparseAdjointRefracFunction = adjoint_function("LIFSparseAdjointRefracFunction", lif_refrac_step, LIFRefracState)
lif_refrac_adjoint_step_sparse = adjoint_step("lif_refrac_adjoint_step_sparse", lif_refrac_step)

LIFMCAdjointFunction = adjoint_function("LIFMCAdjointFunction", lif_mc_step, LIFState)
lif_mc_adjoint_step = adjoint_step("lif_mc_adjoint_step", lif_mc_step)

LIFMCRefracAdjointFunction = adjoint_function("LIFMCRefracAdjointFunction", lif_mc_refrac_step, _held)
lif_mc_refrac_adjoint = adjoint_step("lif_mc_refrac_adjoint", lif_mc_refrac_step)

LSNNFeedForwardAdjointFunction = adjoint_function("LSNNFeedForwardAdjointFunction", lsnn_feed_forward_step, LSNNFeedForwardState)
lsnn_feed_forward_adjoint_step = adjoint_step("lsnn_feed_forward_adjoint_step", lsnn_feed_forward_step)

LSNNAdjointFunction = adjoint_function("LSNNAdjointFunction", lsnn_step, LSNNState)
lsnn_adjoint_step = adjoint_step("lsnn_adjoint_step", lsnn_step)
