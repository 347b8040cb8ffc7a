"""What the kernels of this folder are written in, three times: for a GPU, for Numba's simulator of one, and for the processor.

A kernel is a function ``(thread, threads, ...)`` that many threads run at once, in phases between which all of them wait for each
other. Within a phase they touch each other's memory through `atomic_add` alone, so that any order of them is right, one after the
other too: compiled for the processor, the very same text runs networks of any size, and shows without a GPU that it is right.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from eventsim.cpu.scalar import scalar_ops
from eventsim.errors import SimulationError
from eventsim.jit import OPTIONS
from eventsim.ops import Ops

GPU, SIMULATOR, EMULATION = "gpu", "simulator", "emulation"
HELP = (
    "backend='cuda' needs an NVIDIA GPU with its driver, and numba-cuda: pip install 'eventsim[cuda12]' or 'eventsim[cuda13]', "
    "whichever CUDA version `nvidia-smi` shows; `eventsim devices` lists what is found"
)
VARIABLE = "EVENTSIM_CUDA"
MOST_BLOCKS = 1024  # of a launch, more than any GPU of today holds at once


@dataclass(frozen=True, eq=False)
class Machine:
    """One way to run kernels.

    name : GPU, SIMULATOR or EMULATION
    jit : compiles a function that kernels call
    ops : of a state's type, `eventsim.ops.Ops`
    atomic_add : ``(array, index, value) -> before``: ``array[index] += value`` as one operation
    lanes : threads that go through a segment together
    kernel : of a function that runs phases (`eventsim.cuda.steps`), what starts it
    blocks, threads : of a launch; 0 blocks: as many as there is room for at once
    put, get : an array there, of an array here; and back
    fill : ``(array, begin, values)`` writes values to an array there
    plain : of an array, within a kernel, what the processor's functions take: the simulator runs them as they are
    """

    name: str
    jit: Callable
    ops: Callable[[np.dtype], Ops]
    atomic_add: Any
    lanes: int
    blocks: int
    threads: int
    put: Callable[[np.ndarray], Any]
    get: Callable[[Any], np.ndarray]
    fill: Callable[[Any, int, np.ndarray], None]
    plain: Any


def _njit(function: Callable) -> Any:
    return njit(**OPTIONS)(function)


@_njit
def _add(array, index, value):
    before = array[index]
    array[index] += value
    return before


@_njit
def _same(array):
    return array


def _fill_here(array: np.ndarray, begin: int, values: np.ndarray) -> None:
    array[begin : begin + len(values)] = values


@functools.cache
def emulation(threads: int = 8, lanes: int = 4) -> Machine:
    """Kernels on the processor, thread after thread: small numbers of them, so that every loop over threads goes round."""
    return Machine(
        name=EMULATION,
        jit=functools.cache(_njit),
        ops=scalar_ops,
        atomic_add=_add,
        lanes=lanes,
        blocks=1,
        threads=threads,
        put=np.array,
        get=np.array,
        fill=_fill_here,
        plain=_same,
    )


def import_cuda() -> Any:
    """``numba.cuda`` of the package numba-cuda; a SimulationError where it is not installed."""
    try:
        import numba_cuda  # noqa: F401
        from numba import cuda
    except ImportError as error:
        raise SimulationError(f"numba-cuda is not installed. {HELP}") from error
    return cuda


def chosen_machine() -> Machine:
    """The machine that the variable EVENTSIM_CUDA asks for ("emulate"), or the GPU; an error that says what is missing."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted == "emulate":
        return emulation()
    if wanted:
        raise SimulationError(f"the variable {VARIABLE} may be 'emulate' or empty, not {wanted!r}")
    cuda = import_cuda()
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        return simulator()
    found, why = find_gpu(cuda)
    if not found:
        raise SimulationError(f"no GPU can be used: {why}. {HELP}")
    return gpu()


def find_gpu(cuda: Any) -> tuple[bool, str]:
    """Whether there is a GPU that can be used, and if not, why."""
    from numba.cuda.cudadrv.error import CudaSupportError

    try:
        devices = list(cuda.gpus)
    except CudaSupportError as error:
        return False, " ".join(str(error).split()).removesuffix(":")
    return (True, "") if devices else (False, "the driver sees no device")


def _cuda_ops(cuda: Any, jit: Callable) -> Callable[[np.dtype], Ops]:
    """The operations on scalars of one type, in that type alone."""

    @functools.cache
    def ops(dtype: np.dtype) -> Ops:
        real = dtype.type
        zero, one, half, small = real(0), real(1), real(0.5), real(1e-8)

        def of(function: Callable) -> Any:
            return jit(lambda x: real(function(x)))

        expm1, log1p = of(math.expm1), of(math.log1p)
        return Ops(
            exp=of(math.exp),
            expm1=expm1,
            log1p=log1p,
            sqrt=of(math.sqrt),
            sin=of(math.sin),
            cos=of(math.cos),
            arctan=of(math.atan),
            minimum=jit(lambda x, y: x if x < y else y),
            absolute=jit(lambda x: x if x >= zero else -x),
            phi=jit(lambda x: one - half * x if -small < x < small else -expm1(-x) / x),
            log1p_over=jit(lambda x: one - half * x if -small < x < small else log1p(x) / x),
            relu=jit(lambda x: zero if x <= zero else x),  # NaN stays NaN
            select=jit(lambda condition, a, b: a if condition else b),
            fire=jit(lambda margin: one if margin > zero else zero),
            gate=jit(lambda z: z),
        )

    return ops


def _cuda_machine(name: str, lanes: int, blocks: int, threads: int) -> Machine:
    cuda = import_cuda()
    from eventsim.cuda.on_gpu import atomic_add

    jit = functools.cache(lambda function: cuda.jit(function, device=True))
    return Machine(
        name=name,
        jit=jit,
        ops=_cuda_ops(cuda, jit),
        atomic_add=jit(atomic_add),
        lanes=lanes,
        blocks=blocks,
        threads=threads,
        put=cuda.to_device,
        get=lambda array: array.copy_to_host(),
        fill=lambda array, begin, values: array[begin : begin + len(values)].copy_to_device(values) if len(values) else None,
        plain=(lambda array: array._ary) if name == SIMULATOR else jit(_same.py_func),
    )


@functools.cache
def simulator(blocks: int = 1, threads: int = 8, lanes: int = 4) -> Machine:
    """Numba's simulator: one block, since blocks run one after the other there and could not wait for each other."""
    return _cuda_machine(SIMULATOR, lanes, blocks, threads)


@functools.cache
def gpu() -> Machine:
    """The GPU that is current: as many blocks as it holds at once, since all of them wait for each other."""
    return _cuda_machine(GPU, 32, 0, 512)


@contextmanager
def rounding_every_product():
    """Compile kernels whose products are rounded before they are added to, as on a processor, and not fused with the sum.

    numba-cuda has no option for it; what it hands to NVIDIA's compiler is one dictionary of options, which is completed here.
    """
    from numba.cuda.cudadrv import nvvm

    given = nvvm.compile_ir

    def compile_ir(code: Any, **options: Any) -> Any:
        return given(code, **{**options, "fma": False})

    nvvm.compile_ir = compile_ir
    try:
        yield
    finally:
        nvvm.compile_ir = given
