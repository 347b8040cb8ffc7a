"""Entrances of `norse_bridge`: files and graphs of NIR, models and data to simulate, data sets, saved weights."""

from __future__ import annotations

import functools
import gzip
import tempfile
import wave
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import torch
from fuzz.containers import odd_hdf5, odd_npz
from fuzz.draw import Draw, as_array
from fuzz.running import run_exactly, run_on_grid

import norse_bridge as nb
from eventsim.errors import EventsimError
from norse_bridge.datasets.heidelberg import SpikingHeidelbergDigitsDataset
from norse_bridge.datasets.images import read_cifar10, read_digits, read_idx
from norse_bridge.datasets.speech_commands import prepare_dataset
from norse_bridge.nets.weights import load_weights, saved_weights
from norse_bridge.task.saving import load_model

N = 4


def graph(draw: Draw | None = None) -> Any:
    """A graph of NIR; with ``draw`` an odd one."""

    def array(*shape: int, low: float = 0.1, high: float = 1.0) -> np.ndarray:
        return np.linspace(low, high, int(np.prod(shape))).reshape(shape)

    tau = array(N, low=0.005, high=0.02)
    cuba = {
        "tau_syn": 0.5 * tau,
        "tau_mem": tau,
        "r": array(N),
        "v_leak": 0.1 * array(N),
        "v_threshold": array(N),
        "v_reset": 0.0 * tau,
    }
    nodes = {
        "input": nir.Input(np.array([N])),
        "linear": nir.Linear(array(N, N, low=-0.5, high=1.0)),
        "lif": nir.LIF(tau=tau, r=array(N), v_leak=0.1 * array(N), v_threshold=array(N), v_reset=0.0 * tau),
        "affine": nir.Affine(array(N, N), array(N, low=-0.1, high=0.1)),
        "delay": nir.Delay(np.full(N, 0.002)),
        "cuba": nir.CubaLIF(**cuba, w_in=array(N)),
        "scale": nir.Scale(array(N)),
        "if": nir.IF(r=100.0 * array(N), v_threshold=array(N), v_reset=0.0 * tau),
        "output": nir.Output(np.array([N])),
    }
    edges = [
        ("input", "linear"),
        ("linear", "lif"),
        ("lif", "affine"),
        ("affine", "delay"),
        ("delay", "cuba"),
        ("cuba", "scale"),
        ("scale", "if"),
        ("if", "output"),
        ("if", "affine"),
    ]
    found = nir.NIRGraph(nodes, edges, type_check=False)
    if draw is not None:
        _alter(draw, found.nodes, found.edges)  # behind nir's own checks
    return found


def _alter(draw: Draw, nodes: dict[str, Any], edges: list[Any]) -> None:
    """Change a value of a node, a node, or an edge."""
    made, name = draw.below(8), draw.one(list(nodes))
    node = nodes[name]
    fields = [field for field, value in vars(node).items() if isinstance(value, np.ndarray)]
    if made <= 3 and fields:
        field = draw.one(fields)
        setattr(node, field, draw.array(getattr(node, field)))
    elif made == 4:
        field = draw.one(list(vars(node)))
        setattr(node, field, draw.one((draw.value(), {"input": draw.array(np.array([N]))}, {})))
    elif made == 5:
        nodes[name] = draw.one(
            (
                None,
                3,
                nir.Flatten({"input": np.array([2, 2])}, 0, 1),
                nir.Threshold(np.ones(N)),
                nir.SumPool2d(2, 2, 0),
                graph(),
                nir.LI(np.ones(N), np.ones(N), np.zeros(N)),
            )
        )
    elif made == 6:
        nodes[draw.one(("", "input ", "new", "a.b", "\0", "\ud800"))] = nodes.pop(name)
    else:
        at = draw.below(len(edges))
        other = (draw.one([*nodes, "ghost", "", None]), draw.one([*nodes, "ghost"]))
        edges[at] = draw.one((other, other, other[:1], (*other, "x"), edges[at][::-1], "ab", None))
        if draw.chance(0.3):
            edges.append(draw.one(edges))


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="eventsim-fuzz-"))


@functools.cache
def _nir_file() -> bytes:
    nir.write(_folder() / "good.nir", graph())
    return (_folder() / "good.nir").read_bytes()


def nir_file(draw: Draw, folder: Path) -> None:
    """`load_nir` of a changed file, then both that can be made of a graph."""
    (folder / "g.nir").write_bytes(_nir_file())
    odd_hdf5(draw, folder / "g.nir")
    _use(draw, nb.load_nir(folder / "g.nir", max_bytes=2**24))


def nir_graph(draw: Draw, folder: Path) -> None:
    """`from_nir` and `network_from_nir` of a graph that somebody has made."""
    _use(draw, graph(draw))


def _use(draw: Draw, found: Any) -> None:
    try:
        network = nb.network_from_nir(found)
        run_exactly(network) if draw.chance(0.1) else run_on_grid(network, 1.0)
    except EventsimError:
        pass  # the layers may take it none the less, or must refuse it as well
    layers = nb.from_nir(found)
    with torch.no_grad():
        layers(torch.ones(2, N))


def models(draw: Draw, folder: Path) -> None:
    """`to_network` and `simulate` of a model with odd weights, on odd data."""
    torch.manual_seed(0)
    cell = draw.one((nb.LIFCell(), nb.LIFCell(), nb.LICell(), nb.LIFRecurrentCell(3, 3)))
    model = nb.SequentialState(torch.nn.Linear(N, 3), cell)
    data: Any = (draw.rng.random((4, 2, N)) < 0.5).astype("f4")
    given: dict[str, Any] = {}
    made = draw.below(5)
    if made == 0:
        tensor = draw.one(list(model.parameters()))
        odd = as_array(draw.array(tensor.detach().numpy()))
        if odd.dtype.kind in "fiu" and odd.dtype.itemsize <= 8:
            tensor.data = torch.as_tensor(np.ascontiguousarray(odd.astype(odd.dtype.newbyteorder("="))).astype("f8")).to(
                draw.one((torch.float32, torch.float16, torch.bfloat16, torch.float64))
            )
    elif made == 1:
        name = draw.one(list(vars(cell.p)) if hasattr(cell.p, "__dict__") else list(cell.p._fields))
        cell.p = cell.p._replace(
            **{
                name: draw.one(
                    (torch.as_tensor(draw.one((0.0, -1.0, np.nan, np.inf, 1e30, 1.0))), torch.ones(2), torch.ones(3), draw.value())
                )
            }
        )
    elif made == 2:
        name = draw.one(("threshold", "dtype", "input_name", "update"))
        given[name] = draw.value()
    else:
        data = draw.array(data)
    nb.to_network(model, (N,))
    nb.simulate(model, data, **given)


def data_sets(draw: Draw, folder: Path) -> None:
    """Files of images, and of spoken digits as spikes."""
    made = draw.below(4)
    if made == 0:
        packed = draw.chance(0.5)
        blob = b"\0\0\x08\x03" + np.array([2, 3, 3], ">i4").tobytes() + bytes(range(18))
        if draw.chance(0.3):
            blob = blob[:4] + np.array([draw.one((2, 2**31 - 1)) for _ in range(3)], ">i4").tobytes() + blob[16:]
        blob = draw.bytes(blob)
        path = folder / ("i.gz" if packed else "i")
        path.write_bytes(draw.one((gzip.compress(blob), draw.bytes(gzip.compress(blob)))) if packed else blob)
        read_idx(path)
    elif made == 1:
        pixels = np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(np.uint8)
        labels = np.array([3, 4])
        good = {"x_train": pixels[..., 0], "y_train": labels, "x_test": pixels[..., 0], "y_test": labels}
        three = draw.chance(0.5)
        odd_npz(draw, folder / "d.npz", {name: pixels if three and name[0] == "x" else array for name, array in good.items()})
        (read_cifar10 if three else read_digits)(folder / "d.npz")
    elif made == 2:
        _heidelberg(folder / "h.h5")
        odd_hdf5(draw, folder / "h.h5")
        found = SpikingHeidelbergDigitsDataset(folder / "h.h5", sparse=draw.chance(0.5))
        for n in range(min(len(found), 3)):
            found[n]
    else:
        _speech(draw, folder)


def _heidelberg(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["labels"] = np.array([1, 2], np.uint16)
        for name, rows, dtype in (("times", ([0.1, 0.2], [0.5]), "f2"), ("units", ([3, 699], [0]), "u2")):
            column = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(np.dtype(dtype)))
            for n, row in enumerate(rows):
                column[n] = np.array(row, dtype)


def _speech(draw: Draw, folder: Path) -> None:
    (folder / "yes").mkdir()
    (folder / "_background_noise_").mkdir()
    for path in (folder / "yes" / "a_nohash_0.wav", folder / "_background_noise_" / "n.wav"):
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(100)
            file.writeframes(bytes(500))
    for name in ("validation_list.txt", "testing_list.txt"):
        (folder / name).write_text("yes/b_nohash_0.wav\n")
    odd = draw.one(sorted(path for path in folder.rglob("*.*")))
    odd.write_bytes(draw.bytes(odd.read_bytes()))
    for part in prepare_dataset(folder):
        for n in range(len(part)):
            part[n]


def weights(draw: Draw, folder: Path) -> None:
    """Saved weights of a net, and saved models of a task."""
    net = torch.nn.Linear(3, 2)
    saved: Any = net.state_dict()
    of_task = draw.chance(0.5)
    if draw.chance(0.4):
        key = draw.one(list(saved))
        saved = dict(saved) | {
            draw.one((key, "other", 3)): draw.one(
                (torch.ones(2), torch.ones(2, 3).half(), draw.value(), torch.ones(2, 3).to_sparse())
            )
        }
    torch.save({"task": "t", "settings": {"a": 1}, "state_dict": saved} if of_task else saved, folder / "w.pt")
    if draw.chance(0.7):
        (folder / "w.pt").write_bytes(draw.bytes((folder / "w.pt").read_bytes()))
    if of_task:
        saved = load_model(folder / "w.pt", "t")[1]
    else:
        saved = saved_weights(folder / "w.pt", "net")
    load_weights(net, saved, "net")


ENTRANCES = {
    "nir-file": nir_file,
    "nir-graph": nir_graph,
    "models": models,
    "data-sets": data_sets,
    "weights": weights,
}
