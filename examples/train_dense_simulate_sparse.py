"""Train a spiking net with torch, run it in the event-driven engine: the same spikes.

Run it with ``python examples/train_dense_simulate_sparse.py``; it needs torch.
"""

import torch

import norse_bridge as norse


def main(steps=30, iterations=60):
    """Two classes of spike trains that differ in which half of the inputs fires more."""
    torch.manual_seed(0)
    model = norse.SequentialState(torch.nn.Linear(40, 60, bias=False), norse.LIF(), torch.nn.Linear(60, 2, bias=False), norse.LI())
    with torch.no_grad():
        model[0].weight *= 6.0  # a spike moves v by dt/tau_mem = 0.1 of its weight
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)

    def batch(size):
        labels = torch.randint(2, (size,))
        rates = torch.where((torch.arange(40) < 20) == labels[:, None].bool(), 0.12, 0.06)  # (batch, inputs)
        return (torch.rand(steps, size, 40) < rates).float(), labels  # (time, batch, inputs)

    for _ in range(iterations):
        spikes, labels = batch(64)
        voltage, _ = model(spikes)  # (time, batch, classes)
        loss = torch.nn.functional.cross_entropy(10.0 * voltage.mean(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    model = model.double()
    spikes, labels = batch(200)
    with torch.no_grad():
        hidden, _ = model[1](model[0](spikes.double()))
    result = norse.simulate(model, spikes.double())
    accuracy = (result.outputs.mean(0).argmax(-1) == labels).double().mean()
    differing = int((result.dense_spikes("layer1") != hidden).sum())
    print(f"accuracy {100 * accuracy:.1f} %; {differing} of {int(hidden.sum())} spikes differ between torch and eventsim")
    return float(accuracy), differing


if __name__ == "__main__":
    main()
