"""The exceptions that eventsim raises: every one names the object, says what was wrong and what to do."""


class EventsimError(Exception):
    """Base of every exception that this package raises on purpose."""


class NetworkError(EventsimError, ValueError):
    """A population, projection, input or network was described wrongly."""


class ConnectivityError(NetworkError):
    """An array or rule that says who connects to whom is malformed."""


class ModelError(NetworkError):
    """A neuron model or one of its parameters is malformed, or cannot do what was asked of it."""


class SimulationError(EventsimError, ValueError):
    """A simulation was asked for something that it cannot do."""


class MemoryShortage(SimulationError):
    """A simulation, or what it was to record, needs more memory than there is; ``force=True`` tries it nevertheless."""


class StorageError(EventsimError, ValueError):
    """A file is not what it should be."""
