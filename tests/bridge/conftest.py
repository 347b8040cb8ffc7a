"""One thread for torch: the machine is shared, and the tests are small. Without torch, an extra, there is nothing to test here."""

import importlib.util

import pytest

if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["*.py"]
else:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers for every test, whatever ran before."""
    torch.manual_seed(0)
