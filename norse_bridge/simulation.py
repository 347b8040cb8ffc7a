"""Run a trained model in the event-driven engine, on the data that the model itself takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from eventsim.errors import SimulationError
from eventsim.network import Network
from eventsim.recording import Spikes, States
from eventsim.simulation import Simulation
from norse_bridge.export import assemble, common_dt, input_of, reserved, stages
from norse_bridge.family import MS, dense


@dataclass(frozen=True, eq=False)
class SimulationResult:
    """What a model did in the engine.

    outputs : (time, batch, ...), as the model's own: spikes of the last layer, or the voltage of a readout
    spikes : for each spiking layer, and each maximum over spikes, its `SpikeData` (times in ms, neurons, batch): step n fires at
        (n + 1) dt
    counters : steps, spikes, synaptic events and neuron updates of the whole run. Data that are not all 0 and 1 do not pass through
        the engine's synapses: then ``synaptic_events`` leaves out the first layer's inputs (for a dense map, one product a step,
        batch item and weight), and ``spikes`` the input's.
    network : what was simulated; its first population is the input
    recording : all that was recorded
    """

    outputs: torch.Tensor
    spikes: Mapping[str, Any]
    counters: Any
    network: Network
    recording: Any
    shapes: Mapping[str, tuple[int, ...]]

    def dense_spikes(self, name) -> torch.Tensor:
        """The spikes of the layer called ``name`` as 0.0 and 1.0: (time, batch, ...), in the type of the outputs."""
        steps, batch = self.outputs.shape[:2]
        return raster(self.spikes[name], steps, batch, self.shapes[name], self.recording.dt, self.outputs.dtype)


def raster(spikes, steps, batch, shape, dt, dtype) -> torch.Tensor:
    """`SpikeData` on a grid of dt ms as a tensor of 0 and 1: (steps, batch, *shape)."""
    out = torch.zeros((steps, batch, int(np.prod(shape))), dtype=dtype)
    rows = np.rint(np.asarray(spikes.times) / dt).astype(np.int64) - 1
    index = (torch.from_numpy(rows), torch.as_tensor(np.asarray(spikes.batch)), torch.as_tensor(np.asarray(spikes.neurons)))
    out[index] = 1.0
    return out.reshape(steps, batch, *shape)


def _dtype_of(module, data) -> str:
    tensors = [t for t in (*module.parameters(), *module.buffers(), data) if t.is_floating_point()]
    return "float64" if any(t.dtype == torch.float64 for t in tensors) else "float32"


def _as_data(data) -> torch.Tensor:
    if isinstance(data, np.ndarray) and data.dtype.kind in "biuf":  # torch takes neither all types nor all layouts
        unknown = data.dtype.kind in "uf" and data.dtype.name not in ("uint8", "float16", "float32", "float64")
        data = np.ascontiguousarray(data, np.float64 if unknown else data.dtype.newbyteorder("="))
    try:
        data = dense(torch.as_tensor(data).detach().cpu())
    except (TypeError, ValueError, RuntimeError) as error:
        raise SimulationError(f"simulate: data must be an array of numbers (time, batch, features ...): {error}") from error
    if data.is_complex():
        raise SimulationError(f"simulate: data must be real numbers, not {data.dtype}")
    if data.ndim < 3 or data.shape[0] == 0:
        raise SimulationError(f"simulate: data must have shape (time, batch, features ...), not {tuple(data.shape)}")
    if not torch.isfinite(data).all():
        raise SimulationError("simulate: data must be finite")
    return data


def simulate(
    module, data, *, dtype=None, weight_dtype=None, update="auto", threshold=0.0, record=(), workers=None, input_name=None
) -> SimulationResult:
    """Run ``module`` on ``data`` in eventsim instead of torch; no gradients.

    Data of 0 and 1 become spikes of the input population. Other data go through the first linear map here, step by step, and
    reach the first layer as increments, the way its synapses' weights do; the counters of the result know nothing of these
    products.

    Parameters
    ----------
    module : as for `to_network`; cells are stepped over time
    data : (time, batch, features ...), tensor or array
    dtype : "float32" or "float64" for the neurons' state; None: float64 where the module or the data are, else float32
    weight_dtype, update, workers : as for `Simulation`
    record : more recorders, for the result's recording; all spikes and the voltage of a readout are recorded already
    threshold : as for `to_network`: each module's own weights with ``|w| <= threshold`` count as 0, before modules are composed
    input_name : as for `to_network`: the name of the input's population, for recorders; None: "input", or "input_" where a layer is
        called so
    """
    data = _as_data(data)
    start, found = stages(module, data.shape[2:], threshold, reserved(input_name))
    dt, input_name = common_dt(found), input_of(found, input_name)
    network = assemble(start, found, dt, input_name)
    steps, batch = data.shape[:2]
    first, last = found[0], found[-1]
    rows = data.reshape(steps * batch, -1)
    spikes, increments = {}, {}
    if bool(((rows == 0) | (rows == 1)).all()):
        spikes = {input_name: rows.to(torch.uint8).numpy().reshape(steps, batch, -1)}
    elif first.ports != (None,):
        raise SimulationError(
            f"simulate: the data must be 0 and 1 in front of {type(first.layer).__name__}, whose conductances take spikes; put a "
            "spiking layer in front of it, or an encoder"
        )
    else:
        currents = first.into.matrix @ rows.to(torch.float64).numpy().T  # (neurons, time * batch)
        increments = {first.name: np.ascontiguousarray(currents.T).reshape(steps, batch, -1)}
    recorders: list[Any] = [Spikes(stage.name) for stage in found if stage.layer.family.model.spiking]
    if not last.layer.family.model.spiking:
        recorders.append(States(last.name, ("v",), interval=MS * dt))
    dtype = _dtype_of(module, data) if dtype is None else dtype
    simulation = Simulation(
        network,
        dt=MS * dt,
        dtype=dtype,
        weight_dtype=weight_dtype,
        update=update,
        workers=workers,
        batch=batch,
        record=(*recorders, *record),
        spikes=spikes,
        increments=increments,
    )
    recording = simulation.run(steps * MS * dt)
    fired = {stage.name: recording.spikes[stage.name] for stage in found if stage.layer.family.model.spiking}
    kind = torch.float64 if dtype == "float64" else torch.float32
    if last.layer.family.model.spiking:
        outputs = raster(fired[last.name], steps, batch, last.into.shape, MS * dt, kind)
    else:
        voltage = np.asarray(recording.states[last.name].values["v"])
        outputs = torch.as_tensor(voltage, dtype=kind).reshape(steps, batch, *last.into.shape)
    shapes = {stage.name: stage.into.shape for stage in found}
    return SimulationResult(outputs, fired, simulation.counters, network, recording, shapes)
