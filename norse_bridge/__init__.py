"""Norse's API on eventsim's neuron models: differentiable layers, and the way from a trained model to a sparse network."""

from norse_bridge.encode import (
    ConstantCurrentLIFEncoder,
    PoissonEncoder,
    constant_current_lif_encode,
    poisson_encode,
    poisson_encode_step,
)
from norse_bridge.export import to_network
from norse_bridge.li import LI, LICell, LILinearCell, LIParameters, LIState, li_feed_forward_step, li_step
from norse_bridge.lif import (
    LIF,
    LIFCell,
    LIFFeedForwardState,
    LIFParameters,
    LIFRecurrent,
    LIFRecurrentCell,
    LIFState,
    lif_current_encoder,
    lif_feed_forward_step,
    lif_step,
)
from norse_bridge.lift import Lift
from norse_bridge.sequential import SequentialState
from norse_bridge.simulation import SimulationResult, simulate
from norse_bridge.surrogate import (
    SuperSpike,
    circ_dist_fn,
    heavi_circ_fn,
    heavi_erfc_fn,
    heavi_tanh_fn,
    heaviside,
    logistic_fn,
    super_fn,
    threshold,
    triangle_fn,
)

__all__ = [
    "LI",
    "LIF",
    "ConstantCurrentLIFEncoder",
    "LICell",
    "LIFCell",
    "LIFFeedForwardState",
    "LIFParameters",
    "LIFRecurrent",
    "LIFRecurrentCell",
    "LIFState",
    "LILinearCell",
    "LIParameters",
    "LIState",
    "Lift",
    "PoissonEncoder",
    "SequentialState",
    "SimulationResult",
    "SuperSpike",
    "circ_dist_fn",
    "constant_current_lif_encode",
    "heavi_circ_fn",
    "heavi_erfc_fn",
    "heavi_tanh_fn",
    "heaviside",
    "li_feed_forward_step",
    "li_step",
    "lif_current_encoder",
    "lif_feed_forward_step",
    "lif_step",
    "logistic_fn",
    "poisson_encode",
    "poisson_encode_step",
    "simulate",
    "super_fn",
    "threshold",
    "to_network",
    "triangle_fn",
]
