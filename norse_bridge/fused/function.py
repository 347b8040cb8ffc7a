"""A time loop as an autograd function: what calls the kernels, on how many threads, and what is kept for the way back."""

from __future__ import annotations

import ctypes
import functools
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.fused import kernels
from norse_bridge.fused.kernels import LENGTH, LoopSpec, compile_loop, rows_of

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


def numpy_type(dtype):
    """NumPy's name of a torch type."""
    return torch.empty(0, dtype=dtype).numpy().dtype


def _empty(shape, like):
    """A tensor without values, of the type of another one. NumPy asks the system for large pages where an array is large: torch,
    which does not, would need as long for the first touch of its pages as the kernel for the steps."""
    return torch.from_numpy(np.empty(shape, numpy_type(like.dtype)))


def _address(tensor) -> int:
    return 0 if tensor is None else tensor.data_ptr()


class Kernel:
    """A compiled loop with the addresses that it reads. words : the context's words, numbers or tensors

    The tensors have to live as long as this. `point` changes words before the next `run`.
    """

    def __init__(self, name: str, plan: Plan, words: dict[int, Any], inputs, input_gradients=None):
        self.call, self.plan = compile_loop(name, plan.spec).ctypes, plan
        self.inputs = np.array([_address(x) for x in inputs], np.int64)
        self.input_gradients = np.array([_address(x) for x in (inputs if input_gradients is None else input_gradients)], np.int64)
        self.context = np.zeros(kernels.SIZE, np.int64)
        self.point({kernels.STEPS: plan.steps, kernels.ELEMENTS: plan.elements, kernels.EVERY: plan.every, **words})
        self.context[kernels.INPUT] = self.inputs.ctypes.data
        self.context[kernels.INPUT_GRADIENT] = self.input_gradients.ctypes.data
        self.scratch = self._scratch()

    def point(self, words: dict[int, Any]):
        """Set words of the context."""
        for word, value in words.items():
            self.context[word] = value if isinstance(value, int) else _address(value)

    def _scratch(self):
        return np.empty(rows_of(self.plan.spec).size * LENGTH, self.plan.spec.dtype)

    def _run(self, first: int, end: int, scratch):
        context = self.context.copy()
        context[kernels.SCRATCH] = scratch.ctypes.data
        self.call(context.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)), first, end)

    def run(self):
        """Run all elements; the bits of the results do not depend on the number of threads."""
        elements = self.plan.elements
        workers = min(torch.get_num_threads(), -(-elements // LENGTH)) if self.plan.steps * elements >= SMALL_WORK else 1
        bounds = [elements * worker // workers // LENGTH * LENGTH for worker in range(workers)] + [elements]
        if workers == 1:
            self._run(0, elements, self.scratch)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(self._run, bounds[:-1], bounds[1:], (self._scratch() for _ in range(workers))))


def tabulate(plan: Plan, coefficients):
    """The coefficients as the kernels read them: (coefficients, elements) if they differ between elements, else (.., 1)."""
    columns = plan.elements if plan.spec.own else 1
    return torch.stack([c.detach().expand(columns) for c in coefficients]).contiguous()


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
        given = [t if twice else t.detach().requires_grad_(need) for t, need in zip(given, needed, strict=True)]
        outputs = ctx.again(*given)
    asked = [tensor for tensor, need in zip(given, needed, strict=True) if need]
    found = iter(torch.autograd.grad(outputs, asked, gradients[: len(outputs)], create_graph=twice, allow_unused=True))
    return [next(found) if need else None for need in needed]


def pulled_back(by_the_kernel):
    """A backward pass that goes through the plain loop instead where gradients of gradients are asked for, or where Numba cannot
    compile the model on dual numbers."""

    @functools.wraps(by_the_kernel)
    def backward(ctx, *gradients):
        if not torch.is_grad_enabled():
            try:
                return by_the_kernel(ctx, *gradients)
            except ModelError as error:
                warnings.warn(f"the gradient goes through the plain loop of torch: {error}", RuntimeWarning, stacklevel=2)
        return None, None, *by_the_plain_loop(ctx, gradients)

    return backward


def _contiguous_copy(tensor):
    return tensor.detach().clone(memory_format=torch.contiguous_format)


class TimeLoop(torch.autograd.Function):
    """``apply(plan, again, x, state, *coefficients) -> (outputs, state at the end[, history])``.

    x : (steps, elements); state : (states, elements); coefficients : 0-d, or (elements,)
    again : ``(x, state, *coefficients) -> outputs`` by the plain loop: for gradients of gradients
    """

    @staticmethod
    def forward(ctx, plan, again, x, state, *coefficients):
        table, end, x = tabulate(plan, coefficients), _contiguous_copy(state), x.contiguous()
        chunks = -(-plan.steps // plan.every)
        stored = _empty((chunks, plan.spec.states, plan.elements), state) if plan.kept else None
        outputs = _empty((plan.steps, plan.elements), state)
        history = _empty((plan.steps, *state.shape), state) if plan.recorded else None
        words = {
            kernels.COEFFICIENTS: table,
            kernels.OUTPUT: outputs,
            kernels.STATE: end,
            kernels.STORED: stored,
            kernels.HISTORY: history,
        }
        Kernel("forward", plan, words, (x,)).run()
        ctx.plan, ctx.again = plan, again
        ctx.save_for_backward(x, state, *coefficients, table, stored)
        return (outputs, end, history) if plan.recorded else (outputs, end)

    @staticmethod
    @pulled_back
    def backward(ctx, *gradients):
        x, _, *coefficients, table, stored = ctx.saved_tensors
        plan = ctx.plan._replace(spec=ctx.plan.spec._replace(wanted=tuple(ctx.needs_input_grad[4:])))
        of_outputs, of_state, of_history = gradients[0].contiguous(), _contiguous_copy(gradients[1]), None
        if plan.recorded:
            of_history = gradients[2].contiguous()
        of_x, found = _empty(x.shape, x), _empty((sum(plan.spec.wanted), plan.elements), x)
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
        steps, kept = len(x), plan.kept
        outputs = _empty((steps, *z.shape), state)
        received = _empty((steps if kept else 1, 2, *z.shape), state)  # from outside, and fed back
        stored = _empty((steps, *state.shape), state) if kept else None
        history = _empty((steps, *state.shape), state) if plan.recorded else None
        kernel = Kernel("forward", plan, {kernels.COEFFICIENTS: table, kernels.STATE: end}, received[0])
        for t in range(steps):
            inputs = received[t if kept else 0]
            torch.mm(x[t], input_weights.T, out=inputs[0])
            torch.mm(spikes, weights.T, out=inputs[1])
            kernel.inputs[:] = [_address(one) for one in inputs]
            kernel.point({kernels.OUTPUT: outputs[t]})
            if stored is not None:
                kernel.point({kernels.STORED: stored[t]})
            if history is not None:
                kernel.point({kernels.HISTORY: history[t]})
            kernel.run()
            spikes.copy_(outputs[t])
        ctx.plan, ctx.again = plan, again
        ctx.save_for_backward(x, input_weights, weights, z, state, *coefficients, outputs, table, stored, received)
        return (outputs, end) if history is None else (outputs, end, history)

    @staticmethod
    @pulled_back
    def backward(ctx, *gradients):
        x, input_weights, weights, z, _, *coefficients, outputs, table, stored, received = ctx.saved_tensors
        plan = ctx.plan._replace(spec=ctx.plan.spec._replace(wanted=tuple(ctx.needs_input_grad[7:])))
        of_outputs, of_state = gradients[0], _contiguous_copy(gradients[1])
        of_history = gradients[2].contiguous() if plan.recorded else None
        of_received = _empty((2, *outputs.shape), outputs)
        found, of_spikes = _empty((sum(plan.spec.wanted), plan.elements), z), torch.empty_like(outputs[0])
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
        before = torch.cat((z.detach()[None], outputs[:-1])).flatten(0, 1)
        needs = ctx.needs_input_grad
        return (
            None,
            None,
            (of_input @ input_weights).reshape(x.shape) if needs[2] else None,
            of_input.T @ x.flatten(0, 1) if needs[3] else None,
            of_fed_back.T @ before if needs[4] else None,
            of_received[1, 0] @ weights if needs[5] else None,
            of_state,
            *spread(plan.spec.wanted, total, coefficients),
        )
