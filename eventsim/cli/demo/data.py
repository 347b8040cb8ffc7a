"""The images that the demo learns."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from eventsim.images import read_images


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
    found = read_images(path)

    def rows(images):
        return images.reshape(len(images), -1).astype(np.float32) / 255.0

    return Images(rows(found.train), found.train_labels, rows(found.test), found.test_labels)
