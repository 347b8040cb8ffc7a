"""A peer that simulates nothing: it answers as the protocol asks, slower with every run, and prints noise where it must not hurt."""

from __future__ import annotations

import sys

from benchmarks.peers.protocol import Unable, serve


class Fake:
    """It counts its runs."""

    def build(self, request):
        """Keep the size of the network."""
        print("noise on standard output")
        self.neurons = sum(population["size"] for population in request["network"]["populations"])
        self.runs = 0
        return {"built_s": 0.5, "version": "Fake 1.0"}

    def run(self, ms, dies=False):
        """Every neuron fires once, in as many seconds as there were runs."""
        if dies:
            print("a last word", file=sys.stderr)
            sys.stderr.flush()
            sys.exit(3)
        if ms > 1000.0:
            raise Unable("runs of more than a second are too long")
        self.runs += 1
        return {"wall_s": float(self.runs), "spikes": self.neurons}


if __name__ == "__main__":
    serve(Fake())
