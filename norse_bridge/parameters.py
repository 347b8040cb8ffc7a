"""A module that holds a parameter tuple, so that `.to()`, `state_dict()` and `parameters()` see what is in it."""

from __future__ import annotations

import torch

from eventsim.errors import ModelError


class ParameterStore(torch.nn.Module):
    """The fields of a parameter tuple (nested ones too), registered under their names.

    A leaf tensor that requires a gradient becomes an `nn.Parameter` (the same object if it is one already, else one that shares
    its memory). A tensor with a history, such as ``log_tau.exp()``, stays exactly as it is: it belongs to whoever made it. Every
    other number or tensor becomes a buffer of its own, never shared with the tuple it came from; anything else (the name of a
    surrogate) is kept as it is.
    """

    def __init__(self, values):
        super().__init__()
        self.kind = type(values)
        for name, value in zip(values._fields, values, strict=True):
            self._hold(name, value)

    def _hold(self, name, value):
        if isinstance(value, bool) or not isinstance(value, (int, float, tuple, torch.Tensor)):
            setattr(self, name, value)
        elif isinstance(value, tuple):
            if not hasattr(value, "_fields"):
                raise ModelError(f"{self.kind.__name__}: {name} must be a number, a tensor or a parameter tuple, not {value!r}")
            self.add_module(name, ParameterStore(value))
        elif isinstance(value, torch.Tensor) and value.requires_grad:
            if value.grad_fn is not None:
                setattr(self, name, value)
            else:
                self.register_parameter(name, value if isinstance(value, torch.nn.Parameter) else torch.nn.Parameter(value))
        elif isinstance(value, torch.Tensor):
            self.register_buffer(name, value.detach().clone())
        else:
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.get_default_dtype()))

    def values(self):
        """The tuple again, with the tensors as they are now."""
        buffers = self._buffers  # most are in here, and torch's own way to them is long
        return self.kind(*(buffers[name] if name in buffers else _value(getattr(self, name)) for name in self.kind._fields))

    def _load_from_state_dict(self, state_dict, prefix, *rest):
        """A state dict saved by Norse, which never stores parameter tuples, leaves them as they are."""
        if any(key.startswith(prefix) for key in state_dict):
            super()._load_from_state_dict(state_dict, prefix, *rest)


def _value(member):
    return member.values() if isinstance(member, ParameterStore) else member
