"""Running a net: the event-driven engine against the same net as dense layers of norse_bridge and of Norse.

Time of a step of 1 ms. Dense layers run in two forms: "step by step", one step through all layers before the next one, as a net
must whose input arrives while it runs, and "over time", which takes each layer's matrix product of all steps at once, and so
needs the whole input beforehand. The engine goes layer by layer through blocks of up to 64 steps. All
run on one thread and on all, and the better one counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import cores
from benchmarks.networks import data_file
from benchmarks.pairs import in_turn, median, ratio
from benchmarks.process import Child, Failed, say
from benchmarks.report import Report, Table
from benchmarks.silence import values
from benchmarks.simulators import PEERS as SIMULATORS
from benchmarks.simulators import start_peer
from eventsim import Rates, Simulation

NAME = "inference"
PEERS: tuple[str, ...] = ("norse",)
FORMS = ("step by step", "over time")
ENGINE = "eventsim"
EVENTS = 2e9  # synaptic events that the engine may take for one timed run; then it has fewer steps
LEAST_STEPS = 10
OPTIONS = [
    click.Option(["--net"], type=click.Choice(["random", "digits", "mnist"]), default="random", show_default=True),
    click.Option(["--width"], type=int, default=4096, show_default=True, help="random: neurons of a layer"),
    click.Option(["--layers"], type=int, default=3, show_default=True, help="random: layers"),
    click.Option(["--activity"], default="0.001,0.02,0.1", show_default=True, help="random: shares of neurons that fire in a step"),
    click.Option(["--density"], default="0.01,0.1,1", show_default=True, help="random: shares of weights that are not 0"),
    click.Option(["--keep"], type=float, default=0.1, show_default=True, help="digits, mnist: share of the weights kept"),
    click.Option(["--epochs"], type=int, help="digits, mnist: passes of training.  [default: those of eventsim demo]"),
    click.Option(["--mnist"], metavar="FILE", help="mnist: the .npz.  [default: mnist.npz in EVENTSIM_DATA]"),
    click.Option(["--batch"], default="1,32", show_default=True, help="Numbers of inputs at a time."),
    click.Option(["--steps"], type=int, default=100, show_default=True, help="Steps of a timed run, at most."),
    click.Option(
        ["--weights"], type=click.Choice(["float16", "float32"]), default="float32", show_default=True, help="Of the engine."
    ),
]


class _Engine:
    """The engine's side of a net, on so many threads."""

    def __init__(self, net: Any, threads: int, weights: str):
        import norse_bridge as nb

        begin = time.perf_counter()
        network = nb.to_network(net.model())
        self.layers = [population.name for population in network.populations[1:] if population.spiking]
        self.size = sum(network.population(name).size for name in self.layers)
        recorders = [Rates(name, 1000.0) for name in self.layers]
        batch = net.spikes.shape[1]
        source = network.populations[0].name
        self.simulation = Simulation(
            network, 1.0, workers=threads, weight_dtype=weights, batch=batch, record=recorders, spikes={source: net.spikes}
        )
        self.built = time.perf_counter() - begin

    def run(self, steps: int) -> dict[str, Any]:
        """Go on for so many steps."""
        before = self.simulation.counters.synaptic_events
        begin = time.perf_counter()
        recording = self.simulation.run(float(steps))
        wall = time.perf_counter() - begin
        spikes = sum(int(recording.rates[name].counts.sum()) for name in self.layers)
        return {"wall_s": wall, "spikes": spikes, "synaptic_events": self.simulation.counters.synaptic_events - before}


def _dense_sides(children: dict[str, Child], steps: int) -> dict[str, Any]:
    """All forms and numbers of threads of all dense layers."""
    sides = {}
    for name, child in children.items():
        for form in FORMS:
            for threads in sorted({1, cores()}):
                question = {"run_ms": steps, "settings": {"form": form, "threads": threads}}
                sides[f"{name}, {form}, {threads}"] = lambda child=child, question=question: child.ask(question)
    return sides


def measure_net(net: Any, steps: int, weights: str, repeats: int, children: dict[str, Child], folder: Path) -> dict[str, Any]:
    """Run a net everywhere, in turn, after one run that is not counted; times of a step, ratios to the engine."""
    engines = {f"{ENGINE}, {threads}": _Engine(net, threads, weights) for threads in sorted({1, cores()})}
    path = folder / "net.npz"
    np.savez(path, spikes=net.spikes, **{f"weights{n}": weight for n, weight in enumerate(net.weights)})
    built = {name: child.ask({"build": {"file": str(path), "readout": net.readout}}) for name, child in children.items()}
    own = {name: lambda engine=engine: engine.run(steps) for name, engine in engines.items()}
    sides = {**own, **_dense_sides(children, steps)}
    in_turn(sides, 1)
    runs = in_turn(sides, repeats)
    walls = {name: [run["wall_s"] for run in done] for name, done in runs.items()}
    medians = {name: median(times) / steps for name, times in walls.items()}
    batch, first = net.spikes.shape[1], next(iter(engines.values()))
    neurons = steps * repeats * batch * first.size
    columns = [ENGINE, *(f"{name}, {form}" for name in children for form in FORMS)]
    best = {column: min((side for side in walls if side.startswith(f"{column}, ")), key=medians.__getitem__) for column in columns}
    return {
        "about": net.about,
        "batch": batch,
        "steps": steps,
        "density": net.density,
        "input_activity": float(net.spikes.mean()),
        "activity": {name: sum(run["spikes"] for run in done) / neurons for name, done in runs.items()},
        "events_per_step": sum(run["synaptic_events"] for run in runs[f"{ENGINE}, 1"]) / (steps * repeats),
        "engine_built_s": {name: engine.built for name, engine in engines.items()},
        "versions": {name: answer["version"] for name, answer in built.items()},
        "runs": runs,
        "s_per_step": medians,
        "better_threads": best,
        "ratios": {
            f"{name} / {ENGINE}": ratio(walls[side], walls[best[ENGINE]])._asdict() for name, side in best.items() if name != ENGINE
        },
    }


def steps_for(width: int, layers: int, activity: float, density: float, batch: int, wanted: int) -> int:
    """As many steps as wanted, or as the engine's budget of events allows."""
    events = batch * layers * activity * density * width * width
    return int(max(min(wanted, LEAST_STEPS), min(wanted, EVENTS / max(1.0, events))))


def _nets(options: dict[str, Any], repeats: int) -> Any:
    """Each (net, steps) to run, made when its turn comes."""
    from benchmarks import nets
    from eventsim.cli.demo.data import load_digits, load_mnist

    kind, wanted, batches = options["net"], options["steps"], values(options["batch"], int, "--batch")
    if kind != "random":
        images = load_digits(1) if kind == "digits" else load_mnist(data_file(options["mnist"], "mnist.npz", "--mnist"))
        trained = nets.learn(kind, images, options["keep"], options["epochs"])
        for batch in batches:
            say(f"{kind}, batch {batch} ...")
            yield trained.net((repeats + 1) * wanted, batch), wanted
        return
    width, layers = options["width"], options["layers"]
    for batch in batches:
        for density in values(options["density"], float, "--density"):
            for activity in values(options["activity"], float, "--activity"):
                say(f"activity {100 * activity:g} %, density {100 * density:g} %, batch {batch} ...")
                steps = steps_for(width, layers, activity, density, batch, wanted)
                yield nets.random_net(width, layers, activity, density, (repeats + 1) * steps, batch), steps


def _table(points: list[dict[str, Any]], names: list[str]) -> Table:
    columns = [f"{name}, {form}" for name in names for form in FORMS]
    head = ("batch", "weights", "fire in a step", "steps", "eventsim (ms/step)", *columns)
    rows = []
    for point in points:
        rows.append(
            (
                point["batch"],
                f"{100.0 * point['density']:.3g} %",
                f"{100.0 * point['activity'][f'{ENGINE}, 1']:.3g} %",
                point["steps"],
                f"{1000.0 * point['s_per_step'][point['better_threads'][ENGINE]]:.3f}",
                *(f"{point['ratios'][f'{column} / {ENGINE}']['median']:.2f} x" for column in columns),
            )
        )
    return Table("A step of 1 ms; for dense layers how many times the engine's time they take", head, rows)


def measure(*, repeats: int, weights: str, peers: tuple[tuple[str, str], ...] = (), **options: Any) -> Report:
    """Run it; see the module."""
    try:
        import torch
    except ImportError as error:
        raise Failed("inference needs torch: pip install '.[torch]'") from error
    torch.set_num_threads(1)  # of this process, which makes nets and runs the engine; what is timed of torch runs in others
    points = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bridge = [sys.executable, *SIMULATORS["norse"], "norse_bridge"]
        children = {"norse_bridge": stack.enter_context(Child("norse_bridge", bridge))}
        for name, python in peers:
            children[name] = stack.enter_context(start_peer(name, python))
        for net, steps in _nets(options, repeats):
            points.append(measure_net(net, steps, weights, repeats, children, folder))
    settings = {**options, "repeats": repeats, "weights": weights, "peers": [name for name, _ in peers]}
    settings["mnist"] = None if options["mnist"] is None else "FILE"
    notes = []
    if options["net"] != "random":
        notes.append(f"{100.0 * points[0]['about']['accuracy']:.2f} % of the test images right")
    return Report(settings, {"points": points}, [_table(points, list(children))], notes)
