"""The command line as a user meets it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from eventsim.cli import main
from eventsim.models import LIF
from eventsim.network import Network, Population, Projection
from eventsim.networks.fly import SUGAR_NEURONS
from eventsim.recordings.read import read
from eventsim.rules import AllToAll
from eventsim.stimuli import PoissonSource
from eventsim.storage import save


@pytest.fixture
def call(tmp_path, monkeypatch):
    """``call("run brunel ...")`` runs the command in an empty folder; the result has exit_code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def invoke(line):
        result = CliRunner().invoke(main, line.split())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def saved(tmp_path):
    """A small network in a file: five Poisson sources that drive three neurons."""
    network = Network(
        (Population("noise", 5, PoissonSource(200.0)), Population("cells", 3, LIF(tau_mem=20.0))),
        (Projection("noise", "cells", AllToAll(), weight=0.4, delay=1.0),),
    )
    save(network, tmp_path / "mine.npz")
    return tmp_path / "mine.npz"


@pytest.mark.parametrize("line", ["--help", "-h", "run --help", "info --help", "demo --help"])
def test_help_shows_examples(call, line):
    result = call(line)
    assert result.exit_code == 0
    assert "eventsim" in result.stdout and "--help" in result.stdout
    assert all(len(text) <= 112 for text in result.stdout.splitlines())
    for part in ("eventsim demo", "eventsim run brunel", "microcircuit") if line in ("--help", "-h") else ("Examples:",):
        assert part in result.stdout


def test_help_says_how_many_threads_there_will_be(call):
    assert "one for each 20,000 neurons that are updated densely, at most the cores" in " ".join(call("run --help").stdout.split())


def test_version(call):
    assert call("--version").stdout.startswith("eventsim ")


def test_run_prints_rates_and_writes_files(call, tmp_path):
    result = call(
        "run vogels-abbott --neurons 500 --duration 100 --discard 20 --record-state exc:v --record-state exc:exc --seed 3"
    )
    assert result.exit_code == 0, result.output
    for part in (
        "population",
        "spikes/s",
        "spikes per biological second",
        "synaptic events",
        "neuron updates",
        "per biological second",
    ):
        assert part in result.stdout
    folder = tmp_path / "eventsim-vogels-abbott"
    assert {path.name for path in folder.iterdir()} == {"spikes.npz", "rates.csv", "results.json", "raster.png", "states-exc.png"}
    with open(folder / "rates.csv") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "spikes.npz") as file:
        for row in rows:
            times = file[f"spikes/{row['population']}/times"]
            assert len(times) == int(row["spikes"])
            assert np.all((times > 20.0) & (times < 120.01)), "what is discarded is not counted"
            assert float(row["rate_spikes_per_s"]) == pytest.approx(len(times) / int(row["neurons"]) / 0.1, abs=1e-5)
        assert file["states/exc/v"].shape == (1000, 8) and file["states/exc/exc"].shape == (1000, 8)
    results = json.loads((folder / "results.json").read_text())
    assert results["counters"]["steps"] == 1000 and results["duration_ms"] == 100.0


def test_the_same_seed_gives_the_same_spikes_for_any_number_of_workers(call, tmp_path):
    for name, options in {"a": "--seed 5", "b": "--seed 5 --workers 2", "c": "--seed 6"}.items():
        assert call(f"run vogels-abbott --neurons 400 --duration 50 --discard 0 --output {name} {options}").exit_code == 0

    def spikes(name):
        with np.load(tmp_path / name / "spikes.npz") as file:
            return file["spikes/exc/times"].tolist(), file["spikes/exc/neurons"].tolist()

    assert spikes("a") == spikes("b") != spikes("c")


def test_a_run_of_one_step(call):
    result = call("run vogels-abbott --neurons 50 --duration 0.1 --discard 0 --record-state exc:v")
    assert result.exit_code == 0, result.output


def test_run_shows_what_was_expected(call):
    result = call("run microcircuit --scale 0.01 --duration 20 --discard 0")
    assert result.exit_code == 0, result.output
    assert "expected" in result.stdout and "0.903" in result.stdout and "deviation" in result.stdout
    assert "scaled to 0.01" in result.stdout


def test_a_saved_network_runs(call, saved, tmp_path):
    result = call(f"run {saved} --dt 0.5 --duration 200 --update sparse --dtype float64 --weights float16 --output out")
    assert result.exit_code == 0, result.output
    assert "noise" in result.stdout and "cells" in result.stdout
    assert (tmp_path / "out" / "raster.png").exists()


def test_the_fly_runs_from_its_file(call, tmp_path):
    ids = np.array([*SUGAR_NEURONS[:3], 5, 6], np.int64)
    np.savez(
        tmp_path / "brain.npz",
        root_id=ids,
        indptr=np.array([0, 1, 2, 3, 3, 3]),
        post=np.array([3, 3, 4]),
        syn=np.array([50, 50, -9]),
    )
    result = call("run fly --connectome brain.npz --stimulus-rate 150 --silent 10 --duration 100")
    assert result.exit_code == 0, result.output
    for part in ("3 of 21 neurons stimulated at 150", "18 of the stimulated neurons not in brain.npz", "10 silent", " of 15"):
        assert part in result.stdout


def test_the_variants_of_the_networks_run(call, tmp_path):
    result = call("run vogels-abbott --synapses coba --delay 0.8 --neurons 500 --duration 20 --discard 0 --record-state exc:inh")
    assert result.exit_code == 0, result.output
    assert "COBA" in result.stdout
    with np.load(tmp_path / "eventsim-vogels-abbott" / "spikes.npz") as file:
        assert file["states/exc/inh"].shape == (200, 8)
    result = call("run microcircuit --drive dc --scale 0.01 --duration 10 --discard 0")
    assert result.exit_code == 0, result.output
    assert "constant currents for the Poisson input" in result.stdout


def test_info_shows_the_variants(call):
    assert "0.8" in call("info vogels-abbott --synapses coba --delay 0.8").stdout
    assert "COBA" in call("info vogels-abbott --synapses coba").stdout
    assert "constant currents" in call("info microcircuit --drive dc").stdout
    assert "constant currents" not in call("info microcircuit --drive poisson").stdout


@pytest.mark.parametrize(
    "line", ["info brunel", "info microcircuit --scale 0.1 --dtype float64 --weights float16", "info vogels-abbott --workers 2"]
)
def test_info_tells_sizes_before_anything_is_built(call, line):
    result = call(line)
    assert result.exit_code == 0
    for part in ("population", "in-degree", "delay (ms)", "total", "neurons", "synapses", "wheel", "boxes, reserved"):
        assert part in result.stdout


def test_info_of_the_full_microcircuit(call):
    assert "77,169 neurons, 298,880,9" in call("info microcircuit").stdout


def test_info_of_a_saved_network(call, saved):
    assert "8 neurons, 15 synapses" in call(f"info {saved}").stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run nothing", "'nothing' is neither a built-in network"),
        ("info nothing", "'nothing' is neither a built-in network"),
        ("run", "Missing argument 'NETWORK'"),
        ("walk brunel", "No such command"),
        ("run brunel --scale 0.1", "--scale belongs to microcircuit, not to brunel"),
        ("run microcircuit --neurons 5", "--neurons belongs to brunel and vogels-abbott"),
        ("run brunel --synapses coba", "--synapses belongs to vogels-abbott, not to brunel"),
        ("run microcircuit --delay 0.8", "--delay belongs to vogels-abbott"),
        ("run vogels-abbott --drive dc", "--drive belongs to microcircuit"),
        ("run vogels-abbott --synapses hh", "--synapses"),
        ("run vogels-abbott --delay 0", "delay must be above 0"),
        ("run vogels-abbott --delay 0.75", "0.75 ms is no multiple of dt"),
        ("run microcircuit --drive ac", "--drive"),
        ("run microcircuit --scale 3", "scale must lie between"),
        ("run fly", "fly needs its connectome"),
        ("run fly --connectome no.npz", "no such file"),
        ("run brunel --dt -1", "--dt must be above 0"),
        ("run brunel --neurons 10", "neurons must be at least 50"),
        ("run brunel --duration 0", "--duration must be above 0"),
        ("run brunel --duration nan", "--duration must be above 0"),
        ("run brunel --discard -5", "--discard not negative"),
        ("run brunel --neurons 100 --duration 0.25", "--duration: 0.25 ms is not a multiple of dt"),
        ("run brunel --dt 0.4", "dt"),
        ("run brunel --workers 0", "--workers"),
        ("run brunel --update fast", "--update"),
        ("run brunel --dtype float16", "--dtype"),
        ("run brunel --record-state v", "POPULATION:STATE"),
        ("run brunel --record-state exc:w", "the states of 'exc' are v"),
        ("run brunel --record-state all:v", "no population 'all'"),
        ("demo --data mnist", "needs the PATH"),
        ("demo somewhere.npz", "does not exist"),
        ("demo --keep 2", "--keep"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(call, line, message):
    result = call(line)
    assert result.exit_code == 2
    assert message in result.stderr
    errors = [text for text in result.stderr.splitlines() if text.startswith("Error:")]
    assert len(errors) == 1 and "Traceback" not in result.output


def test_a_saved_network_takes_no_options_of_others(call, saved):
    result = call(f"run {saved} --scale 0.5")
    assert result.exit_code == 2 and "not to a saved one" in result.stderr


def test_a_file_that_is_no_network(call, tmp_path):
    (tmp_path / "text.npz").write_text("no")
    result = call("run text.npz")
    assert result.exit_code == 2 and "not a complete .npz" in result.stderr


def test_a_folder_that_cannot_be_made(call, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = call("run brunel --output file/below")
    assert result.exit_code == 2 and "cannot be made" in result.stderr


def test_without_matplotlib_everything_but_the_picture_is_there(call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("run vogels-abbott --neurons 100 --duration 5 --discard 0")
    assert result.exit_code == 0
    assert "no picture" in result.stderr and "eventsim[plot]" in result.stderr
    assert (tmp_path / "eventsim-vogels-abbott" / "rates.csv").exists()


def test_as_a_module():
    done = subprocess.run([sys.executable, "-m", "eventsim", "info", "brunel"], capture_output=True, text=True, check=True)
    assert "10,000 neurons" in done.stdout


@pytest.mark.parametrize("method", ["grid", "exact"])
def test_a_run_that_was_stopped_is_resumed(call, saved, tmp_path, method):
    """The process ends where its first checkpoint is written: then it is resumed, with the results of a run that was not stopped."""
    pytest.importorskip("h5py", reason="recordings on disk need h5py")
    line = f"{saved} --duration 300 --discard 20 --seed 3 --record-state cells:v --method {method}"
    assert call(f"run {line} --checkpoint-every 40 --output whole").exit_code == 0
    script = (
        "import os, sys; import eventsim.simulation as s; from eventsim.cli import main\n"
        "write = s.save_simulation\n"
        "def once(simulation, *others):\n"
        "    write(simulation, *others)\n"
        "    if simulation.time == 80.0: os._exit(9)\n"
        "s.save_simulation = once; main(sys.argv[1:])"
    )
    command = ["run", *line.split(), "--checkpoint-every", "40", "--output", "stopped"]
    assert subprocess.run([sys.executable, "-c", script, *command], cwd=tmp_path).returncode == 9
    assert not (tmp_path / "stopped" / "results.json").exists()
    again = call(f"run {line} --checkpoint-every 40 --output stopped")
    assert again.exit_code == 2 and "holds a run that is not finished" in again.stderr
    result = call("resume stopped")
    assert result.exit_code == 0 and "resumed at 80 ms" in result.stdout
    whole, stopped = ({name: tmp_path / folder / name for name in ("recording.h5", "rates.csv")} for folder in ("whole", "stopped"))
    assert whole["rates.csv"].read_text() == stopped["rates.csv"].read_text()
    one, other = read(whole["recording.h5"]), read(stopped["recording.h5"])
    assert (one.start, one.stop) == (other.start, other.stop) == (20.0, 320.0)
    for name in ("noise", "cells"):
        assert len(one.spikes[name].times) > 10
        assert all(np.array_equal(a, b) for a, b in zip(one.spikes[name], other.spikes[name], strict=True))
    assert np.array_equal(one.states["cells"].values["v"], other.states["cells"].values["v"])
    counters = [json.loads((tmp_path / folder / "results.json").read_text())["counters"] for folder in ("whole", "stopped")]
    assert counters[0] == counters[1]
    size = (tmp_path / "stopped" / "recording.h5").stat().st_size
    assert call("resume stopped").exit_code == 0  # nothing is left to do
    assert (tmp_path / "stopped" / "recording.h5").stat().st_size == size


def test_what_holds_no_run_cannot_be_resumed(call, tmp_path):
    (tmp_path / "empty").mkdir()
    result = call("resume empty")
    assert result.exit_code == 2 and "holds no run" in result.stderr
