"""The command ``python -m norse_bridge.task``: every task on small data that the tests make, its files, and what it refuses."""

import json
import pickle
import subprocess
import sys
import wave
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from eventsim.errors import ModelError, StorageError
from norse_bridge.task import cifar10, mnist, speech_commands
from norse_bridge.task.classification import Classifier, Plan, Samples, evaluate, fit, highest
from norse_bridge.task.command import TASKS, main, task_command
from norse_bridge.task.comparison import compare
from norse_bridge.task.report import Report
from norse_bridge.task.saving import load_model, save_model

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def without_a_data_folder(monkeypatch):
    monkeypatch.delenv("EVENTSIM_DATA", raising=False)


def call(*words):
    """Run the command: the result, whose output are the lines on the screen."""
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


def ran(*words):
    """Run the command, which must succeed; the last word is the folder for results: they are returned."""
    result = call(*words[:-1], "--output", words[-1])
    assert result.exit_code == 0, result.output
    found = json.loads((words[-1] / "results.json").read_text())
    assert result.stdout.splitlines()[-1].startswith(f"{found['task']}: ")
    return found


def bars(count, shape):
    """Images uint8 with a bright bar, whose place and direction tell the class: (images, rows, columns) and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 10
    images = rng.integers(0, 40, (count, *shape))
    for image, label in zip(images, labels, strict=True):
        place = 1 + 3 * (label % 5)
        view = image if label < 5 else image.swapaxes(0, 1)
        view[place : place + 2, 1:-1] = 255
    return images.astype(np.uint8), labels


@pytest.fixture
def digits(tmp_path):
    (x, y), (x_test, y_test) = bars(40, (16, 16)), bars(20, (16, 16))
    np.savez(tmp_path / "mnist.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    return tmp_path / "mnist.npz"


SMALL = ("--seq-length", 12, "--input-scale", 20, "--batch-size", 20, "--lr", 0.005)


SETTINGS = {
    "seq_length": 2,
    "method": "super",
    "alpha": 100.0,
    "input_scale": 1.0,
    "only_first_spike": False,
    "size": 16,
    "mean": 0.1,
    "deviation": 0.3,
}


# --- all commands ---


@pytest.mark.parametrize("name", TASKS)
def test_the_help_of_each_task(name):
    result = call(name, "--help")
    assert result.exit_code == 0
    module = sys.modules[f"norse_bridge.task.{name.replace('-', '_')}"]
    assert module.__doc__.split()[0] in result.output and "--random-seed" in result.output and "--output" in result.output
    for option in task_command(name).params:
        assert option.help, f"{name}: {option.name} has no help"
        assert not isinstance(option.type, click.types.BoolParamType) or option.is_flag, f"{name}: {option.name} is no real flag"


NORSES = {
    "mnist": {
        "device": "cpu",
        "epochs": 10,
        "seq_length": 200,
        "batch_size": 32,
        "method": "super",
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "input_scale": 1.0,
        "only_first_spike": False,
        "clip_grad": False,
        "grad_clip_value": 1,
        "log_interval": 10,
        "model_save_interval": 50,
        "save_model": True,
        "random_seed": 1234,
    },
    "cifar10": {"batch_size": 32, "learning_rate": 2e-3, "lr_step": False, "optimizer": "adam", "seq_length": 128},
    "speech-commands": {"learning_rate": 1e-4, "batch_size": 16, "model": "lif"},
    "cartpole": {
        "device": "cpu",
        "gamma": 0.99,
        "policy": "snn",
        "environment": "CartPole-v1",
        "random_seed": 1234,
        "dropout": 0.5,
    },
    "memory": {
        "neuron_model": "lsnnlif",
        "batch_size": 128,
        "learning_rate": 0.01,
        "seq_length": 200,
        "seq_periods": 12,
        "seq_repetitions": 1,
        "samples": 512,
        "population_size": 5,
        "poisson_rate": 100.0,
        "regularization_factor": 1e-2,
        "regularization_target": 10.0,
        "max_epochs": 300,
        "dt": 0.001,
    },
}


@pytest.mark.parametrize("name", NORSES)
def test_the_defaults_are_norses(name):
    found = {option.name: option.default for option in task_command(name).params}
    assert {key: found[key] for key in NORSES[name]} == NORSES[name]


def test_the_commands_in_the_document_can_be_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        line.split()
        for line in (ROOT / "docs" / "tasks.md").read_text().splitlines()
        if line.startswith("python -m norse_bridge.task ")
    ]
    assert {words[3] for words in lines} >= {"mnist", "fashion-mnist", "cifar10", "speech-commands", "correlation-experiment"}
    for words in lines:
        for model in words[words.index("--load") + 1 :][:1] if "--load" in words else ():
            Path(model).parent.mkdir(exist_ok=True)
            Path(model).touch()
        params = task_command(words[3]).make_context(words[3], words[4:]).params
        assert params["random_seed"] == 1234 or "--random-seed" in words


def test_the_command_as_a_program():
    done = subprocess.run([sys.executable, "-m", "norse_bridge.task"], cwd=ROOT, capture_output=True, text=True)
    assert all(name in done.stderr + done.stdout for name in TASKS)


def test_words_may_be_joined_as_in_norse(digits, tmp_path):
    ran(
        "fashion_mnist",
        "--data",
        digits,
        "--epochs",
        1,
        "--seq_length",
        2,
        "--batch_size",
        20,
        "--method",
        "heavi_erfc",
        tmp_path / "out",
    )


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("mnist", "storage.googleapis.com"),
        ("fashion-mnist", "fashion-mnist.s3"),
        ("cifar10", "cs.toronto.edu"),
        ("speech-commands", "download.tensorflow.org"),
    ],
)
def test_missing_data_are_an_error_that_says_where_to_get_them(name, address, tmp_path, monkeypatch):
    for words, tried in ((("--data", tmp_path / "none"), "--data: there is no"), ((), "neither --data nor EVENTSIM_DATA is given")):
        result = call(name, *words, "--output", tmp_path / "out")
        assert result.exit_code == 2 and result.stderr.startswith("Error: ") and "\n" not in result.stderr.strip()
        assert tried in result.stderr and address in result.stderr and "Nothing is downloaded" in result.stderr
    monkeypatch.setenv("EVENTSIM_DATA", str(tmp_path))
    assert f"in {tmp_path}" in call(name, "--output", tmp_path / "out").stderr


def test_options_that_cannot_be_are_refused(digits, tmp_path):
    for words, message in [
        (("--method", "adjoint"), "is not one of"),
        (("--epochs", -1), "--epochs"),
        (("--learning-rate", 0), "--learning-rate"),
        (("--device", "nowhere"), "cannot be used"),
        (("--simulate", "--method", "logistic"), "--simulate: with this --method neurons fire by chance"),
        (("--load", digits), "is no model that a task has saved"),
        (("--output", digits), "--output"),
        (("--big-net",), "No such option"),
    ]:
        result = call("mnist", "--data", digits, "--output", tmp_path / "out", *words)
        assert result.exit_code == 2 and message in result.stderr, words


def test_the_process_keeps_its_random_numbers_and_the_seed_says_it_all(tmp_path):
    words = "correlation-experiment", "--episodes", 3, "--timesteps", 30
    state = torch.get_rng_state()
    first, again = (ran(*words, "--random-seed", 5, tmp_path / name) for name in "ab")
    assert torch.equal(torch.get_rng_state(), state)
    assert first["curves"] == again["curves"] != ran(*words, "--random-seed", 6, tmp_path / "c")["curves"]
    assert first["figures"]["loss"] == first["curves"]["loss"][1][-1] and first["curves"]["loss"][0] == [1, 2, 3]
    assert first["options"] == {
        "episodes": 3,
        "timesteps": 30,
        "learning_rate": 0.2,
        "random_seed": 5,
        "output": str(tmp_path / "a"),
    }


def test_without_matplotlib_all_but_the_picture_is_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = call("correlation-experiment", "--episodes", 1, "--timesteps", 10, "--output", tmp_path)
    assert result.exit_code == 0 and "pip install 'eventsim[tasks]'" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "results.json"]


# --- what tasks are made of ---


def test_a_report_keeps_what_it_is_told():
    report = Report()
    report.expect(3, "epoch")
    report(1)
    report(2, loss=0.5, accuracy=1)
    report(3, loss=torch.tensor(0.25))
    report.close()
    assert report.curves == {"loss": ([2, 3], [0.5, 0.25]), "accuracy": ([2], [1.0])} and report.unit == "epoch"
    assert list(report.watch(iter([1, 2]), "watching", 2)) == [1, 2]


def test_the_picture_has_a_row_for_each_curve(tmp_path):
    report, sizes = Report(), []
    for name in ("loss", "accuracy"):
        report(1, **{name: 1.0})
        report.draw(tmp_path / "curves.png", "a task")
        data = (tmp_path / "curves.png").read_bytes()
        assert data.startswith(b"\x89PNG")
        sizes.append(int.from_bytes(data[20:24], "big"))  # its height
    assert sizes == [300, 500]


def test_a_saved_model_is_read_without_pickled_classes(tmp_path):
    model, path = torch.nn.Linear(2, 3), tmp_path / "model.pt"
    settings = {"a": 1, "b": 0.5, "c": "word", "d": True, "e": None, "f": (1, 2)}
    save_model(path, "mine", model, settings)
    assert set(torch.load(path, weights_only=True)) == {"task", "settings", "state_dict"}
    found, state = load_model(path, "mine")
    assert found == settings and torch.equal(state["weight"], model.weight)
    with pytest.raises(StorageError, match="belongs to the task 'mine', not to 'other'"):
        load_model(path, "other")
    with pytest.raises(StorageError, match="the setting 'g' is a Linear"):
        save_model(path, "mine", model, {"g": (1, model)})
    torch.save({"weights": 1}, path)
    with pytest.raises(StorageError, match="is no model that a task has saved"):
        load_model(path, "mine")
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(StorageError, match="is no model that a task has saved"):
        load_model(path, "mine")
    with pytest.raises(StorageError, match="cannot be read"):
        load_model(tmp_path / "none", "mine")


def separable(seed=0):
    """A classifier of points by their largest coordinate, and samples for it."""
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
    model = Classifier(lambda x: x.expand(2, -1, -1), torch.nn.Linear(4, 4), highest)
    return model, Samples(len(x), lambda rows: (x[rows], x[rows].argmax(1)))


def test_training_finds_the_classes_and_tests_them():
    model, samples = separable()
    report, ended = Report(), []
    plan = Plan(20, 25, torch.optim.Adam(model.parameters(), 0.1), train_samples=50, log_interval=2, after=ended.append)
    figures = fit(model, plan, samples, samples.first(30), report)
    assert figures["accuracy"] > 0.9 and ended == list(range(1, 21))
    assert report.curves["loss"][0] == list(range(2, 41, 2)) and report.curves["accuracy"][0] == list(range(2, 41, 2))
    exact = evaluate(model, plan._replace(top=3), samples)
    x, labels = samples.get(torch.arange(60))
    scores = model(x).detach()
    assert exact["loss"] == pytest.approx(float(torch.nn.functional.cross_entropy(scores, labels)), rel=1e-5)
    assert exact["accuracy"] == float((scores.argmax(1) == labels).double().mean())
    assert exact["accuracy_top3"] == float((scores.argsort(1)[:, 1:] == labels[:, None]).any(1).double().mean())


def test_the_learning_rate_falls_along_half_a_cosine():
    model, samples = separable()
    optimizer, rates = torch.optim.SGD(model.parameters(), 0.5), []
    plan = Plan(4, 30, optimizer, anneal=True, after=lambda epoch: rates.append(optimizer.param_groups[0]["lr"]))
    fit(model, plan, samples, samples, Report())
    assert rates == pytest.approx([0.25 * (1 + np.cos(np.pi * part)) for part in (0.25, 0.5, 0.75, 1.0)], abs=1e-12)


def test_gradients_are_clipped_and_a_loss_that_is_not_finite_ends_the_training():
    model, samples = separable()
    before = model.network.weight.detach().clone()
    plan = Plan(1, 60, torch.optim.SGD(model.parameters(), 1.0), clip=1e-3)
    fit(model, plan, samples, samples, Report())
    assert 0 < (model.network.weight.detach() - before).abs().max() <= 1.001e-3
    with torch.no_grad():
        model.network.weight.fill_(torch.nan)
    with pytest.raises(ModelError, match="lower --learning-rate"):
        fit(model, plan, samples, samples, Report())


def test_a_comparison_counts_what_differs(monkeypatch):
    images, labels = bars(6, (16, 16))
    settings = SETTINGS | {"seq_length": 12, "input_scale": 20.0}
    model = mnist.build(settings)
    batches = [(torch.from_numpy(images[part]), torch.from_numpy(labels[part])) for part in (slice(0, 4), slice(4, 6))]
    found = compare(model, batches)
    assert found["samples"] == 6 and found["differing_spikes"] == found["differing_decisions"] == 0
    assert found["spikes"] > 1000 and found["events"] > 10000 and found["accuracy_dense"] == found["accuracy_sparse"]
    from norse_bridge.task import comparison

    def other(net, data):
        with torch.no_grad():
            net.fc1.bias += 1.0
            net.out.p.v_leak.fill_(1.0)
        return simulate(net, data)

    simulate = comparison.simulate
    monkeypatch.setattr(comparison, "simulate", other)
    assert compare(model, batches[:1])["differing_spikes"] > 100


# --- the tasks ---


def test_correlation_experiment(tmp_path):
    found = ran("correlation-experiment", "--episodes", 12, "--timesteps", 60, "--random-seed", 1, tmp_path)
    assert found["figures"]["loss"] < 0.01 < 0.2 < found["figures"]["first_loss"]
    assert (tmp_path / "curves.png").exists()
    _, state = load_model(tmp_path / "model.pt", "correlation-experiment")
    assert state["input_weights"].shape == (8, 100)


def test_mnist_learns_saves_simulates_and_goes_on(digits, tmp_path):
    words = "mnist", "--data", digits, "--simulate"
    found = ran(*words, *SMALL, "--epochs", 20, "--log-interval", 1, "--model-save-interval", 8, tmp_path / "a")
    figures = found["figures"]
    assert figures["accuracy"] >= 0.9 and figures["samples"] == 20
    assert figures["accuracy_dense"] == figures["accuracy_sparse"] == figures["accuracy"]
    assert figures["differing_spikes"] == figures["differing_decisions"] == 0 < figures["spikes"]
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "model.pt",
        "model-epoch8.pt",
        "model-epoch16.pt",
        "curves.png",
        "results.json",
    }
    settings, _ = load_model(tmp_path / "a" / "model.pt", "mnist")
    assert (settings["seq_length"], settings["input_scale"], settings["size"]) == (12, 20.0, 16)
    words = *words, "--simulate-type", "float32", "--simulate-samples", 7, "--no-save-model"
    again = ran(*words, "--load", tmp_path / "a" / "model.pt", "--epochs", 0, tmp_path / "b")
    assert again["figures"]["accuracy"] == figures["accuracy"] and again["figures"]["samples"] == 7
    assert not (tmp_path / "b" / "model.pt").exists() and again["curves"] == {}


def test_options_of_mnist(digits, tmp_path):
    """Each has an effect on what is trained or how."""
    words = "mnist", "--data", digits, *SMALL, "--epochs", 1
    plain = ran(*words, tmp_path / "plain")["figures"]["loss"]
    for changed in (
        ["--only-first-spike"],
        ["--alpha", 3],
        ["--anneal", "--epochs", 2],
        ["--method", "circ"],
        ["--optimizer", "sgd", "--lr", 10],
        ["--train-samples", 5],
        ["--method", "circ_dist"],
    ):
        assert ran(*words, *changed, tmp_path / "changed")["figures"]["loss"] != plain, changed
    ran(*words, "--only-output", "--clip-grad", "--grad-clip-value", 1e-4, "--optimizer", "sgd", "--lr", 1, tmp_path / "output")
    states = [load_model(tmp_path / name / "model.pt", "mnist")[1] for name in ("plain", "output")]
    torch.manual_seed(1234)
    begin = mnist.build(load_model(tmp_path / "output" / "model.pt", "mnist")[0]).state_dict()
    changed = {name for name, value in states[1].items() if not torch.equal(value, begin[name])}
    assert changed <= {"network.out.input_weights"}
    assert (states[1]["network.out.input_weights"] - begin["network.out.input_weights"]).abs().max() <= 2.1e-4


def test_mnist_takes_square_images_alone(tmp_path):
    x, y = bars(10, (16, 18))
    np.savez(tmp_path / "wide.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert "16 x 18 pixels" in call("mnist", "--data", tmp_path / "wide.npz", "--output", tmp_path).stderr


def test_a_saved_model_that_does_not_fit_is_refused(digits, tmp_path):
    settings = SETTINGS | {"size": 20}
    words = "mnist", "--data", digits, "--load", tmp_path / "model.pt", "--output", tmp_path
    save_model(tmp_path / "model.pt", "mnist", mnist.build(settings), settings)
    assert "takes images of 20 x 20 pixels, not 16 x 16" in call(*words).stderr
    for wrong in (settings | {"size": 16}, {"size": 16}):
        save_model(tmp_path / "model.pt", "mnist", mnist.build(settings), wrong)
        assert "is not one that this version can build" in call(*words).stderr


def test_cifar10(tmp_path):
    x, y = bars(30, (32, 32, 3))
    np.savez(tmp_path / "cifar10.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    words = "cifar10", "--data", tmp_path / "cifar10.npz", "--maps", 6, 8, 8, 8, "--seq-length", 6, "--log-interval", 1
    found = ran(
        *words,
        "--epochs",
        12,
        "--batch-size",
        10,
        "--lr",
        0.01,
        "--lr-step",
        "--simulate",
        "--simulate-samples",
        4,
        tmp_path / "out",
    )
    losses, figures = found["curves"]["loss"][1], found["figures"]
    assert np.mean(losses[-3:]) < 0.75 * np.mean(losses[:3])
    assert figures["accuracy_top5"] >= figures["accuracy"] > 0.3
    assert figures["differing_spikes"] == figures["differing_decisions"] == 0 < figures["spikes"]


def test_half_of_the_photographs_are_mirrored():
    images = torch.arange(200 * 4, dtype=torch.uint8).reshape(200, 1, 4, 1)
    changed = cifar10.mirrored(images)
    same, flipped = ((changed == other).flatten(1).all(1) for other in (images, images.flip(2)))
    assert torch.equal(same, ~flipped) and 70 < same.sum() < 130


@pytest.fixture
def spoken(tmp_path):
    """Sounds of a second at 4 kHz: a word is a tone."""
    rng, rate, time = np.random.default_rng(0), 4000, np.arange(4000) / 4000
    folder = tmp_path / "speech_commands"
    for place, (word, tone) in enumerate({"yes": 300, "no": 800, "bed": 1500}.items()):
        (folder / word).mkdir(parents=True)
        for number in range(6):
            samples = 8000 * np.sin(2 * np.pi * tone * time + place) * (time > 0.1 * number) + rng.normal(0, 200, rate)
            with wave.open(str(folder / word / f"s{number}_nohash_0.wav"), "wb") as file:
                file.setparams((1, 2, rate, 0, "NONE", ""))
                file.writeframes(samples.astype("<i2").tobytes())
    (folder / "validation_list.txt").write_text("")
    (folder / "testing_list.txt").write_text("\n".join(f"{word}/s5_nohash_0.wav" for word in ("yes", "no", "bed")))
    return folder


@pytest.mark.parametrize("model", speech_commands.MODELS)
def test_speech_commands(spoken, tmp_path, monkeypatch, model):
    monkeypatch.setenv("EVENTSIM_DATA", str(tmp_path))
    words = "speech_commands", "--model", model, "--epochs", 8, "--batch_size", 5, "--learning_rate", 0.01, "--log-interval", 1
    found = ran(*words, *(() if model == "lstm" else ("--simulate",)), tmp_path / "out")
    assert found["figures"]["accuracy"] == 1.0 and found["curves"]["loss"][1][-1] < 0.5
    if model == "lstm":
        assert "an LSTM has no spikes" in call(*words, "--simulate", "--output", tmp_path / "out").stderr
    else:
        assert found["figures"]["differing_spikes"] == found["figures"]["differing_decisions"] == 0 < found["figures"]["spikes"]
