"""Norse's module paths: a name is found where Norse has it, ``from norse_bridge.functional.lif import lif_step``.

`norse_bridge.functional`, `norse_bridge.module`, `norse_bridge.models`, `norse_bridge.utils` and the modules below them, which have
no file, are all alike: each has every public name of `norse_bridge`, looked up when asked for.
"""

from __future__ import annotations

import sys
import types

import norse_bridge


def flat_names(path, below=()):
    """The ``__getattr__`` of the module ``path``: finds the public names of `norse_bridge`, and the modules ``path.x`` for x in
    ``below``, which are made here and find the same."""
    for name in below:
        module = types.ModuleType(f"{path}.{name}", f"All names of `norse_bridge`, for ``from {path}.{name} import ...``.")
        module.__dict__["__getattr__"] = flat_names(module.__name__)
        sys.modules[module.__name__] = module

    def find(name):
        if name == "__all__":
            return list(norse_bridge.__all__)
        if name in norse_bridge.__all__:
            return getattr(norse_bridge, name)
        if f"{path}.{name}" in sys.modules:
            return sys.modules[f"{path}.{name}"]
        raise AttributeError(f"module {path!r} has no attribute {name!r}")

    return find
