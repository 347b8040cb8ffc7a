"""Whether a module still computes what its class is known for: no forward of its own, no hooks that may change values.

What is exported is read off a module's class and tensors; its Python code is not looked at, so that code of one's own is refused.
"""

from __future__ import annotations

import torch
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from eventsim.errors import NetworkError

COMPUTING = ("forward", "initial_state", "__call__")
RENEWING = (BasePruningMethod, WeightNorm, SpectralNorm)
"""Hooks before the forward that compute a module's weights and do nothing else."""
WATCHING = ("norse_bridge.", "torch.nn.modules.lazy")
"""Where hooks stand that change no values: those of `norse_bridge.tensorboard`, of `SequentialState.register_forward_state_hooks`,
and the one by which torch's lazy modules find their shapes."""
UNSTEADY = "is another one in every forward; call eval() on the model first"
REMEDY = "give its class a method exported_as(), which returns a module that computes the same"


def check_unaltered(module, label):
    """A NetworkError if a module, or one in it, computes something else than its class in torch or here.

    Weights that a hook computes before each forward (pruning, weight_norm, spectral_norm) are computed now.
    """
    for inner in module.modules() if _known_class(type(module)) else (module,):
        check_code(inner, label)
        check_hooks(inner, label)
    check_parametrizations(module, label)


def check_code(module, label):
    """A NetworkError if a module, or its class, has a forward of its own in the place of the one that is known."""
    for name in COMPUTING:
        if name in vars(module):
            raise NetworkError(
                f"{label}: its {name} has been replaced in the module itself, by what a network cannot know: {REMEDY}"
            )
    known = _known_class(type(module))
    for name in COMPUTING if known else ():
        if getattr(type(module), name, None) is not getattr(known, name, None):
            raise NetworkError(
                f"{label}: its class has a {name} of its own in the place of that of {known.__name__}, and a network cannot know "
                f"what it computes: {REMEDY}"
            )


def _known_class(own):
    """The class that says what modules of the class ``own`` compute: the one that defines `exported_as`, or of this package; None
    where there is none."""
    modules = [kind for kind in own.__mro__ if issubclass(kind, torch.nn.Module)]
    says = next((kind for kind in modules if "exported_as" in vars(kind)), None)
    return says or next((kind for kind in modules if kind.__module__.startswith("norse_bridge.")), None)


def check_hooks(module, label):
    """A NetworkError if hooks before or behind the forward may change values; those that compute weights are called."""
    for hook in (*module._forward_pre_hooks.values(), *module._forward_hooks.values()):
        if isinstance(hook, SpectralNorm) and module.training:
            raise NetworkError(f"{label}: in training mode its {hook.name} {UNSTEADY}")
        if isinstance(hook, RENEWING):
            hook(module, ())
        elif not (getattr(hook, "__module__", None) or "").startswith(WATCHING):
            called = getattr(hook, "__qualname__", type(hook).__name__)
            raise NetworkError(
                f"{label}: it has a forward hook ({called}), which may change what goes in or comes out: remove it before the "
                "export; hooks that only watch can be given to SequentialState.register_forward_state_hooks"
            )


def check_parametrizations(module, label):
    """A NetworkError if a parametrised weight is another one each time it is read, as that of spectral_norm in training mode."""
    for name in getattr(module, "parametrizations", ()) if module.training else ():
        if not torch.allclose(getattr(module, name), getattr(module, name), rtol=0.0, atol=0.0, equal_nan=True):
            raise NetworkError(f"{label}: in training mode its {name} {UNSTEADY}")
