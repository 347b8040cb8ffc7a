"""load_nir: what is in the file comes back, and files that were crafted to do harm are refused before they can."""

from __future__ import annotations

import numpy as np
import pytest

nir = pytest.importorskip("nir")
h5py = pytest.importorskip("h5py")

from bridge.nir_graphs import between, draw, neuron  # noqa: E402

import norse_bridge as nb  # noqa: E402
from eventsim.errors import EventsimError, NetworkError, StorageError  # noqa: E402

WEIGHT = "node/nodes/n0/weight"


@pytest.fixture
def path(tmp_path):
    """A file with a graph: Input -> Linear (5, 5) -> LIF -> Output."""
    path = tmp_path / "graph.nir"
    graph = between(nir.Linear(draw(1, (5, 5), -1, 1)), neuron("LIF"))
    graph.nodes["output"] = nir.Output(np.array([5]))
    nir.write(path, graph)
    assert nb.load_nir(path).nodes.keys() == graph.nodes.keys()
    return path


def replaced(path, name, **options):
    """The file with another dataset in the place of one."""
    with h5py.File(path, "r+") as file:
        del file[name]
        return file.create_dataset(name, **options).shape


def test_what_nir_reads_comes_back(path):
    wanted, got = nir.read(path), nb.load_nir(path)
    assert got.edges == wanted.edges and got.nodes.keys() == wanted.nodes.keys()
    for name, node in wanted.nodes.items():
        for field, value in vars(node).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(got.nodes[name], field), value)


def test_metadata_graphs_in_graphs_and_compressed_arrays(tmp_path):
    inner = between(nir.Linear(np.zeros((300, 300))), shape=(300,))
    inner.nodes["output"] = nir.Output(np.array([300]))
    inner.metadata = {"author": "someone", "versions": {"a": np.arange(3)}}
    graph = between(inner, nir.Conv1d(None, np.ones((1, 1, 3)), 1, "same", 1, 1, np.zeros(1)), shape=(300,))
    graph.nodes["n1"] = nir.Scale(np.ones(300))
    graph.nodes["output"] = nir.Output(np.array([300]))
    for compression in ("gzip", "lzf"):
        path = tmp_path / f"{compression}.nir"
        nir.write(path, graph, compression=compression)
        got = nb.load_nir(path)
        assert got.nodes["n0"].nodes["n0"].weight.shape == (300, 300)
        assert got.nodes["n0"].metadata["author"] == "someone"


def test_a_window_that_is_not_square_and_groups(tmp_path):
    """nir's own types are wrong for these; ours are not."""
    conv = nir.Conv2d((8, 7), draw(1, (4, 1, 3, 2), -1, 1), (1, 1), (0, 0), (1, 1), 2, np.zeros(4))
    graph = between(conv, neuron("LIF", (4, 6, 6)), shape=(2, 8, 7))
    graph.nodes["output"] = nir.Output(np.array([4, 6, 6]))
    nir.write(tmp_path / "conv.nir", graph)
    assert nb.load_nir(tmp_path / "conv.nir").nodes["n0"].weight.shape == (4, 1, 3, 2)


def test_values_in_another_file_are_not_read(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 200)
    replaced(path, WEIGHT, shape=(5, 5), dtype="f8", external=[(str(secret), 0, 200)])
    assert nir.read(path, type_check=False).nodes["n0"].weight[0, 0] != 0.0  # what the package nir does
    with pytest.raises(StorageError, match="weight keeps its values in other files"):
        nb.load_nir(path)


def test_virtual_datasets_are_not_read(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["values"] = np.ones((5, 5))
    layout = h5py.VirtualLayout((5, 5), "f8")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "values", (5, 5))
    with h5py.File(path, "r+") as file:
        del file[WEIGHT]
        file.create_virtual_dataset(WEIGHT, layout)
    with pytest.raises(StorageError, match="weight keeps its values in other files"):
        nb.load_nir(path)


@pytest.mark.parametrize("link", ["external", "soft"])
@pytest.mark.parametrize("place", [WEIGHT, "node/nodes/n1", "node"])
def test_links_are_not_followed(path, tmp_path, link, place):
    with h5py.File(path, "r+") as file:
        file.move(place, "elsewhere")
        file[place] = h5py.SoftLink("/elsewhere") if link == "soft" else h5py.ExternalLink(path.name, "/elsewhere")
    assert nir.read(path) is not None if link == "soft" else True
    with pytest.raises(StorageError, match="is a link to another place" if place != "node" else "no group 'node'"):
        nb.load_nir(path)


def test_one_object_under_two_names(path):
    with h5py.File(path, "r+") as file:
        file["node/nodes/again"] = file["node/nodes/n1"]
    with pytest.raises(StorageError, match="is in the file under another name"):
        nb.load_nir(path)


@pytest.mark.parametrize("place", ["node/nodes", "node", "/"])
def test_a_group_in_itself(path, place):
    with h5py.File(path, "r+") as file:
        file["node/nodes/loop"] = file[place]
    with pytest.raises(StorageError, match="under another name"):
        nb.load_nir(path)


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**40,)])
def test_terabytes_that_are_not_there(path, shape):
    replaced(path, WEIGHT, shape=shape, dtype="f8", chunks=tuple(min(n, 1000) for n in shape), compression="gzip")
    assert path.stat().st_size < 100_000
    with pytest.raises(StorageError, match=r"weight declares \d+ bytes, of which 0 are stored"):
        nb.load_nir(path)


def test_a_chunk_larger_than_its_array(path):
    replaced(path, WEIGHT, data=np.ones((5, 5)), maxshape=(None, None), chunks=(8192, 8192), compression="gzip", compression_opts=9)
    with pytest.raises(StorageError, match="weight declares 536870912 bytes"):
        nb.load_nir(path, max_bytes=2**20)


def test_arrays_may_take_so_many_bytes(path):
    replaced(path, WEIGHT, data=np.zeros((1000, 1000)), compression="gzip")
    with pytest.raises(StorageError, match="weight declares .* too many: raise max_bytes"):
        nb.load_nir(path, max_bytes=2**20)
    with pytest.raises(NetworkError, match="takes 1000 features"):
        nb.load_nir(path)


def test_shapes_may_be_so_large(path):
    replaced(path, "node/nodes/input/shape", data=np.array([2**30]))
    replaced(path, WEIGHT, data=np.ones(1))
    replaced(path, "node/nodes/n0/type", data="Scale", dtype=h5py.string_dtype())
    with h5py.File(path, "r+") as file:
        file["node/nodes/n0"].move("weight", "scale")
        for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
            del file["node/nodes/n1"][name]
            file["node/nodes/n1"][name] = 1.0
        del file["node/nodes/n0/scale"]
        file["node/nodes/n0/scale"] = 1.0
        del file["node/nodes/output/shape"]
        file["node/nodes/output/shape"] = np.array([2**30])
    with pytest.raises(StorageError, match="'input' has the shape .1073741824,., too large"):
        nb.load_nir(path, max_bytes=2**30)


def test_shapes_within_a_graph_may_be_so_large(tmp_path):
    """A convolution whose padding is huge, and one that leaves most of it out."""
    wide, zero = 2**29, np.zeros(1)
    first = nir.Conv1d(3, np.ones((1, 1, 2)), 1, wide, wide, 1, zero)
    inner = between(first, nir.Conv1d(wide + 3, np.ones((1, 1, 1)), wide, 0, 1, 1, zero), shape=(1, 3))
    inner.nodes["output"] = nir.Output(np.array([1, 2]))
    graph = between(inner, shape=(1, 3))
    graph.nodes["output"] = nir.Output(np.array([1, 2]))
    nir.write(tmp_path / "large.nir", graph)
    with pytest.raises(StorageError, match=r"node 'n0': node 'n0' has the shape \(1, 536870915\), too large"):
        nb.load_nir(tmp_path / "large.nir", max_bytes=2**30)


def test_long_texts_many_times(path):
    """Many names that all point at one long text."""
    with h5py.File(path, "r+") as file:
        del file["node/edges"]
        file.create_dataset("node/edges", data=[["x" * 30_000] * 2] * 50, dtype=h5py.string_dtype())
    with pytest.raises(StorageError, match="edges is too long"):
        nb.load_nir(path)
    replaced(path, "node/edges", shape=(60_000, 2), dtype=h5py.string_dtype(), fillvalue="x")
    with pytest.raises(StorageError, match="edges"):
        nb.load_nir(path)


def test_filters_that_are_code_from_elsewhere(path):
    with h5py.File(path, "r+") as file:
        del file[WEIGHT]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((5, 5))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        kind, space = h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((5, 5))
        h5py.h5d.create(file.id, WEIGHT.encode(), kind, space, plist)
    with pytest.raises(StorageError, match="weight needs the filter 32015"):
        nb.load_nir(path)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"data": np.ones(3, dtype=[("a", "f8")])}, "neither numbers nor text"),
        ({"data": np.ones(3) * 1j}, "neither numbers nor text"),
        ({"shape": (2,), "dtype": h5py.ref_dtype}, "neither numbers nor text"),
        ({"shape": (2,), "dtype": h5py.vlen_dtype(np.float64)}, "neither numbers nor text"),
        ({"data": h5py.Empty("f8")}, "is empty"),
        ({"data": np.full((5, 5), np.nan)}, "25 of the 25 values of weight are NaN or infinite"),
        ({"data": np.full((5, 5), np.inf)}, "NaN or infinite"),
        ({"data": "five"}, "weight"),
        ({"data": np.ones(5)}, "weight"),
    ],
)
def test_weights_that_are_none(path, options, why):
    replaced(path, WEIGHT, **options)
    with pytest.raises(EventsimError, match=why):
        nb.load_nir(path)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("node/nodes/n1/tau", {"data": -np.ones(5)}, "tau must be above 0 s, not -1.0"),
        ("node/nodes/n1/tau", {"data": np.zeros(5)}, "tau must be above 0 s"),
        ("node/nodes/n1/tau", {"data": np.ones(4)}, "shape"),
        ("node/nodes/n1/type", {"data": "Exec"}, "n1.*has the type 'Exec', none of NIR's"),
        ("node/nodes/n1/type", {"data": 3.0}, r"has the type np.float64\(3.0\)"),
        ("node/nodes/n1/type", {"data": np.ones(3)}, "has the type"),
        ("node/nodes/n1/type", {"data": "LI"}, "nir does not take what it says"),
        ("node/type", {"data": "NIRNode"}, "none of NIR's"),
        ("node/edges", {"data": [["input", "n0"], ["n0", "ghost"]]}, "'ghost', which is no node"),
        ("node/edges", {"data": ["input", "n0"]}, "array of edges with two names each"),
        ("node/edges", {"data": np.ones((2, 2))}, "nir does not take what it says"),
        ("node/nodes/n0/type", {"data": b"\xff\xfe"}, "not UTF-8"),
    ],
)
def test_graphs_that_are_wrong(path, name, options, why):
    replaced(path, name, **options)
    with pytest.raises(EventsimError, match=why):
        nb.load_nir(path)


def test_graphs_nested_too_deeply(tmp_path):
    graph = nir.NIRGraph({"input": nir.Input(np.array([1])), "output": nir.Output(np.array([1]))}, [("input", "output")])
    for _ in range(40):
        graph = between(graph, shape=(1,))
        graph.nodes["output"] = nir.Output(np.array([1]))
    nir.write(tmp_path / "deep.nir", graph)
    with pytest.raises(StorageError, match="nested"):
        nb.load_nir(tmp_path / "deep.nir")


def test_what_is_no_file_of_nir(tmp_path):
    with pytest.raises(StorageError, match="no such file"):
        nb.load_nir(tmp_path / "absent.nir")
    with pytest.raises(StorageError, match="no such file"):
        nb.load_nir(tmp_path)
    text = tmp_path / "text.nir"
    text.write_text("not HDF5")
    with pytest.raises(StorageError, match="cannot be read as HDF5"):
        nb.load_nir(text)
    with h5py.File(tmp_path / "empty.nir", "w"):
        pass
    with pytest.raises(StorageError, match="no group 'node'"):
        nb.load_nir(tmp_path / "empty.nir")


def test_broken_bytes_are_refused_or_harmless(path):
    """Any byte of the file overwritten: an error of ours, or a graph whose numbers are finite."""
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            graph = nb.load_nir(path)
        except EventsimError:
            continue
        assert all(np.isfinite(node.tau).all() for node in graph.nodes.values() if hasattr(node, "tau"))


def test_a_heap_in_which_hdf5_would_stand_still(path):
    whole = bytearray(path.read_bytes())
    start = whole.find(b"GCOL")
    at = start + 16
    while int.from_bytes(whole[at : at + 2], "little"):  # to the object of index 0, the free space
        at += 16 + -(-int.from_bytes(whole[at + 8 : at + 16], "little") // 8) * 8
    whole[at + 8 : at + 16] = bytes(8)
    path.write_bytes(whole)
    with pytest.raises(StorageError, match="a heap of texts at byte .* has an object of no size"):
        nb.load_nir(path)
    path.write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be read as HDF5"):
        nb.load_nir(path)


def test_a_single_node(tmp_path):
    nir.write(tmp_path / "one.nir", nir.Scale(np.array([1.0, 2.0])))
    assert nb.load_nir(tmp_path / "one.nir").scale.tolist() == [1.0, 2.0]
    nir.write(tmp_path / "one.nir", nir.Scale(np.array([1.0, np.nan])))
    with pytest.raises(EventsimError, match="1 of the 2 values of scale"):
        nb.load_nir(tmp_path / "one.nir")
