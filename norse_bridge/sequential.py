"""SequentialState: modules called one after another, each with its own state if it has one."""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError
from norse_bridge.lifting import is_stateful


class SequentialState(torch.nn.Sequential):
    """`nn.Sequential` for modules with and without state: ``forward(input, state=None) -> (output, state)``.

    The state is a list with one entry a module, None for those that carry none; a new list is returned, the given one is left
    alone. Containers nest. With ``return_hidden`` the output is the list of the outputs of all modules.
    """

    def __init__(self, *args, return_hidden=False):
        super().__init__(*args)
        self.return_hidden = return_hidden
        self.state_hooks = []

    def forward(self, input_tensor, state=None):
        if state is None:
            state = [None] * len(self)
        if len(state) != len(self):
            raise SimulationError(f"SequentialState: the state has {len(state)} entries, there are {len(self)} modules")
        x, hidden, new = input_tensor, [], []
        for module, s in zip(self, state, strict=True):
            if is_stateful(module):
                x, s = module(x, s)
            else:
                x = module(x)
            hidden.append(x)
            new.append(s)
        return (hidden if self.return_hidden else x), new

    def register_forward_state_hooks(self, forward_hook):
        """Call ``forward_hook(module, inputs, output)`` after every module that carries a state. Once: a second call does nothing
        until `remove_forward_state_hooks`."""
        if not self.state_hooks:
            self.state_hooks = [module.register_forward_hook(forward_hook) for module in self if is_stateful(module)]

    def remove_forward_state_hooks(self):
        """Remove what `register_forward_state_hooks` added."""
        for hook in self.state_hooks:
            hook.remove()
        self.state_hooks = []
