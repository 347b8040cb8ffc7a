"""A simulator of the plainest kind: every neuron in every step, every synapse by name, NumPy in float64. Only tests use it."""

from __future__ import annotations

import numpy as np

from eventsim.models import Neuron
from eventsim.models.model import bind_refractory_step, bind_step
from eventsim.ops import NUMPY
from eventsim.program import SYNAPSES
from eventsim.random import key
from eventsim.rows import realise


def simulate(network, dt, steps, seed=0, given=None):
    """The spikes of every population as a list of (step, neuron), ascending.

    given : for each population that is a source, a bool array (steps + 1, neurons), row t what it fires in step t
    """
    names = [p.name for p in network.populations]
    synapses = []
    for number, projection in enumerate(network.projections):
        a, b = names.index(projection.source), names.index(projection.target)
        sizes = network.populations[a].size, network.populations[b].size
        made = realise(projection, *sizes, a == b, key(seed, SYNAPSES, number), dt)
        pre = np.repeat(np.arange(sizes[0]), np.diff(made.indptr))
        synapses.append((a, b, projection.port, pre, made.targets, made.weights, np.rint(np.asarray(made.delays) / dt).astype(int)))
    fired = [np.zeros((steps + 1, p.size), bool) for p in network.populations]
    cells = [Cell(p, dt) if isinstance(p.neuron, Neuron) else None for p in network.populations]
    for t in range(1, steps + 1):
        done = set()
        while len(done) < len(names):
            for b, population in enumerate(network.populations):
                waits = any(s[1] == b and s[0] not in done and np.any(s[6] == 0) for s in synapses)
                if b in done or waits:
                    continue
                done.add(b)
                if cells[b] is None:
                    fired[b][t] = given[names[b]][t]
                    continue
                inputs = {port: np.zeros(population.size) for port in population.neuron.model.ports}
                for a, target, port, pre, post, weight, delay in synapses:
                    if target == b:
                        due = (delay <= t) & fired[a][np.maximum(t - delay, 0), pre]
                        np.add.at(
                            inputs[port or population.neuron.model.default_port[0]], post[due], np.asarray(weight, float)[due]
                        )
                fired[b][t] = cells[b].step(inputs)
    return {name: np.argwhere(f) for name, f in zip(names, fired, strict=True)}


class Cell:
    """All neurons of a population."""

    def __init__(self, population, dt):
        neuron, self.n = population.neuron, population.size
        self.model, self.p = neuron.model, neuron.params
        self.k = (self.model.exact if neuron.method == "exact" else self.model.euler)(NUMPY, dt, self.p)
        self.s = self.model.State(*(np.broadcast_to(v, self.n).astype(float) for v in self.model.initial(self.p)))
        self.period = np.rint(np.asarray(neuron.refractory) / dt)
        self.rho = np.zeros(self.n)
        ports = tuple(self.model.ports)
        self.plain = bind_step(self.model, NUMPY, neuron.order, ports)
        self.held = bind_refractory_step(self.model, NUMPY, neuron.order, ports, neuron.hold) if neuron.holds else None

    def step(self, inputs):
        """One step with what arrives on each port; who fires."""
        x = tuple(inputs.values())
        if self.held:
            self.s, self.rho, z = self.held(self.s, self.rho, x, self.k, self.p, self.period)
        else:
            self.s, z = self.plain(self.s, x, self.k, self.p)
        return z > 0 if self.model.spiking else np.zeros(self.n, bool)
