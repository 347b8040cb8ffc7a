"""GraphState: modules called along the edges of a graph, each with its own state if it has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from eventsim.errors import SimulationError
from norse_bridge.leaves import unused
from norse_bridge.lifting import call, is_stateful
from norse_bridge.nir.modules import Delay
from norse_bridge.nir.order import Edge, schedule


class GraphStates(NamedTuple):
    """states: one of each module, None for those that carry none; said: by name what a late edge hands on in the next step."""

    states: list
    said: dict


def module_names(names, container) -> list[str]:
    """Names for the modules of a container, such as a new `torch.nn.ModuleDict`: what torch does not take gets underscores."""
    taken, found = set(dir(container)), []
    for name in names:
        found.append(unused(name.replace(".", "_") or "_", taken))
        taken.add(found[-1])
    return found


class GraphState(torch.nn.Module):
    """Modules that take one step, joined by edges: ``forward(input, state=None) -> (output, state)``.

    A node receives the sum of what its predecessors say; along an edge that leads back (`norse_bridge.nir.order.schedule`) that is
    what they said in the step before, 0 in the first. A new state is returned, the given one is left alone. The modules are in
    ``nodes``, under the names of their nodes as far as torch takes them (`module_names`).

    Parameters
    ----------
    modules : by name, of every node that is neither an input nor an output
    edges : pairs of names
    inputs, outputs : names. With one of each, input and output are tensors (batch, ...); with more, dicts of tensors by name
    shapes : by name, the features of every node's output, inputs included
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        edges: Sequence[Edge],
        inputs: Sequence[str],
        outputs: Sequence[str],
        shapes: Mapping[str, tuple[int, ...]],
    ):
        super().__init__()
        keys = module_names(modules, torch.nn.ModuleDict())
        self.nodes = torch.nn.ModuleDict(dict(zip(keys, modules.values(), strict=True)))
        self.names, self.inputs, self.outputs = tuple(modules), tuple(inputs), tuple(outputs)
        self.edges, self.shapes = tuple(edges), dict(shapes)
        self.registers = tuple(name for name, m in modules.items() if isinstance(m, Delay) and m.register)
        self.order, self.late = schedule((*inputs, *modules, *outputs), edges, inputs, self.registers)
        self.before: dict[str, list[str]] = {name: [] for name in self.order}
        for a, b in edges:
            self.before[b].append(a)

    def extra_repr(self):
        return ", ".join(f"{a} -> {b}{' (late)' if (a, b) in self.late else ''}" for a, b in self.edges)

    def _given(self, x) -> dict[str, Any]:
        given = x if isinstance(x, dict) else dict.fromkeys(self.inputs[:1], x)
        if set(given) != set(self.inputs):
            raise SimulationError(f"the graph has the inputs {', '.join(self.inputs)}; give a dict with a tensor for each")
        return dict(given)

    def _silence(self, name, given):
        """Zeros of the shape of what a node hears: (batch, ...)."""
        x = given[self.inputs[0]]
        batch = x.shape[: x.ndim - len(self.shapes[self.inputs[0]])]
        source = self.before[name][0]
        return x.new_zeros((*batch, *self.shapes[source]))

    def _heard(self, name, values, said, given):
        """The sum of what the predecessors of a node say."""
        found = [said.get(a) if (a, name) in self.late else values[a] for a in self.before[name]]
        found = [x for x in found if x is not None]
        return sum(found[1:], found[0]) if found else self._silence(name, given)

    def forward(self, input_tensor, state=None):
        given = self._given(input_tensor)
        states, said = ([None] * len(self.nodes), {}) if state is None else (list(state.states), state.said)
        if len(states) != len(self.nodes):
            raise SimulationError(f"GraphState: the state has {len(states)} entries, there are {len(self.nodes)} modules")
        values, number = dict(given), {name: i for i, name in enumerate(self.names)}
        modules = dict(zip(self.names, self.nodes.values(), strict=True))
        for name in self.registers:
            module, i = modules[name], number[name]
            states[i] = module.initial_state(self._silence(name, given)) if states[i] is None else states[i]
            values[name] = module.past(states[i])
        for name in self.order:
            if name in values:
                continue
            x = self._heard(name, values, said, given)
            module = modules.get(name)
            if module is None:
                values[name] = x
            elif is_stateful(module):
                values[name], states[number[name]] = call(module, x, states[number[name]])
            else:
                values[name] = module(x)
        for name in self.registers:
            x = self._heard(name, values, said, given)
            _, states[number[name]] = modules[name](x, states[number[name]])
        outputs = {name: values[name] for name in self.outputs}
        new = GraphStates(states, {a: values[a] for a, _ in self.late})
        return outputs if len(outputs) > 1 else outputs[self.outputs[0]], new
