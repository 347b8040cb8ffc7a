"""What kernels share: the layout of a group's context, and the arrays behind it.

A *group* is what one worker updates in one sweep: its part of all populations with the same neuron and the same place in
the order of zero delays. A context is a row of int64: counts as they are, arrays by their address.
"""

from __future__ import annotations

from collections.abc import Mapping
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
FIRED = 8  # uint8 (N,): 1 where the neuron fired in this step
OUT = 9  # int32 (N,): who fired, ascending
MARK = 10  # uint8 (N,): stands in TOUCHED
TOUCHED = 11  # int32 (N,): who received something in this step
LAST = 12  # int64 (N,): the step at whose end STATE is valid (sparse update)
DUE = 13  # int64 (N,): the step of the predicted spike, or NEVER
HEAD = 14  # int32 (SLOTS,): first neuron in each slot of the ring of predictions, or -1
NEXT = 15  # int32 (N,)
PREVIOUS = 16  # int32 (N,): the neuron before, or -1 - slot for the first
FLOW = 17  # float64 (params + 1, N or 1): parameters of the exact flow (of Euler's equivalent), for jumps and predictions
TABLE = 18  # float64 (TABLE_ROWS, coefficients): propagators of many steps, digit by digit, and of a step without end
DT = 19  # float64 (1,), ms
UPDATES = 20  # neuron updates so far
ACTIVE = (
    21  # of these: neurons that received something or fired; in the sparse update all, predicted spikes counted `WAKE` times more
)
SLOT = 22  # first slot of this group in the worker's array of inputs
GIDS = 23  # int32 (N,): number of each neuron in the network
KEY = 24  # key of the random numbers of a source
EVENTS = 25  # int64 (events,): steps of given spikes, ascending
EVENT_NEURONS = 26  # int32 (events,): their neurons, ascending within a step
EVENT_COUNT = 27
CURSOR = 28  # the next of EVENTS
SPARSE = 29  # 1 while the group is updated sparsely
TOUCHED_COUNT = 30  # how many of TOUCHED there are so far in this step
INPUT_SIZE = 31  # ports * N
# The worker's synapses (`eventsim.rows.Rows`)
SYNAPSE_TARGETS = 32  # uint16 or uint32 (TARGET_COUNT,)
TARGET_COUNT = 33
SYNAPSE_WEIGHTS = 34  # float16, float32 or float64 (WEIGHT_COUNT,)
WEIGHT_COUNT = 35
SHARED_WEIGHTS = 36  # real (SHARED_COUNT,)
SHARED_COUNT = 37
RISES = 38  # float64 (2 states, N or 1): how far each state can lift the margin (`eventsim.ceiling`)
RATE_COUNT = 39  # of a Poisson source: how many entries FLOW has
# The same of synapses that are not stored (`eventsim.cpu.transient`)
TRANSIENT_TARGETS = 40
TRANSIENT_COUNT = 41
TRANSIENT_WEIGHTS = 42
TRANSIENT_WEIGHT_COUNT = 43
TRANSIENT_SHARED = 44
TRANSIENT_SHARED_COUNT = 45
SIZE = 46

SLOTS = 1024  # of the ring of predictions: a power of two
# Bits of a number of steps for which one propagator is tabulated: row L * 2**DIGIT + d is that of d * 2**(L * DIGIT) steps.
DIGIT = 8
WAKE = 7  # touched neurons that cost as much as it costs to find the step of a spike and to wait for it
FAR = 2**40  # steps after which a flow has come to rest
TABLE_ROWS = 40 // DIGIT * 2**DIGIT + 1  # all digits of numbers below FAR, and FAR


@dataclass
class GroupState:
    """The arrays of one group of one worker and one batch item, and the context that points to them."""

    context: np.ndarray
    arrays: dict[int, np.ndarray] = field(default_factory=dict)

    def put(self, place: int, array: np.ndarray) -> None:
        """Keep an array and point to it."""
        assert array.flags.c_contiguous
        self.arrays[place] = array
        self.context[place] = array.__array_interface__["data"][0]

    def put_all(self, arrays: Mapping[int, np.ndarray]) -> None:
        """Keep several arrays, by their place."""
        for place, array in arrays.items():
            self.put(place, array)


def share(number: int, size: int, worker: int, workers: int) -> tuple[int, int]:
    """The range of population ``number`` that a worker owns: as even as it can be, and not always the same one has most."""
    turn = number % workers
    return (size * worker + turn) // workers, (size * (worker + 1) + turn) // workers


def synapse_arrays(rows: Any) -> dict[int, np.ndarray]:
    """What `eventsim.rows.Rows` holds for delivery, by its place."""
    return {SYNAPSE_TARGETS: rows.targets, SYNAPSE_WEIGHTS: rows.weights, SHARED_WEIGHTS: rows.shared}


def synapse_counts(rows: Any) -> dict[int, int]:
    """The lengths of these arrays, by their place."""
    arrays = {TARGET_COUNT: rows.targets, WEIGHT_COUNT: rows.weights, SHARED_COUNT: rows.shared}
    return {place: len(array) for place, array in arrays.items()}


def transient_arrays(targets: np.ndarray, weights: np.ndarray, shared: np.ndarray) -> dict[int, np.ndarray]:
    """What a ring of synapses that are not stored holds for delivery, by its place."""
    return {TRANSIENT_TARGETS: targets, TRANSIENT_WEIGHTS: weights, TRANSIENT_SHARED: shared}


def transient_counts(targets: np.ndarray, weights: np.ndarray, shared: np.ndarray) -> dict[int, int]:
    """The lengths of these arrays, by their place."""
    return {TRANSIENT_COUNT: len(targets), TRANSIENT_WEIGHT_COUNT: len(weights), TRANSIENT_SHARED_COUNT: len(shared)}


def parameter_arrays(numbers: Any, dtype: np.dtype, dt: float) -> dict[int, np.ndarray]:
    """What follows from a group's parameters (`eventsim.program.Numbers`), by its place; kernels only read it."""
    return {
        COMMON: np.ascontiguousarray(numbers.common.reshape(1, -1), dtype),
        OWN: np.ascontiguousarray(numbers.own, dtype),
        STEP_COMMON: np.ascontiguousarray(numbers.step_common.reshape(1, -1), dtype),
        STEP_OWN: np.ascontiguousarray(numbers.step_own, dtype),
        FLOW: np.ascontiguousarray(numbers.flow),
        TABLE: np.ascontiguousarray(numbers.table),
        RISES: np.ascontiguousarray(numbers.rises),
        DT: np.array([dt]),
    }


def neuron_arrays(state: np.ndarray, holds: bool, inputs: np.ndarray) -> dict[int, np.ndarray]:
    """The arrays that a group of neurons writes to in every update, by their place. inputs: (ports, neurons), not copied."""
    n, dtype = inputs.shape[1], inputs.dtype
    return {
        STATE: state.copy(),
        RHO: np.zeros((1, n if holds else 0), dtype),
        INPUT: inputs,
        FIRED: np.zeros(n, np.uint8),
        OUT: np.empty(n, np.int32),
    }


def prediction_arrays(n: int) -> dict[int, np.ndarray]:
    """What the sparse update and Poisson sources need besides, by its place."""
    return {
        MARK: np.zeros(n, np.uint8),
        TOUCHED: np.empty(n, np.int32),
        LAST: np.zeros(n, np.int64),
        DUE: np.full(n, NEVER, np.int64),
        HEAD: np.full(SLOTS, -1, np.int32),
        NEXT: np.empty(n, np.int32),
        PREVIOUS: np.empty(n, np.int32),
    }
