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
MISSING = set(
    """
    ConvNet ConvNet4 CorrelationSensorParameters CorrelationSensorState LConv2d LIFAdjointRefracFeedForwardFunction
    LIFCorrelation LIFCorrelationParameters LIFCorrelationState LIFFeedForwardAdjointFunction
    LIFFeedForwardSparseAdjointFunction LSNNFeedForwardAdjointFunction MobileNetV2 ParameterizedSpatialReceptiveField2d
    PopulationEncoder RecurrentSequential RecurrentSequentialState RegularizationCell STDPSensorParameters STDPSensorState
    SampledSpatialReceptiveField2d SignedPoissonEncoder SpatialReceptiveField2d SpikeLatencyEncoder SpikeLatencyLIFEncoder
    SpikesToTimesDecoder TemporalReceptiveField TsodyksMakramParameters TsodyksMakramState VGG correlation_based_update
    correlation_sensor_step euclidean_distance from_nir gaussian_kernel gaussian_rbf hook_spike_activity_mean
    hook_spike_activity_sum hook_spike_histogram_mean hook_spike_histogram_sum hook_spike_image lif_correlation_step
    lif_feed_forward_adjoint_step lif_feed_forward_adjoint_step_sparse lif_refrac_feed_forward_adjoint_step logical_and
    logical_or logical_xor lsnn_feed_forward_adjoint_step mobilenet_v2 plot_heatmap_2d plot_heatmap_3d plot_histogram_2d
    plot_izhikevich plot_neuron_states plot_scatter_3d plot_spikes_2d population_encode regularize_step
    signed_poisson_encode signed_poisson_encode_step spatial_receptive_field spatial_receptive_fields_with_derivatives
    spike_accumulator spike_latency_encode spike_latency_lif_encode stdp_sensor_step stp_step to_nir vgg11 vgg11_bn vgg13
    vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn voltage_accumulator
    """.split()
)
PRESENT = sorted(name for name in NAMES if hasattr(nb, name))


def wanted(signature):
    """``[(name, source of the default or None)]`` of a signature as text, and whether it takes any keywords."""
    arguments = ast.parse(f"def f{signature}: pass").body[0].args
    names = [argument.arg for argument in arguments.args if argument.arg != "ctx"]
    defaults = [None] * (len(names) - len(arguments.defaults)) + [ast.unparse(default) for default in arguments.defaults]
    return list(zip(names, defaults, strict=True)), arguments.kwarg is not None


def assert_default(found, text, label):
    """A default is what the text says: a number, a tuple's default instance, or something that is called so."""
    try:
        value = ast.literal_eval(text)
    except ValueError:
        assert text.removesuffix("()") in (type(found).__name__, getattr(found, "__name__", None)), label
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
    if row["kind"] == "instance":
        assert type(thing).__name__ == row["signature"]
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
        if keywords:
            recurrent = "Recurrent" in name
            more = KEYWORDS | (RECURRENT if recurrent else set()) | (OVER_TIME if not name.endswith("Cell") else set())
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
