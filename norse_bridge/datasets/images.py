"""MNIST, Fashion-MNIST and CIFAR-10 from local files, as published or as .npz.

    idx         MNIST and Fashion-MNIST: a magic number, the sizes of the axes (big-endian int32), the bytes
    batches     CIFAR-10 for Python: pickled dicts, "data" uint8 (images, 3072) with one colour after the other, and "labels"

Pickles are read by an unpickler that makes arrays and nothing else.
"""

from __future__ import annotations

import codecs
import gzip
import io
import math
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from eventsim.errors import StorageError
from eventsim.images import LabelledImages, labelled_images, read_images

IDX_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
BATCHES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
IDX_BYTES, PIECE = 2**31, 2**20  # of a file, and read at once
BATCH_BYTES = 2**27  # a published batch has 31 million bytes


def read_digits(path) -> LabelledImages:
    """Images (images, rows, columns) of a folder with the four idx files, packed (.gz) or not, or of an .npz with x_train,
    y_train, x_test, y_test."""
    path = Path(path)
    if not path.is_dir():
        return read_images(path)
    files = [_idx_file(path, name) for name in IDX_PARTS]
    return labelled_images(f"folder {str(path)!r}", *(read_idx(file) for file in files))


def read_cifar10(path) -> LabelledImages:
    """Images (images, 32, 32, 3) of the folder cifar-10-batches-py, of the archive cifar-10-python.tar.gz that it comes in, or of
    an .npz with x_train, y_train, x_test, y_test."""
    path = Path(path)
    if path.suffix == ".npz":
        return read_images(path, axes=3)
    found = [_batch(f"{path}, {name}", data) for name, data in zip(BATCHES, _batch_files(path), strict=True)]
    train, train_labels = (np.concatenate(parts) for parts in zip(*found[:-1], strict=True))
    return labelled_images(f"{str(path)!r}", train, train_labels, *found[-1], axes=3)


def read_idx(path) -> np.ndarray:
    """The array of bytes in an idx file, packed (.gz) or not."""
    label = f"file {str(path)!r}"
    try:
        with gzip.open(path) if Path(path).suffix == ".gz" else open(path, "rb") as file:
            magic = file.read(4)
            if len(magic) < 4 or magic[:3] != b"\0\0\x08" or magic[3] not in (1, 3):
                raise StorageError(f"{label}: is no idx file of bytes with 1 or 3 axes; it begins with {magic.hex(' ')}")
            sizes = file.read(4 * magic[3])
            shape = tuple(np.frombuffer(sizes[: len(sizes) // 4 * 4], dtype=">i4").tolist())
            count = math.prod(shape)
            if len(shape) != magic[3] or min(shape) < 0:
                raise StorageError(f"{label}: its header is incomplete")
            if count > IDX_BYTES:
                raise StorageError(f"{label}: its header declares {count:,} bytes; at most {IDX_BYTES:,} are read")
            data = b"".join(_pieces(file, count + 1))  # never more than the header declares, nor than there is
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(f"{label}: cannot be read ({error})") from error
    if len(data) != count:
        held = "fewer" if len(data) < count else "more"
        raise StorageError(f"{label}: its header declares {count:,} bytes, of shape {shape}; the file holds {held}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _pieces(file, count: int):
    """Up to so many bytes of an open file; memory is taken for those alone that are there."""
    while count > 0 and (piece := file.read(min(count, PIECE))):
        yield piece
        count -= len(piece)


def brightness(images) -> tuple[float, float]:
    """Mean and standard deviation of all pixels (uint8), as parts of the brightest possible, 255; the latter is 1 where all are the
    same."""
    mean, square = images.mean(dtype=np.float64), np.square(images, dtype=np.uint16).mean(dtype=np.float64)
    deviation = math.sqrt(max(0.0, square - mean**2))
    return float(mean) / 255.0, deviation / 255.0 if deviation else 1.0


def _idx_file(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise StorageError(f"folder {str(folder)!r} has neither {name} nor {name}.gz")


def _batch_files(path: Path):
    """The bytes of the six batches, in their order."""
    try:
        if path.is_dir():
            for name in BATCHES:
                yield (path / name).read_bytes()
            return
        with tarfile.open(path) as archive:
            members = {member.name.rsplit("/", 1)[-1]: member for member in archive if member.isfile()}
            for name in BATCHES:
                if name not in members or members[name].size > BATCH_BYTES:
                    raise StorageError(f"archive {str(path)!r} has no {name} of at most {BATCH_BYTES:,} bytes")
                yield archive.extractfile(members[name]).read()  # type: ignore[union-attr]  # it is a file
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise StorageError(f"{str(path)!r} cannot be read as CIFAR-10 for Python: {error}") from error


class _Arrays(pickle.Unpickler):
    """Makes numbers, texts, lists, dicts and arrays; refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        made_of = {
            ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): codecs.encode,
        }
        found = made_of.get((module.rsplit(".", 1)[-1] if module.startswith("numpy") else module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return found


def _batch(label: str, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (images, 32, 32, 3) and labels of one batch."""
    try:
        found = _Arrays(io.BytesIO(data), encoding="bytes").load()
        named = {name.decode() if isinstance(name, bytes) else name: value for name, value in found.items()}
        pixels, labels = np.asarray(named["data"]), np.asarray(named["labels"])
        images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    except Exception as error:  # whatever a malformed pickle leads to
        raise StorageError(f"{label}: is no batch of CIFAR-10 for Python ({error})") from error
    return images, labels
