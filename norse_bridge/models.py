"""All names of `norse_bridge`, where Norse has its nets; see `norse_bridge.paths`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from norse_bridge.paths import flat_names

if TYPE_CHECKING:
    from norse_bridge import *  # noqa: F403

BELOW = "conv mobilenet vgg"

__getattr__ = flat_names(__name__, BELOW.split())
