"""Every public name of norse.torch that is there has Norse's signature, fields and defaults; MISSING says which are not yet.

The same for the names that Norse has in its modules but does not export: MISSING_UNEXPORTED.
"""

from __future__ import annotations

import ast
import csv
import importlib
import inspect
from pathlib import Path

import pytest
import torch

import norse_bridge as nb


def table(name):
    """The rows of a table of names: name, kind, module below norse.torch, signature."""
    with (Path(__file__).parent.parent / "data" / name).open(newline="") as file:
        return list(csv.DictReader(file))


NAMES = {row["name"]: row for row in table("norse_names.csv")}
UNEXPORTED = table("norse_unexported.csv")
OTHER_DEFAULT = {"functional.lif_adex_refrac.compute_refractory_update"}  # that of functional.lif_refrac serves both, with its p
KEYWORDS = {"dt", "activation_sparse"}  # what Norse's **kwargs take, in the layers over time and the recurrent ones also:
OVER_TIME, RECURRENT = {"record_states"}, {"input_weights", "recurrent_weights", "autapses"}
CONVOLUTION = {"bias", "stride", "padding", "dilation"}  # what they take in the convolutions with receptive fields
MISSING = set(
    """

""".split()
)
MISSING_UNEXPORTED = set(
    """

""".split()
)
PRESENT = sorted(name for name in NAMES if hasattr(nb, name))
ROWS = [NAMES[name] for name in PRESENT] + [row for row in UNEXPORTED if hasattr(nb, row["name"])]


def wanted(signature):
    """``[(name, source of the default or None)]`` of a signature as text, and whether it takes any keywords."""
    arguments = ast.parse(f"def f{signature.replace('<lambda>', 'function')}: pass").body[0].args
    names = [argument.arg for argument in arguments.args if argument.arg != "ctx"]
    defaults = [None] * (len(names) - len(arguments.defaults)) + [ast.unparse(default) for default in arguments.defaults]
    return list(zip(names, defaults, strict=True)), arguments.kwarg is not None


def assert_default(found, text, label):
    """A default is what the text says: a number, a tuple's default instance, or something that is called so."""
    try:
        value = ast.literal_eval(text)
    except ValueError:
        assert text.removesuffix("()") in (type(found).__name__, getattr(found, "__name__", None), str(found)), label
        return
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert torch.as_tensor(found, dtype=torch.float64).item() == pytest.approx(value, rel=1e-6), label
    else:
        assert found == value, label


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['module']}.{row['name']}")
def test_signature(row):
    name, thing = row["name"], getattr(nb, row["name"])
    if row["kind"] == "type alias" or row["signature"] == "?":
        return
    if row["kind"] == "instance":
        assert type(thing).__name__ == row["signature"]
        return
    expected, keywords = wanted(row["signature"])
    if row["kind"] == "tuple":
        assert thing._fields == tuple(field for field, _ in expected)
        found = {field: thing._field_defaults.get(field, inspect.Parameter.empty) for field, _ in expected}
    elif row["kind"] == "autograd":  # called by apply, which takes arguments by their place
        found = list(inspect.signature(thing.apply if "apply" in vars(thing) else thing.forward).parameters.values())
        assert len(found) == len(expected)
        found = {argument: q.default for (argument, _), q in zip(expected, found, strict=True)}
    else:
        parameters = inspect.signature(thing).parameters
        positional = [q.name for q in parameters.values() if q.kind is not q.KEYWORD_ONLY]
        assert positional[: len(expected)] == [argument for argument, _ in expected]
        found = {argument: parameters[argument].default for argument, _ in expected}
        if (
            keywords and row["kind"] == "module" and ("p" in positional or "ReceptiveField" in name)
        ):  # the keywords of a layer of neurons or a convolution
            recurrent = "Recurrent" in name
            more = KEYWORDS | (RECURRENT if recurrent else set()) | (OVER_TIME if not name.endswith("Cell") else set())
            more = CONVOLUTION if "ReceptiveField" in name else more
            assert more <= set(parameters), more - set(parameters)
    for argument, text in expected:
        if text is not None and f"{row['module']}.{name}" not in OTHER_DEFAULT:
            assert found[argument] is not inspect.Parameter.empty, argument
            assert_default(found[argument], text, argument)


def test_nothing_that_is_there_is_called_missing():
    assert len(NAMES) == 217
    missing = set(NAMES) - set(PRESENT)
    assert missing == MISSING, (missing - MISSING, MISSING - missing)
    assert set(PRESENT) <= set(nb.__all__)


def test_nothing_unexported_that_is_there_is_called_missing():
    assert len(UNEXPORTED) == 72
    names = {row["name"] for row in UNEXPORTED}
    missing = {name for name in names if not hasattr(nb, name)}
    assert missing == MISSING_UNEXPORTED, (missing - MISSING_UNEXPORTED, MISSING_UNEXPORTED - missing)
    assert names - missing <= set(nb.__all__)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['module']}.{row['name']}")
def test_a_name_is_found_where_norse_has_it(row):
    assert getattr(importlib.import_module(f"norse_bridge.{row['module']}"), row["name"]) is getattr(nb, row["name"])


@pytest.mark.parametrize("path", sorted({row["module"] for row in [*NAMES.values(), *UNEXPORTED]}))
def test_every_module_of_norse_can_be_imported(path):
    assert importlib.import_module(f"norse_bridge.{path}").LIFCell is nb.LIFCell


def test_the_modules_of_norse_have_all_names_and_no_others():
    names = {}
    exec("from norse_bridge.functional.lif import *", names)
    assert set(nb.__all__) <= set(names) and names["LIFCell"] is nb.functional.LIFCell is nb.module.lif.LIFCell is nb.LIFCell
    with pytest.raises(AttributeError, match="module 'norse_bridge.module.lif' has no attribute 'LIFCel'"):
        nb.module.lif.LIFCel  # noqa: B018
    with pytest.raises(ImportError, match="norse_bridge.functional.lif_"):
        importlib.import_module("norse_bridge.functional.lif_")
