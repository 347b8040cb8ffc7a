"""The exact engine in plain Python, slowly and in other ways: closed forms of `reference_flows`, crossings by walking and bisection.

It shares nothing with `eventsim.exact`: a list of synapses for each source, `heapq`, and a look ahead of half a millisecond for
each neuron whenever something reaches it. Where nothing is found, it looks again at the end.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict

import numpy as np
from reference_flows import FLOWS

AHEAD = 0.5  # ms that one look ahead covers; the voltage of the networks here turns at most once within it
HALVINGS = 80
NEAR = 1e-6  # ms: by the voltage so much later and earlier it is seen whether it rises
ARRIVE, LOOK, FIRE = 0, 1, 2


class Reference:
    """Neurons of one kind, numbered 0 ... n - 1, and sources behind them.

    model, params : as eventsim names them; refractory : ms; start : the states of all neurons at time 0
    synapses : (source, target, weight, delay in ms, port)
    given : (time in ms, source)
    """

    def __init__(self, model, params, refractory, start, synapses, given):
        self.model, self.p, self.refractory = FLOWS[model], params, refractory
        self.flow = self.model.flow
        self.state = [tuple(s) for s in start]
        n = len(self.state)
        self.last, self.free, self.version = [0.0] * n, [-math.inf] * n, [0] * n
        self.out = defaultdict(lambda: defaultdict(list))
        for source, target, weight, delay, port in synapses:
            self.out[source][delay].append((target, weight, self.model.ports[port]))
        self.heap, self.number, self.spikes = [], 0, []
        for time, source in given:
            self.push(time, ARRIVE, ("spike", source))
        for j in range(n):
            self.look(j, 0.0)

    def push(self, time, kind, what):
        self.number += 1
        heapq.heappush(self.heap, (time, kind, self.number, what))

    def at(self, j, t):
        """The state of neuron j at t."""
        s, last = self.state[j], self.last[j]
        if last < self.free[j]:
            end = min(t, self.free[j])
            s, last = (s[0], *self.flow(self.p, s, end - last)[1:]), end
        return self.flow(self.p, s, t - last) if t > last else s

    def margin(self, j, t):
        s = self.at(j, t)
        return s[0] - self.model.threshold(self.p, s)

    def look(self, j, now):
        """When it will next fire, to the heap."""
        self.version[j] += 1
        begin = max(now, self.free[j])
        if self.margin(j, begin) > 0.0:
            self.push(begin, FIRE, (j, self.version[j]))
            return
        low, high = begin, begin + AHEAD
        below = self.margin(j, high)
        if below <= 0.0:
            falls = below < self.margin(j, high - NEAR)
            top = self.top(j, low, high) if falls and self.margin(j, low + NEAR) > self.margin(j, low) else low
            if not self.margin(j, top) > 0.0:
                self.push(high, LOOK, (j, self.version[j]))
                return
            high = top
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            if self.margin(j, middle) > 0.0:
                high = middle
            else:
                low = middle
        self.push(high, FIRE, (j, self.version[j]))

    def top(self, j, low, high):
        """Where the voltage is greatest in a short piece in which it rises and then falls, by thirds."""
        for _ in range(40):
            if high - low < 1e-7:
                break
            a, b = low + (high - low) / 3.0, high - (high - low) / 3.0
            if self.margin(j, a) < self.margin(j, b):
                low = a
            else:
                high = b
        return 0.5 * (low + high)

    def spike(self, t, source):
        self.spikes.append((t, source))
        for delay, synapses in self.out[source].items():
            self.push(t + delay, ARRIVE, ("synapses", synapses))

    def receive(self, t, synapses, touched):
        for j, weight, place in synapses:
            if t > self.last[j]:
                self.state[j], self.last[j] = self.at(j, t), t
            if place > 0 or t >= self.free[j]:
                s = list(self.state[j])
                s[place] += weight
                self.state[j] = tuple(s)
            touched.add(j)

    def run(self, until):
        """All spikes up to then: times in ms, numbers."""
        while self.heap and self.heap[0][0] <= until:
            now, touched = self.heap[0][0], set()
            while self.heap and self.heap[0][0] == now and self.heap[0][1] == ARRIVE:
                kind, what = heapq.heappop(self.heap)[3]
                if kind == "spike":
                    self.spike(now, what)
                else:
                    self.receive(now, what, touched)
            for j in sorted(touched):
                self.look(j, now)
            while self.heap and self.heap[0][0] == now and self.heap[0][1] != ARRIVE:
                _, kind, _, (j, version) = heapq.heappop(self.heap)
                if version != self.version[j]:
                    continue
                if kind == FIRE:
                    self.state[j], self.last[j] = self.model.reset(self.p, self.at(j, now)), now
                    self.free[j] = now + self.refractory
                    self.spike(now, j)
                self.look(j, now)
        times, sources = zip(*self.spikes, strict=True) if self.spikes else ((), ())
        return np.array(times), np.array(sources, np.int64)


def by_neuron(times, neurons):
    """The spike times of each neuron, ascending."""
    order = np.lexsort((times, neurons))
    times, neurons = np.asarray(times)[order], np.asarray(neurons)[order]
    borders = np.flatnonzero(np.diff(neurons)) + 1
    return dict(zip(neurons[np.concatenate([[0], borders])], np.split(times, borders), strict=True)) if len(times) else {}


def parts_at(one, other, tolerance):
    """The first time in ms at which two lists of spikes (times, neurons) are not the same to ``tolerance`` ms, or inf."""
    a, b = by_neuron(*one), by_neuron(*other)
    first, none = math.inf, np.zeros(0)
    for neuron in a.keys() | b.keys():
        x, y = a.get(neuron, none), b.get(neuron, none)
        many = min(len(x), len(y))
        differs = np.flatnonzero(np.abs(x[:many] - y[:many]) > tolerance)
        at = differs[0] if differs.size else many
        if at < max(len(x), len(y)):
            first = min(first, *(float(z[at]) for z in (x, y) if at < len(z)))
    return first
