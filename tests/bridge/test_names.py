"""Every public name of norse.torch that is there has Norse's signature, fields and defaults; MISSING says which are not yet."""

from __future__ import annotations

import ast
import csv
import inspect
from pathlib import Path

import pytest
import torch

import norse_bridge as nb

with (Path(__file__).parent.parent / "data" / "norse_names.csv").open(newline="") as file:
    NAMES = {row["name"]: row for row in csv.DictReader(file)}
KEYWORDS = {"dt", "activation_sparse"}  # what Norse's **kwargs take, in the layers over time and the recurrent ones also:
OVER_TIME, RECURRENT = {"record_states"}, {"input_weights", "recurrent_weights", "autapses"}
CONVOLUTION = {"bias", "stride", "padding", "dilation"}  # what they take in the convolutions with receptive fields
MISSING = set(
    """
    CobaLIFCell CobaLIFFeedForwardState CobaLIFParameters CobaLIFState Izhikevich IzhikevichCell IzhikevichParameters
    IzhikevichRecurrent IzhikevichRecurrentCell IzhikevichRecurrentState IzhikevichSpikingBehavior IzhikevichState LIFAdEx
    LIFAdExCell LIFAdExFeedForwardState LIFAdExParameters LIFAdExRecurrent LIFAdExRecurrentCell LIFAdExRefracCell
    LIFAdExRefracFeedForwardState LIFAdExRefracParameters LIFAdExRefracRecurrent LIFAdExRefracRecurrentCell
    LIFAdExRefracState LIFAdExState LIFAdjointRefracFeedForwardFunction LIFEx LIFExCell LIFExFeedForwardState LIFExParameters
    LIFExRecurrent LIFExRecurrentCell LIFExState LIFFeedForwardAdjointFunction LIFFeedForwardSparseAdjointFunction
    LIFMCRecurrentCell LIFMCRefracRecurrentCell LSNNFeedForwardAdjointFunction accomodation bistability class_1_exc
    class_2_exc coba_lif_feed_forward_step coba_lif_step create_izhikevich_spiking_behavior dap from_nir
    inhibition_induced_bursting inhibition_induced_spiking integrator izhikevich_feed_forward_step izhikevich_recurrent_step
    lif_adex_current_encoder lif_adex_feed_forward_step lif_adex_step lif_ex_current_encoder lif_ex_feed_forward_step
    lif_ex_step lif_feed_forward_adjoint_step lif_feed_forward_adjoint_step_sparse lif_mc_feed_forward_step
    lif_mc_refrac_feed_forward_step lif_mc_refrac_step lif_mc_step lif_refrac_feed_forward_adjoint_step
    lsnn_feed_forward_adjoint_step mixed_mode phasic_bursting phasic_spiking rebound_burst rebound_spike resonator
    spike_frequency_adaptation spike_latency subthreshold_oscillation threshold_variability to_nir tonic_bursting
    tonic_spiking
""".split()
)
PRESENT = sorted(name for name in NAMES if hasattr(nb, name))


def wanted(signature):
    """``[(name, source of the default or None)]`` of a signature as text, and whether it takes any keywords."""
    arguments = ast.parse(f"def f{signature.replace('<lambda>', 'function')}: pass").body[0].args
    names = [argument.arg for argument in arguments.args if argument.arg != "ctx"]
    defaults = [None] * (len(names) - len(arguments.defaults)) + [ast.unparse(default) for default in arguments.defaults]
    return list(zip(names, defaults, strict=True)), arguments.kwarg is not None


def assert_default(found, text, label):
    """A default is what the text says: a number, a tuple's default instance, or something that is called so."""
    try:
        value = ast.literal_eval(text)
    except ValueError:
        assert text.removesuffix("()") in (type(found).__name__, getattr(found, "__name__", None), str(found)), label
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert torch.as_tensor(found, dtype=torch.float64).item() == pytest.approx(value, rel=1e-6), label
    else:
        assert found == value, label


@pytest.mark.parametrize("name", PRESENT)
def test_signature(name):
    row, thing = NAMES[name], getattr(nb, name)
    if row["kind"] == "type alias":
        return
    expected, keywords = wanted(row["signature"])
    if row["kind"] == "tuple":
        assert thing._fields == tuple(field for field, _ in expected)
        found = {field: thing._field_defaults.get(field, inspect.Parameter.empty) for field, _ in expected}
    else:
        parameters = inspect.signature(thing).parameters
        positional = [q.name for q in parameters.values() if q.kind is not q.KEYWORD_ONLY]
        assert positional[: len(expected)] == [argument for argument, _ in expected]
        found = {argument: parameters[argument].default for argument, _ in expected}
        if keywords and ("p" in positional or "ReceptiveField" in name):  # the keywords of a layer of neurons or a convolution
            recurrent = "Recurrent" in name
            more = KEYWORDS | (RECURRENT if recurrent else set()) | (OVER_TIME if not name.endswith("Cell") else set())
            more = CONVOLUTION if "ReceptiveField" in name else more
            assert more <= set(parameters), more - set(parameters)
    for argument, text in expected:
        if text is not None:
            assert found[argument] is not inspect.Parameter.empty, argument
            assert_default(found[argument], text, argument)


def test_nothing_that_is_there_is_called_missing():
    assert len(NAMES) == 217
    missing = set(NAMES) - set(PRESENT)
    assert missing == MISSING, (missing - MISSING, MISSING - missing)
    assert set(PRESENT) <= set(nb.__all__)
