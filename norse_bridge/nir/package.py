"""The package `nir`, which is optional: imported when something of it is needed."""

from __future__ import annotations

from typing import Any

from eventsim.errors import ModelError


def nir_package() -> Any:
    """The package `nir`; a ModelError that says how to install it where it is missing."""
    try:
        import nir
    except ImportError as error:
        raise ModelError("graphs of NIR need the packages nir and h5py: pip install 'eventsim[nir]'") from error
    return nir
