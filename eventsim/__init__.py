"""eventsim: event-driven simulation of sparse spiking networks, with neuron updates in kernels that Numba compiles."""

from eventsim.connectivity import Connectivity
from eventsim.distributions import LogNormal, Normal, Uniform
from eventsim.errors import ConnectivityError, EventsimError, ModelError, NetworkError, SimulationError, StorageError
from eventsim.estimate import estimate
from eventsim.models import (
    AFTER_RESET,
    AT_GRID,
    BEFORE_FLOW,
    BEFORE_RESET,
    IAF,
    LI,
    LIF,
    LSNN,
    LIBox,
    LIFBox,
    LIFBoxSubtract,
    LIFCondExp,
    LIFDelta,
    LIFExcInh,
    LIFResetAll,
    Model,
    Neuron,
)
from eventsim.network import Network, Population, Projection
from eventsim.recording import RateData, Rates, Recording, SpikeData, Spikes, StateData, States
from eventsim.rules import AllToAll, FixedInDegree, FixedOutDegree, FixedProbability, FixedTotalNumber, OneToOne
from eventsim.simulation import Counters, Simulation
from eventsim.stimuli import Current, Increment, PoissonNoise, PoissonSource, SpikeSource
from eventsim.storage import load, save

__all__ = [
    "AFTER_RESET",
    "AT_GRID",
    "BEFORE_FLOW",
    "BEFORE_RESET",
    "IAF",
    "LI",
    "LIF",
    "LSNN",
    "AllToAll",
    "Connectivity",
    "ConnectivityError",
    "Counters",
    "Current",
    "EventsimError",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedProbability",
    "FixedTotalNumber",
    "Increment",
    "LIBox",
    "LIFBox",
    "LIFBoxSubtract",
    "LIFCondExp",
    "LIFDelta",
    "LIFExcInh",
    "LIFResetAll",
    "LogNormal",
    "Model",
    "ModelError",
    "Network",
    "NetworkError",
    "Neuron",
    "Normal",
    "OneToOne",
    "PoissonNoise",
    "PoissonSource",
    "Population",
    "Projection",
    "RateData",
    "Rates",
    "Recording",
    "Simulation",
    "SimulationError",
    "SpikeData",
    "SpikeSource",
    "Spikes",
    "StateData",
    "States",
    "StorageError",
    "Uniform",
    "estimate",
    "load",
    "save",
]
