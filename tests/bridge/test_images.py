"""Images from files: idx and CIFAR-10 as published, both written by the tests; what is malformed is refused, and no pickle runs."""

import gzip
import pickle
import struct
import tarfile

import numpy as np
import pytest

from eventsim.errors import StorageError
from norse_bridge.datasets import read_cifar10, read_digits
from norse_bridge.datasets.images import BATCHES, IDX_PARTS, brightness, read_idx

RNG = np.random.default_rng(0)
DIGITS = (RNG.integers(0, 256, (5, 4, 6)), np.arange(5), RNG.integers(0, 256, (3, 4, 6)), np.arange(3))


def idx(array):
    return struct.pack(f">HBB{array.ndim}i", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


@pytest.fixture
def digits(tmp_path):
    for name, array in zip(IDX_PARTS, DIGITS, strict=True):
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


@pytest.mark.parametrize("packed", [False, True])
def test_the_four_idx_files(digits, packed):
    if packed:
        for name in IDX_PARTS:
            (digits / f"{name}.gz").write_bytes(gzip.compress((digits / name).read_bytes()))
            (digits / name).unlink()
    for found, expected in zip(read_digits(digits), DIGITS, strict=True):
        assert np.array_equal(found, expected)


def test_an_npz_with_the_names_of_keras(tmp_path):
    np.savez(
        tmp_path / "m.npz",
        x_train=DIGITS[0].astype(np.uint8),
        y_train=DIGITS[1],
        x_test=DIGITS[2].astype(np.uint8),
        y_test=DIGITS[3],
    )
    for found, expected in zip(read_digits(tmp_path / "m.npz"), DIGITS, strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG....", "is no idx file of bytes with 1 or 3 axes; it begins with 89 50 4e 47"),
        (b"\0\0", "begins with 00 00"),
        (b"\0\0\x08\x03\0\0\0\x05", "header is incomplete"),
        (idx(DIGITS[0])[:-1], "declares 120 bytes, of shape .5, 4, 6.; the file holds fewer"),
        (idx(DIGITS[0]) + b"x", "holds more"),
        (idx(DIGITS[1]), "x_train must be uint8"),
    ],
)
def test_a_malformed_idx_file_is_refused(digits, content, message):
    (digits / IDX_PARTS[0]).write_bytes(content)
    with pytest.raises(StorageError, match=message):
        read_digits(digits)


def test_a_broken_gzip_and_a_missing_file_are_refused(digits):
    (digits / f"{IDX_PARTS[2]}.gz").write_bytes(gzip.compress(idx(DIGITS[2]))[:-9])
    with pytest.raises(StorageError, match="cannot be read"):
        read_idx(digits / f"{IDX_PARTS[2]}.gz")
    (digits / IDX_PARTS[3]).unlink()
    with pytest.raises(StorageError, match="has neither t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte.gz"):
        read_digits(digits)


def planes(count, start):
    """Rows of CIFAR-10 (count, 3072), one colour after the other, whose pixels tell where they are."""
    image, colour, row, column = np.meshgrid(range(start, start + count), range(3), range(32), range(32), indexing="ij")
    return ((image * 7 + colour * 50 + row * 2 + column) % 256).astype(np.uint8).reshape(count, -1)


@pytest.fixture
def batches(tmp_path):
    """The six files as Python 2 pickled them: names are bytes."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate(BATCHES):
        content = {
            b"batch_label": b"one of six",
            b"labels": [number, 9 - number],
            b"data": planes(2, 2 * number),
            b"filenames": [b"a", b"b"],
        }
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def check_cifar(found):
    assert found.train.shape == (10, 32, 32, 3) and found.test.shape == (2, 32, 32, 3)
    assert found.train_labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5] and found.test_labels.tolist() == [5, 4]
    assert found.train[3, 10, 20, 2] == (3 * 7 + 2 * 50 + 10 * 2 + 20) % 256
    assert found.test[1, 31, 0, 1] == (11 * 7 + 50 + 62) % 256


def test_the_published_batches(batches, tmp_path):
    check_cifar(read_cifar10(batches))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(batches, arcname="cifar-10-batches-py")
    check_cifar(read_cifar10(tmp_path / "cifar-10-python.tar.gz"))


def test_cifar_from_npz(tmp_path):
    images = RNG.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "c.npz", x_train=images, y_train=np.arange(2), x_test=images[:1], y_test=np.arange(1))
    assert np.array_equal(read_cifar10(tmp_path / "c.npz").train, images)
    np.savez(tmp_path / "grey.npz", x_train=images[..., 0], y_train=np.arange(2), x_test=images[:1], y_test=np.arange(1))
    with pytest.raises(StorageError, match=r"x_train must be uint8 \(images, rows, columns, colours\)"):
        read_cifar10(tmp_path / "grey.npz")


class Evil:
    def __reduce__(self):
        return print, ("this must not run",)


def test_a_pickle_that_runs_code_is_refused(batches, capsys):
    (batches / "data_batch_3").write_bytes(pickle.dumps({"data": Evil(), "labels": [0]}))
    with pytest.raises(StorageError, match="data_batch_3: is no batch of CIFAR-10 for Python .it asks for builtins.print"):
        read_cifar10(batches)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps([1]), pickle.dumps({"data": planes(2, 0)}), pickle.dumps({"data": [1], "labels": [0]})],
)
def test_a_malformed_batch_is_refused(batches, content):
    (batches / "test_batch").write_bytes(content)
    with pytest.raises(StorageError, match="test_batch: is no batch of CIFAR-10 for Python"):
        read_cifar10(batches)


def test_what_is_no_archive_or_lacks_a_batch_is_refused(batches, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    with pytest.raises(StorageError, match="cannot be read as CIFAR-10 for Python"):
        read_cifar10(tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as archive:
        archive.add(batches / "data_batch_1", arcname="x/data_batch_1")
    with pytest.raises(StorageError, match="has no data_batch_2"):
        read_cifar10(tmp_path / "b.tar.gz")
    (batches / "data_batch_5").unlink()
    with pytest.raises(StorageError, match="data_batch_5"):
        read_cifar10(batches)


def test_brightness():
    images = RNG.integers(0, 256, (20, 7, 9)).astype(np.uint8)
    assert brightness(images) == pytest.approx(((images / 255).mean(), (images / 255).std()), rel=1e-12)
    assert brightness(np.full((2, 3, 3), 51, np.uint8)) == pytest.approx((0.2, 1.0))
