"""The whole-brain model of the fruit fly: leaky integrate-and-fire neurons on the connectome, taste neurons stimulated.

Source: Shiu et al. (2024), Nature 634:210, Methods: tau_mem dv/dt = v_0 - v + g, tau_syn dg/dt = -g; on a spike v = v_reset and
g = 0; while refractory both are held and input is discarded; weight = 0.275 mV times the signed number of synapses. Their program
(philshiu/Drosophila_brain_model, MIT licence) runs on Brian2, whose order within a step is integrate, threshold, deliver, reset.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eventsim.connectivity import Connectivity
from eventsim.errors import NetworkError, StorageError
from eventsim.files.npz import read_npz
from eventsim.models import BEFORE_RESET, LIFResetAll
from eventsim.network import Network, Population, Projection
from eventsim.networks.example import Example
from eventsim.stimuli import PoissonNoise

V_REST, V_TH, TAU_MEM, TAU_SYN = -52.0, -45.0, 20.0, 5.0  # mV, mV, ms, ms
REFRACTORY = 2.2  # ms, Brian2's count: one step more than eventsim's
DELAY = 1.8  # ms
WEIGHT = 0.275  # mV for each synapse
KICK = 250.0 * WEIGHT  # mV on v for each event of the stimulus
STIMULUS_RATE = 200.0  # spikes/s

# Labellar sugar-sensing neurons, FlyWire ids: ``neu_sugar`` of philshiu/Drosophila_brain_model (MIT licence).
SUGAR_NEURONS = (
    720575940624963786, 720575940630233916, 720575940637568838, 720575940638202345, 720575940617000768, 720575940630797113,
    720575940632889389, 720575940621754367, 720575940621502051, 720575940640649691, 720575940639332736, 720575940616885538,
    720575940639198653, 720575940620900446, 720575940617937543, 720575940632425919, 720575940633143833, 720575940612670570,
    720575940628853239, 720575940629176663, 720575940611875570,
)  # fmt: skip


class Connectome(NamedTuple):
    """Who connects to whom: CSR with presynaptic rows.

    ids : int64 (neurons,)
    indptr : int64 (neurons + 1,)
    targets : int32 (connections,)
    synapses : int16 or int32 (connections,), the number of synapses, negative for inhibitory neurons
    """

    ids: np.ndarray
    indptr: np.ndarray
    targets: np.ndarray
    synapses: np.ndarray


def read_connectome(path: str | Path) -> Connectome:
    """Read a connectome from an .npz with the integer arrays ``root_id``, ``indptr``, ``post``, ``syn`` (and perhaps ``pre``).

    Nothing in the file is trusted: no pickle is read, every size is checked.
    """
    arrays = read_npz(path, required=("root_id", "indptr", "post", "syn"), wanted=("root_id", "indptr", "post", "syn", "pre"))
    label = f"connectome {Path(path).name!r}"
    for key, array in arrays.items():
        if array.dtype.kind != "i" or array.ndim != 1:
            raise StorageError(f"{label}: {key} must be a list of signed integers, not {array.dtype} of shape {array.shape}")
    ids, indptr = arrays["root_id"], arrays["indptr"]
    connections = len(arrays["post"])
    if len(ids) == 0 or len(indptr) != len(ids) + 1:
        raise StorageError(f"{label}: {len(ids)} neurons in root_id need {len(ids) + 1} values in indptr, not {len(indptr)}")
    if indptr[0] != 0 or np.any(np.diff(indptr) < 0) or indptr[-1] != connections:
        raise StorageError(f"{label}: indptr must rise from 0 to the {connections} connections of post")
    for key in ("syn", "pre"):
        if key in arrays and len(arrays[key]) != connections:
            raise StorageError(f"{label}: {key} holds {len(arrays[key])} values, post {connections}")
    if connections and not (0 <= arrays["post"].min() and arrays["post"].max() < len(ids)):
        raise StorageError(f"{label}: post must name neurons from 0 to {len(ids) - 1}")
    if "pre" in arrays and not np.array_equal(arrays["pre"], np.repeat(np.arange(len(ids)), np.diff(indptr))):
        raise StorageError(f"{label}: pre and indptr disagree about who is presynaptic")
    if len(np.unique(ids)) != len(ids):
        raise StorageError(f"{label}: root_id names a neuron twice")
    return Connectome(ids.astype(np.int64), indptr.astype(np.int64), arrays["post"].astype(np.int32), arrays["syn"])


def kick_rate(rate: float, dt: float) -> float:
    """Spikes/s of a Poisson process that has an event in a step as often as Brian2's stimulus, one draw of chance rate*dt.

    A second event in one step changes nothing: the first lifts v far above threshold.
    """
    chance = 0.001 * rate * dt
    if not 0.0 <= chance < 1.0:
        raise NetworkError(f"fly: the stimulus rate must lie between 0 and {1000.0 / dt:g} spikes/s (one a step), not {rate}")
    return -math.log1p(-chance) / (0.001 * dt)


def fly(
    connectome: str | Path,
    *,
    stimulus_rate: float = STIMULUS_RATE,
    stimulated: tuple[int, ...] = SUGAR_NEURONS,
    silent: int = 0,
    dt: float = 0.1,
) -> Example:
    """Build the network from a connectome's file.

    Parameters
    ----------
    connectome : path of the .npz, see `read_connectome`
    stimulus_rate : spikes/s of the Poisson kicks on each stimulated neuron, which has no refractory period
    stimulated : ids of the stimulated neurons; those that the file lacks are left out, and the notes say so
    silent : how many neurons without a synapse are appended (they cost memory and nothing else)
    dt : ms
    """
    if silent < 0:
        raise NetworkError(f"fly: silent must not be negative, not {silent}")
    data = read_connectome(connectome)
    found = np.flatnonzero(np.isin(data.ids, stimulated))
    if len(found) == 0:
        raise NetworkError(f"fly: none of the {len(stimulated)} stimulated neurons is in {Path(connectome).name!r}")
    size = len(data.ids) + silent
    indptr = np.concatenate([data.indptr, np.full(silent, data.indptr[-1])])
    refractory = np.full(size, REFRACTORY - dt)
    refractory[found] = 0.0
    rate = np.zeros(size)
    rate[found] = kick_rate(stimulus_rate, dt)
    neuron = LIFResetAll(
        tau_mem=TAU_MEM,
        tau_syn=TAU_SYN,
        v_leak=V_REST,
        v_th=V_TH,
        v_reset=V_REST,
        refractory=refractory,
        hold=("v", "i"),
        order=BEFORE_RESET,
    )
    weights = (WEIGHT * data.synapses).astype(np.float32)
    network = Network(
        populations=(Population("brain", size, neuron),),
        projections=(Projection("brain", "brain", Connectivity(indptr, data.targets, weights, None, size), delay=DELAY),),
        inputs=(PoissonNoise("brain", rate=rate, weight=KICK, port="v"),),
    )
    notes = [f"{len(found)} of {len(stimulated)} neurons stimulated at {stimulus_rate:g} spikes/s"]
    missing = len(stimulated) - len(found)
    if missing:
        notes.append(f"{missing} of the stimulated neurons not in {Path(connectome).name}")
    if silent:
        notes.append(f"{silent:,} silent neurons appended")
    description = "Whole-brain model of the fruit fly on its connectome, sugar-sensing neurons stimulated (Shiu et al. 2024)."
    return Example("fly", network, dt, 1000.0, 0.0, ("brain",), description, notes=tuple(notes))
