"""All names of `norse_bridge`, where Norse has its pytrees, plots, NIR and TensorBoard; see `norse_bridge.paths`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from norse_bridge.paths import flat_names

if TYPE_CHECKING:
    from norse_bridge import *  # noqa: F403

BELOW = """
    clone export_nir import_nir plot plot.plot pytree tensorboard tensorboard.tensorboard
"""

__getattr__ = flat_names(__name__, BELOW.split())
