"""The documents are true where a machine can tell: their code runs, their links lead somewhere, the tests that they name exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONAL = {"norse_bridge": "torch", "nir": "nir", "torch": "torch", "sklearn": "sklearn", "eventsim.plot": "matplotlib"}
LARGEST_FIGURE = 200_000  # bytes


def blocks(path: Path) -> list[tuple[int, str]]:
    """The Python blocks of a document, each with the number of lines before it."""
    found = []
    text = path.read_text()
    for match in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found.append((text[: match.start(1)].count("\n"), match[1]))
    return found


@pytest.fixture
def one_torch_thread():
    """Layers as small as these gain nothing from a second one."""
    if importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.name)
def test_the_code_runs(path, tmp_path, monkeypatch, one_torch_thread):
    for module, package in OPTIONAL.items():
        if any(re.search(rf"^(import|from) {re.escape(module)}\b", code, re.MULTILINE) for _, code in blocks(path)):
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": f"document_{path.stem.replace('-', '_')}"}
    for line, code in blocks(path):
        exec(compile("\n" * line + code, str(path), "exec"), names)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_tests_exist(path):
    text = path.read_text()
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)[^)]*\)", text):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        assert (ROOT / file).exists(), f"{path.name} names {file}"
        assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{path.name} names {file}::{name}"
    for file in re.findall(r"`((?:eventsim|norse_bridge|docs|benchmarks)/[\w/.-]*\.\w+)`", text):
        assert (ROOT / file).exists(), f"{path.name} names {file}"


def test_the_readme_holds_both_commands():
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("python3 -m venv ")]
    assert len(lines) == 2
    assert "constraints.txt" in lines[0] and lines[0].endswith("eventsim demo")
    assert "constraints.txt" in lines[1] and lines[1].endswith("pytest -n auto")


def test_the_first_code_of_the_readme_is_short():
    _, code = blocks(ROOT / "README.md")[0]
    assert len(code.splitlines()) <= 24


def test_figures_are_small():
    for figure in (ROOT / "docs" / "figures").glob("*.png"):
        assert figure.stat().st_size < LARGEST_FIGURE, figure.name
