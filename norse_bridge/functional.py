"""All names of `norse_bridge`, where Norse has its steps, encodings, parameter and state tuples; see `norse_bridge.paths`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from norse_bridge.paths import flat_names

if TYPE_CHECKING:
    from norse_bridge import *  # noqa: F403

BELOW = """
    adjoint adjoint.lif_adjoint adjoint.lif_mc_adjoint adjoint.lif_mc_refrac_adjoint adjoint.lif_refrac_adjoint
    adjoint.lsnn_adjoint coba_lif correlation_sensor decode encode filter heaviside iaf izhikevich leaky_integrator
    leaky_integrator_box lif lif_adex lif_adex_refrac lif_box lif_correlation lif_ex lif_mc lif_mc_refrac lif_refrac lift
    logical lsnn parameter receptive_field regularization reset spikes_to_times_decoder stdp stdp_sensor superspike
    threshold tsodyks_makram
"""

__getattr__ = flat_names(__name__, BELOW.split())
