"""The neurons of one population in the exact engine: their records, parameters and kernels, and the words kernels find them by."""

from __future__ import annotations

import ctypes
import math

import numpy as np

from eventsim.ceiling import rises
from eventsim.currents import under_currents
from eventsim.exact import layout as w
from eventsim.exact.crossing import END
from eventsim.exact.foldable import fold_gains, row_length
from eventsim.exact.neurons import compile_event
from eventsim.exact.queue import lines
from eventsim.exact.records import ExactSpec
from eventsim.network import Network, used_ports
from eventsim.program import initial_state

FEWEST = 256  # neurons of a group that may be dense
PER_SEGMENT = 8  # synapses of a segment on average, from which windows may be dense: before that single ones are faster
MANY, FEW = 0.5, 0.25  # arrivals of a neuron in a window, from which it pays to be dense, and below which it pays to be so no more
PATIENCE = 8.0  # arrivals of a neuron more or fewer than that, which are worth the cost of a change
FOLDING = {w.COMMIT: "commit", w.SETTLE: "settle", w.WAIT: "wait", w.FOLD: "fold"}
GUARD = 1e-9  # ms: what changes at a time has changed then, whatever its rounding


class Group:
    """The population with the given number, the ``place``-th one that is made of neurons.

    first : the number of its first neuron in the network; ports : the names of those that something reaches, sorted
    words : int64 (CONTEXT_SIZE,), which kernels work on
    """

    def __init__(self, network: Network, number: int, place: int, first: int, seed: int):
        self._network, self.number = network, number
        self._population = network.populations[number]
        neuron, self.size = self._population.neuron, self._population.size
        model = neuron.model
        self.fields: tuple[str, ...] = model.State._fields
        self.ports = tuple(sorted(used_ports(network, self._population)))
        bounded = model.linear and model.turning_time is not None and model.crossing is None and model.earliest is None
        self.spec = ExactSpec(model, neuron.hold if neuron.holds else (), bounded)
        self.kernels = {name: compile_event(name, self.spec) for name in ("visit", "look", "renew")}
        self.kernels |= {port: compile_event(f"receive {port}", self.spec) for port in self.ports}
        states = len(self.fields)
        record = lines((self.size, self.spec.width))
        record[:, :states] = initial_state(network, number, seed).T
        record[:, states + w.FREE] = -np.inf
        record[:, states + w.PREDICTED] = record[:, states + w.QUEUED] = np.inf
        block = lines((states + w.BLOCK_ROWS + len(model.Params._fields), w.BLOCK))
        self._arrays: dict[int, np.ndarray] = {
            w.RECORD: record,
            w.BLOCK_STATES: block,
            w.STAGE_TIME: np.zeros(w.BLOCK),
            w.STAGE_TARGET: np.zeros(w.BLOCK, np.int32),
            w.STAGE_WEIGHT: np.zeros(w.BLOCK),
            w.STAGE_MARKS: np.zeros(w.MARKS, np.int64),
            w.STAGE_CHOSEN: np.zeros(w.BLOCK, np.int64),
        }
        self.words = np.zeros(w.CONTEXT_SIZE, np.int64)
        self.words[w.N], self.words[w.FIRST], self.words[w.WIDTH] = self.size, first, record.strides[0]
        self.words[w.PLACE] = place
        self.words[w.ENTRY] = (w.FIRE << w.KIND_SHIFT) + (place << w.GROUP_SHIFT)
        self._window = 0.0
        self.set_parameters(0.0)

    def allow_folding(self, window: float) -> None:
        """Let the group be dense in windows of so many ms (`eventsim.exact.dense`) if it can be."""
        model = self.spec.model
        params = under_currents(self._network, self._population, GUARD, 0.0)
        if self.size < FEWEST or not self.ports or fold_gains(model, params, window) is None:
            return
        self._window = window
        made = {word: compile_event(name, self.spec) for word, name in FOLDING.items()}
        self.kernels |= {FOLDING[word]: kernel for word, kernel in made.items()}
        self._arrays |= {
            w.FOLD_ROWS: lines((self.size, row_length(model))),
            w.FOLD_MARKS: np.zeros(self.size, np.uint8),
            w.FOLD_NUMBERS: np.zeros(self.size, np.int32),
            w.FOLD_PORTS: np.array([list(model.ports).index(port) for port in self.ports], np.int64),
            w.FOLD_COLUMNS: np.zeros((len(model.ports) * len(self.fields), w.BLOCK)),
            w.FOLD_WAITING: np.zeros(self.size, np.uint8),
            w.SHADOW: lines((self.size, self.spec.width)),
            w.NO_WEIGHTS: np.zeros(w.BLOCK),
        }
        self.words[w.FROM], self.words[w.BELOW] = math.ceil(MANY * self.size), math.ceil(FEW * self.size)
        self.words[w.PATIENCE] = math.ceil(PATIENCE * self.size)
        for word, kernel in made.items():
            self.words[word] = kernel.address
        self.set_parameters(0.0)

    def set_parameters(self, time: float) -> None:
        """Put the parameters in force under the currents that flow from ``time`` on, in ms."""
        params = under_currents(self._network, self._population, GUARD, time)
        values = [*params, self._population.neuron.refractory]
        own = any(np.ndim(v) for v in values)
        rows = self.size if own else 1
        table = np.stack([np.broadcast_to(np.asarray(v, np.float64), (rows,)) for v in values], axis=1)
        bounds = rises(self.spec.model, params, 0.0, rows, END) if self.spec.bounded else np.zeros((1, 1))
        self._arrays |= {w.PARAMS: np.ascontiguousarray(table), w.RISES: np.ascontiguousarray(bounds)}
        if self._window:
            gains = fold_gains(self.spec.model, params, self._window)
            self.words[w.FOLDABLE] = gains is not None
            self._arrays |= {} if gains is None else {w.FOLD_GAINS: gains}
        for word, array in self._arrays.items():
            self.words[word] = array.ctypes.data
        self.words[w.STRIDE], self.words[w.RISE_COLUMNS] = len(values) if own else 0, bounds.shape[1]

    @property
    def records(self) -> np.ndarray:
        """Of all neurons, (neurons, states + MORE): see `eventsim.exact.layout`. What is written there is their state."""
        return self._arrays[w.RECORD][:, : len(self.fields) + w.MORE]

    @property
    def refractory(self) -> np.ndarray | float:
        """The refractory period in ms, of each neuron or of all."""
        return self._population.neuron.refractory

    @property
    def dense(self) -> bool:
        """Whether it is (`eventsim.exact.dense`)."""
        return bool(self.words[w.DENSE])

    @property
    def shadow(self) -> np.ndarray:
        """As `records`, of the time when a dense window began that was paused."""
        return self._arrays[w.SHADOW][:, : len(self.fields) + w.MORE]

    def _call(self, name: str, t: float, a: int = 0, b: int = 0) -> None:
        self.kernels[name].ctypes(self.words.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)), t, a, b)

    def look(self, t: float) -> np.ndarray:
        """The states of all neurons at t, (neurons, states); nobody is moved."""
        out = np.empty((self.size, len(self.fields)))
        self._call("look", t, out.ctypes.data)
        return out

    def renew(self, t: float, dense: bool = False) -> None:
        """Move all neurons to t, and visit them soon: there must be room for that; or let the group be dense from then on."""
        self.words[w.DENSE], self.words[w.CREDIT] = dense, 0
        self._call("renew", t, dense)
        if dense:
            self._call("wait", t, 0, self.size)

    def first_not_finite(self) -> tuple[int, str, float] | None:
        """The first neuron with a state that is NaN or infinite: its number, name and value of the state; or None."""
        states = self._arrays[w.RECORD][:, : len(self.fields)]
        if np.isfinite(states.max() - states.min()) or np.all(np.isfinite(states)):
            return None
        j, field = np.argwhere(~np.isfinite(states))[0]
        return int(j), self.fields[field], float(states[j, field])
