"""The compiled kernels of one kind of group: built from the model's own functions when a simulation first needs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from eventsim.cpu.dense import make_dense
from eventsim.cpu.pointers import KERNEL
from eventsim.cpu.sparse import make_jump_all, make_predict_all, make_sample, make_sparse
from eventsim.errors import ModelError
from eventsim.jit import compile_callback, compiled_once, numba_says
from eventsim.models import BUILT_IN


@dataclass(frozen=True)
class KernelSpec:
    """What makes two groups need different machine code.

    Attributes
    ----------
    model : Model
    order, ports, hold : see `eventsim.models.model`
    holds : whether there is a refractory period
    own : for each parameter, and last for the period, whether it differs between neurons
    own_step : the same for each coefficient of the propagator
    closed : whether gaps can be jumped and spikes be predicted; if not, a neuron sleeps when its update no longer changes it
    dtype : of the state
    """

    model: Any
    order: tuple[str, ...]
    ports: tuple[str, ...]
    hold: tuple[str, ...]
    holds: bool
    own: tuple[bool, ...]
    own_step: tuple[bool, ...]
    closed: bool
    dtype: np.dtype

    @property
    def own_flow(self) -> bool:
        """Whether parameters of the flow differ between neurons."""
        return any(self.own[:-1])

    @property
    def tabulated(self) -> bool:
        """Whether all neurons have the same propagators, so that those of many gaps stand in a table."""
        return not any(self.own_step)


MAKERS = {
    "dense": make_dense,
    "sparse": make_sparse,
    "jump_all": make_jump_all,
    "predict_all": make_predict_all,
    "sample": make_sample,
}


@compiled_once
def compile_kernel(name: str, spec: KernelSpec):
    """The kernel called ``name`` (one of `MAKERS`) for a kind of group; it has an ``address`` and can be called through ctypes."""
    kept = BUILT_IN.get(spec.model.name) is spec.model  # a model from elsewhere may change without this package noticing
    shape = (spec.order, spec.ports, spec.hold, spec.holds, spec.own, spec.own_step, spec.closed, str(spec.dtype))
    key = f"{name} {spec.model.name} {shape}"
    try:
        return compile_callback(KERNEL, MAKERS[name](spec), key if kept else None, borrowing=name != "dense")
    except NumbaError as error:
        raise ModelError(
            f"{spec.model.name}: Numba cannot compile its functions; they may use arithmetic, named tuples and ops only "
            f"(docs/a-neuron.md). It says: {numba_says(error)}"
        ) from error
