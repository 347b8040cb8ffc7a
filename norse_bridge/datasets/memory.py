"""The store-recall task: remember a bit over time (Bellec et al., 2018, supplement, "store-recall task").

Bits are presented one after another, each for a period of ``seq_length`` steps; a command says which one to store, a later one
when to recall it. Four populations of Poisson neurons tell: the bit is 0, the bit is 1 (both silent while recalling), store now,
recall now. The commands have half the rate of the bits, as in Norse.
"""

from __future__ import annotations

import torch

from eventsim.errors import SimulationError
from norse_bridge.encode import poisson_encode

ZERO, ONE, STORE, RECALL = range(4)  # populations
SEEDS = 2**62


class MemoryStoreRecallDataset(torch.utils.data.Dataset):
    """Pairs (x, y): spikes x, float32 (seq_repetitions * seq_periods * seq_length, 4 * population_size), and targets y, uint8
    (seq_repetitions * seq_periods, 2).

    y is (1, 0) or (0, 1) in the period in which the bit 0 or 1 is to be recalled, and (0, 0) in all others. In each repetition the
    first half of the periods holds one store command, the second half one recall command.

    Parameters
    ----------
    samples : number of pairs
    seq_length : steps in a period
    seq_periods : periods in a repetition, 2 or more
    seq_repetitions : number of repetitions in a sample
    population_size : neurons in each population; their columns follow one another
    poisson_rate : spikes/s of a population that tells a bit
    dt : s
    seed : everything follows from it: the pair of an index is always the same. None: from torch's own generator.
    """

    def __init__(
        self,
        samples,
        seq_length=100,
        seq_periods=12,
        seq_repetitions=4,
        population_size=5,
        poisson_rate=100,
        dt=0.001,
        seed=None,
    ):
        self.samples, self.seq_length, self.seq_periods = samples, seq_length, seq_periods
        self.seq_repetitions, self.population_size = seq_repetitions, population_size
        for name in ("samples", "seq_length", "seq_periods", "seq_repetitions", "population_size"):
            value, least = getattr(self, name), 2 if name == "seq_periods" else 1
            if value < least:
                raise SimulationError(f"MemoryStoreRecallDataset: {name} must be {least} or more, not {value}")
        self.poisson_rate, self.dt = poisson_rate, dt
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(SEEDS, ())) if seed is None else seed)
        shape, half = (samples, seq_repetitions), seq_periods // 2
        self.store_indices = torch.randint(half, shape, generator=generator)
        self.recall_indices = torch.randint(half, seq_periods, shape, generator=generator)
        self.seeds = torch.randint(SEEDS, (samples,), generator=generator)

    def __len__(self):
        return self.samples

    def __getitem__(self, idx):
        generator = torch.Generator()
        generator.manual_seed(int(self.seeds[idx]))
        shape = (self.seq_repetitions, self.seq_periods)
        bits = torch.randint(2, shape, generator=generator)
        repetition = torch.arange(self.seq_repetitions)
        store, recall = self.store_indices[idx], self.recall_indices[idx]
        rates = torch.zeros(*shape, 4)  # of poisson_rate
        rates[..., ZERO], rates[..., ONE] = 1 - bits, bits
        rates[repetition, recall] = 0.0
        rates[repetition, recall, RECALL] = 0.5
        rates[repetition, store, STORE] = 0.5
        y = torch.zeros(*shape, 2, dtype=torch.uint8)
        y[repetition, recall, bits[repetition, store]] = 1
        rates = rates.reshape(-1, 4).repeat_interleave(self.population_size, dim=1)  # (periods, neurons)
        x = poisson_encode(rates, self.seq_length, self.poisson_rate, self.dt, generator)  # (steps, periods, neurons)
        return x.transpose(0, 1).flatten(0, 1), y.flatten(0, 1)
