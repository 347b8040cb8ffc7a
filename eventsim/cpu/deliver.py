"""Delivery: the rows of spikes that are due are added to the inputs of their targets. Only spikes cost anything here."""

from __future__ import annotations

from eventsim.jit import jit


@jit
def line_of(segment, step, rows, slots):
    """The list of the wheel, of ``slots`` steps for each group, in which a segment of a spike in ``step`` waits."""
    return rows.group[segment] * slots + (step + rows.delay[segment]) % slots


@jit
def push(gid, step, rows, slots, wheel, counts):
    """Put the segments of a spike of source ``gid`` in ``step`` into the wheel (modifies wheel, counts); the longest list then."""
    longest = 0
    for segment in range(rows.indptr[gid], rows.indptr[gid + 1]):
        line = line_of(segment, step, rows, slots)
        place = counts[line]
        wheel[line, place] = segment
        counts[line] = place + 1
        longest = max(longest, place + 1)
    return longest


@jit
def deliver(entries, rows, inputs):
    """Add the segments in ``entries`` to inputs (modified); the number of synaptic events."""
    events = 0
    for segment in entries:
        begin, length, at = rows.begin[segment], rows.length[segment], rows.weight_begin[segment]
        targets = rows.targets[begin : begin + length]
        events += length
        if rows.weight_step[segment]:
            weights = rows.weights[at : at + length]
            for q in range(targets.size):
                inputs[targets[q]] += weights[q]
        else:
            weight = rows.weights[at]
            for q in range(targets.size):
                inputs[targets[q]] += weight
    return events


@jit
def touch(j, mark, touched, count):
    """Note that neuron j received something (modifies mark, touched); the new count."""
    if not mark[j]:
        mark[j] = 1
        touched[count] = j
        count += 1
    return count


@jit
def deliver_and_touch(entries, rows, inputs, first, n, mark, touched, count):
    """As `deliver`, and note who received something (modifies mark, touched too); events and the new count.

    first : the slot of the group's neuron 0 in its first port; n : its neurons. Slots of the next ports follow.
    """
    events = 0
    targets, weights = rows.targets, rows.weights
    for segment in entries:
        begin, length, at = rows.begin[segment], rows.length[segment], rows.weight_begin[segment]
        step = rows.weight_step[segment]
        events += length
        for q in range(length):
            slot = targets[begin + q]
            inputs[slot] += weights[at]
            at += step
            j = slot - first
            while j >= n:
                j -= n
            if not mark[j]:
                mark[j] = 1
                touched[count] = j
                count += 1
    return events, count
