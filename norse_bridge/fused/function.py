"""A time loop as an autograd function: what calls the kernels, on how many threads, and what is kept for the way back."""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.fused import kernels
from norse_bridge.fused.kernels import LENGTH, LoopSpec, compile_loop, rows_of
from norse_bridge.fused.memory import empty
from norse_bridge.fused.rows import STREAMED
from norse_bridge.fused.threads import run_on_threads

FAR_BYTES = 1 << 23  # what is larger has left the caches before anybody reads it
SMALL_WORK = 1 << 18  # steps times neurons below which one thread is as fast as several


class Plan(NamedTuple):
    """A loop to run: the spec, and its arrays' extents.

    steps, elements : elements are the neurons of all samples
    every : steps between stored states
    recorded : whether the states after every step are wanted
    kept : whether a gradient may be asked for, and states are stored for it
    """

    spec: LoopSpec
    steps: int
    elements: int
    every: int
    recorded: bool
    kept: bool


def _address(tensor) -> int:
    return 0 if tensor is None else tensor.data_ptr()


class Kernel:
    """A compiled loop with the addresses that it reads. words : the context's words, numbers or tensors

    The tensors given here are kept as long as this; `point` changes words before the next `run`, whose tensors the caller keeps.
    """

    def __init__(self, name: str, plan: Plan, words: dict[int, Any], inputs, input_gradients=None):
        self.kernel, self.plan, self.held = compile_loop(name, plan.spec), plan, (words, inputs, input_gradients)
        self.inputs = np.array([_address(x) for x in inputs], np.int64)
        self.input_gradients = np.array([_address(x) for x in (inputs if input_gradients is None else input_gradients)], np.int64)
        self.context = np.zeros(kernels.SIZE, np.int64)
        self.point({kernels.STEPS: plan.steps, kernels.ELEMENTS: plan.elements, kernels.EVERY: plan.every, **words})
        self.context[kernels.STREAM] = self._past_caches(words.get(kernels.OUTPUT), input_gradients)
        self.context[kernels.INPUT] = self.inputs.ctypes.data
        self.context[kernels.INPUT_GRADIENT] = self.input_gradients.ctypes.data
        many = plan.steps * plan.elements >= SMALL_WORK
        self.workers = min(torch.get_num_threads(), -(-plan.elements // LENGTH)) if many else 1
        self.scratch = np.empty(self.workers * rows_of(plan.spec).size * LENGTH, plan.spec.dtype)
        self.context[kernels.SCRATCH] = self.scratch.ctypes.data

    def point(self, words: dict[int, Any]):
        """Set words of the context."""
        for word, value in words.items():
            self.context[word] = value if isinstance(value, int) else _address(value)

    def _past_caches(self, output, input_gradients):
        """Whether what is written is so much that it cannot stay in the caches; and its rows begin where such writing needs it."""
        row = self.plan.elements * self.plan.spec.dtype.itemsize
        out = [t for t in (output, *(() if input_gradients is None else input_gradients)) if t is not None]
        return self.plan.steps * row >= FAR_BYTES and row % STREAMED == 0 and all(_address(t) % STREAMED == 0 for t in out)

    def run(self):
        """Run all elements; the bits of the results do not depend on the number of threads."""
        self.context[kernels.NEXT] = 0
        run_on_threads(self.kernel, self.context, self.plan.elements, self.workers)


def tabulate(plan: Plan, coefficients):
    """The coefficients as the kernels read them: (coefficients, elements) if they differ between elements, else (.., 1)."""
    columns = [c.detach().expand(plan.elements) for c in coefficients] if plan.spec.own else coefficients
    return torch.stack(columns).detach().contiguous()


def spread(wanted, found, coefficients):
    """For each coefficient its gradient, summed over the elements if it is one number; None where it is not wanted."""
    rows = iter(found)
    return [
        None if not want else next(rows).sum() if c.ndim == 0 else next(rows) for want, c in zip(wanted, coefficients, strict=True)
    ]


def by_the_plain_loop(ctx, gradients):
    """The gradients by torch for all inputs but the first two, with a history where gradients of them are asked for."""
    given, needed, twice = ctx.saved_tensors[: len(ctx.needs_input_grad) - 2], ctx.needs_input_grad[2:], torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, since what was saved may depend on one another (dt/tau and tau): each shall have its own share alone.
        given = [t.view_as(t) if twice else t.detach().requires_grad_(need) for t, need in zip(given, needed, strict=True)]
        pairs = [pair for pair in zip(ctx.again(*given), gradients, strict=True) if pair[0].requires_grad]
    asked = [tensor for tensor, need in zip(given, needed, strict=True) if need]
    if not pairs:
        return [None for _ in needed]
    outputs, of_outputs = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(outputs, asked, of_outputs, create_graph=twice, allow_unused=True))
    return [next(found) if need else None for need in needed]


def _many_at_once(gradient) -> bool:
    """Whether a gradient stands for many, as under vmap and where torch is asked for a batch of gradients."""
    functorch = torch._C._functorch
    return functorch.is_batchedtensor(gradient) or functorch.is_legacy_batchedtensor(gradient)


def pulled_back(by_the_kernel):
    """A backward pass that goes through the plain loop instead where gradients of gradients are asked for, or many
    gradients at once, or where Numba cannot compile the model on dual numbers."""

    @functools.wraps(by_the_kernel)
    def backward(ctx, *gradients):
        if not torch.is_grad_enabled() and not any(_many_at_once(g) for g in gradients):
            try:
                return by_the_kernel(ctx, *gradients)
            except ModelError as error:
                warnings.warn(f"the gradient goes through the plain loop of torch: {error}", RuntimeWarning, stacklevel=2)
        return None, None, *by_the_plain_loop(ctx, gradients)

    return backward


def _plain(tensor):
    """The tensor as kernels read it: its numbers one after another, none of them to be negated on the way."""
    return tensor.resolve_neg().contiguous()


def _contiguous_copy(tensor):
    return _plain(tensor.detach()).clone()


class TimeLoop(torch.autograd.Function):
    """``apply(plan, again, x, state, *coefficients) -> (outputs, state at the end[, history])``.

    x : (steps, elements); state : (states, elements); coefficients : 0-d, or (elements,)
    again : ``(x, state, *coefficients) -> outputs`` by the plain loop: for gradients of gradients
    """

    @staticmethod
    def forward(ctx, plan, again, x, state, *coefficients):
        table, end = tabulate(plan, coefficients), _contiguous_copy(state)
        chunks = -(-plan.steps // plan.every)
        stored = empty((chunks, plan.spec.states, plan.elements), state) if plan.kept else None
        outputs = empty((plan.steps, plan.elements), state)
        history = empty((plan.steps, *state.shape), state) if plan.recorded else None
        words = {
            kernels.COEFFICIENTS: table,
            kernels.OUTPUT: outputs,
            kernels.STATE: end,
            kernels.STORED: stored,
            kernels.HISTORY: history,
        }
        Kernel("forward", plan, words, (_plain(x),)).run()
        ctx.plan, ctx.again = plan, again
        ctx.save_for_backward(x, state, *coefficients, table, stored)
        return (outputs, end, history) if plan.recorded else (outputs, end)

    @staticmethod
    @pulled_back
    def backward(ctx, *gradients):
        x, _, *coefficients, table, stored = (_plain(tensor) for tensor in ctx.saved_tensors)
        plan = ctx.plan._replace(spec=ctx.plan.spec._replace(wanted=tuple(ctx.needs_input_grad[4:])))
        of_outputs, of_state, of_history = _plain(gradients[0]), _contiguous_copy(gradients[1]), None
        if plan.recorded:
            of_history = _plain(gradients[2])
        of_x, found = empty(x.shape, x), empty((sum(plan.spec.wanted), plan.elements), x)
        words = {
            kernels.COEFFICIENTS: table,
            kernels.STORED: stored,
            kernels.OUTPUT_GRADIENT: of_outputs,
            kernels.STATE_GRADIENT: of_state,
            kernels.HISTORY_GRADIENT: of_history,
            kernels.COEFFICIENT_GRADIENT: found,
        }
        Kernel("backward", plan, words, (x,), (of_x,)).run()
        return None, None, of_x, of_state, *spread(plan.spec.wanted, found, coefficients)


class RecurrentLoop(torch.autograd.Function):
    """``apply(plan, again, x, input_weights, weights, z, state, *coefficients) -> (outputs, state at the end[, history])``.

    x : (steps, batch, inputs); input_weights : (hidden, inputs); weights : (hidden, hidden); z : (batch, hidden), the spikes before
    the first step; state : (states, batch * hidden); coefficients, again : as in `TimeLoop`

    A step is two matrix products by torch and one call of the kernel. States are stored before every step.
    """

    @staticmethod
    def forward(ctx, plan, again, x, input_weights, weights, z, state, *coefficients):
        table, end = tabulate(plan, coefficients), _contiguous_copy(state)
        spikes = _contiguous_copy(z)  # the bits of a product depend on where its factors begin: always at torch's own alignment
        steps, kept, x = len(x), plan.kept, x.resolve_neg()
        before = empty((steps, *z.shape), state) if kept else None  # the spikes that are fed back: `outputs` belongs to the user
        outputs = empty((steps, *z.shape), state)
        received = empty((steps if kept else 1, 2, *z.shape), state)  # from outside, and fed back
        stored = empty((steps, *state.shape), state) if kept else None
        history = empty((steps, *state.shape), state) if plan.recorded else None
        kernel = Kernel("forward", plan, {kernels.COEFFICIENTS: table, kernels.STATE: end}, received[0])
        for t in range(steps):
            inputs = received[t if kept else 0]
            torch.mm(x[t], input_weights.T, out=inputs[0])
            torch.mm(spikes, weights.T, out=inputs[1])
            if before is not None:
                before[t].copy_(spikes)
            kernel.inputs[:] = [_address(one) for one in inputs]
            kernel.point({kernels.OUTPUT: outputs[t]})
            if stored is not None:
                kernel.point({kernels.STORED: stored[t]})
            if history is not None:
                kernel.point({kernels.HISTORY: history[t]})
            kernel.run()
            spikes.copy_(outputs[t])
        ctx.plan, ctx.again = plan, again
        ctx.save_for_backward(x, input_weights, weights, z, state, *coefficients, before, table, stored, received)
        return (outputs, end) if history is None else (outputs, end, history)

    @staticmethod
    @pulled_back
    def backward(ctx, *gradients):
        x, input_weights, weights, z, _, *coefficients, before, table, stored, received = map(_plain, ctx.saved_tensors)
        plan = ctx.plan._replace(spec=ctx.plan.spec._replace(wanted=tuple(ctx.needs_input_grad[7:])))
        of_outputs, of_state = gradients[0], _contiguous_copy(gradients[1])
        of_history = _plain(gradients[2]) if plan.recorded else None
        of_received = empty((2, *before.shape), before)
        found, of_spikes = empty((sum(plan.spec.wanted), plan.elements), z), torch.empty_like(before[0])
        total = torch.zeros_like(found)
        words = {
            kernels.COEFFICIENTS: table,
            kernels.OUTPUT_GRADIENT: of_spikes,
            kernels.STATE_GRADIENT: of_state,
            kernels.COEFFICIENT_GRADIENT: found,
        }
        kernel = Kernel("backward", plan, words, received[0], of_received[:, 0])
        for t in reversed(range(len(x))):
            if t == len(x) - 1:
                of_spikes.copy_(of_outputs[t])
            else:
                torch.addmm(of_outputs[t], of_received[1, t + 1], weights, out=of_spikes)
            kernel.inputs[:] = [_address(one) for one in received[t]]
            kernel.input_gradients[:] = [_address(one) for one in of_received[:, t]]
            kernel.point({kernels.STORED: stored[t]})
            if of_history is not None:
                kernel.point({kernels.HISTORY_GRADIENT: of_history[t]})
            kernel.run()
            total += found
        of_input, of_fed_back = of_received.flatten(1, 2)  # (steps * batch, hidden)
        needs = ctx.needs_input_grad
        return (
            None,
            None,
            (of_input @ input_weights).reshape(x.shape) if needs[2] else None,
            of_input.T @ x.flatten(0, 1) if needs[3] else None,
            of_fed_back.T @ before.flatten(0, 1) if needs[4] else None,
            of_received[1, 0] @ weights if needs[5] else None,
            of_state,
            *spread(plan.spec.wanted, total, coefficients),
        )
