"""What peers are told is the network, and how they read it; without any of their simulators."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest

from benchmarks.describe import describe
from benchmarks.networks import example
from benchmarks.simulators import FOLDER
from eventsim.networks.fly import SUGAR_NEURONS


@pytest.fixture
def peer(monkeypatch):
    """``peer(name)`` is a peer's script as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_rules_distributions_and_inputs_of_the_microcircuit(tmp_path):
    chosen = example("microcircuit", {"scale": 0.02})
    told = describe(chosen, tmp_path / "arrays.npz")
    assert [p["size"] for p in told["populations"]] == [p.size for p in chosen.network.populations]
    first = told["projections"][0]
    assert first["connectivity"]["rule"] == "FixedTotalNumber" and first["connectivity"]["n"] > 0 and first["port"] == "i"
    assert first["weight"]["law"] == "Normal" and first["weight"]["low"] == 0.0 and math.isinf(first["weight"]["high"])
    assert first["delay"]["mean"] == 1.5 and first["delay"]["low"] == pytest.approx(0.05)
    assert told["populations"][0]["current"] == pytest.approx(float(chosen.network.inputs[8].amplitude))
    assert told["noise"][0]["rate"] == float(chosen.network.inputs[0].rate)
    assert told["populations"][0]["initial"]["v"]["mean"] == -68.28


def test_explicit_synapses_go_into_a_file(tmp_path):
    path = tmp_path / "brain.npz"
    ids = np.array([SUGAR_NEURONS[0], 11, 12], np.int64)
    indptr, post, syn = np.array([0, 2, 3, 3], np.int32), np.array([1, 2, 2], np.int32), np.array([90, -5, 30], np.int16)
    np.savez(path, root_id=ids, indptr=indptr, post=post, syn=syn)
    told = describe(example("fly", {"connectome": str(path)}), tmp_path / "arrays.npz")
    (projection,) = told["projections"]
    with np.load(told["arrays"]) as arrays:
        assert arrays[projection["connectivity"]["indptr"]["array"]].tolist() == indptr.tolist()
        assert arrays[projection["connectivity"]["targets"]["array"]].tolist() == post.tolist()
        assert arrays[projection["weight"]["array"]] == pytest.approx(0.275 * syn)
        assert arrays[told["populations"][0]["refractory"]["array"]] == pytest.approx([0.0, 2.1, 2.1])
    assert told["noise"][0]["port"] == "v" and told["populations"][0]["hold"] == ["v", "i"]


@pytest.mark.parametrize("name, parameters", [("brunel", {}), ("vogels-abbott", {}), ("microcircuit", {"scale": 0.02})])
def test_peers_know_the_models(peer, tmp_path, name, parameters):
    told = describe(example(name, parameters), tmp_path / "arrays.npz")
    population = told["populations"][0]
    model, found = peer("nest_peer").membrane(population)
    assert found["t_ref"] == population["refractory"] and found["V_th"] == population["params"]["v_th"]
    assert found["tau_m"] == population["params"]["tau_mem"] and model.startswith("iaf_psc")
    assert peer("nest_peer").rule(told["projections"][0]["connectivity"])["allow_autapses"] is True
    equations = peer("brian2_peer").equations(population)
    assert equations.startswith("dv/dt") and "unless refractory" in equations.splitlines()[0]
