"""The images that the demo learns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from eventsim.errors import StorageError
from eventsim.npz import read_npz


class Images(NamedTuple):
    """Images as rows: float32 (images, pixels) in [0, 1], labels int64 (images,)."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def load_digits(seed: int) -> Images:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, a quarter of each class for testing."""
    from sklearn.datasets import load_digits as bundled
    from sklearn.model_selection import train_test_split

    pixels, labels = bundled(return_X_y=True)
    pixels = (pixels / 16.0).astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(pixels, labels, test_size=0.25, random_state=seed, stratify=labels)
    return Images(train, train_labels.astype(np.int64), test, test_labels.astype(np.int64))


def load_mnist(path: str | Path) -> Images:
    """MNIST from an .npz with x_train, x_test uint8 (images, 28, 28) and y_train, y_test (images,)."""
    names = ("x_train", "y_train", "x_test", "y_test")
    arrays = read_npz(path, required=names, wanted=names)
    parts = []
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim != 3 or y.dtype.kind not in "iu" or y.shape != x.shape[:1] or len(x) == 0:
            raise StorageError(
                f"file {Path(path).name!r}: x_{part} must be uint8 (images, rows, columns) and y_{part} one label for each, not "
                f"{x.dtype} {x.shape} and {y.dtype} {y.shape}"
            )
        if y.max() > 9 or y.min() < 0:
            raise StorageError(f"file {Path(path).name!r}: y_{part} must hold digits from 0 to 9, found {y.min()} to {y.max()}")
        parts += [x.reshape(len(x), -1).astype(np.float32) / 255.0, y.astype(np.int64)]
    if parts[0].shape[1] != parts[2].shape[1]:
        raise StorageError(f"file {Path(path).name!r}: images of x_train and x_test differ in size")
    return Images(*parts)
