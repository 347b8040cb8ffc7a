"""The kernel of a network as PTX, the assembler of NVIDIA's GPUs, and what that takes; needs numba-cuda, and no GPU."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from eventsim.cuda.layout import Kinds
from eventsim.cuda.machine import gpu, import_cuda, rounding_every_product
from eventsim.cuda.network import kinds_of
from eventsim.cuda.steps import bind_phases, most_registers
from eventsim.errors import SimulationError
from eventsim.network import Network
from eventsim.program import build

HOPPER = (9, 0)  # compute capability of an H100 and H200


@contextmanager
def _for_capability(capability: tuple[int, int]):
    """Let functions be compiled for GPUs of a kind, whether there is one or not."""
    from numba.cuda import dispatcher

    class Device:
        compute_capability = capability

    found = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: Device
    try:
        yield
    finally:
        dispatcher.get_current_device = found


def ptx_of(network: Network, dt: float, dtype: Any = "float32", capability: tuple[int, int] = HOPPER) -> str:
    """The PTX of the kernel that runs a network on a grid of dt ms.

    dtype : of states and weights; capability : of the GPU that it is for
    """
    cuda = import_cuda()
    from eventsim.cuda.on_gpu import make_steps, signature_of

    program, real = build(network, dt, dtype, 0), np.dtype(dtype)
    kinds = Kinds(np.dtype(np.uint16), real, real, any(projection.procedural for projection in network.projections))
    kernel = make_steps(*bind_phases(gpu(), kinds_of(program), kinds))
    with _for_capability(capability), rounding_every_product():
        return str(cuda.compile_ptx(kernel, signature_of(kinds), cc=capability)[0])


class Resources(NamedTuple):
    """What the assembler makes of a kernel.

    registers : of a thread; spilled : bytes that found no register, of a thread, written and read; instructions : of its PTX
    float64 : instructions in float64
    """

    registers: int
    spilled: int
    instructions: int
    float64: int


def resources_of(text: str, capability: tuple[int, int] = HOPPER) -> Resources:
    """The resources of a kernel, as NVIDIA's assembler reports them; text : its PTX."""
    from cuda.bindings import nvjitlink

    limit = f"-maxrregcount={most_registers(gpu())}"
    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose", "-Xptxas=-v", limit]
    handle = nvjitlink.create(len(options), options)
    try:
        code = text.encode()
        nvjitlink.add_data(handle, nvjitlink.InputType.PTX, code, len(code), "steps")
        with suppress(nvjitlink.nvJitLinkError):  # of the wait of a whole grid, which only a driver's library has; it is assembled
            nvjitlink.complete(handle)
        log = bytearray(nvjitlink.get_info_log_size(handle))
        nvjitlink.get_info_log(handle, log)
    finally:
        nvjitlink.destroy(handle)
    said = log.decode()
    registers, spills = re.search(r"Used (\d+) registers", said), re.findall(r"(\d+) bytes spill (?:stores|loads)", said)
    if registers is None:
        raise SimulationError(f"NVIDIA's assembler did not take the kernel: {' '.join(said.split())}")
    lines = [line.strip() for line in text.splitlines()]
    instructions = [line for line in lines if line.endswith(";") and not line.startswith(".")]
    return Resources(int(registers[1]), sum(map(int, spills)), len(instructions), sum(".f64" in line for line in instructions))
