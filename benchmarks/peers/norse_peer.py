"""Dense layers of torch as a peer: ``PYTHON norse_peer.py [norse_bridge]``, with questions on standard input (`protocol`).

Norse, or norse_bridge, which has the same names. The net is one file (.npz): ``weights0``, ``weights1`` ... (neurons, inputs)
float32, ``spikes`` uint8 (steps, batch, inputs). Two forms are run: "over time", where each Linear takes all steps at once and the
neurons step through the result, and "step by step", where the whole net takes one step after another, as it must where data arrive
one after another.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from protocol import Unable, serve, torch_library

DT = 0.001  # s, a step


class Dense:
    """One net, after `build`. library : the module's name"""

    def __init__(self, library: str):
        self.name = library

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """request : "file"; "readout", whether the last layer is LI instead of LIF."""
        library = torch_library(self.name)
        import numpy as np
        import torch

        torch.set_grad_enabled(False)
        self.torch = torch
        begin = time.perf_counter()
        with np.load(request["file"]) as file:
            weights = [torch.from_numpy(file[f"weights{n}"]) for n in range(len(file.files) - 1)]
            self.spikes = torch.from_numpy(file["spikes"])
        self.spiking = len(weights) - bool(request["readout"])
        linears = []
        for weight in weights:
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
            linear.weight.copy_(weight)
            linears.append(linear)
        kinds = {"over time": (library.LIF, library.LI), "step by step": (library.LIFCell, library.LICell)}
        self.models = {form: self._model(library, linears, *pair) for form, pair in kinds.items()}
        self.progress: dict[Any, tuple[int, Any]] = {}
        version = getattr(importlib.import_module(self.name.split(".")[0]), "__version__", "")
        return {
            "built_s": time.perf_counter() - begin,
            "version": f"{self.name.split('.')[0]} {version}, torch {torch.__version__}",
        }

    def _model(self, library: Any, linears: list[Any], spiking: Any, readout: Any) -> Any:
        modules = []
        for number, linear in enumerate(linears):
            modules += [linear, (spiking if number < self.spiking else readout)(dt=DT)]
        return library.SequentialState(*modules, return_hidden=True)

    def run(self, ms: float, form: str, threads: int) -> dict[str, Any]:
        """The next steps of 1 ms in one of both forms; each form and number of threads goes through the data by itself."""
        self.torch.set_num_threads(threads)
        begin, state = self.progress.get((form, threads), (0, None))
        rows = self.spikes[begin : begin + round(ms)].float()
        if len(rows) < round(ms):
            raise Unable(f"the file holds {len(self.spikes)} steps; {begin + round(ms)} were asked for")
        model, outputs = self.models[form], []
        start = time.perf_counter()
        if form == "over time":
            hidden, state = model(rows, state)
            outputs.append(hidden)
        else:
            for row in rows:  # (batch, inputs)
                hidden, state = model(row, state)
                outputs.append(hidden)
        wall = time.perf_counter() - start
        self.progress[form, threads] = begin + len(rows), state
        count = sum(int(hidden[1 + 2 * layer].sum()) for hidden in outputs for layer in range(self.spiking))
        return {"wall_s": wall, "spikes": count}


if __name__ == "__main__":
    serve(Dense("norse_bridge" if "norse_bridge" in sys.argv[1:] else "norse.torch"))
