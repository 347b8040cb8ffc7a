"""Neuron models: the contract (`eventsim.models.model`), then one file for each neuron."""

from eventsim.models.ada_lif import AdaLIF
from eventsim.models.coba_lif import CobaLIF
from eventsim.models.iaf import IAF, IAFSubtract, Integrator
from eventsim.models.izhikevich import Izhikevich
from eventsim.models.li import LI
from eventsim.models.lif import LIF, LIFResetAll, LIFSubtract
from eventsim.models.lif_adex import LIFAdEx
from eventsim.models.lif_alpha import LIFAlpha
from eventsim.models.lif_box import LIBox, LIFBox, LIFBoxSubtract
from eventsim.models.lif_cond_exp import LIFCondExp
from eventsim.models.lif_delta import LIFDelta
from eventsim.models.lif_ex import LIFEx
from eventsim.models.lif_exc_inh import LIFExcInh
from eventsim.models.lsnn import LSNN
from eventsim.models.model import AFTER_RESET, AT_GRID, BEFORE_FLOW, BEFORE_RESET, Model, Neuron
from eventsim.models.qif import QIF

BUILT_IN = {
    model.name: model
    for model in (
        IAF,
        LI,
        LIF,
        LSNN,
        QIF,
        AdaLIF,
        CobaLIF,
        Izhikevich,
        LIBox,
        LIFAdEx,
        LIFAlpha,
        IAFSubtract,
        Integrator,
        LIFBox,
        LIFBoxSubtract,
        LIFCondExp,
        LIFDelta,
        LIFEx,
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
    "QIF",
    "AdaLIF",
    "CobaLIF",
    "IAFSubtract",
    "Integrator",
    "Izhikevich",
    "LIBox",
    "LIFAdEx",
    "LIFAlpha",
    "LIFBox",
    "LIFBoxSubtract",
    "LIFCondExp",
    "LIFDelta",
    "LIFEx",
    "LIFExcInh",
    "LIFResetAll",
    "LIFSubtract",
    "Model",
    "Neuron",
]
