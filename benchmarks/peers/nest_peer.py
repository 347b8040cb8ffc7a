"""NEST as a peer: ``PYTHON nest_peer.py``, with questions on standard input (`protocol`).

A network comes as `benchmarks.describe` writes it. Nothing is recorded; spikes are counted by the kernel.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

from protocol import Unable, serve

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the core to the other simulator


def _nest() -> Any:
    try:
        import nest
    except ImportError as error:
        raise Unable(
            f"this Python cannot import nest ({error}); pip install 'nest-simulator==3.10.*', or give another --peer-python"
        ) from error
    return nest


STATES = {"v": "V_m", "exc": "g_ex", "inh": "g_in"}  # of those models whose networks say where these start


def membrane(population: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """NEST's model and its parameters (mV, ms, pF, nS, pA) for a population.

    With r_mem in mV/pA (GOhm) the leak is 1/r_mem nS and the capacity tau_mem/r_mem pF.
    """
    p, kind = population["params"], population["model"]
    common = {"E_L": p["v_leak"], "V_th": p["v_th"], "V_reset": p["v_reset"], "C_m": p["tau_mem"] / p["r_mem"]}
    common |= {"t_ref": population["refractory"], "I_e": population["current"], "V_m": p["v_leak"]}
    if kind == "LIF":
        return "iaf_psc_exp", common | {"tau_m": p["tau_mem"], "tau_syn_ex": p["tau_syn"], "tau_syn_in": p["tau_syn"]}
    if kind == "LIFDelta":
        return "iaf_psc_delta", common | {"tau_m": p["tau_mem"]}
    if kind == "LIFExcInh":
        return "iaf_psc_exp", common | {"tau_m": p["tau_mem"], "tau_syn_ex": p["tau_exc"], "tau_syn_in": p["tau_inh"]}
    if kind == "LIFCondExp":
        own = {"g_L": 1.0 / p["r_mem"], "E_ex": p["e_exc"], "E_in": p["e_inh"]}
        return "iaf_cond_exp", common | own | {"tau_syn_ex": p["tau_exc"], "tau_syn_in": p["tau_inh"]}
    raise Unable(f"population {population['name']!r}: NEST has no {kind}")


PRECISE = {"iaf_psc_exp": "iaf_psc_exp_ps_lossless", "iaf_psc_delta": "iaf_psc_delta_ps"}
"""NEST's models whose spike times are real numbers."""


def precise(model: str) -> str:
    """The model with spike times that are real numbers."""
    if model not in PRECISE:
        raise Unable(f"NEST is not told which precise model stands for {model}")
    return PRECISE[model]


def values(nest: Any, given: Any, sign: float = 1.0) -> Any:
    """A number, or one of NEST's random parameters. sign : -1.0 turns the values round."""
    if not isinstance(given, dict):
        return sign * given
    if given.get("law") == "Uniform":
        return sign * nest.random.uniform(given["low"], given["high"])
    if given.get("law") == "Normal":
        drawn = nest.random.normal(given["mean"], given["std"])
        low, high = (bound if math.isfinite(bound) else math.copysign(1e300, bound) for bound in (given["low"], given["high"]))
        return sign * (drawn if max(-low, high) == 1e300 == min(-low, high) else nest.math.redraw(drawn, low, high))
    raise Unable(f"NEST is not told how to draw {given}")


def rule(connectivity: dict[str, Any]) -> dict[str, Any]:
    """NEST's connection rule."""
    kind = connectivity["rule"]
    known = {
        "FixedTotalNumber": ("fixed_total_number", {"N": "n"}),
        "FixedProbability": ("pairwise_bernoulli", {"p": "p"}),
        "FixedInDegree": ("fixed_indegree", {"indegree": "k"}),
    }
    if kind not in known:
        raise Unable(f"NEST is not told how to connect {kind}")
    name, renamed = known[kind]
    given = {theirs: connectivity[ours] for theirs, ours in renamed.items()}
    return {"rule": name, **given, "allow_autapses": connectivity["self_connections"]}


class Nest:
    """One network, after `build`."""

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create and connect; NEST's own preparation is part of it, so that runs do not pay for it."""
        nest = self.nest = _nest()
        import numpy as np  # comes with NEST

        network = request["network"]
        nest.verbosity = nest.VerbosityLevel.ERROR
        nest.ResetKernel()
        nest.set(resolution=network["dt"], local_num_threads=request["threads"], rng_seed=request["seed"] + 1)
        self.precise = request.get("precise", False)
        begin = time.perf_counter()
        self.arrays = np.load(network["arrays"])
        self.models = {population["name"]: population["model"] for population in network["populations"]}
        nodes = {population["name"]: self._create(population) for population in network["populations"]}
        for name in nodes:  # one model of synapse holds at most 134 million of them for each thread
            nest.CopyModel("static_synapse", f"from_{name}")
        for projection in network["projections"]:
            self._connect(nodes, projection)
        for noise in network["noise"]:
            self._excite(nodes[noise["target"]], noise)
        nest.Prepare()
        return {"built_s": time.perf_counter() - begin, "version": f"NEST {nest.__version__}"}

    def _create(self, population: dict[str, Any]) -> Any:
        model, parameters = membrane(population)
        model = precise(model) if self.precise else model
        each = {name: self._numbers(given) for name, given in parameters.items()}
        nodes = self.nest.Create(model, population["size"], params=each)
        for state, start in population["initial"].items():
            nodes.set({STATES[state]: values(self.nest, start)})
        return nodes

    def _numbers(self, given: Any) -> Any:
        """A parameter: a number, or a list with that of each neuron."""
        return self.arrays[given["array"]].tolist() if isinstance(given, dict) else given

    def _connect(self, nodes: dict[str, Any], projection: dict[str, Any]) -> None:
        # A conductance is never negative: NEST takes the sign of a weight for the port.
        turned = self.models[projection["target"]] == "LIFCondExp" and projection["port"] == "inh"
        synapse = {
            "synapse_model": f"from_{projection['source']}",
            "weight": values(self.nest, projection["weight"], -1.0 if turned else 1.0),
            "delay": values(self.nest, projection["delay"]),
        }
        self.nest.Connect(nodes[projection["source"]], nodes[projection["target"]], rule(projection["connectivity"]), synapse)

    def _excite(self, target: Any, noise: dict[str, Any]) -> None:
        if isinstance(noise["rate"], dict) or isinstance(noise["weight"], dict):
            raise Unable("NEST is not told how to give each neuron noise of its own rate")
        generator = self.nest.Create(
            "poisson_generator_ps" if self.precise else "poisson_generator", params={"rate": noise["rate"]}
        )
        self.nest.Connect(generator, target, "all_to_all", {"weight": noise["weight"], "delay": self.nest.resolution})

    def run(self, ms: float) -> dict[str, Any]:
        """Simulate; only that is timed. NEST's counter of spikes begins anew with each run."""
        begin = time.perf_counter()
        self.nest.Run(ms)
        wall = time.perf_counter() - begin
        return {"wall_s": wall, "spikes": self.nest.local_spike_counter}


if __name__ == "__main__":
    serve(Nest())
