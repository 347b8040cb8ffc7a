"""Brian2 as a peer: ``PYTHON brian2_peer.py [cpp]``, with questions on standard input (`protocol`).

Without an argument it runs compiled by Cython, step after step from Python; with ``cpp`` as a C++ program (``cpp_standalone``),
which cannot be continued: each run builds the network anew, warms up, and is timed by the program itself over the run proper.
A network comes as `benchmarks.describe` writes it. Only spikes are counted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

from protocol import Unable, serve

V = "dv/dt = ({drive}) / (tau_mem*ms) : 1{held}\n"
DECAY = "d{name}/dt = -{name} / ({tau}*ms) : 1{held}\n"
DRIVES = {
    "LIF": ("v_leak - v + r_mem*(g + current)", {"g": "tau_syn"}),
    "LIFResetAll": ("v_leak - v + r_mem*(g + current)", {"g": "tau_syn"}),
    "LIFDelta": ("v_leak - v + r_mem*current", {}),
    "LIFExcInh": ("v_leak - v + r_mem*(exc + inh + current)", {"exc": "tau_exc", "inh": "tau_inh"}),
    "LIFCondExp": ("v_leak - v + r_mem*(exc*(e_exc - v) + inh*(e_inh - v) + current)", {"exc": "tau_exc", "inh": "tau_inh"}),
}
RENAMED = {"i": "g"}  # "i" is a name of Brian2's own
TRAINS = 1000  # of which the noise on a neuron is made up


def _brian2() -> Any:
    try:
        import brian2
    except ImportError as error:
        raise Unable(
            f"this Python cannot import brian2 ({error}); pip install 'brian2==2.9.*', or give another --peer-python"
        ) from error
    return brian2


def equations(population: dict[str, Any]) -> str:
    """The model as Brian2's text, without units (times in ms)."""
    if population["model"] not in DRIVES:
        raise Unable(f"population {population['name']!r}: Brian2 is not told the equations of {population['model']}")
    drive, decays = DRIVES[population["model"]]

    def held(state: str) -> str:
        return " (unless refractory)" if state in {RENAMED.get(name, name) for name in population["hold"]} else ""

    text = V.format(drive=drive, held=held("v"))
    for name, tau in decays.items():
        text += DECAY.format(name=name, tau=tau, held=held(name))
    return text + ("ref : second\n" if isinstance(population["refractory"], dict) else "")


class Brian2:
    """One network, after `build`. standalone : as a C++ program"""

    def __init__(self, standalone: bool):
        self.standalone = standalone
        self.folder: Any = None

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make the objects; compiling them comes with the first run, or here for the C++ program.

        request : "network", "seed", and for the C++ program "warm_up" and "run" in ms
        """
        b = self.b = _brian2()
        import numpy as np

        network = self.network = request["network"]
        if self.standalone:
            self.folder = tempfile.TemporaryDirectory()
            b.set_device("cpp_standalone", build_on_run=False, directory=self.folder.name)
        else:
            b.prefs.codegen.target = "cython"
        self.arrays, self.random = np.load(network["arrays"]), np.random.default_rng(request["seed"])
        b.seed(request["seed"])
        b.defaultclock.dt = network["dt"] * b.ms
        begin = time.perf_counter()
        groups = {population["name"]: self._group(population) for population in network["populations"]}
        objects = list(groups.values())
        for projection in network["projections"]:
            objects.append(self._synapses(groups, projection))
        for noise in network["noise"]:
            objects += self._noise(groups[noise["target"]], noise)
        self.monitors = [b.SpikeMonitor(group, record=False) for group in groups.values()]
        self.net = b.Network(*objects, *self.monitors)
        if self.standalone:
            self.length = request["run"]
            self._compile(request["warm_up"])
        self.counted = 0
        return {"built_s": time.perf_counter() - begin, "version": f"Brian2 {b.__version__}"}

    def _compile(self, warm_up: float) -> None:
        for monitor in self.monitors:
            monitor.active = False
        self.net.run(warm_up * self.b.ms)
        for monitor in self.monitors:
            monitor.active = True
        self.net.run(self.length * self.b.ms)
        self.b.device.build(directory=self.folder.name, run=False, compile=True, with_output=False)

    def _given(self, value: Any) -> Any:
        """A number, or the array behind a name."""
        return self.arrays[value["array"]] if isinstance(value, dict) and "array" in value else value

    def _draw(self, law: Any, count: int) -> Any:
        """Values of a distribution: one number, or an array."""
        if not isinstance(law, dict) or "array" in law:
            return self._given(law)
        if law["law"] == "Uniform":
            return self.random.uniform(law["low"], law["high"], count)
        if law["law"] == "Normal":
            drawn = self.random.normal(law["mean"], law["std"], count)
            while (outside := (drawn < law["low"]) | (drawn > law["high"])).any():
                drawn[outside] = self.random.normal(law["mean"], law["std"], outside.sum())
            return drawn
        raise Unable(f"Brian2 is not told how to draw {law}")

    def _group(self, population: dict[str, Any]) -> Any:
        """The neurons. Brian2 counts the step of the spike into the refractory period, eventsim does not."""
        b, dt = self.b, self.network["dt"]
        refractory = self._given(population["refractory"])
        each = isinstance(population["refractory"], dict)
        constants = {name: self._given(value) for name, value in population["params"].items()} | {"current": population["current"]}
        group = b.NeuronGroup(
            population["size"],
            equations(population),
            threshold="v > v_th",
            reset="v = v_reset; g = 0" if population["model"] == "LIFResetAll" else "v = v_reset",
            refractory="ref" if each else (refractory + dt if refractory > 0 else 0.0) * b.ms,
            method="exponential_euler" if population["model"] == "LIFCondExp" else "exact",
            namespace=constants,
        )
        group.v = constants["v_leak"]
        for state, law in population["initial"].items():
            setattr(group, RENAMED.get(state, state), self._draw(law, population["size"]))
        if each:
            group.ref = (refractory + dt * (refractory > 0)) * b.ms
        return group

    def _pairs(self, connectivity: dict[str, Any], sources: int, targets: int) -> dict[str, Any]:
        """What `Synapses.connect` takes."""
        import numpy as np

        kind = connectivity["rule"]
        if kind == "explicit":
            indptr, found = self._given(connectivity["indptr"]), self._given(connectivity["targets"])
            return {"i": np.repeat(np.arange(sources), np.diff(indptr)), "j": found}
        if not connectivity["self_connections"]:
            raise Unable("Brian2 is not told to leave out self-connections")
        if kind == "FixedProbability":
            return {"p": connectivity["p"]}
        if kind == "FixedInDegree" and connectivity["multapses"]:
            k = connectivity["k"]
            return {"i": self.random.integers(0, sources, k * targets), "j": np.repeat(np.arange(targets), k)}
        if kind == "FixedTotalNumber":
            n = connectivity["n"]
            return {"i": self.random.integers(0, sources, n), "j": self.random.integers(0, targets, n)}
        raise Unable(f"Brian2 is not told how to connect {connectivity}")

    def _synapses(self, groups: dict[str, Any], projection: dict[str, Any]) -> Any:
        b, source, target = self.b, groups[projection["source"]], groups[projection["target"]]
        weight, delay, port = projection["weight"], projection["delay"], RENAMED.get(projection["port"], projection["port"])
        one = not isinstance(weight, dict)
        constant = {} if isinstance(delay, dict) else {"delay": delay * b.ms}
        synapses = b.Synapses(
            source,
            target,
            "" if one else "w : 1",
            on_pre=f"{port}_post += {'weight' if one else 'w'}",
            namespace={"weight": weight} if one else {},
            **constant,
        )
        pairs = self._pairs(projection["connectivity"], len(source), len(target))
        synapses.connect(**pairs)
        if isinstance(weight, dict) or isinstance(delay, dict):
            if "p" in pairs:
                raise Unable("Brian2 is told to draw weights and delays only where the number of synapses is known")
            count = len(pairs["i"])
            if isinstance(weight, dict):
                synapses.w = self._draw(weight, count)
            if isinstance(delay, dict):
                synapses.delay = self._draw(delay, count) * b.ms
        return synapses

    def _noise(self, group: Any, noise: dict[str, Any]) -> list[Any]:
        """`PoissonInput` for all neurons of a group; sources of their own where only some receive any."""
        import numpy as np

        b, rate, weight, port = (
            self.b,
            self._given(noise["rate"]),
            self._given(noise["weight"]),
            RENAMED.get(noise["port"], noise["port"]),
        )
        if np.ndim(rate) == 0:
            return [b.PoissonInput(group, port, N=TRAINS, rate=rate / TRAINS * b.Hz, weight=weight)]
        driven, step = np.flatnonzero(rate), 0.001 * self.network["dt"]
        chance = -np.expm1(-rate[driven] * step)  # that anything arrives in a step
        sources = b.PoissonGroup(len(driven), rates=chance / step * b.Hz)
        synapses = b.Synapses(sources, group, on_pre=f"{port}_post += weight", namespace={"weight": weight})
        synapses.connect(i=np.arange(len(driven)), j=driven)
        return [sources, synapses]

    def run(self, ms: float) -> dict[str, Any]:
        """Simulate. wall_s is Brian2's own: the loop over steps, without making code before it."""
        if self.standalone:
            if ms != self.length:
                raise Unable(f"the C++ program was built for runs of {self.length} ms, not {ms}")
            self.b.device.run(self.folder.name, with_output=False, run_args=[])
            count = sum(int(monitor.num_spikes) for monitor in self.monitors)
            return {"wall_s": self.b.device._last_run_time, "spikes": count}
        self.net.run(ms * self.b.ms)
        before, self.counted = self.counted, sum(int(monitor.num_spikes) for monitor in self.monitors)
        return {"wall_s": self.b.device._last_run_time, "spikes": self.counted - before}


if __name__ == "__main__":
    serve(Brian2("cpp" in sys.argv[1:]))
