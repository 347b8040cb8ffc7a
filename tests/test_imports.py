"""The import rules of docs/design.md, section 8: imports point down, eventsim never needs torch, importing is quick."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the bottom up; a module may import its own layer and those below. The longest name that fits decides.
LAYERS = (
    (
        "eventsim.errors",
        "eventsim.floats",
        "eventsim.ops",
        "eventsim.jit",
        "eventsim.random",
        "eventsim.grid",
        "eventsim.table",
        "eventsim.interrupt",
        "eventsim.memory",
    ),
    (
        "eventsim.rate_bins",
        "eventsim.files.steady_file",
        "eventsim.files.twin_files",
        "eventsim.files.hdf5",
        "eventsim.recordings.formats",
    ),
    ("eventsim.multinomial", "eventsim.permutation"),
    ("eventsim.generate", "eventsim.varying_rate"),
    ("eventsim.one_row",),
    ("eventsim.rate_curve",),
    ("eventsim.models",),
    ("eventsim.rules", "eventsim.distributions", "eventsim.connectivity", "eventsim.stimuli", "eventsim.files.npz"),
    ("eventsim.processes",),  # point processes, for both engines
    ("eventsim.network", "eventsim.images"),
    ("eventsim.state", "eventsim.queue", "eventsim.segments", "eventsim.rows", "eventsim.recording", "eventsim.storage"),
    ("eventsim.procedural",),
    ("eventsim.expected", "eventsim.stages"),
    ("eventsim.cpu.scalar", "eventsim.cpu.pointers"),  # what every kernel is written in
    ("eventsim.ceiling", "eventsim.crossing", "eventsim.networks"),
    ("eventsim.recordings.layout", "eventsim.recordings.read", "eventsim.recordings.joined", "eventsim.files.committed_hdf5"),
    ("eventsim.recordings.file", "eventsim.recordings.position"),
    ("eventsim.recordings.stream",),
    ("eventsim.cpu", "eventsim.exact"),  # kernels
    ("eventsim.adaptation", "eventsim.currents", "eventsim.coefficients", "eventsim.program", "eventsim.given"),
    ("eventsim.cpu.part", "eventsim.cpu.instance", "eventsim.cpu.counting", "eventsim.cpu.sampling"),  # what runs a program
    ("eventsim.cpu.checkpoint", "eventsim.cpu.flight", "eventsim.checkpoint"),
    ("eventsim.long_run",),
    ("eventsim.saved_simulation",),
    ("eventsim.exact.synapses", "eventsim.exact.checks", "eventsim.exact.group"),
    ("eventsim.sizes",),
    ("eventsim.exact.sizes",),
    ("eventsim.estimate", "eventsim.fitting"),
    ("eventsim.exact.checkpoint",),
    ("eventsim.simulation",),
    ("eventsim.exact.simulation",),
    ("eventsim.cuda.layout",),
    ("eventsim.cuda.machine", "eventsim.cuda.on_gpu"),  # what kernels are written in
    (
        "eventsim.cuda.numbers",
        "eventsim.cuda.outside",
        "eventsim.cuda.update",
        "eventsim.cuda.procedural",
        "eventsim.cuda.deliver",
        "eventsim.cuda.sampling",
        "eventsim.cuda.steps",
    ),
    ("eventsim.cuda.units", "eventsim.cuda.network"),
    ("eventsim.cuda.rules", "eventsim.cuda.ahead", "eventsim.cuda.devices"),
    ("eventsim.cuda.engine", "eventsim.cuda.inspect"),
    ("eventsim.cuda",),
    ("eventsim.plot",),
    ("eventsim",),
    ("norse_bridge",),
    ("eventsim.cli", "eventsim.__main__"),
)
HEAVY = {"torch", "matplotlib", "sklearn", "h5py", "pandas", "neo", "quantities", "pynwb", "norse_bridge"}
LAZY = {  # imported inside a function, with a clear error
    "eventsim.plot": {"matplotlib"},
    "eventsim.recordings.file": {"h5py"},
    "eventsim.recordings.layout": {"h5py"},
    "eventsim.files.committed_hdf5": {"h5py"},
    "eventsim.files.hdf5": {"h5py"},
}
USERS_OF_TORCH = "eventsim.cli.demo"  # a program that uses both packages; imported when the command runs
BRIDGE_MAY_SEE = (
    "eventsim.errors",
    "eventsim.models",
    "eventsim.network",
    "eventsim.connectivity",
    "eventsim.distributions",
    "eventsim.rules",
    "eventsim.stimuli",
    "eventsim.recording",
    "eventsim.simulation",
    "eventsim.ops",
    "eventsim.images",
    "eventsim.files",  # that somebody else may have written
)
KERNELS_OF_ITS_OWN = "norse_bridge.fused"  # and what every kernel is written in
WRITTEN_IN = ("eventsim.jit", "eventsim.cpu.scalar", "eventsim.cpu.pointers")
OF_THE_EXACT_ENGINE = "norse_bridge.events"  # its layers fire by the very functions by which the engine's neurons do:
FIRED_BY = (
    "eventsim.exact.crossing",
    "eventsim.exact.exponentials",
    "eventsim.exact.heap",
    "eventsim.crossing",
    "eventsim.ceiling",
)


def modules(package: str) -> dict[str, Path]:
    """All modules of a package by name."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path) -> set[str]:
    """Every module that a module imports anywhere in its text."""
    tree = ast.parse(path.read_text(), str(path))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import in line {node.lineno}; write the whole name"
            base = str(node.module)
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in ALL else base for alias in node.names}
    return found


ALL = modules("eventsim") | modules("norse_bridge")


def layer(name: str) -> int:
    """The layer of a module; a new one must be given its place in LAYERS."""
    best = max(
        (
            (len(prefix), number)
            for number, names in enumerate(LAYERS)
            for prefix in names
            if name == prefix or (name.startswith(prefix + ".") and prefix != "eventsim")
        ),
        default=None,
    )
    assert best is not None, f"{name} has no place in LAYERS of {Path(__file__).name}; give it one"
    return best[1]


@pytest.mark.parametrize("name", ALL)
def test_imports_point_down(name):
    own = [other for other in imports(name, ALL[name]) if other.split(".")[0] in ("eventsim", "norse_bridge")]
    for other in own:
        assert layer(other) <= layer(name), f"{name} imports {other}, which lies above it"


@pytest.mark.parametrize("name", modules("eventsim"))
def test_eventsim_never_imports_torch_and_what_is_optional_only_where_allowed(name):
    heavy = {other.split(".")[0] for other in imports(name, ALL[name])} & HEAVY
    if not name.startswith(USERS_OF_TORCH):
        assert heavy <= LAZY.get(name, set()), f"{name} imports {heavy}"


@pytest.mark.parametrize("name", modules("norse_bridge"))
def test_the_bridge_sees_no_kernels(name):
    allowed = BRIDGE_MAY_SEE + (WRITTEN_IN if name.startswith((KERNELS_OF_ITS_OWN, OF_THE_EXACT_ENGINE)) else ())
    allowed += FIRED_BY if name.startswith(OF_THE_EXACT_ENGINE) else ()
    for other in imports(name, ALL[name]):
        if other.split(".")[0] == "eventsim":
            assert any(other == seen or other.startswith(seen + ".") for seen in allowed), f"{name} imports {other}"


def run(code: str, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)


def test_importing_eventsim_brings_nothing_optional_along():
    done = run(f"import sys, eventsim, eventsim.cli, eventsim.plot; print(sorted({HEAVY!r} & set(sys.modules)))")
    assert done.stdout.strip() == "[]"


def test_importing_the_bridge_brings_neither_optional_packages_nor_torchs_compiler_along():
    heavy = {"matplotlib", "h5py", "nir", "gymnasium", "tensorboard", "lightning", "torch._dynamo"}
    done = run(
        f"import sys, torch; before = set(sys.modules); import norse_bridge; print(sorted({heavy!r} & set(sys.modules) - before))"
    )
    assert done.stdout.strip() == "[]"


def test_importing_eventsim_takes_less_than_half_a_second_beside_numba(tmp_path, monkeypatch):
    # Numba is imported first, and with it all that it takes along. CPU time: other work on the machine does not count. With
    # bytecode, as pip leaves it, in a folder of its own: the first import fills it.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    code = "import time, numba; t = time.process_time(); import eventsim; print(time.process_time() - t)"
    first, *times = [float(run(code).stdout) for _ in range(4)]
    assert min(times) < 0.5, f"importing eventsim took {times} s of processor time, {first} s without bytecode"


def test_the_command_line_is_light():
    done = run("import sys, eventsim.cli; print(sorted({'torch', 'matplotlib', 'sklearn', 'h5py'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]"
