"""A balanced random network from the ground up: populations, rules, noise, a run, a picture.

Run it with ``python examples/balanced_network.py``; it writes balanced_network.png.
"""

import eventsim as es
from eventsim.plot import raster


def main(neurons=5000, duration=500.0, path="balanced_network.png"):
    """Four fifths of the neurons excite, one fifth inhibits; times in ms, voltages in mV above rest, rates in spikes/s."""
    cell = es.LIFDelta(tau_mem=20.0, v_th=20.0, v_reset=10.0, refractory=2.0)
    network = es.Network(
        populations=[es.Population("exc", neurons * 4 // 5, cell), es.Population("inh", neurons // 5, cell)],
        projections=[
            es.Projection(source, target, es.FixedProbability(0.1), weight=weight, delay=es.Uniform(0.5, 2.5))
            for source, weight in (("exc", 500.0 / neurons), ("inh", -2500.0 / neurons))
            for target in ("exc", "inh")
        ],
        inputs=[es.PoissonNoise(name, rate=5000.0, weight=0.4) for name in ("exc", "inh")],
    )
    print(es.estimate(network, dt=0.1).table())
    simulation = es.Simulation(network, dt=0.1, seed=1, record=[es.Spikes("exc"), es.Spikes("inh")])
    recording = simulation.run(duration)
    for name, spikes in recording.spikes.items():
        rate = 1000.0 * len(spikes.times) / (duration * network.population(name).size)
        print(f"{name}: {rate:.1f} spikes/s per neuron")
    raster(recording, network, path)
    return recording


if __name__ == "__main__":
    main()
