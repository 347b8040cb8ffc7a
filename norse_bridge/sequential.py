"""Containers that hand states along: SequentialState, and RecurrentSequential with feedback from one step to the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from eventsim.errors import NetworkError, SimulationError
from norse_bridge.lifting import call, is_stateful, watches_neurons
from norse_bridge.pytree import state_tuple


class SequentialState(torch.nn.Sequential):
    """`nn.Sequential` for modules with and without state: ``forward(input, state=None) -> (output, state)``.

    The state is a list with one entry a module, None for those that carry none; a new list is returned, the given one is left
    alone. Containers nest. With ``return_hidden`` the output is the list of the outputs of all modules. A `RegularizationCell`
    sees the state of the last module before it that has one.
    """

    def __init__(self, *args, return_hidden=False):
        super().__init__(*args)
        self.return_hidden = return_hidden
        self.forward_state_hooks = []

    def forward(self, input_tensor, state=None):
        if state is None:
            state = [None] * len(self)
        if len(state) != len(self):
            raise SimulationError(f"SequentialState: the state has {len(state)} entries, there are {len(self)} modules")
        x, hidden, new, neurons = input_tensor, [], [], None
        for module, s in zip(self, state, strict=True):
            if is_stateful(module):
                x, s = call(module, x, s, neurons)
                neurons = neurons if watches_neurons(module) else s
            else:
                x = module(x)
            hidden.append(x)
            new.append(s)
        return (hidden if self.return_hidden else x), new

    def register_forward_state_hooks(self, forward_hook):
        """Call ``forward_hook(module, inputs, output)`` after every module that carries a state, of those that are there now.

        Such a hook watches: what it returns is ignored, so that `to_network` takes a model that has some. A SimulationError if
        there are hooks already.
        """
        if self.forward_state_hooks:
            raise SimulationError("SequentialState: there are state hooks already; call remove_forward_state_hooks first")
        watch = _Watch(forward_hook)
        self.forward_state_hooks = [module.register_forward_hook(watch) for module in self if is_stateful(module)]

    def remove_forward_state_hooks(self):
        """Remove what `register_forward_state_hooks` added."""
        for hook in self.forward_state_hooks:
            hook.remove()
        self.forward_state_hooks = []


class _Watch(NamedTuple):
    """A forward hook that hands on what it sees and changes nothing."""

    forward_hook: Any

    def __call__(self, module, inputs, output):
        self.forward_hook(module, inputs, output)


@state_tuple
class RecurrentSequentialState(NamedTuple):
    """cache: what is fed back in the next step: the output of the step before, None before the first; state: the list of the
    modules' states, or None."""

    cache: Any = None
    state: Any = None


class RecurrentSequential(torch.nn.Module):
    """One step of modules called one after another, whose output is added to the input of the next step.

    ``forward(x, state=None) -> (output, RecurrentSequentialState)``; x: (batch, ...).

    modules : with and without state, as in `SequentialState`; those after the last output module run, too
    output_modules : the place of the module whose output is returned and fed back, or a list of places: then the list of their
        outputs is returned, and their sum is fed back. Outputs must have the shape of x.
    """

    def __init__(self, *modules, output_modules=-1):
        super().__init__()
        self.module = SequentialState(*modules, return_hidden=True)
        self.output_modules = output_modules
        count = len(self.module)
        wrong = [place for place in _listed(output_modules) if not isinstance(place, int) or not -count <= place < count]
        if wrong or not _listed(output_modules):
            raise NetworkError(
                f"RecurrentSequential: output_modules must be the place of a module, from {-count} to {count - 1}, or a list of"
                f" places, not {output_modules!r}"
            )

    def forward(self, x, state=None):
        cache, inner = (None, None) if state is None else state
        for fed_back in [] if cache is None else _listed(cache):
            if fed_back.shape != x.shape:
                raise SimulationError(
                    f"RecurrentSequential: an output of shape {tuple(fed_back.shape)} cannot be added to the input of shape"
                    f" {tuple(x.shape)}; choose output_modules whose outputs have the shape of the input"
                )
            x = x + fed_back
        hidden, inner = self.module(x, inner)
        if isinstance(self.output_modules, int):
            output = hidden[self.output_modules]
        else:
            output = [hidden[place] for place in self.output_modules]
        return output, RecurrentSequentialState(output, inner)


def _listed(value):
    """A list or tuple as it is, anything else as the only entry of one."""
    return value if isinstance(value, (list, tuple)) else [value]
