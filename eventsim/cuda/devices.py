"""Which GPUs there are, and whether they can be used."""

from __future__ import annotations

from typing import NamedTuple

from eventsim.cuda.machine import find_gpu, import_cuda
from eventsim.errors import SimulationError


class Device(NamedTuple):
    """A GPU: its name, compute capability, memory in bytes and multiprocessors."""

    number: int
    name: str
    capability: tuple[int, int]
    memory: int
    multiprocessors: int


def devices() -> tuple[list[Device], str]:
    """All GPUs that ``backend="cuda"`` can use; where there are none, why."""
    try:
        cuda = import_cuda()
    except SimulationError as error:
        return [], str(error)
    found, why = find_gpu(cuda)
    if not found:
        return [], why
    result = []
    for number, device in enumerate(cuda.gpus):
        with device:
            memory = cuda.current_context().get_memory_info().total
        name = device.name.decode() if isinstance(device.name, bytes) else str(device.name)
        result.append(Device(number, name, tuple(device.compute_capability), int(memory), device.MULTIPROCESSOR_COUNT))
    return result, ""
