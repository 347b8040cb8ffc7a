"""What is drawn for one case: choices, odd numbers, and inputs in which something, mostly one thing, is not as it was."""

from __future__ import annotations

import copy
import json
import math
import zlib
from typing import Any

import numpy as np

FLOATS = (0.0, -0.0, 1.0, -1.0, 0.3, 1e-9, 5e-324, 1e-40, 1e-300, 65505.0, 3.5e38, 1e300, 1e18, math.nan, math.inf, -math.inf)
INTS = (0, 1, -1, 2, 7, 127, 255, 2**15, 2**16, 2**31 - 1, 2**31, -(2**31) - 1, 2**32, 2**53 + 1, 2**62, 2**63 - 1, -(2**63), 2**64)
DTYPES = (
    "?",
    "i1",
    "u1",
    "i2",
    "u2",
    "i4",
    "u4",
    "i8",
    "u8",
    "f2",
    "f4",
    "f8",
    "g",
    "c8",
    "c16",
    "O",
    "S3",
    "U4",
    "M8[s]",
    "m8[s]",
)
OTHERS: tuple[Any, ...] = (None, True, False, "", "a", "1.0", "nan", [], {}, [1.0], [[1.0]], {"a": 1}, b"", 10**400)


class Draw:
    """The choices of case ``number`` of an entrance: the same in every run."""

    def __init__(self, entrance: str, number: int):
        self.number_of_case = number
        self.rng = np.random.default_rng([zlib.crc32(entrance.encode()), number])

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def below(self, n: int) -> int:
        """A whole number from 0 to n - 1."""
        return int(self.rng.integers(0, max(n, 1)))

    def one(self, choices: Any) -> Any:
        """One of some things."""
        return choices[self.below(len(choices))]

    def number(self) -> Any:
        """An odd number."""
        return self.one(FLOATS) if self.chance(0.6) else self.one(INTS)

    def value(self) -> Any:
        """An odd number, or no number at all."""
        return self.number() if self.chance(0.6) else copy.deepcopy(self.one(OTHERS))

    # Arrays

    def array(self, array: np.ndarray) -> Any:
        """An array with something about it changed, or only the way in which it lies in memory."""
        kind = self.one(
            (self._values, self._values, self._type, self._shape, self._shape, self._lie, self._lie, self._order, self._kind)
        )
        with np.errstate(all="ignore"):
            return kind(np.array(array))

    def _values(self, array: np.ndarray) -> Any:
        """A few values are odd, or a little out of range."""
        flat = array.reshape(-1)
        for _ in range(self.one((1, 1, 1, 3))):
            if not flat.size or array.dtype.kind not in "iuf":
                break
            at = self.below(flat.size)
            if array.dtype.kind == "f":
                with np.errstate(all="ignore"):
                    flat[at] = self.one(FLOATS)
            else:
                least, most = int(np.iinfo(array.dtype).min), int(np.iinfo(array.dtype).max)
                near = int(flat[at]) + self.one((-1, 1, flat.size, -flat.size))
                flat[at] = min(max(self.one((near, near, *INTS)), least), most)
        return array

    def _type(self, array: np.ndarray) -> Any:
        """Another type, or byte order; perhaps a field of a structure."""
        if self.chance(0.15):
            return array.astype(array.dtype.newbyteorder(">"))
        if self.chance(0.1):
            return array.astype([("x", array.dtype), ("y", "i4")])
        try:
            with np.errstate(all="ignore"):
                return array.astype(self.one(DTYPES))
        except (TypeError, ValueError):
            return array.astype("O")

    def _shape(self, array: np.ndarray) -> Any:
        """More or fewer values, or other axes."""
        flat = array.reshape(-1)
        made = self.below(8)
        if made == 0:
            return array[:-1] if array.ndim else array
        if made == 1:
            return np.concatenate([array, array[-1:]]) if array.ndim else array
        if made == 2:
            return array[:0] if array.ndim else array.reshape(1)
        if made == 3:
            return flat[0] if flat.size and self.chance(0.5) else np.array(flat[0] if flat.size else 0.0)
        if made == 4:
            return array[None] if self.chance(0.5) else array[..., None]
        if made == 5:
            return flat
        return array.T if made == 6 else np.broadcast_to(array, (2, *array.shape))

    def _lie(self, array: np.ndarray) -> Any:
        """The same values, laid out otherwise."""
        made = self.below(6)
        if made == 0:
            wide = np.repeat(array, 2, axis=-1) if array.ndim else array
            return wide[..., ::2] if array.ndim else wide
        if made == 1:
            return np.flip(np.flip(array).copy())
        if made == 2:
            return np.asfortranarray(array)
        if made == 3:
            array.flags.writeable = False
            return array
        if made == 4:  # not aligned
            raw = np.empty(array.nbytes + 1, np.uint8)[1:]
            raw[...] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
            return raw.view(array.dtype).reshape(array.shape)
        return np.require(array, requirements=["O", "C"])

    def _order(self, array: np.ndarray) -> Any:
        """Another order along the first axis."""
        if not array.ndim:
            return array
        if self.chance(0.3):
            return array[::-1]
        return self.rng.permuted(array, axis=0) if self.chance(0.5) else np.repeat(array, 2, axis=0)

    def _kind(self, array: np.ndarray) -> Any:
        """No array, but what may stand for one."""
        made = self.below(5)
        if made == 0:
            return array.tolist()
        if made == 1:
            return tuple(array.tolist()) if array.ndim else array.item()
        if made == 2:
            return np.ma.masked_array(array, mask=self.rng.random(array.shape) < 0.3)
        if made == 3:
            nested = array.tolist()
            return [*nested, [nested]] if isinstance(nested, list) else nested
        return self.value()

    # Texts and bytes

    def json(self, value: Any) -> Any:
        """A description in which something is replaced, lost, new or twice."""
        whole = copy.deepcopy(value)
        for _ in range(self.one((1, 1, 1, 2))):
            places = list(_places(whole))
            if not places:
                return self.value()
            holder, key = self.one(places)
            self._change(holder, key, places)
        return whole

    def _change(self, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
        old, made = holder[key], self.below(8)
        if made == 0:
            del holder[key]
        elif made == 1:
            other, at = self.one(places)
            holder[key] = copy.deepcopy(other[at])
        elif made == 2:
            holder[key] = self.value()
        elif made == 3 and isinstance(holder, dict):
            holder[self.one(("kind", "array", "number", "extra", ""))] = self.value()
        elif made == 4 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(old))
        elif made == 5 and self.chance(0.2):
            for _ in range(self.one((3, 100, 300))):
                old = [old]
            holder[key] = old
        elif isinstance(old, (int, float)) and not isinstance(old, bool):
            holder[key] = self.one((self.number(), -old, old + 1, 2 * old, str(old), {"number": "inf"}, {"number": "nan"}))
        elif isinstance(old, str):
            holder[key] = self.one((old[:-1], old + "\0", old * 1000, "../" + old, old.upper(), "\ud800", 0))
        else:
            holder[key] = self.value()

    def text(self, value: Any) -> bytes:
        """JSON, mostly whole."""
        found = json.dumps(value, default=str).encode()
        return self.bytes(found) if self.chance(0.1) else found

    def bytes(self, blob: bytes) -> bytes:
        """Bytes with a few flips, cuts, insertions, repetitions, blocks that changed places, or numbers that were replaced."""
        found = bytearray(blob)
        for _ in range(self.one((1, 1, 2, 4))):
            at, size = self.below(len(found)), self.one((1, 2, 4, 8, 64, 512))
            made = self.below(9)
            if made <= 2 and found:
                found[at] ^= 1 << self.below(8) if made else self.below(256)
            elif made == 3:
                del found[at : at + size]
            elif made == 4:
                found[at:at] = self.rng.bytes(size)
            elif made == 5:
                found[at:at] = found[at : at + size]
            elif made == 6:
                other = self.below(len(found))
                found[at : at + size], found[other : other + size] = found[other : other + size], found[at : at + size]
            elif made == 7:
                wide = self.one((1, 2, 4, 8))
                at -= at % wide
                most = 256**wide
                found[at : at + wide] = (self.one((0, 1, most - 1, most // 2, most // 2 - 1, 255, 4096)) % most).to_bytes(
                    wide, "little"
                )
            else:
                found = found[: self.below(len(found)) + 1]
        return bytes(found)


def as_array(value: Any) -> np.ndarray:
    """An array of what may be no array; of objects, if of nothing else."""
    try:
        return np.asarray(value)
    except (ValueError, OverflowError):
        found = np.empty(1, object)
        found[0] = value
        return found


def _places(value: Any) -> Any:
    """(holder, key) of all that is within a description."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])
