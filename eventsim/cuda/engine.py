"""The arrays of one simulation on a device, and how its kernel is started, drained and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eventsim import state as s
from eventsim.cpu.frame import NEURONS
from eventsim.cuda import layout as w
from eventsim.cuda.ahead import Sources, VaryingNoise
from eventsim.cuda.machine import MOST_BLOCKS, Machine
from eventsim.cuda.network import Layout, kinds_of, lay_out, levels_of
from eventsim.cuda.rules import lay_out_rules
from eventsim.cuda.sampling import Watch
from eventsim.cuda.steps import steps_kernel
from eventsim.program import Program
from eventsim.rows import Rows

LAUNCH = 1024  # steps of a launch at most: what is recorded comes back after each
ROOM = 256  # pieces that a list of the wheel holds at first
AHEAD = 1 << 24  # numbers of noise with varying rates that are drawn before a launch, at most
SPIKES = 1 << 20  # spikes that are recorded before they come back, at least


class Engine:
    """A program on a device. items : the batch items as backend="cpu" has them, whose states it starts with"""

    def __init__(self, machine: Machine, program: Program, items: Sequence[Any]):
        self.machine, self.program, self.items = machine, program, items
        part = items[0].members[0].part
        self.batch, self.levels = len(items), levels_of(program)
        self.layout: Layout = lay_out(program, part, [item.members[0].increments for item in items], self.batch)
        self.sources, self.varying = Sources(program, items, self.levels), VaryingNoise(program, items)
        self.longest = max(1, min(LAUNCH, AHEAD // max(self.batch * self.varying.wide, 1)))  # steps of a launch
        self.count = max(self.levels) + 1
        self.sizes = np.zeros(w.SIZES_WORDS, np.int64)
        self.sizes[w.S_SIZE], self.sizes[w.S_BATCH], self.sizes[w.S_SLOTS] = program.size, self.batch, part.slots[-1]
        self.sizes[w.S_LEVELS], self.sizes[w.S_WHEEL_SLOTS] = self.count, program.schedule.slots
        self.sizes[w.S_LIST_ROOM], self.sizes[w.S_SPILL_ROOM] = ROOM, ROOM
        self.sizes[w.S_AHEAD] = self.varying.wide
        self.sizes[w.S_FIRED_ROOM] = 2 * self.batch * program.size + SPIKES
        self.rules = lay_out_rules(program, part, self.layout)
        self.sizes[w.S_RING], self.sizes[w.S_RULES] = self.rules.ring - 1, len(self.rules.numbers)
        self.arrays = self._new_arrays(part.rows)
        kinds = w.Kinds(part.rows.targets.dtype, _bits(part.rows.weights).dtype, program.dtype, part.recipe is not None)
        self.kernel = steps_kernel(machine, kinds_of(program), kinds)
        self.phase = 0  # that comes next
        self.kept = 0  # spikes at the front of `fired` that have been taken and are to be pushed

    def _new_arrays(self, rows: Rows) -> w.Arrays:
        put, lay, sizes = self.machine.put, self.layout, self.sizes
        lists = self.count * sizes[w.S_WHEEL_SLOTS]
        threads = self.machine.threads * (self.machine.blocks or MOST_BLOCKS)
        return w.Arrays(
            sizes=put(sizes),
            control=put(np.zeros(w.CONTROL_WORDS, np.int64)),
            groups=put(lay.groups),
            first=put(lay.first),
            state=put(np.zeros(max(lay.states, 1), self.program.dtype)),
            numbers=put(lay.numbers),
            arrived=put(np.zeros(self._arriving, np.int64)),
            gids=put(lay.gids),
            row=put(lay.row),
            pieces=put(lay.pieces.reshape(-1)),
            targets=put(_filled(rows.targets)),
            weights=put(_filled(_bits(rows.weights))),
            shared=put(_filled(np.concatenate([rows.shared, self.rules.shared]).astype(self.program.dtype))),
            wheel=put(np.zeros(lists * ROOM * 2, np.int64)),
            waiting=put(np.zeros(lists, np.int64)),
            spill=put(np.zeros(3 * ROOM, np.int64)),
            fired=put(np.zeros(int(sizes[w.S_FIRED_ROOM]), np.int64)),
            ends=put(np.zeros(LAUNCH * self.count, np.int64)),
            given=put(np.zeros(1, np.int64)),
            given_ends=put(np.zeros(LAUNCH * self.count + 1, np.int64)),
            noise=put(lay.noise),
            keys=put(lay.keys),
            cuts=put(lay.cuts),
            listed=put(lay.listed),
            increments=put(lay.increments),
            ahead=put(np.zeros(1, self.program.dtype)),
            tally=put(np.zeros(threads, np.int64)),
            rules=put(_filled(self.rules.numbers.reshape(-1))),
            laws=put(self.rules.laws),
            streams=put(_filled(self.rules.streams.reshape(-1))),
            orders=put(_filled(self.rules.orders)),
            offsets=put(_filled(self.rules.offsets)),
            watched=put(np.zeros(1, np.int64)),
            chosen=put(np.zeros(1, np.int32)),
            samples=put(np.zeros(1, self.program.dtype)),
        )

    @property
    def _arriving(self) -> int:
        """The numbers of what arrives."""
        return max(int(self.sizes[w.S_RING] + 1) * self.batch * int(self.sizes[w.S_SLOTS]), 1)

    def _replace(self, **arrays: np.ndarray) -> None:
        self.arrays = self.arrays._replace(**{name: self.machine.put(array) for name, array in arrays.items()})

    def _get(self, name: str) -> np.ndarray:
        return self.machine.get(getattr(self.arrays, name))

    # State, between a device and the batch items of this machine

    def push(self, step: int, flying: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        """Take over the states of the batch items at the end of ``step``, and of each the spikes that are on their way."""
        state = np.zeros(max(self.layout.states, 1), self.program.dtype)
        for (values, held), arrays in self._of_groups(state):
            values[...] = np.concatenate([a[s.STATE] for a in arrays], axis=1).reshape(-1)
            if held.size:
                held[...] = np.concatenate([a[s.RHO].reshape(-1) for a in arrays])
        lists, waiting = self._wheel_of(step, flying)
        room = max(ROOM, 2 * int(waiting.max(initial=0)))
        wheel = np.zeros((len(waiting), room, 2), np.int64)
        at = np.zeros(len(waiting), np.int64)
        for list_, first, second in lists:
            wheel[list_, at[list_]] = first, second
            at[list_] += 1
        self.sizes[w.S_LIST_ROOM] = room
        self.phase = self.kept = 0
        self._replace(
            state=state,
            wheel=wheel.reshape(-1),
            waiting=waiting,
            sizes=self.sizes,
            control=np.zeros(w.CONTROL_WORDS, np.int64),
            arrived=self._arrived(step, flying),
        )

    def _arrived(self, step: int, flying: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """What is due after ``step`` of spikes whose rows are not stored."""
        arrived = np.zeros(self._arriving, np.int64)
        of_step = arrived.reshape(self.rules.ring, self.batch, -1)
        for number, (item, spikes) in enumerate(zip(self.items, flying, strict=True)):
            for due, slots, weights, unit in self.rules.after(item.members[0], step, *spikes):
                np.add.at(of_step[due % self.rules.ring, number], slots, (weights * unit).astype(np.int64))
        return arrived

    def waiting(self, step: int, flying: Sequence[tuple[np.ndarray, np.ndarray]]) -> int:
        """How many synapses that are not stored are due after ``step``."""
        found = zip(self.items, flying, strict=True)
        return sum(len(slots) for item, spikes in found for _, slots, _, _ in self.rules.after(item.members[0], step, *spikes))

    def pull(self) -> None:
        """Write the states to the batch items."""
        for (values, held), arrays in self._of_groups(self._get("state")):
            n = arrays[0][s.STATE].shape[1]
            for item, mine in enumerate(arrays):
                mine[s.STATE][...] = values.reshape(-1, len(arrays) * n)[:, item * n : (item + 1) * n]
                if held.size:
                    mine[s.RHO][...] = held[item * n : (item + 1) * n]

    def _of_groups(self, state: np.ndarray) -> Any:
        """For each group of neurons its states and refractory counters within an array, and its arrays in each batch item."""
        words = self.layout.groups.reshape(-1, w.GROUP_WORDS)
        for g, group in enumerate(self.program.groups):
            if group.kind == NEURONS and group.spec is not None:
                begin, end, n = words[g, w.STATE], words[g, w.RHO], self.batch * group.size
                held = state[end : end + (n if group.spec.holds else 0)]
                yield (state[begin:end], held), [item.members[0].groups[g].arrays for item in self.items]

    def _wheel_of(
        self, step: int, flying: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> tuple[list[tuple[int, int, int]], np.ndarray]:
        """The pieces of spikes that are on their way at the end of ``step``, with their lists; how many each list holds."""
        slots, size = int(self.sizes[w.S_WHEEL_SLOTS]), int(self.sizes[w.S_SLOTS])
        found, waiting = [], np.zeros(self.count * slots, np.int64)
        row, pieces = self.layout.row, self.layout.pieces
        for item, (steps, sources) in enumerate(flying):
            for fired_at, source in zip(steps.tolist(), sources.tolist(), strict=True):
                for first, second, third in pieces[row[source] : row[source + 1]].tolist():
                    due = fired_at + (third & ((1 << w.DELAY_BITS) - 1))
                    if due > step:
                        level = (third >> w.DELAY_BITS) & ((1 << (w.NEXT_SHIFT - w.DELAY_BITS)) - 1)
                        list_ = level * slots + due % slots
                        found.append((list_, first, second + ((item * size) << w.SLOT_SHIFT)))
                        waiting[list_] += 1
        return found, waiting

    def set_numbers(self, g: int) -> None:
        """Take over the parameters of a group, which have changed."""
        part = self.items[0].members[0].part
        for place, begin in self.layout.parameters[g]:
            array = part.parameters[g][place]
            self.layout.numbers[begin : begin + array.size] = array.reshape(-1)
        self._replace(numbers=self.layout.numbers)

    # Running

    def run(self, step: int, stop: int, pending: Sequence[Any] = ()) -> tuple[np.ndarray, np.ndarray]:
        """Simulate the steps ``step + 1 ... stop``; the spikes of all of them: steps, and item * size + number in the network.

        pending : samplers of states, and where their samples go (`Watch`)
        """
        watch, before = Watch(pending, self.layout.groups.reshape(-1, w.GROUP_WORDS), self.batch, self.program.dtype.itemsize), step
        self.sizes[w.S_WATCHED] = len(watch.rows)
        self._replace(chosen=_filled(watch.chosen))
        steps, spikes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        while step < stop:
            last = min(stop, step + min(self.longest, watch.longest))
            if len(watch.rows):
                self._replace(
                    samples=np.zeros(max(watch.room(step + 1, last), 1), self.program.dtype), watched=watch.rows.reshape(-1)
                )
            given, given_ends = self.sources.fire(step + 1, last)
            self.sizes[w.S_FIRST_STEP] = step + 1
            ends = np.zeros((last - step) * self.count + 1, np.int64)
            self._replace(sizes=self.sizes, given=given, given_ends=given_ends, ends=ends)
            if self.varying.wide:
                self._replace(ahead=self.varying.draw(step + 1, last))
            for found_steps, found in self._launch(step + 1, last):
                steps.append(found_steps)
                spikes.append(found)
            if len(watch.rows):
                watch.take(self._get("samples"), step + 1, last, before)
            step = last
        return np.concatenate(steps), np.concatenate(spikes)

    def _launch(self, step: int, last: int) -> Any:
        """Run to the end of a step, making room where there is none; yields the spikes of the pieces of it."""
        first, taken = step, step * self.count + self.phase // 2
        while True:
            self.kernel(self.arrays, step, self.phase, last)
            control = self._get("control")
            status, step, self.phase = (int(control[place]) for place in (w.STATUS, w.AT_STEP, w.AT_PHASE))
            reached = step * self.count + self.phase // 2  # the next phase of updates
            yield self._take(control, first, taken, reached)
            taken = reached
            if status == w.DONE:
                return
            if status == w.SPILL_SMALL:
                number = step * self.count + self.phase // 2
                self.sizes[w.S_SPILL_ROOM] = 2 * int(control[w.PENDING + number % 2])
                self._replace(sizes=self.sizes, spill=np.zeros(3 * int(self.sizes[w.S_SPILL_ROOM]), np.int64))
            elif status == w.WHEEL_FULL:
                self._grow_wheel(control)

    def _take(self, control: np.ndarray, first: int, taken: int, reached: int) -> tuple[np.ndarray, np.ndarray]:
        """The spikes of the updates ``taken ... reached - 1``; those that are still to be pushed stay, at the front."""
        used, pushed = int(control[w.FIRED]), self.phase % 2
        spikes = self.machine.get(self.arrays.fired[self.kept : used])
        begins = self.machine.get(self.arrays.ends[taken - first * self.count : reached - first * self.count])
        begins[:1] = self.kept
        steps = np.repeat(np.arange(taken, reached) // self.count, np.diff(np.append(begins, used)) if len(begins) else [])
        turn = w.BEGIN + (reached + pushed) % 2
        tail = spikes[:0] if pushed else self.machine.get(self.arrays.fired[int(control[turn]) : used])
        self.kept = len(tail)
        control[w.FIRED], control[turn] = self.kept, 0
        self.machine.fill(self.arrays.fired, 0, tail)
        self.machine.fill(self.arrays.control, 0, control)
        return steps, spikes

    def _grow_wheel(self, control: np.ndarray) -> None:
        """Twice the room for each list of the wheel, or more; what found none is put in."""
        waiting, room = self._get("waiting"), int(self.sizes[w.S_LIST_ROOM])
        larger = max(2 * room, 2 * int(waiting.max()))
        wheel = np.zeros((len(waiting), larger, 2), np.int64)
        wheel[:, :room] = self._get("wheel").reshape(len(waiting), room, 2)
        spilled = self._get("spill")[: 3 * int(control[w.SPILLED])].reshape(-1, 3)
        at = np.minimum(waiting, room)
        for list_, first_word, second_word in spilled:
            wheel[list_, at[list_]] = first_word, second_word
            at[list_] += 1
        assert np.array_equal(at, waiting)
        self.sizes[w.S_LIST_ROOM] = larger
        control[w.SPILLED] = 0
        self._replace(sizes=self.sizes, wheel=wheel.reshape(-1), control=control)

    def take_events(self) -> int:
        """The synaptic events since this was last asked for."""
        tally = self._get("tally")
        self._replace(tally=np.zeros_like(tally))
        return int(tally.sum())


def _bits(weights: np.ndarray) -> np.ndarray:
    return weights.view(np.uint16) if weights.dtype == np.float16 else weights


def _filled(array: np.ndarray) -> np.ndarray:
    """The array, or one of a single element: a GPU has none without."""
    return array if array.size else np.zeros(1, array.dtype)
