"""Norse's biological values of parameters, in mV and, as in Norse, rates in 1/ms: use them with dt in ms."""

from __future__ import annotations

from typing import Any

import torch

from eventsim.errors import ModelError

_VOLTAGES = {"v_leak": -70.0, "v_th": -55.0, "v_reset": -70.0}
_LIF = {"tau_syn_inv": 0.5, "tau_mem_inv": 0.1, **_VOLTAGES}
VALUES: dict[str, dict[str, float]] = {
    "iaf": {"v_th": -55.0, "v_reset": -70.0},
    "li": {"tau_syn_inv": 0.5, "tau_mem_inv": 0.1, "v_leak": -70.0},
    "lif": _LIF,
    "lif_ex": {**_LIF, "delta_T": 0.0},
    "lif_adex": {**_LIF, "adaptation_current": 0.0, "adaptation_spike": 0.01, "delta_T": 2.0, "tau_ada_inv": 0.01},
    "lsnn": {**_LIF, "tau_adapt_inv": 0.01, "beta": 0.5},
}


def default_bio_parameters(model, **kwargs) -> dict[str, Any]:
    """The fields of a model's parameter tuple with biological values, as 0-d tensors.

    ``LIFParameters(**default_bio_parameters("lif"))`` is ``LIFParameters.bio_default()``.

    model : "iaf", "li", "lif", "lif_ex", "lif_adex" or "lsnn"; small and large letters and underscores make no difference
    kwargs : fields to have another value, and other fields to have
    """
    found = {name.replace("_", ""): values for name, values in VALUES.items()}.get(str(model).lower().replace("_", ""))
    if found is None:
        raise ModelError(f"default_bio_parameters: there are no biological values of {model!r}, only of {', '.join(VALUES)}")
    return {name: torch.as_tensor(value) for name, value in found.items()} | kwargs
