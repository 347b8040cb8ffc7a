"""The same network in eventsim and in other simulators, each in a process of its own, run in turn."""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.describe import describe
from benchmarks.networks import example
from benchmarks.pairs import in_turn, median, ratio
from benchmarks.process import Child, Failed, busy_process, say
from benchmarks.report import Table
from eventsim.cpu.crew import LONGEST_REST
from eventsim.networks import Example
from eventsim.table import bytes_text

FOLDER = Path(__file__).parent / "peers"
PEERS: dict[str, tuple[str, ...]] = {
    "nest": (str(FOLDER / "nest_peer.py"),),
    "brian2": (str(FOLDER / "brian2_peer.py"),),
    "brian2-cpp": (str(FOLDER / "brian2_peer.py"), "cpp"),
    "norse": (str(FOLDER / "norse_peer.py"),),
}
ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}  # a peer's threads that wait leave the cores to others
PAUSE = LONGEST_REST + 0.2  # s after a run beside a busy process: who has left because of it is back for the next run


@dataclass(frozen=True)
class Plan:
    """What to run.

    network, parameters : as `benchmarks.networks.example` takes them
    threads : eventsim runs once for each of these numbers; peers that know threads take the largest
    peers : names of `PEERS`, each with its interpreter
    duration, warm_up : ms; repeats : how often each runs for the duration
    busy : also run eventsim with the most threads beside a process that keeps a core busy
    """

    network: str
    parameters: dict[str, Any]
    duration: float
    warm_up: float
    repeats: int
    threads: tuple[int, ...] = (1,)
    peers: tuple[tuple[str, str], ...] = ()
    busy: bool = False
    settings: dict[str, Any] = field(default_factory=lambda: {"update": "auto", "dtype": "float32", "seed": 1})

    def plain(self) -> dict[str, Any]:
        """For the report; without the paths of interpreters."""
        return {
            **{name: value for name, value in vars(self).items() if name != "peers"},
            "peers": [name for name, _ in self.peers],
        }


def start_peer(name: str, python: str) -> Child:
    """A peer's process."""
    return Child(name, [python, *PEERS[name]], ENVIRONMENT)


def label(threads: int) -> str:
    """What a side of eventsim is called."""
    return f"eventsim, {threads} thread{'s' * (threads > 1)}"


def _wall(child: Child, ms: float, busy: bool = False) -> dict[str, Any]:
    if not busy:
        return child.ask({"run_ms": ms})
    with busy_process():
        answer = child.ask({"run_ms": ms})
    time.sleep(PAUSE)
    return answer


def _build(plan: Plan, chosen: Example, stack: ExitStack) -> tuple[dict[str, Child], dict[str, Any]]:
    """All sides, built one after the other, and what each said about it."""
    children: dict[str, Child] = {}
    built: dict[str, Any] = {}
    for threads in plan.threads:
        name = label(threads)
        say(f"{name}: building {plan.network} ...")
        children[name] = stack.enter_context(Child(name, [sys.executable, "-m", "benchmarks.engine"]))
        request = {"network": plan.network, "parameters": plan.parameters, "threads": threads, **plan.settings}
        built[name] = children[name].ask({"build": request})
    if plan.peers:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        network = describe(chosen, Path(folder) / "arrays.npz")
        request = {"network": network, "threads": max(plan.threads), "seed": plan.settings["seed"]}
        request |= {"warm_up": plan.warm_up, "run": plan.duration, "precise": plan.settings.get("method") == "exact"}
        for name, python in plan.peers:
            say(f"{name}: building {plan.network} ...")
            children[name] = stack.enter_context(start_peer(name, python))
            built[name] = children[name].ask({"build": request})
    return children, built


def compare(plan: Plan) -> dict[str, Any]:
    """Build every side, warm up, run in turn.

    Returns
    -------
    "built" : for each side what its building took; "runs" : for each side every run (wall_s, spikes ...)
    "rtf" : for each side the median wall time of a biological second, s
    "ratios" : of all other sides to the first one, in pairs that ran one after the other
    """
    chosen = example(plan.network, plan.parameters)
    with ExitStack() as stack:
        children, built = _build(plan, chosen, stack)
        for name, child in children.items():
            if name != "brian2-cpp":  # it warms up in each run
                say(f"{name}: warming up, {plan.warm_up:g} ms ...")
                child.ask({"run_ms": plan.warm_up})
        sides = {name: lambda child=child: _wall(child, plan.duration) for name, child in children.items()}
        if plan.busy:
            most = label(max(plan.threads))
            sides[f"{most}, beside a busy process"] = lambda: _wall(children[most], plan.duration, busy=True)
        say(f"running in turn, {plan.repeats} times {plan.duration:g} ms ...")
        runs = in_turn(sides, plan.repeats, say)
    walls = {name: [run["wall_s"] for run in done] for name, done in runs.items()}
    first = next(iter(walls))
    return {
        "built": built,
        "runs": runs,
        "rtf": {name: median(times) / (plan.duration / 1000.0) for name, times in walls.items()},
        "ratios": {f"{name} / {first}": ratio(times, walls[first])._asdict() for name, times in walls.items() if name != first},
        "spikes_per_s": {name: rate(done, plan.duration, chosen.network.size) for name, done in runs.items()},
    }


def rate(runs: list[dict[str, Any]], duration: float, neurons: int) -> float:
    """Spikes/s of a neuron, over all runs."""
    return sum(run["spikes"] for run in runs) / (len(runs) * duration / 1000.0 * neurons)


def table(title: str, results: dict[str, Any]) -> Table:
    """A line for each side."""
    rows = []
    for number, (name, seconds) in enumerate(results["rtf"].items()):
        built = results["built"].get(name)
        found = next((r["median"] for pair, r in results["ratios"].items() if pair.startswith(f"{name} / ")), None)
        rows.append(
            (
                " ".join(filter(None, (name, built["version"] and f"({built['version']})"))) if built else name,
                f"{built['built_s']:.2f}" if built else "",
                bytes_text(results["runs"][name][-1]["memory"]),
                f"{seconds:.4g}",
                "1" if number == 0 else f"{found:.2f}",
                f"{results['spikes_per_s'][name]:.4g}",
            )
        )
    return Table(title, ("side", "built (s)", "peak memory", "RTF", "to the first", "spikes/s"), rows)


def paired(names: tuple[str, ...], pythons: tuple[str, ...], known: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Each ``--peer`` with its ``--peer-python``: as many of these, in the same order, or one for all."""
    for name in names:
        if name not in known:
            raise Failed(f"--peer {name}: this benchmark knows {', '.join(known) or 'no peer'}")
    if names and len(pythons) not in (1, len(names)):
        raise Failed(
            f"--peer was given {len(names)} times, --peer-python {len(pythons)} times: give each peer the interpreter that has it, "
            "see benchmarks/peers/README.md"
        )
    return tuple(zip(names, pythons * len(names) if len(pythons) == 1 else pythons, strict=True))
