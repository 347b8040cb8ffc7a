"""One spiking layer of torch over time, forward and backward: ``PYTHON layer_peer.py [norse_bridge]``, with questions on standard
input (`protocol`). Norse, or norse_bridge, which has the same names.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from protocol import forget_peak, peak_memory, resident_memory, serve, torch_library


class Layer:
    """One layer, after `build`. library : the module's name"""

    def __init__(self, library: str):
        self.name = library

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """request : "kind", the class; "steps", "batch", "neurons"; "density", the share of inputs that are not 0; "threads"."""
        library = torch_library(self.name)
        import torch

        self.torch = torch
        torch.set_num_threads(request["threads"])
        torch.manual_seed(1)
        begin = time.perf_counter()
        shape = request["steps"], request["batch"], request["neurons"]
        kind, neurons = getattr(library, request["kind"]), request["neurons"]
        spikes = torch.rand(shape) < request["density"]
        if "Recurrent" in request["kind"]:
            w_in = torch.randn(neurons, neurons) * (5.0 / (request["density"] * neurons) ** 0.5)
            w_rec = torch.randn(neurons, neurons) * (1.0 / neurons**0.5)
            self.layer, self.x = kind(neurons, neurons, input_weights=w_in, recurrent_weights=w_rec), spikes.float()
        else:
            self.layer, self.x = kind(), spikes * (2.0 / request["density"]) * torch.rand(shape)
        self.layer(self.x[:2, :1].requires_grad_())[0].sum().backward()  # what is compiled is compiled now
        self.x.requires_grad_()
        self.gradient = torch.randn(shape)
        version = getattr(importlib.import_module(self.name.split(".")[0]), "__version__", "")
        return {
            "built_s": time.perf_counter() - begin,
            "version": f"{self.name.split('.')[0]} {version}, torch {torch.__version__}",
        }

    def run(self, ms: float) -> dict[str, Any]:
        """Once forward and once backward."""
        self.x.grad = None
        self.layer.zero_grad()
        forget_peak()
        before, start = resident_memory(), time.perf_counter()
        out, _ = self.layer(self.x)
        between = time.perf_counter()
        out.backward(self.gradient)
        end = time.perf_counter()
        return {
            "forward_s": between - start,
            "backward_s": end - between,
            "taken": peak_memory() - before,
            "spikes": int(out.sum()),
            "gradient": float(self.x.grad.abs().sum()),
        }


if __name__ == "__main__":
    serve(Layer("norse_bridge" if "norse_bridge" in sys.argv[1:] else "norse.torch"))
