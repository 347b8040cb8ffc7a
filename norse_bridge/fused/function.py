"""A time loop as an autograd function: what calls the kernels, on how many threads, and what is kept for the way back."""

from __future__ import annotations

import ctypes
import functools
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.fused import kernels, recurrent
from norse_bridge.fused.kernels import (
    LENGTH,
    SPACING,
    LoopSpec,
    compile_loop,
    make_backward,
    make_backward_range,
    make_forward,
    make_forward_range,
    rows_of,
)
from norse_bridge.fused.memory import empty
from norse_bridge.fused.product_function import OuterSum
from norse_bridge.fused.products import LANE_BYTES, in_blocks
from norse_bridge.fused.rows import STREAMED
from norse_bridge.fused.threads import run_on_threads

FAR_BYTES = 1 << 23  # what is larger has left the caches before anybody reads it
SENDERS_WORK = 16  # a neuron's sums, in steps of a neuron
SMALL_WORK = 1 << 20  # steps times neurons below which one thread is as fast as several


class Plan(NamedTuple):
    """A loop to run: the spec, and its arrays' extents.

    steps, shape : of what comes out, (steps, *shape); an element is a neuron of a sample
    recorded : whether the states after every step are wanted
    kept : whether a gradient may be asked for, and states are stored for it
    table : the coefficients as kernels read them, where no gradient of them can be asked for; else None
    seen : whether anybody can ask for the gradient of the state at the beginning
    """

    spec: LoopSpec
    steps: int
    shape: tuple[int, ...]
    recorded: bool
    kept: bool
    table: torch.Tensor | None
    seen: bool

    @property
    def elements(self) -> int:
        """The neurons of all samples."""
        return math.prod(self.shape)

    @property
    def chunks(self) -> int:
        """How many times the states are stored."""
        return -(-self.steps // SPACING)


def _address(tensor) -> int:
    return 0 if tensor is None else tensor.data_ptr()


class Kernel:
    """A compiled loop with the addresses that it reads.

    kernel : compiled; size : of its context; words : the context's words, numbers or tensors; own_bytes : the
    memory of each worker

    The tensors given here are kept as long as this; `point` changes words before the next `run`, whose tensors the caller keeps.
    """

    def __init__(self, kernel, size: int, words: dict[int, Any], workers: int, own_bytes: int):
        self.kernel, self.held, self.workers = kernel, words, workers
        self.context = (ctypes.c_int64 * size)()
        self.scratch = torch.empty(workers * own_bytes + LANE_BYTES, dtype=torch.uint8)
        address = self.scratch.data_ptr()
        self.point({**words, kernels.SCRATCH: address + -address % LANE_BYTES})

    def point(self, words: dict[int, Any]):
        """Set words of the context."""
        for word, value in words.items():
            self.context[word] = value if isinstance(value, int) else _address(value)

    def run(self, count: int):
        """Run all ``count`` elements or samples; the bits of the results do not depend on the number of threads."""
        self.context[kernels.NEXT] = 0
        run_on_threads(self.kernel, self.context, count, self.workers)


def _workers(work: int, pieces: int) -> int:
    """Threads for so much work, which can be had in so many pieces."""
    return min(torch.get_num_threads(), pieces) if work >= SMALL_WORK else 1


def _past_caches(plan: Plan, out) -> bool:
    """Whether what is written is so much that it cannot stay in the caches; and its rows begin where such writing needs it."""
    row = plan.elements * plan.spec.dtype.itemsize
    return plan.steps * row >= FAR_BYTES and row % STREAMED == 0 and _address(out) % STREAMED == 0


def _run(maker, plan: Plan, words: dict[int, Any], x, of_x=None):
    """Run a time loop without recurrence. of_x : the gradient of x, backward"""
    inputs, gradients = ctypes.c_int64(_address(x)), ctypes.c_int64(_address(of_x))
    known = {
        kernels.STEPS: plan.steps,
        kernels.ELEMENTS: plan.elements,
        kernels.EVERY: SPACING,
        kernels.INPUT: ctypes.addressof(inputs),
        kernels.INPUT_GRADIENT: ctypes.addressof(gradients),
        kernels.STREAM: int(_past_caches(plan, of_x if kernels.OUTPUT not in words else words[kernels.OUTPUT])),
    }
    workers = _workers(plan.steps * plan.elements, -(-plan.elements // LENGTH))
    own_bytes = rows_of(plan.spec).size * LENGTH * plan.spec.dtype.itemsize
    Kernel(compile_loop(maker, plan.spec), kernels.SIZE, {**known, **words}, workers, own_bytes).run(plan.elements)


def tabulate(plan: Plan, coefficients):
    """The coefficients as the kernels read them: (coefficients, elements) if they differ between elements, else (.., 1)."""
    if plan.table is not None:
        return plan.table
    columns = [c.detach().expand(plan.shape).reshape(-1) for c in coefficients] if plan.spec.own else coefficients
    return torch.stack(columns).detach().contiguous()


def spread(wanted, found, coefficients):
    """For each coefficient its gradient, summed over the elements if it is one number; None where it is not wanted."""
    rows = iter(found)
    if not coefficients:
        return []
    return [
        None if not want else next(rows).sum() if c.ndim == 0 else next(rows).view(c.shape)
        for want, c in zip(wanted, coefficients, strict=True)
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
    return tensor if tensor.is_contiguous() and not tensor.is_neg() else tensor.resolve_neg().contiguous()


def _begun(plan: Plan, state) -> list[torch.Tensor]:
    """The states of the beginning for each neuron, to be those of the end: tensors of their own, in memory one after another."""
    rows = np.empty((plan.spec.states, *plan.shape), plan.spec.dtype)
    given = (state.resolve_neg() if state.is_neg() else state).detach().numpy()
    rows[...] = given if given.ndim == rows.ndim else given.reshape(-1, *(1 for _ in plan.shape))
    return [torch.from_numpy(rows[n, ...]) for n in range(len(rows))]


def _of_beginning(plan: Plan, state, gradient):
    """The gradient of the state of the beginning, given that of each neuron; None if nobody can ask for it."""
    if not plan.seen:
        return None
    return gradient if state.ndim == gradient.ndim else gradient.flatten(1).sum(1)


def _split(plan: Plan, gradients):
    """The gradients of the outputs, of the states at the end (a copy: (states, ...)) and of the history, or None."""
    of_outputs, *of_states = map(_plain, gradients)
    of_history = of_states.pop() if plan.recorded else None
    return of_outputs, torch.stack(of_states), of_history


def _wanting(plan: Plan, needs) -> Plan:
    """The plan of the way back. needs : of which coefficients the gradient is wanted; nothing where none was given"""
    return plan._replace(spec=plan.spec._replace(wanted=tuple(needs) or plan.spec.wanted))


class TimeLoop(torch.autograd.Function):
    """``apply(plan, again, x, state, *coefficients) -> (outputs, *states at the end[, history])``.

    x : (steps, ...); state : (states, ...), or (states,) where each is one number for all; coefficients : 0-d, or (...)
    outputs : (steps, ...); states at the end : (...) each; history : (steps, states, ...)
    again : ``(x, state, *coefficients) -> outputs`` by the plain loop: for gradients of gradients
    """

    @staticmethod
    def forward(ctx, plan, again, x, state, *coefficients):
        table, end = tabulate(plan, coefficients), _begun(plan, state)
        stored = empty((plan.chunks, len(end), *plan.shape), state) if plan.kept else None
        outputs = empty((plan.steps, *plan.shape), state)
        history = empty((plan.steps, len(end), *plan.shape), state) if plan.recorded else None
        words = {
            kernels.COEFFICIENTS: table,
            kernels.OUTPUT: outputs,
            kernels.STATE: end[0],
            kernels.STORED: stored,
            kernels.HISTORY: history,
        }
        _run(make_forward, plan, words, _plain(x))
        ctx.plan, ctx.again = plan, again
        ctx.save_for_backward(x, state, *coefficients, table, stored)
        return (outputs, *end, history) if plan.recorded else (outputs, *end)

    @staticmethod
    @pulled_back
    def backward(ctx, *gradients):
        x, state, *coefficients, table, stored = ctx.saved_tensors
        x, table, stored = _plain(x), _plain(table), _plain(stored)
        plan = _wanting(ctx.plan, ctx.needs_input_grad[4:])
        of_outputs, of_state, of_history = _split(plan, gradients)
        of_x, found = empty(x.shape, x), x.new_zeros((sum(plan.spec.wanted), plan.elements))
        words = {
            kernels.COEFFICIENTS: table,
            kernels.STORED: stored,
            kernels.OUTPUT_GRADIENT: of_outputs,
            kernels.STATE_GRADIENT: of_state,
            kernels.HISTORY_GRADIENT: of_history,
            kernels.COEFFICIENT_GRADIENT: found,
        }
        _run(make_backward, plan, words, x, of_x)
        return None, None, of_x, _of_beginning(plan, state, of_state), *spread(plan.spec.wanted, found, coefficients)


class RecurrentLoop(torch.autograd.Function):
    """``apply(plan, again, x, input_weights, weights, z, state, *coefficients) -> (outputs, *states at the end[, history])``.

    x : (steps, batch, inputs); input_weights : (hidden, inputs); weights : (hidden, hidden); z : (batch, hidden), the spikes before
    the first step; state, coefficients, again and what comes out : as in `TimeLoop`, with (batch, hidden)

    What is kept for the way back: a byte for each spike and every 16th state. What was received is computed again.
    """

    @staticmethod
    def forward(ctx, plan, again, x, input_weights, weights, z, state, *coefficients):
        table, end, given = tabulate(plan, coefficients), _begun(plan, state), _plain(x)
        steps, kept = len(x), plan.kept
        outputs = empty((steps, *z.shape), state)
        stored = empty((plan.chunks, len(end), *z.shape), state) if kept else None
        fired = torch.empty((steps, *z.shape), dtype=torch.uint8) if kept else None
        history = empty((steps, len(end), *z.shape), state) if plan.recorded else None
        words = {
            kernels.STEPS: steps,
            kernels.COEFFICIENTS: table,
            kernels.OUTPUT: outputs,
            kernels.STATE: end[0],
            kernels.STORED: stored,
            kernels.HISTORY: history,
            recurrent.FROM_OUTSIDE: given,
            recurrent.FED_BACK: _plain(z),
            recurrent.FIRED: fired,
            recurrent.RECEIVED: state.new_empty((2, SPACING, *z.shape)),
        }
        _recurrent_kernel(recurrent.compile_forward, plan, words, x, input_weights, weights).run(len(z))
        ctx.plan, ctx.again = plan, again
        ctx.save_for_backward(x, input_weights, weights, z, state, *coefficients, table, stored, fired)
        return (outputs, *end) if history is None else (outputs, *end, history)

    @staticmethod
    @pulled_back
    def backward(ctx, *gradients):
        x, input_weights, weights, z, state, *coefficients, table, stored, fired = ctx.saved_tensors
        x, input_weights, weights, z, table, stored, fired = map(_plain, (x, input_weights, weights, z, table, stored, fired))
        plan = _wanting(ctx.plan, ctx.needs_input_grad[7:])
        of_outputs, of_state, of_history = _split(plan, gradients)
        needs, hidden, of_x = ctx.needs_input_grad, len(weights), None
        of_input_weights = OuterSum(x.shape[2], hidden, x) if needs[3] else None
        of_weights = OuterSum(hidden, hidden, x) if needs[4] else None
        if needs[2]:
            of_x = empty(x.shape, x)
        fed_back, before = z.new_empty((SPACING, *z.shape)), torch.empty_like(stored[0])
        of_received, of_later = z.new_empty((2, SPACING, *z.shape)), torch.empty_like(z)
        found = z.new_zeros((sum(plan.spec.wanted), plan.elements))
        words = {
            kernels.COEFFICIENTS: table,
            kernels.OUTPUT_GRADIENT: torch.empty_like(z),
            kernels.STATE_GRADIENT: of_state,
            kernels.COEFFICIENT_GRADIENT: found,
            kernels.STATE: before,
            recurrent.FED_BACK: fed_back,
            recurrent.RECEIVED: torch.empty_like(of_received),
            recurrent.KEPT: z.new_empty((SPACING, *stored[0].shape)),
            recurrent.OF_RECEIVED: of_received,
            recurrent.OF_LATER: of_later,
            recurrent.BLOCKS_BACK: in_blocks(weights),
            recurrent.INPUT_BLOCKS_BACK: None if of_x is None else in_blocks(input_weights),
            recurrent.BACK: compile_loop(make_backward_range, plan.spec).address,
        }
        kernel = _recurrent_kernel(recurrent.compile_backward, plan, words, x, input_weights, weights)
        for chunk in reversed(range(len(stored))):
            begin, end = chunk * SPACING, min(len(x), (chunk + 1) * SPACING)
            steps = end - begin
            fed_back[0] = fired[begin - 1] if begin else z
            fed_back[1:steps] = fired[begin : end - 1]
            before.copy_(stored[chunk])
            kernel.point(
                {
                    kernels.STEPS: steps,
                    kernels.HISTORY_GRADIENT: of_history[begin] if plan.recorded else 0,
                    recurrent.FROM_OUTSIDE: x[begin],
                    recurrent.ANY_GRADIENT: of_outputs[begin],
                    recurrent.LATER: int(end < len(x)),
                    recurrent.OF_OUTSIDE: 0 if of_x is None else of_x[begin],
                }
            )
            kernel.run(len(z))
            of_input, of_fed_back = of_received[:, :steps].flatten(1, 2)  # (steps * batch, hidden)
            if of_input_weights is not None:
                of_input_weights.add(x[begin:end].flatten(0, 1), of_input)
            if of_weights is not None:
                of_weights.add(fed_back[:steps].flatten(0, 1), of_fed_back)
        of_z = of_later @ weights if needs[5] else None
        sums = (None if outer is None else outer.sum() for outer in (of_input_weights, of_weights))
        of_begin = _of_beginning(plan, state, of_state)
        return None, None, of_x, *sums, of_z, of_begin, *spread(plan.spec.wanted, found, coefficients)


def _recurrent_kernel(compile_kernel, plan: Plan, words: dict[int, Any], x, input_weights, weights) -> Kernel:
    """The kernel of a recurrent loop, ready to run."""
    (_, batch, senders), hidden = x.shape, len(weights)
    workers = _workers(len(x) * plan.elements * SENDERS_WORK, batch)
    group, widest = recurrent.group_of(batch, workers), max(senders, hidden)
    at_once = recurrent.steps_at_once(group, widest)
    forward = plan.spec._replace(wanted=(False,) * len(plan.spec.wanted))  # one kernel, whatever is trained
    known = {
        kernels.ELEMENTS: plan.elements,
        recurrent.BATCH: batch,
        recurrent.SENDERS: senders,
        recurrent.HIDDEN: hidden,
        recurrent.GROUP: group,
        recurrent.AT_ONCE: at_once,
        recurrent.INPUT_BLOCKS: in_blocks(input_weights.T),
        recurrent.BLOCKS: in_blocks(weights.T),
        recurrent.STATES: plan.spec.states,
        recurrent.ROW_BYTES: rows_of(plan.spec).size * LENGTH * plan.spec.dtype.itemsize,
        recurrent.AGAIN: compile_loop(make_forward_range, forward).address,
    }
    own_bytes = recurrent.worker_bytes(plan.spec, group * at_once, widest)
    return Kernel(compile_kernel(plan.spec.dtype), recurrent.SIZE, {**known, **words}, workers, own_bytes)
