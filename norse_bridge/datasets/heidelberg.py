"""Spiking Heidelberg Digits: spoken digits as spikes of 700 channels of an artificial cochlea (Cramer et al., 2020), from local
HDF5 files. Needs h5py (the extra ``io``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from eventsim.errors import StorageError
from eventsim.files.hdf5 import check_heaps, open_hdf5

URL = "https://compneuro.net/datasets"
MAX_BYTES = 2**24  # of labels; spikes are read sample by sample
FILES = {True: "shd_train.h5", False: "shd_test.h5"}


class SpikingHeidelbergDigitsDataset(torch.utils.data.Dataset):
    """Pairs (spikes uint8 (time, 700), label uint8 ()): 1 where a channel fires in a step. Step n is [n dt, (n + 1) dt).

    Parameters
    ----------
    root : folder with shd_train.h5 and shd_test.h5, or one such file
    dt : s
    sparse : whether spikes are sparse (COO) tensors; torch.stack makes a batch of them, a DataLoader only where its collate_fn
        does so
    train : which of both files of the folder to read
    download : not used: nothing is downloaded

    It has a length and an order, so that a DataLoader can shuffle it. A sample is read when it is asked for.
    """

    max_length = 1.4  # s
    n_units = 700

    def __init__(self, root, dt=0.001, sparse=True, train=True, download=False):
        path = Path(root)
        self.path = path if path.is_file() else path / FILES[train]
        self.dt, self.sparse = dt, sparse
        self.steps = int(np.ceil(np.round(self.max_length / dt, 6)))
        if not self.path.is_file():
            raise StorageError(
                f"file {str(self.path)!r} does not exist. Nothing is downloaded here: get {self.path.name}.gz from {URL}, "
                "unpack it with gunzip, and give its folder"
            )
        check_heaps(self.path, f"file {self.path.name!r}")
        with self._open() as file:
            labels = file.array("labels", "iu")
            lengths = [labels.size, *(file.rows(f"spikes/{name}", "iuf").size for name in ("times", "units"))]
            if len(set(lengths)) > 1 or labels.ndim != 1:
                raise StorageError(f"file {str(self.path)!r} has {lengths} labels, times and units; they must be as many")
            self.labels = torch.from_numpy(labels.astype(np.uint8))

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        n = range(len(self))[index]
        with self._open() as file:
            times = np.asarray(file.rows("spikes/times", "iuf")[n], dtype=np.float64)  # s
            units = np.asarray(file.rows("spikes/units", "iuf")[n], dtype=np.float64)
        rows = np.floor(times / self.dt)
        if len(rows) != len(units) or not self._inside(rows, self.steps) or not self._inside(units, self.n_units):
            raise StorageError(
                f"file {str(self.path)!r}: every spike of sample {n} must have a time from 0 to below {self.max_length} s, and a "
                f"channel below {self.n_units}"
            )
        where = np.unique(np.stack([rows, units]).astype(np.int64), axis=1)  # two spikes in a step are one
        ones = torch.ones(where.shape[1], dtype=torch.uint8)
        shape = (self.steps, self.n_units)
        spikes = torch.sparse_coo_tensor(torch.from_numpy(where), ones, shape, is_coalesced=True, check_invariants=False)
        return (spikes if self.sparse else spikes.to_dense()), self.labels[n]

    @staticmethod
    def _inside(values, stop):
        return len(values) == 0 or bool(values.min() >= 0 and values.max() < stop)  # which NaN is not

    def _open(self):
        return open_hdf5(self.path, MAX_BYTES)
