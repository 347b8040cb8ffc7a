"""Your own connectivity as a scipy sparse matrix, a stimulus at given times, the voltage of single neurons.

Run it with ``python examples/own_connectome.py``; it writes own_connectome.png and own_connectome.npz.
"""

import numpy as np
import scipy.sparse as sp

import eventsim as es
from eventsim.plot import traces


def main(neurons=2000, duration=200.0, folder="."):
    """A ring in which each neuron excites the next forty; five neighbours are kicked, and the activity travels."""
    rows = np.repeat(np.arange(neurons), 40)
    columns = (rows + np.tile(np.arange(1, 41), neurons)) % neurons
    ring = sp.csr_array((np.full(len(rows), 2.0), (rows, columns)), shape=(neurons, neurons))
    network = es.Network(
        populations=[
            es.Population("kick", 5, es.SpikeSource(times=[10.0] * 5, neurons=range(5))),
            es.Population("ring", neurons, es.LIF(tau_mem=10.0, tau_syn=2.0, v_th=1.0, refractory=20.0)),
        ],
        projections=[
            es.Projection("kick", "ring", sp.eye_array(5, neurons, format="csr"), weight=20.0, delay=1.0),
            es.Projection("ring", "ring", ring, delay=1.5),
        ],
    )
    es.save(network, f"{folder}/own_connectome.npz")
    again = es.load(f"{folder}/own_connectome.npz")
    record = [es.Spikes("ring"), es.States("ring", ("v", "i"), neurons=[0, neurons // 4, neurons // 2])]
    simulation = es.Simulation(again, dt=0.1, record=record)
    recording = simulation.run(duration)
    spikes = recording.spikes["ring"]
    reached = spikes.neurons.max() if len(spikes.neurons) else 0
    print(f"{len(spikes.times)} spikes; the wave has reached neuron {reached} after {duration:g} ms")
    print(f"{simulation.counters.updates:,} neuron updates of {simulation.counters.neuron_steps:,} that a dense simulation does")
    traces(recording, again, "ring", f"{folder}/own_connectome.png")
    return recording


if __name__ == "__main__":
    main()
