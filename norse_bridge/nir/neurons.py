"""A layer of neurons as a node of NIR.

    LIFCell, LIF        CubaLIF with r = 1, w_in = tau_syn/dt        LIFBoxCell, LIFBox        LIF with r = 1
    LICell, LI          CubaLI, the same                             LIBoxCell, LIBox          LI with r = 1
    IAFCell, IAF        IF with r = 1/dt                             IntegratorCell            I with r = 1/dt

NIR's equations go on in time; the factors 1/dt make a step of forward Euler the step of the layer, so that what
`norse_bridge.nir.layers` makes of the node fires at the same steps. All arrays are float64, with one value for each neuron.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from eventsim.errors import ModelError
from norse_bridge.layer import RecurrentSpikingLayer, SpikingLayer
from norse_bridge.neurons import iaf, li, lif, lif_box
from norse_bridge.neurons.lif_box import reset_value
from norse_bridge.nir.modules import INTEGRATOR_FAMILY
from norse_bridge.nir.package import nir_package
from norse_bridge.surrogate import RANDOM

EXPORTED = ("tau_syn_inv", "tau_mem_inv", "v_leak", "v_th", "v_reset", "v_start")


def per_neuron(value, shape, label) -> np.ndarray:
    """A parameter as a float64 array of the neurons' shape; a ModelError that begins with ``label`` if it does not fit."""
    tensor = torch.as_tensor(value).detach().cpu().to(torch.float64)
    if tensor.numel() == 1:
        return np.full(shape, tensor.item())
    try:
        return tensor.broadcast_to((1, *shape)).reshape(shape).numpy().copy()
    except RuntimeError as error:
        shapes = f"{tuple(tensor.shape)} does not fit neurons of shape {shape}"
        raise ModelError(f"{label}: a parameter of shape {shapes}; is sample_data right?") from error


def check_words(layer, label):
    """A ModelError if NIR has no words for a layer of neurons, and why."""
    if not isinstance(layer, SpikingLayer | RecurrentSpikingLayer):
        raise ModelError(f"{label} cannot become NIR: {type(layer).__name__} is no layer of neurons")
    family = layer.family
    if family.refractory:
        raise ModelError(f"{label} cannot become NIR, whose neurons have no refractory period")
    if kind_of_family(family) is None:
        why = "reset to v_reset" if family.model.name.endswith("Subtract") else f"do not have the dynamics of {family.model}"
        raise ModelError(f"{label} cannot become NIR, whose neurons {why}")
    if not family.model.spiking:
        return
    if getattr(layer.p, "reset_method", reset_value) is not reset_value:
        raise ModelError(
            f"{label} cannot become NIR, whose neurons reset to v_reset; export reset_value, import with reset_subtract"
        )
    if layer.p.method in RANDOM:
        raise ModelError(f"{label} cannot become NIR: it fires by chance (method={layer.p.method!r}); give it another method")


def neuron_node(layer, shape, label, time, scale=1.0) -> Any:
    """The node of a layer of neurons of ``shape`` whose input is multiplied by ``scale``; times are multiplied by ``time``."""
    check_words(layer, label)
    arrays = {name: per_neuron(value, shape, label) for name, value in layer.p._asdict().items() if name in EXPORTED}
    kind: Any = kind_of_family(layer.family)
    return kind(arrays, np.broadcast_to(np.float64(scale), shape), time * layer.dt, time, label)


def cuba_node(module, shape, label, time) -> Any:
    """The node of a `CubaLIF` module: its synapse and membrane are told apart."""
    synapse, membrane = module.synapse, module.lif
    for part in (synapse, membrane):
        if getattr(part, "family", None) not in (lif_box.LIFBOX_FAMILY, lif_box.LIBOX_FAMILY):
            raise ModelError(f"{label} cannot become NIR: its synapse must be a LIBoxCell, its membrane a LIFBoxCell or LIBoxCell")
        check_words(part, label)
    leak = per_neuron(synapse.p.v_leak, shape, label)
    if synapse.family is not lif_box.LIBOX_FAMILY or np.any(leak != 0.0):
        raise ModelError(f"{label} cannot become NIR: its synapse must be a LIBoxCell with v_leak = 0")
    nir, arrays = nir_package(), {name: per_neuron(v, shape, label) for name, v in membrane.p._asdict().items() if name in EXPORTED}
    fields = {
        "tau_syn": time / per_neuron(synapse.p.tau_mem_inv, shape, label),
        "tau_mem": time / arrays["tau_mem_inv"],
        "r": per_neuron(module.r, shape, label),
        "v_leak": arrays["v_leak"],
        "w_in": per_neuron(module.w_in, shape, label),
    }
    if not membrane.family.model.spiking:
        return nir.CubaLI(**fields)
    return nir.CubaLIF(v_threshold=arrays["v_th"], v_reset=arrays["v_reset"], **fields)


def _cuba_fields(p, scale, dt, time):
    tau = time / p["tau_syn_inv"]
    fields = {"tau_syn": tau, "tau_mem": time / p["tau_mem_inv"], "v_leak": p["v_leak"]}
    return fields | {"r": np.ones_like(tau), "w_in": scale * tau / dt}


def _cuba_lif(p, scale, dt, time, label):
    return nir_package().CubaLIF(v_threshold=p["v_th"], v_reset=p["v_reset"], **_cuba_fields(p, scale, dt, time))


def _cuba_li(p, scale, dt, time, label):
    return nir_package().CubaLI(**_cuba_fields(p, scale, dt, time))


def _lif(p, scale, dt, time, label):
    membrane = {"tau": time / p["tau_mem_inv"], "r": scale.copy(), "v_leak": p["v_leak"]}
    return nir_package().LIF(v_threshold=p["v_th"], v_reset=p["v_reset"], **membrane)


def _li(p, scale, dt, time, label):
    return nir_package().LI(tau=time / p["tau_mem_inv"], r=scale.copy(), v_leak=p["v_leak"])


def _if(p, scale, dt, time, label):
    return nir_package().IF(r=scale / dt, v_threshold=p["v_th"], v_reset=p["v_reset"])


def _integrator(p, scale, dt, time, label):
    if np.any(p["v_start"] != 0.0):
        raise ModelError(f"{label} cannot become NIR: its integrator starts at 0, not at {p['v_start'].max()}")
    return nir_package().I(r=scale / dt)


KINDS = (
    (lif.FAMILY, _cuba_lif),
    (li.FAMILY, _cuba_li),
    (lif_box.LIFBOX_FAMILY, _lif),
    (lif_box.LIBOX_FAMILY, _li),
    (iaf.FAMILY, _if),
    (INTEGRATOR_FAMILY, _integrator),
)
"""Each family that NIR has words for, with what makes the node: ``(parameters by name, scale of the input, dt, time, label)``."""


def kind_of_family(family):
    """What makes the node of a family's neurons, or None where NIR has no words for them."""
    return next((kind for known, kind in KINDS if known is family), None)
