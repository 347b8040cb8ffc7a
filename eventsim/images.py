"""Labelled images in two parts, for training and for testing, and the .npz file that they come in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from eventsim.errors import StorageError
from eventsim.files.npz import read_npz

NAMES = ("x_train", "y_train", "x_test", "y_test")
AXES = {2: "(images, rows, columns)", 3: "(images, rows, columns, colours)"}


class LabelledImages(NamedTuple):
    """Images uint8 (images, rows, columns) or (images, rows, columns, colours), one label int64 (images,) for each."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def labelled_images(label: str, train, train_labels, test, test_labels, *, axes: int = 2) -> LabelledImages:
    """Four arrays, checked: images uint8 with ``axes`` axes each, labels from 0 to 9. A StorageError that begins with ``label``."""
    parts = []
    for part, x, y in (("train", train, train_labels), ("test", test, test_labels)):
        if x.dtype != np.uint8 or x.ndim != axes + 1 or y.dtype.kind not in "iu" or y.shape != x.shape[:1] or len(x) == 0:
            raise StorageError(
                f"{label}: x_{part} must be uint8 {AXES[axes]} and y_{part} one label for each, not "
                f"{x.dtype} {x.shape} and {y.dtype} {y.shape}"
            )
        if y.max() > 9 or y.min() < 0:
            raise StorageError(f"{label}: y_{part} must hold digits from 0 to 9, found {y.min()} to {y.max()}")
        parts += [x, y.astype(np.int64)]
    if train.shape[1:] != test.shape[1:]:
        raise StorageError(f"{label}: images of x_train and x_test differ in size")
    return LabelledImages(*parts)


def read_images(path: str | Path, *, axes: int = 2) -> LabelledImages:
    """The images of an .npz with x_train, y_train, x_test, y_test."""
    arrays = read_npz(path, required=NAMES, wanted=NAMES)
    return labelled_images(f"file {Path(path).name!r}", *(arrays[name] for name in NAMES), axes=axes)
