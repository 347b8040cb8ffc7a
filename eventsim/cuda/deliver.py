"""Spikes become pieces of segments that wait in the wheel, and those that are due are added to what arrives.

A segment is cut into pieces of `PIECE` synapses, so that those who share the work share it evenly, however different rows are.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from eventsim.cuda.layout import (
    BEGIN,
    DELAY_BITS,
    FIRED,
    GROUP_BITS,
    GROUP_WORDS,
    KIND_SHIFT,
    LENGTH_BITS,
    NEXT_SHIFT,
    S_BATCH,
    S_LIST_ROOM,
    S_RING,
    S_SIZE,
    S_SLOTS,
    S_WHEEL_SLOTS,
    SLOT_SHIFT,
    SPILLED,
    UNIT,
    Kinds,
)
from eventsim.cuda.machine import Machine
from eventsim.cuda.numbers import weight_reader
from eventsim.cuda.procedural import bind_make

BEGIN_MASK = (1 << KIND_SHIFT) - 1
LENGTH_MASK = (1 << LENGTH_BITS) - 1
GROUP_MASK = (1 << GROUP_BITS) - 1
DELAY_MASK = (1 << DELAY_BITS) - 1
LEVEL_MASK = (1 << (NEXT_SHIFT - DELAY_BITS)) - 1


@functools.cache
def bind_deliver(machine: Machine, kinds: Kinds) -> Any:
    """A function ``(lane, first, second, row, a) -> synapses`` that adds its lane's share of a piece to a row of what arrives."""
    atomic_add, lanes = machine.atomic_add, machine.lanes
    weight = weight_reader(machine, kinds.weights, kinds.real)

    @machine.jit
    def deliver(lane, first, second, row, a):
        begin, kind = first & BEGIN_MASK, first >> KIND_SHIFT
        end = begin + (second & LENGTH_MASK) + 1
        slot = row + (second >> SLOT_SHIFT)
        units = a.numbers[a.groups[((second >> LENGTH_BITS) & GROUP_MASK) * GROUP_WORDS + UNIT] + 1]
        for q in range(begin + lane, end, lanes):
            w = a.shared[kind - 1] if kind else weight(a.weights, q)
            atomic_add(a.arrived, slot + np.int64(a.targets[q]), np.int64(w * units))
        return end - begin

    return deliver


@functools.cache
def bind_push(machine: Machine, kinds: Kinds) -> Any:
    """A function ``(thread, threads, t, level, phase, a)``: pushes the spikes of the updates before and delivers what is due."""
    jit, atomic_add, lanes = machine.jit, machine.atomic_add, machine.lanes
    deliver = bind_deliver(machine, kinds)
    make = bind_make(machine, kinds) if kinds.procedural else jit(lambda thread, threads, fired_at, phase, a: 0)

    @jit
    def wait(list_, first, second, a):
        """Put a piece into a list of the wheel, or among those for which the wheel has no room yet."""
        at, room = atomic_add(a.waiting, list_, 1), a.sizes[S_LIST_ROOM]
        if at < room:
            place = 2 * (list_ * room + at)
            a.wheel[place] = first
            a.wheel[place + 1] = second
        else:
            place = 3 * atomic_add(a.control, SPILLED, 1)
            a.spill[place] = list_
            a.spill[place + 1] = first
            a.spill[place + 2] = second

    @jit
    def push(thread, threads, t, level, phase, a):
        lane, team, teams = thread % lanes, thread // lanes, threads // lanes
        size, slots, wheel_slots = a.sizes[S_SIZE], a.sizes[S_SLOTS], a.sizes[S_WHEEL_SLOTS]
        fired_at = t if level else t - 1  # the step of the updates before
        row = (t & a.sizes[S_RING]) * a.sizes[S_BATCH] * slots
        events = 0
        for index in range(a.control[BEGIN + phase % 2] + team, a.control[FIRED], teams):
            spike = a.fired[index]
            item = spike // size
            gid = spike - item * size
            here = (item * slots) << SLOT_SHIFT
            begin, end = a.row[gid], a.row[gid + 1]
            piece = begin
            while piece < end and a.pieces[3 * piece + 2] >> NEXT_SHIFT:
                events += deliver(lane, a.pieces[3 * piece], a.pieces[3 * piece + 1] + here, row, a)
                piece += 1
            for other in range(piece + lane, end, lanes):
                third = a.pieces[3 * other + 2]
                list_ = ((third >> DELAY_BITS) & LEVEL_MASK) * wheel_slots + (fired_at + (third & DELAY_MASK)) % wheel_slots
                wait(list_, a.pieces[3 * other], a.pieces[3 * other + 1] + here, a)
        room, now = a.sizes[S_LIST_ROOM], level * wheel_slots + t % wheel_slots
        for entry in range(team, a.waiting[now], teams):
            place = 2 * (now * room + entry)
            events += deliver(lane, a.wheel[place], a.wheel[place + 1], row, a)
        events = (events if lane == 0 else 0) + make(thread, threads, fired_at, phase, a)
        if events:
            a.tally[thread] += events

    return push
