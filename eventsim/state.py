"""What kernels share: the layout of a group's context, and the arrays behind it.

A *group* is what one worker updates in one sweep: its part of all populations with the same neuron and the same place in
the order of zero delays. A context is a row of int64: counts as they are, arrays by their address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

NEVER = 2**62  # a step that does not come

# The places of a context.
N = 0  # neurons of this group that this worker owns
STATE = 1  # real (states, N)
RHO = 2  # real (1, N): steps for which the neuron is still held
COMMON = 3  # real (1, params + 1): parameters and period; NaN-free filler where OWN has them
OWN = 4  # real (params + 1, N), or (params + 1, 0) if no parameter differs between neurons
STEP_COMMON = 5  # real (1, coefficients): the propagator of one step
STEP_OWN = 6  # real (coefficients, N) or empty
INPUT = 7  # real (ports, N): what has arrived in this step
FLAGS = 8  # uint8 (N,): bit 0 fired, bit 1 received something
OUT = 9  # int32 (N,): who fired, ascending
MARK = 10  # uint8 (N,): stands in TOUCHED
TOUCHED = 11  # int32 (N,): who received something in this step
LAST = 12  # int64 (N,): the step at whose end STATE is valid (sparse update)
DUE = 13  # int64 (N,): the step of the predicted spike, or NEVER
HEAD = 14  # int32 (SLOTS,): first neuron in each slot of the ring of predictions, or -1
NEXT = 15  # int32 (N,)
PREVIOUS = 16  # int32 (N,): the neuron before, or -1 - slot for the first
FLOW = 17  # float64 (params + 1, N or 1): parameters of the exact flow (of Euler's equivalent), for jumps and predictions
TABLE = 18  # float64 (TABLE_STEPS + 2, coefficients): propagators of 0 ... TABLE_STEPS steps and of a step without end
DT = 19  # float64 (1,), ms
UPDATES = 20  # neuron updates so far
ACTIVE = 21  # of these: neurons that received something or fired
SCALE = 22  # float64 (1,): sum of the magnitudes of the parameters, for rounding tolerances
SLOT = 23  # first slot of this group in the worker's array of inputs
GIDS = 24  # int32 (N,): number of each neuron in the network
TOUCHED_COUNT = 25  # how many of TOUCHED are used
KEY = 26  # key of the random numbers of a source
EVENTS = 27  # int64 (events,): steps of given spikes, ascending
EVENT_NEURONS = 28  # int32 (events,): their neurons, ascending within a step
EVENT_COUNT = 29
CURSOR = 30  # the next of EVENTS
SPARSE = 31  # 1 while the group is updated sparsely
SIZE = 32

SLOTS = 1024  # of the ring of predictions: a power of two
TABLE_STEPS = 512


@dataclass
class GroupState:
    """The arrays of one group of one worker and one batch item, and the context that points to them."""

    context: np.ndarray
    arrays: dict[int, np.ndarray] = field(default_factory=dict)

    def put(self, place: int, array: np.ndarray) -> None:
        """Own an array and point to it."""
        assert array.flags.c_contiguous
        self.arrays[place] = array
        self.context[place] = array.ctypes.data


def new_group_state(n: int, gids: np.ndarray, slot: int, dt: float, context: np.ndarray) -> GroupState:
    """What neurons and sources have in common: output, the ring of predictions, their numbers."""
    group = GroupState(context)
    context[N] = n
    context[SLOT] = slot
    group.put(GIDS, gids)
    group.put(OUT, np.empty(n, np.int32))
    group.put(DUE, np.full(n, NEVER, np.int64))
    group.put(HEAD, np.full(SLOTS, -1, np.int32))
    group.put(NEXT, np.empty(n, np.int32))
    group.put(PREVIOUS, np.empty(n, np.int32))
    group.put(DT, np.array([dt]))
    return group


def add_neurons(group: GroupState, spec: Any, values: Any, inputs: np.ndarray) -> None:
    """The arrays of a group of neurons. ``spec`` says which parameters differ, ``values`` holds them (see `program`)."""
    n = int(group.context[N])
    dtype = inputs.dtype
    group.put(STATE, np.ascontiguousarray(values.state, dtype))
    group.put(RHO, np.zeros((1, n if spec.holds else 0), dtype))
    group.put(INPUT, inputs)
    group.put(FLAGS, np.zeros(n, np.uint8))
    group.put(MARK, np.zeros(n, np.uint8))
    group.put(TOUCHED, np.empty(n, np.int32))
    group.put(LAST, np.zeros(n, np.int64))
    set_parameters(group, values, dtype)


def set_parameters(group: GroupState, values: Any, dtype: np.dtype) -> None:
    """(Re)write the parameters and everything that follows from them."""
    group.put(COMMON, np.ascontiguousarray(values.common.reshape(1, -1), dtype))
    group.put(OWN, np.ascontiguousarray(values.own, dtype))
    group.put(STEP_COMMON, np.ascontiguousarray(values.step_common.reshape(1, -1), dtype))
    group.put(STEP_OWN, np.ascontiguousarray(values.step_own, dtype))
    group.put(FLOW, np.ascontiguousarray(values.flow, np.float64))
    group.put(TABLE, np.ascontiguousarray(values.table, np.float64))
    group.put(SCALE, np.array([values.scale]))
