"""All names of `norse_bridge`, where Norse has its cells, layers and containers; see `norse_bridge.paths`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from norse_bridge.paths import flat_names

if TYPE_CHECKING:
    from norse_bridge import *  # noqa: F403

BELOW = """
    coba_lif conv encode exp_filter iaf izhikevich leaky_integrator leaky_integrator_box lif lif_adex lif_adex_refrac
    lif_box lif_correlation lif_ex lif_mc lif_mc_refrac lif_refrac lift lsnn receptive_field regularization sequential snn
    spikes_to_times_decoder
"""

__getattr__ = flat_names(__name__, BELOW.split())
