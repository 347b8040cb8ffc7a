"""The buffer that the loop writes spikes to."""

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
            w.SORT_KEY: np.empty(room, np.int64),
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
