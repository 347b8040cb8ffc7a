"""Write the spikes of Norse's from_nir to tests/data/norse_nir.npz, which tests/bridge/test_nir.py compares.

Run it with a Python that has Norse, nir, numpy and torch, and not this package::

    python tests/tools/norse_nir_traces.py tests/data/norse_nir.npz

v_leak of the CubaLIF, v_reset and the r of LIF and IF are those for which Norse follows NIR (IF: Norse drops dt, so that its r = 1
is NIR's r = 1/dt).
"""

from __future__ import annotations

import sys
import warnings

import nir
import norse.torch as nt
import numpy as np
import torch

STEPS, NEURONS = 200, 5


def main(path):
    rng = np.random.default_rng(7)

    def draw(low, high):
        return rng.uniform(low, high, NEURONS)

    one, zero = np.ones(NEURONS), np.zeros(NEURONS)
    x = (3.0 * rng.random((STEPS, NEURONS))).astype(np.float32)
    nodes = {
        "CubaLIF": nir.CubaLIF(draw(0.004, 0.006), draw(0.008, 0.02), draw(0.5, 2), zero, draw(0.8, 1.2), zero, draw(0.5, 3)),
        "LIF": nir.LIF(draw(0.008, 0.02), one, draw(0, 0.1), draw(0.8, 1.2), zero),
        "IF": nir.IF(one, draw(2.0, 4.0), zero),
    }
    arrays = {"x": x}
    for kind, node in nodes.items():
        arrays |= {f"{kind}.{name}": value for name, value in vars(node).items() if isinstance(value, np.ndarray)}
        module, state, spikes = nt.from_nir(nir.NIRGraph.from_list(node)), None, []
        for row in torch.tensor(x):
            z, state = module(row[None], state)
            spikes.append(z[0].detach().numpy().astype(np.uint8))
        arrays[f"{kind}.spikes"] = np.stack(spikes)
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
