"""A process that begins a run or goes on with it, until somebody kills it: ``python killed_run.py FOLDER [exact] [WORKERS]``.

It says "running" once it has begun, and "done" at its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import eventsim.long_run
from eventsim import (
    LIF,
    FixedInDegree,
    Network,
    Normal,
    PoissonNoise,
    Population,
    Projection,
    Rates,
    Simulation,
    Spikes,
    States,
    Uniform,
)

DURATION, EVERY = 6000.0, 70.0  # ms
STRETCH = 0.02  # s, so that much happens before somebody kills it


def network():
    """Excitation, inhibition, noise."""
    neuron = LIF(tau_mem=10.0, tau_syn=3.0, refractory=1.0)
    return Network(
        [Population("exc", 80, neuron, initial={"v": Uniform(0.0, 1.0)}), Population("inh", 20, neuron)],
        [
            Projection("exc", "exc", FixedInDegree(8), weight=Normal(0.15, 0.02), delay=Uniform(0.5, 4.0)),
            Projection("exc", "inh", FixedInDegree(8), weight=0.15, delay=1.5),
            Projection("inh", "exc", FixedInDegree(4), weight=-0.6, delay=1.0),
        ],
        [PoissonNoise("exc", np.linspace(1200.0, 2000.0, 80), 0.2)],
    )


def new(method="grid", workers=1):
    """The simulation, as it begins."""
    record = [Spikes("exc"), Spikes("inh"), Rates("exc", 30.0), States("inh", ("v", "i"), neurons=[0, 7], interval=10.0)]
    if method == "exact":
        return Simulation(network(), method="exact", seed=4, record=record)
    return Simulation(network(), 0.1, seed=4, record=record, workers=workers)


def main(folder, method="grid", workers="1"):
    eventsim.long_run.STRETCH = STRETCH
    checkpoint, to = Path(folder) / "state.npz", Path(folder) / "spikes.h5"
    began = []

    def say_once(progress):
        if not began:
            began.append(print("running", flush=True))

    if checkpoint.exists():
        own = {} if method == "exact" else {"workers": int(workers)}
        Simulation.load(checkpoint, network(), **own).resume(report=say_once)
    else:
        how = {"to": to, "overwrite": True, "checkpoint": checkpoint, "checkpoint_every": EVERY}
        new(method, int(workers)).run(DURATION, report=say_once, **how)
    print("done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
