"""The arrays that the loop writes spikes to, and what arrives in a dense window."""

from __future__ import annotations

import numpy as np

from eventsim.exact import layout as w

LARGE = 1 << 20  # spikes: a buffer so large grows for those alone that are not on their way yet


class SpikeBuffer:
    """Spikes of a run: an array of fixed room for the loop, whose ``words`` it is found by, and a list of what came before."""

    def __init__(self, words: np.ndarray, room: int):
        self._words = words
        self._chunks: list[tuple[np.ndarray, np.ndarray]] = []
        self._allocate(room)

    @property
    def room(self) -> int:
        """For how many spikes until it is drained."""
        return int(self._words[w.SPIKE_ROOM])

    @property
    def empty(self) -> bool:
        """Whether all spikes have been taken."""
        return not self._chunks and self._words[w.SPIKE_COUNT] == 0

    def _allocate(self, room: int) -> None:
        self._arrays: dict[int, np.ndarray] = {
            w.SPIKE_TIME: np.empty(room),
            w.SPIKE_SOURCE: np.empty(room, np.int32),
            w.SORT_TIME: np.empty(room),
            w.SORT_KEY: np.empty(3 * room, np.int64),
        }
        for word, array in self._arrays.items():
            self._words[word] = array.ctypes.data
        self._words[w.SPIKE_ROOM] = room

    def drain(self) -> None:
        """Move the spikes that are on their way to the list; the buffer grows with what comes."""
        count, sent = int(self._words[w.SPIKE_COUNT]), int(self._words[w.SPIKE_SENT])
        times, sources = self._arrays[w.SPIKE_TIME], self._arrays[w.SPIKE_SOURCE]
        self._chunks.append((times[:sent].copy(), sources[:sent].copy()))
        rest = times[sent:count].copy(), sources[sent:count].copy()
        if count == self.room and (self.room < LARGE or 2 * len(rest[0]) > self.room):
            self._allocate(4 * self.room)
        self._arrays[w.SPIKE_TIME][: len(rest[0])], self._arrays[w.SPIKE_SOURCE][: len(rest[0])] = rest
        self._words[w.SPIKE_COUNT], self._words[w.SPIKE_SENT] = len(rest[0]), 0

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """All that came since the last time: times in ms, and the numbers of neurons, int64."""
        self.drain()
        times, sources = (np.concatenate(column) for column in zip(*self._chunks, strict=True))
        self._chunks.clear()
        return times, sources.astype(np.int64)


class ArrivalList:
    """What arrives in a dense window (`eventsim.exact.dense`): times in ms and entries."""

    def __init__(self, words: np.ndarray, room: int):
        self._words = words
        self._times, self._entries = np.empty(0), np.empty(0, np.int64)
        self._make_room(room)

    def _make_room(self, room: int) -> None:
        times, entries = self.listed()
        self._times, self._entries = np.empty(room), np.empty(room, np.int64)
        self._times[: len(times)], self._entries[: len(times)] = times, entries
        self._words[w.LIST_TIME], self._words[w.LIST_ENTRY] = self._times.ctypes.data, self._entries.ctypes.data
        self._words[w.LIST_ROOM] = room

    def listed(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and entries."""
        count = int(self._words[w.LISTED])
        return self._times[:count], self._entries[:count]

    def fit(self) -> None:
        """Make room for more, if there is none."""
        if self._words[w.LISTED] >= self._words[w.LIST_ROOM]:
            self._make_room(2 * int(self._words[w.LIST_ROOM]))

    def replace(self, times: np.ndarray, entries: np.ndarray) -> None:
        """Hold these and no others."""
        self._words[w.LISTED] = 0
        self._make_room(max(len(times), int(self._words[w.LIST_ROOM])))
        self._times[: len(times)], self._entries[: len(times)] = times, entries
        self._words[w.LISTED] = len(times)
