"""Where everything stands on the device: a few arrays that kernels take, and the places of what each group has in them.

Neurons of all batch items are numbered through: neuron j of item b in a group of n is number ``b * n + j`` of the group; input slot
s of item b is ``b * slots + s``; a spike is ``b * size + gid``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from eventsim.procedural import NUMBERS

# What a group has, a row of int64. Places are those of the first element in the array that the comment names.
COUNT = 0  # neurons in each item
STATE = 1  # in `state`: (states, batch * COUNT)
RHO = 2  # in `state`: (batch * COUNT,)
PARAMS = 3  # in `numbers`: parameters and period, those that all neurons share
OWN = 4  # in `numbers`: (params + 1, COUNT) of those that differ
STEP = 5  # in `numbers`: the propagator of one step
STEP_OWN = 6  # in `numbers`: (coefficients, COUNT)
INPUT = 7  # in `arrived`: (ports, COUNT) of each item
NOISE, NOISE_END = 8, 9  # rows of `noise`
INCREMENT, INCREMENT_END = 10, 11  # rows of `increments`, times items
UNIT = 12  # in `numbers`: what 1 of `arrived` stands for, and its inverse
FIRST = 13  # in `gids`
UPDATE = 14  # which of the kinds of neurons of this network it is; -1: sources
GROUP_WORDS = 15

# A row of `noise`.
N_SLOT, N_COUNT, N_FIRST, N_GRAIN, N_CUTS, N_CUTS_END, N_LISTED, N_WEIGHT, N_WEIGHT_STEP, N_AHEAD = range(10)
NOISE_WORDS = 10
# A row of `increments`.
I_SLOT, I_COUNT, I_BEGIN, I_ROWS, I_STEP = range(5)
INCREMENT_WORDS = 5
# A row of `rules`: the words of `eventsim.procedural`, then these. R_PARTS: how many parts a row has, R_SPLIT: and each of its
# blocks; R_UNIT: of its targets' group, in `numbers`; R_PLACE: the slot of target 0; R_SHARED: its weight in `shared`, or -1;
# R_DELAY: in steps, or -1 where synapses have their own.
R_PARTS, R_SPLIT, R_UNIT, R_PLACE, R_SHARED, R_DELAY = range(NUMBERS, NUMBERS + 6)
RULE_WORDS = NUMBERS + 6

# A row of `watched`, states that are recorded. W_STATE, W_SIZE: of the group, as STATE and COUNT; W_COUNT: neurons, W_CHOSEN: where
# they stand in `chosen`; W_BEGIN: where their samples of this launch begin.
W_INTERVAL, W_STATE, W_SIZE, W_COUNT, W_CHOSEN, W_FIELDS, W_BEGIN = range(7)
WATCHED_WORDS = 7

# Places of `control`. FIRED: spikes in `fired`; BEGIN, 2: where those of a phase of updates begin, in turn; PENDING, 2: pieces that
# these have; SPILLED: pieces for which a list of the wheel had no room; STATUS, AT_STEP, AT_PHASE: why and where a launch ended.
FIRED = 0
BEGIN = 1
PENDING = 3
SPILLED = 5
STATUS, AT_STEP, AT_PHASE = 6, 7, 8
CONTROL_WORDS = 9
DONE, FIRED_FULL, SPILL_SMALL, WHEEL_FULL = range(4)  # statuses

# Places of `sizes`, which kernels only read. S_RING: the steps for which `arrived` has room, a power of two, less 1; S_RULES: of
# connectivity that is not stored.
S_SIZE, S_BATCH, S_SLOTS, S_LEVELS, S_WHEEL_SLOTS, S_LIST_ROOM, S_FIRED_ROOM, S_SPILL_ROOM, S_FIRST_STEP, S_AHEAD = range(10)
S_RING, S_RULES, S_WATCHED = range(10, 13)
SIZES_WORDS = 13

PIECE = 128  # synapses of a piece of a segment, at most
KIND_SHIFT = 40  # of its first word: where it begins below, its kind of weight above
LENGTH_BITS = 7  # of its second word: length - 1, its group, its slot
GROUP_BITS = 17
SLOT_SHIFT = LENGTH_BITS + GROUP_BITS
DELAY_BITS = 32  # of its third word: delay in steps, level of its group, whether it is due in the very next deliveries
NEXT_SHIFT = 62


class Arrays(NamedTuple):
    """What kernels take. real : the type of states"""

    sizes: Any  # int64 (SIZES_WORDS,)
    control: Any  # int64 (CONTROL_WORDS,)
    groups: Any  # int64 (groups * GROUP_WORDS,)
    first: Any  # int64 (levels + 1,): groups first[l] .. first[l + 1] - 1 are those of level l
    state: Any  # real
    numbers: Any  # real
    arrived: Any  # int64 (S_RING + 1, batch * slots): what is due in step t has row t % (S_RING + 1)
    gids: Any  # int32
    row: Any  # int64 (sources + 1,): pieces row[s] .. row[s + 1] - 1 are those of source s
    pieces: Any  # int64 (3 * pieces,)
    targets: Any  # uint16 or uint32
    weights: Any  # uint16 (float16), float32 or float64
    shared: Any  # real: those of stored synapses, then those of others
    wheel: Any  # int64 (lists * S_LIST_ROOM * 2,)
    waiting: Any  # int64 (lists,): how many pieces each list holds
    spill: Any  # int64 (S_SPILL_ROOM * 3,): list, and the two words of a piece
    fired: Any  # int64 (S_FIRED_ROOM,)
    ends: Any  # int64 (steps * levels,): FIRED after each phase of updates of this launch
    given: Any  # int64: spikes of sources in this launch
    given_ends: Any  # int64 (steps * levels + 1,)
    noise: Any  # int64 (entries * NOISE_WORDS,)
    keys: Any  # uint64 (batch * entries,)
    cuts: Any  # uint32
    listed: Any  # int64: where the thresholds of neurons with rates of their own begin
    increments: Any  # int64
    ahead: Any  # real (steps, batch, S_AHEAD): noise with rates that vary over time, in this launch
    tally: Any  # int64 (threads,): synaptic events that each thread has delivered, those that are not stored when they are made
    rules: Any  # int64 (rules * RULE_WORDS,)
    laws: Any  # float64 (rules * REALS + 1,): of `eventsim.procedural`, and dt in ms
    streams: Any  # uint64 (rules * 3,)
    orders: Any  # uint32: keys of permutations
    offsets: Any  # uint32: where the synapses of sources begin
    watched: Any  # int64 (watched * WATCHED_WORDS,)
    chosen: Any  # int32: neurons of groups
    samples: Any  # real: of each of `watched` (samples of this launch, batch, neurons, states)


REAL = ("state", "numbers", "shared", "ahead", "samples")  # arrays of the type of states
OTHERS = {  # and those of other types than int64
    "gids": np.int32,
    "keys": np.uint64,
    "cuts": np.uint32,
    "laws": np.float64,
    "streams": np.uint64,
    "orders": np.uint32,
    "offsets": np.uint32,
    "chosen": np.int32,
}


class Kinds(NamedTuple):
    """What two networks with the same kinds of neurons need different kernels for.

    targets, weights, real : types of targets, of weights as they are stored, and of states
    procedural : whether there are rows that are not stored
    """

    targets: np.dtype
    weights: np.dtype
    real: np.dtype
    procedural: bool = False


def dtypes_of(kinds: Kinds) -> dict[str, np.dtype]:
    """The type of the elements of each of `Arrays`."""
    known = {**dict.fromkeys(REAL, kinds.real), **OTHERS, "targets": kinds.targets, "weights": kinds.weights}
    return {name: np.dtype(known.get(name, np.int64)) for name in Arrays._fields}
