"""The arrays of an event queue (`eventsim.exact.calendar`), as Python sees them."""

from __future__ import annotations

import numpy as np

from eventsim.exact import layout as w
from eventsim.exact.calendar import CHUNK, chunks_for, clear, copy, move, push_all

LINE = 64  # bytes
ROOM = 1 << 12  # entries of a queue and spikes of a buffer, at first
PER_DAY = 16  # entries that are taken out
FEW = 256  # entries, for which a heap is as good
ENOUGH = 4096  # entries taken out, from which it is seen how many a day has
MOST_DAYS = 2.0**45  # from time 0 until now


def lines(shape: tuple[int, ...]) -> np.ndarray:
    """float64 zeros that begin where a cache line does: a row of whole lines then lies in no other."""
    size = int(np.prod(shape))
    held = np.zeros(size + LINE // 8)
    begin = -held.ctypes.data % LINE // 8
    return held[begin : begin + size].reshape(shape)


def _days_for(times: np.ndarray, now: float) -> float:
    """Days in a ms so that the nearer half of the entries has `PER_DAY` in one on average; 0, a heap, for few or what comes now."""
    half = len(times) // 2
    until = np.partition(times, half)[half] - now if len(times) > FEW else 0.0
    return half / until / PER_DAY if until > 0.0 else 0.0


class EventQueue:
    """Entries of a time in ms and a key, in a block of ``words`` that kernels work on."""

    def __init__(self, room: int):
        self.words = np.zeros(w.QUEUE_SIZE, np.int64)
        self._seen = (0.0, 0)
        self._allocate(room)

    @property
    def entries(self) -> int:
        """How many there are."""
        return int(self.words[w.QUEUE_NEAR] + self.words[w.QUEUE_LATER])

    @property
    def room(self) -> int:
        """For how many entries."""
        return int(self.words[w.QUEUE_ROOM])

    def _allocate(self, room: int) -> None:
        """Empty arrays; what is there is lost."""
        days = 1 << max(4, (room - 1).bit_length() - 3)  # a year then is as long as all entries last, and more
        self.arrays = {
            w.QUEUE_TIME: np.empty(room),
            w.QUEUE_KEY: np.empty(room, np.int64),
            w.QUEUE_WAITING: lines((chunks_for(room, days), CHUNK)),
            w.QUEUE_HEADS: np.empty(days, np.int64),
        }
        for word, array in self.arrays.items():
            self.words[word] = array.ctypes.data
        self.words[w.QUEUE_ROOM], self.words[w.QUEUE_DAYS] = room, days
        clear(self.words)

    def contents(self) -> tuple[np.ndarray, np.ndarray]:
        """Take everything out: times and keys, in any order."""
        times, keys = np.empty(self.entries), np.empty(self.entries, np.int64)
        move(self.words, times, keys)
        return times, keys

    def listed(self) -> tuple[np.ndarray, np.ndarray]:
        """What is in it: times and keys, in the order of both."""
        times, keys = np.empty(self.entries), np.empty(self.entries, np.int64)
        copy(self.words, times, keys)
        order = np.lexsort((keys, times))
        return times[order], keys[order]

    def replace(self, times: np.ndarray, keys: np.ndarray, spare: int) -> None:
        """Hold these entries and no others, with room for at least ``spare`` more; days stay as they are."""
        clear(self.words)
        if len(times) + spare > self.room:
            self.grow(len(times) + spare)
        self.put(times, keys)

    def grow(self, room: int) -> None:
        """Make room for so many entries."""
        contents = self.contents()
        self._allocate(room)
        push_all(self.words, *contents)

    def put(self, times: np.ndarray, keys: np.ndarray) -> None:
        """Put entries in; there must be room."""
        push_all(self.words, np.asarray(times, np.float64), np.asarray(keys, np.int64))

    def fit(self, now: float) -> None:
        """Choose how long a day is, by how many entries were taken out since the last time, now in ms; by those that wait where
        none came in a whole year."""
        if self.words[w.QUEUE_YEARS]:
            self.words[w.QUEUE_YEARS] = 0
            self._seen = now, int(self.words[w.QUEUE_TAKEN])
            contents = self.contents()
            self._lay_out(now, _days_for(contents[0], now), *contents)
            return
        before, taken = self._seen
        if self.words[w.QUEUE_TAKEN] - taken < ENOUGH or now <= before:
            return
        wanted = (self.words[w.QUEUE_TAKEN] - taken) / (now - before) / PER_DAY if self.entries > FEW else 0.0
        self._seen = now, int(self.words[w.QUEUE_TAKEN])
        if not 0.5 * self.per_ms <= wanted <= 2.0 * self.per_ms:
            self.set_days(now, wanted)

    @property
    def per_ms(self) -> float:
        """Days in a ms; 0 while the queue is a heap."""
        return float(self.words.view(np.float64)[w.QUEUE_PER_MS])

    def set_days(self, now: float, per_ms: float) -> None:
        """Let a ms, of which ``now`` have passed, have so many days; 0 makes the queue a heap. A day is longer than what is rounded
        off the time."""
        self._seen = now, int(self.words[w.QUEUE_TAKEN])
        self._lay_out(now, per_ms, *self.contents())

    def begin(self, now: float) -> None:
        """Let the days before that of ``now``, in ms, be over, and no others."""
        self.words[w.QUEUE_DAY] = int(now * self.per_ms) - 1

    def _lay_out(self, now: float, per_ms: float, times: np.ndarray, keys: np.ndarray) -> None:
        """Put these entries into an empty queue with days of this length."""
        per_ms = min(per_ms, MOST_DAYS / max(now, 1.0))
        self.words.view(np.float64)[w.QUEUE_PER_MS] = per_ms
        self.words[w.QUEUE_DAY] = int(now * per_ms)
        self.put(times, keys)
