"""Neuron models: the contract (`eventsim.models.model`), then one file for each neuron."""

from eventsim.models.iaf import IAF, IAFSubtract, Integrator
from eventsim.models.li import LI
from eventsim.models.lif import LIF, LIFResetAll, LIFSubtract
from eventsim.models.lif_box import LIBox, LIFBox, LIFBoxSubtract
from eventsim.models.lif_cond_exp import LIFCondExp
from eventsim.models.lif_delta import LIFDelta
from eventsim.models.lif_exc_inh import LIFExcInh
from eventsim.models.lsnn import LSNN
from eventsim.models.model import AFTER_RESET, AT_GRID, BEFORE_FLOW, BEFORE_RESET, Model, Neuron

BUILT_IN = {
    model.name: model
    for model in (
        IAF,
        LI,
        LIF,
        LSNN,
        IAFSubtract,
        Integrator,
        LIBox,
        LIFBox,
        LIFBoxSubtract,
        LIFCondExp,
        LIFDelta,
        LIFExcInh,
        LIFResetAll,
        LIFSubtract,
    )
}

__all__ = [
    "AFTER_RESET",
    "AT_GRID",
    "BEFORE_FLOW",
    "BEFORE_RESET",
    "BUILT_IN",
    "IAF",
    "LI",
    "LIF",
    "LSNN",
    "IAFSubtract",
    "Integrator",
    "LIBox",
    "LIFBox",
    "LIFBoxSubtract",
    "LIFCondExp",
    "LIFDelta",
    "LIFExcInh",
    "LIFResetAll",
    "LIFSubtract",
    "Model",
    "Neuron",
]
