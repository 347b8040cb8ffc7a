"""Tuples of tensors as one thing: `.to()`, `.float()`, `.broadcast()` of parameter and state tuples, and torch's pytrees.

Every parameter and state tuple has the methods of `StateTuple`: the decorator `state_tuple` gives them to a NamedTuple. To torch
such a tuple stays a NamedTuple, which its pytrees, `torch.func` and `torch.compile` know.
"""

from __future__ import annotations

import types
from numbers import Number
from typing import NamedTuple, TypeVar

import torch
from torch.utils import _pytree

from eventsim.errors import ModelError

T = TypeVar("T")


def map_only(ty):
    """A decorator: ``map_only(ty)(fn)`` applies fn to what is of type ``ty`` (or of one in a tuple of types), and returns all
    else as it is."""
    return _pytree.map_only(ty)


def tree_map_only(ty, fn, pytree):
    """The pytree with ``fn`` applied to its leaves of type ``ty`` (or of one in a tuple of types)."""
    return _pytree.tree_map_only(ty, fn, pytree)


def register_tuple(typ):
    """Make torch's pytrees look into the named tuples of the class ``typ``. A NamedTuple torch knows without, older versions not
    its subclasses. A second call does nothing."""
    if typ not in _pytree.SUPPORTED_NODES:
        name = f"{typ.__module__}.{typ.__qualname__}"
        _pytree.register_pytree_node(typ, lambda t: (list(t), None), lambda leaves, _: typ(*leaves), serialized_type_name=name)


def broadcast_input(potential_scalar, template):
    """A number or a tensor with one element as a tensor of the template's shape; a tensor of that shape as it is.

    ModelError (a ValueError) for any other shape.
    """
    tensor = torch.as_tensor(potential_scalar, device=template.device)
    if tensor.shape == template.shape:
        return tensor
    if tensor.numel() != 1:
        raise ModelError(
            f"broadcast_input: a tensor of shape {tuple(tensor.shape)} cannot take the shape {tuple(template.shape)} of the "
            "template; it must have one element or that shape"
        )
    return tensor.reshape(()).expand(template.shape).clone()


def clone_tensor(x, device=None):
    """A copy of the tensor x without its history, or the number x as a tensor; on ``device`` if one is given."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().to(device)
    if isinstance(x, Number):
        return torch.as_tensor(x, device=device)
    raise ModelError(f"clone_tensor: x must be a tensor or a number, not a {type(x).__name__}")


def _map_tensors(values, fn):
    """The tuple with fn applied to its tensors, in nested tuples too."""
    return type(values)(*(_pytree.tree_map_only(torch.Tensor, fn, value) for value in values))


class StateTuple:
    """What parameter and state tuples can do. Each method returns a new tuple; what is no tensor stays as it is.

    A tuple of your own gets the methods by the decorator `state_tuple`, or, as in Norse, by inheriting them:
    ``class Mine(StateTuple, NamedTuple, metaclass=MultipleInheritanceNamedTupleMeta)``.
    """

    def __init_subclass__(cls, **rest):
        super().__init_subclass__(**rest)
        register_tuple(cls)

    def to(self, device):
        """All tensors on a device, or in a type."""
        return _map_tensors(self, lambda tensor: tensor.to(device))

    def cuda(self):
        """All tensors on the current CUDA device."""
        return _map_tensors(self, torch.Tensor.cuda)

    def cpu(self):
        """All tensors in the memory of the host."""
        return _map_tensors(self, torch.Tensor.cpu)

    def int(self):
        """All tensors as int32."""
        return _map_tensors(self, torch.Tensor.int)

    def float(self):
        """All tensors as float32."""
        return _map_tensors(self, torch.Tensor.float)

    def broadcast(self, template):
        """All tensors in the shape of the template: `broadcast_input`."""
        return _map_tensors(self, lambda tensor: broadcast_input(tensor, template))


def state_tuple(cls: type[T]) -> type[T]:
    """The NamedTuple ``cls`` with the methods of `StateTuple`."""
    for name, method in vars(StateTuple).items():
        if not name.startswith("_"):
            setattr(cls, name, method)
    return cls


class MultipleInheritanceNamedTupleMeta(type(types.resolve_bases((NamedTuple,))[0])):  # type: ignore[misc]
    """The metaclass of a NamedTuple that has further base classes: ``class Mine(Mixin, NamedTuple, metaclass=...)``."""

    def __new__(mcls, typename, bases, ns):
        (named,) = types.resolve_bases((NamedTuple,))
        if named not in bases:
            return type.__new__(mcls, typename, bases, ns)
        fields = types.new_class(typename, (NamedTuple,), exec_body=lambda body: body.update(ns))
        own = {name: ns[name] for name in ("__module__", "__qualname__", "__doc__") if name in ns}
        return type.__new__(mcls, typename, tuple(fields if base is named else base for base in bases), own | {"__slots__": ()})
