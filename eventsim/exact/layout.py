"""What the kernels of the exact engine share: their contexts, rows of int64, where arrays stand by their address."""

from __future__ import annotations

from numba import types

# Kinds of entries of the queue. At one time they come in this order: what arrives counts before anybody fires.
GIVEN, PROCESS, ARRIVE, FIRE = range(4)
KIND_SHIFT = 56  # of an entry's key: its kind above, below what it is about
GROUP_SHIFT = 32  # of what a FIRE entry is about: the group above, below the number in it

EVENT = types.int64(types.CPointer(types.int64), types.float64, types.int64, types.int64)
"""A kernel of a group: ``(context, t, a, b)``."""

# Words of a group's context
(
    N,  # neurons
    FIRST,  # number of the first in the network
    PLACE,  # which of the groups it is
    ENTRY,  # the key of a visit of the first of them; those of the others follow
    RECORD,  # float64 (N, width of the model): its states, then `LAST` ...
    WIDTH,  # bytes of a record
    PARAMS,  # float64 (N or 1, params + 1): the last one is the refractory period in ms
    STRIDE,  # params + 1 where neurons differ, else 0
    RISES,  # float64 (2 states, N or 1), see `eventsim.ceiling`
    RISE_COLUMNS,  # N or 1
    VISITS,  # the address of the words of the queue that says when to look at which neuron
    BY_DAY,  # whether that is done once a day for all that are due (`eventsim.exact.windows`); else entry by entry
    LOOP,  # the address of the loop's words
    WEIGHTS,  # of what arrives: the address of float64
    TIMES,  # when each arrives: the address of float64, or 0 if all come at one time
    STAGED,  # how many wait on the stage (`eventsim.exact.stage`)
    STAGE_KERNEL,  # the number of the receive kernel that they wait for
    STAGE_TIME,  # float64 (BLOCK,)
    STAGE_TARGET,  # int32 (BLOCK,)
    STAGE_WEIGHT,  # float64 (BLOCK,)
    STAGE_MARKS,  # int64 (MARKS,)
    STAGE_CHOSEN,  # int64 (BLOCK,): synapses whose neuron is to hear it
    BLOCK_STATES,  # float64 (states + BLOCK_ROWS + params, BLOCK): of the targets in work
    ARRIVED,  # synapses that were reached in this window
    FOLDABLE,  # whether it can be dense (`eventsim.exact.dense`)
    FROM,  # more than so many synapses are reached in a window where it pays to be so
    BELOW,  # and fewer than so many where it pays to be so no more
    PATIENCE,  # arrivals more or fewer than that, after which it changes
    CREDIT,  # how many there have been
    SEEN,  # the number of the window up to which they were counted
    DENSE,  # whether it is
    WANTED,  # whether it will be, from the next window on
    FOLD_GAINS,  # float64 (2 states + 2 ports,), see `eventsim.exact.fold.fold_gains`
    FOLD_ROWS,  # float64 (N, row_length), see `eventsim.exact.fold`
    FOLD_PORTS,  # int64 (ports,): those that something reaches, by their numbers among those of the model
    FOLD_COLUMNS,  # float64 (ports * states, BLOCK): what weights make of states by the window's end
    FOLD_WAITING,  # uint8 (N,): 1 for those that are refractory when the window begins
    FOLD_MARKS,  # uint8 (N,): 1 for those that take their input one by one
    FOLD_NUMBERS,  # int32 (N,): their numbers
    FOLD_MARKED,  # how many they are
    SHADOW,  # as RECORD: records when the window began, if it was paused
    NO_WEIGHTS,  # float64 (BLOCK,): zeros
    COMMIT,  # the addresses of kernels
    WAIT,
    FOLD,
    SETTLE,
    CONTEXT_SIZE,
) = range(47)

UNIFORM = 1 << 32
BLOCK = 64  # targets that are moved to the present at one go
BLOCK_ROWS = 4  # of a block between the states and parameters of its targets (`eventsim.exact.arrivals`)
MARKS = 64  # words, of 64 bits, by which targets on the stage are told apart
MOST_STAGED = 8  # synapses of a segment that go over the stage
MOST_FORESEEN = 256  # synapses of an entry that memory is asked for, with their targets, before it comes


# Of a neuron's record, behind its states, in ms: of its last event; until when it is refractory; when it fires if it hears nothing,
# or, if negative, minus a time before which it does not; of the first valid entry among the visits
LAST, FREE, PREDICTED, QUEUED, MORE = range(5)

# Words of the queue (`eventsim.exact.calendar`)
(
    QUEUE_TIME,  # float64 (room,): of what is due today, sorted, then in a heap
    QUEUE_KEY,  # int64 (room,)
    QUEUE_NEAR,  # its entries
    QUEUE_RUN,  # the first of the sorted ones
    QUEUE_RUN_END,  # the one behind the last: there the heap begins
    QUEUE_ROOM,  # for entries of all kinds
    QUEUE_WAITING,  # 8 bytes (chunks, 16): what is due later
    QUEUE_LATER,  # its entries
    QUEUE_FREE,  # the first free chunk
    QUEUE_HEADS,  # int64 (days,): the first chunk of each day of the year, or -1
    QUEUE_DAYS,  # of a year, a power of 2
    QUEUE_DAY,  # today
    QUEUE_PER_MS,  # days in a ms, a float64
    QUEUE_AHEAD,  # the chunk of tomorrow that is looked at, or -1
    QUEUE_AHEAD_AT,  # its entry that is looked at next
    QUEUE_TAKEN,  # entries that were taken out so far
    QUEUE_YEARS,  # years that passed without an entry: days are too short
    QUEUE_SIZE,
) = range(18)

# Statuses of the loop over events
DONE = 0  # everything until the end of the run
GROW = 1  # the queue is full
FULL = 2  # the spike buffer is full
PAUSED = 3  # so many events as were asked for
ENDLESS = 4  # neurons fire and fire at one time
SWITCH = 5  # groups are to be dense from now on, or no more

# Words of the loop's context
(
    QUEUE_WORDS,  # the address of the queue's words
    GROUPS,  # how many
    CONTEXTS,  # int64 (groups,): addresses
    VISIT_KERNELS,  # int64 (groups,): addresses of kernels
    RECEIVES,  # int64 (groups * ports): that of port p of group g is number PORTS * g + p
    PORTS,  # a power of 2
    PORT_BITS,  # its exponent
    NEURONS,  # of the network, sources included
    PARCELS_OF,  # int64 (neurons + 1,): the parcels of each source
    DELAY,  # float64 (parcels,), ms
    SEGMENTS_OF,  # int64 (parcels + 1,)
    SEGMENT,  # int64 (segments, 3): number of the receive kernel, plus `UNIFORM` where weights are equal; first synapse; synapses
    SEGMENTS,
    PARCELS,
    TARGET,  # int32 (synapses,), within the group
    WEIGHT,  # float64 (synapses,)
    SYNAPSES,
    GIVEN_TIME,  # float64 (given,), ascending
    GIVEN_SOURCE,  # int32 (given,)
    GIVEN_COUNT,
    PROCESSES,  # how many point processes there are
    PROCESS_TABLE,  # float64 (processes, PROCESS_NUMBERS)
    PROCESS_STATE,  # int64 (processes, PROCESS_WORDS)
    CURVES,  # float64: the rates of processes that vary (`eventsim.rate_curve`), one after the other
    CURVES_SIZE,
    SPIKE_TIME,  # float64 (room,)
    SPIKE_SOURCE,  # int32 (room,)
    SPIKE_COUNT,
    SPIKE_SENT,  # so many of them are in order of time, and on their way
    SPIKE_ROOM,
    SORT_TIME,  # float64 (room,)
    SORT_KEY,  # int64 (3 room,)
    MOST_PARCELS,  # of one source
    EVENTS,  # synapses that spikes have reached so far
    FIRED,  # spikes so far
    BUDGET,  # synaptic events, entries, windows and visits after which to pause
    DAYS,  # the address of the words of the queue of visits where they are made once a day, or 0
    PART,  # the segment that arrives now, the first one that does not, and the synapses of the first that have been reached
    PARTS_END,
    REACHED,
    AT_ONCE,  # how many spikes came at one time, one after the other
    CLOCK,  # float64: see below
    DENSE_GROUPS,  # how many groups are dense (`eventsim.exact.dense`)
    LIST_TIME,  # float64 (room,), ms: what arrives in a dense window
    LIST_ENTRY,  # int64 (room,): the number of a parcel; or -1 - that of a segment
    LIST_ROOM,
    LISTED,
    REPLAYED,  # so many of them have arrived one by one when the window was paused
    SHADOWED,  # whether it was
    FOLDED,  # whether its end has begun
    FOLLOWED,  # so many have been gone through since
    LOOP_SIZE,
) = range(52)

# Numbers of the clock, in ms
NOW = 0  # of the last entry, or of the end of the last window, or, if it is dense, of the beginning of this one
BEFORE = 1  # neurons that are visited fire wherever they do before this time
SPIKED = 2  # the time of the last spike that was found
BEGUN = 3  # when the window began, if it is dense
TOLD = 4  # spikes of neurons until then are known, and told no more
CHANGE = 5  # when a current changes next, or inf
ENDS = 6  # when the window ends, dense or not
CLOCK_SIZE = 7
