"""The kernel of a network as PTX, the assembler of NVIDIA's GPUs; needs numba-cuda, and no GPU."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import numpy as np

from eventsim.cuda.machine import gpu, import_cuda, rounding_every_product
from eventsim.cuda.network import kinds_of
from eventsim.cuda.steps import bind_phases
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
    types = np.dtype(np.uint16), real, real
    kernel = make_steps(*bind_phases(gpu(), kinds_of(program), types))
    with _for_capability(capability), rounding_every_product():
        return str(cuda.compile_ptx(kernel, signature_of(types), cc=capability)[0])
