"""Norse's own traces, stored by tests/tools/norse_traces.py: the same spikes, the same states, in every form."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import norse_bridge as nb

TRACES = np.load(Path(__file__).parent.parent / "data" / "norse_traces.npz")
FUNCTIONS = {"LIFRefrac": "lif_refrac", "LIFBox": "lif_box", "LIBox": "li_box"}
EVERY = 7  # steps between the states that are stored
CASES = sorted(key.removesuffix(" out") for key in TRACES.files if key.endswith(" out"))
# Norse has no layer of LIFRefrac without recurrence, and so have we.
LAYERS = [case for case in CASES if not case.endswith("cell") or hasattr(nb, case.split()[0])]


def flat(state):
    """The fields of a state tuple, nested ones too."""
    return [inner for value in state for inner in (flat(value) if isinstance(value, tuple) else [value])]


def parameters(name, which):
    kind = getattr(nb, f"{name}Parameters")
    values = json.loads(str(TRACES[f"{name} {which} parameters"]))
    return kind(**{field: torch.as_tensor(value) for field, value in values.items()})


def assert_same(out, states, case):
    wanted, found = TRACES[f"{case} out"], out.detach().numpy()
    assert np.abs(wanted).sum() > 10 and wanted.mean() < 0.9  # there is something to compare
    if case.startswith("LIBox"):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    else:
        assert np.count_nonzero(found != wanted) == 0
    found = np.stack([value.detach().numpy() for value in flat(states)], axis=1)  # (time, states, batch, neurons)
    np.testing.assert_allclose(found[::EVERY], TRACES[f"{case} states"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", LAYERS)
def test_layer_equals_norse(case):
    name, which, form = case.split()
    x, p = torch.from_numpy(TRACES[f"{case} x"]), parameters(name, which)
    if form == "cell":
        layer = getattr(nb, name)(p)
    else:
        weights = {
            f"{side}_weights": torch.from_numpy(TRACES[f"{case} w_{side[:3].rstrip('p')}"]) for side in ("input", "recurrent")
        }
        layer = getattr(nb, f"{name}Recurrent")(x.shape[-1], TRACES[f"{case} w_in"].shape[0], p, autapses=True, **weights)
    layer.record_states = True
    assert_same(*layer(x), case)


@pytest.mark.parametrize("case", CASES)
def test_cell_and_function_equal_norse(case):
    name, which, form = case.split()
    x, p = torch.from_numpy(TRACES[f"{case} x"]), parameters(name, which)
    if form == "cell":
        cell, step, weights = (
            getattr(nb, f"{name}Cell")(p),
            getattr(nb, f"{FUNCTIONS.get(name, name.lower())}_feed_forward_step"),
            (),
        )
    else:
        weights = tuple(torch.from_numpy(TRACES[f"{case} {side}"]) for side in ("w_in", "w_rec"))
        sizes = x.shape[-1], weights[0].shape[0]
        cell = getattr(nb, f"{name}RecurrentCell")(*sizes, p, input_weights=weights[0], recurrent_weights=weights[1], autapses=True)
        step = getattr(nb, f"{FUNCTIONS.get(name, name.lower())}_step")
    state, function_state = None, cell.initial_state(x[0])
    outputs, states = [], []
    for row in x:
        out, state = cell(row, state)
        function_out, function_state = step(row, function_state, *weights, p)
        assert torch.equal(out, function_out)
        outputs.append(out)
        states.append([value.expand(out.shape) for value in flat(state)])
    assert_same(torch.stack(outputs), [torch.stack(column) for column in zip(*states, strict=True)], case)
