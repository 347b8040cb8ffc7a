"""Norse's own traces, stored by tests/tools/norse_traces.py: the same spikes, the same states, in every form."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import norse_bridge as nb

TRACES = np.load(Path(__file__).parent.parent / "data" / "norse_traces.npz")
FUNCTIONS = {
    "LIFRefrac": "lif_refrac",
    "LIFBox": "lif_box",
    "LIBox": "li_box",
    "LIFEx": "lif_ex",
    "LIFAdEx": "lif_adex",
    "LIFAdExRefrac": "lif_adex_refrac",
    "LIFMC": "lif_mc",
    "LIFMCRefrac": "lif_mc_refrac",
}
EVERY = 7  # steps between the states that are stored
ALL = sorted(key.removesuffix(" out") for key in TRACES.files if key.endswith(" out"))
CASES = [case for case in ALL if not case.endswith("function")]
FORMS = {"cell": "", "recurrent": "Recurrent", "recurrent64": "Recurrent"}
# Norse has no layers of LIFRefrac without recurrence and of coupled neurons, and so have we.
LAYERS = [case for case in CASES if hasattr(nb, case.split()[0] + FORMS[case.split()[2]])]


def flat(state):
    """The fields of a state tuple, nested ones too."""
    return [inner for value in state for inner in (flat(value) if isinstance(value, tuple) else [value])]


def parameters(name, which):
    if name == "Izhikevich":
        return getattr(nb, which)
    if name.startswith("LIFMC"):
        return nb.LIFRefracParameters() if name.endswith("Refrac") else nb.LIFParameters()
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
    # A product's sums in another order differ by a rounding, which in float32 is more than 1e-6 of a state beyond 8.
    rounding = 1e-6 if case.endswith("recurrent") and found.dtype == np.float32 else 0
    np.testing.assert_allclose(found[::EVERY], TRACES[f"{case} states"], rtol=rounding, atol=1e-6)


@pytest.mark.parametrize("case", LAYERS)
def test_layer_equals_norse(case):
    name, which, form = case.split()
    x, p = torch.from_numpy(TRACES[f"{case} x"]), parameters(name, which)
    if form == "cell":
        layer = getattr(nb, name)(p)
    else:
        w_in, w_rec = tensors(case, "w_in", "w_rec")
        sizes = x.shape[-1], w_in.shape[0]
        layer = getattr(nb, f"{name}Recurrent")(*sizes, p, autapses=True, input_weights=w_in, recurrent_weights=w_rec)
    layer.record_states = True
    assert_same(*layer(x), case)


def tensors(case, *parts):
    return [torch.from_numpy(TRACES[f"{case} {part}"]) for part in parts]


def functions_of(name, form):
    """The function of one step of a form, and that of its recurrent form."""
    if name == "Izhikevich":
        return nb.izhikevich_feed_forward_step if form == "cell" else nb.izhikevich_recurrent_step
    return getattr(nb, FUNCTIONS.get(name, name.lower()) + ("_feed_forward_step" if form == "cell" else "_step"))


def assert_steps_are_norses(case, step, state, other=None):
    """``step(x, state)`` over time gives the trace, and the outputs of ``other``, if given, are the same."""
    (x,) = tensors(case, "x")
    outputs, states, other_state = [], [], state
    for row in x:
        out, state = step(row, state)
        if other is not None:
            other_out, other_state = other(row, other_state)
            assert torch.equal(out, other_out)
        outputs.append(out)
        states.append([value.expand(out.shape) for value in flat(state)])
    assert_same(torch.stack(outputs), [torch.stack(column) for column in zip(*states, strict=True)], case)


@pytest.mark.parametrize("case", CASES)
def test_cell_and_function_equal_norse(case):
    name, which, form = case.split()
    p, step, weights = parameters(name, which), functions_of(name, form), ()
    (x,) = tensors(case, "x")
    if form == "cell":
        cell = getattr(nb, f"{name}Cell")(p)
    else:
        weights = tensors(case, "w_in", "w_rec")
        more = tensors(case, "g_coupling") if "MC" in name else []
        sizes = x.shape[-1], weights[0].shape[0]
        cell = getattr(nb, f"{name}RecurrentCell")(
            *sizes, p, *more, input_weights=weights[0], recurrent_weights=weights[1], autapses=True
        )
        weights += more
    assert_steps_are_norses(
        case, cell, cell.initial_state(x[0]), lambda row, s: step(row, s, *weights, p.p if name == "Izhikevich" else p)
    )


def test_functions_without_a_cell_equal_norse():
    (coupling,) = torch.from_numpy(TRACES["LIFMC coupling"])[None]
    zeros = torch.zeros(TRACES["LIFMC default function x"].shape[1:])
    state = nb.LIFFeedForwardState(zeros, zeros)
    assert_steps_are_norses("LIFMC default function", lambda x, s: nb.lif_mc_feed_forward_step(x, s, 100.0 * coupling), state)
    state = nb.LIFRefracFeedForwardState(state, zeros)
    step = nb.lif_mc_refrac_feed_forward_step
    assert_steps_are_norses("LIFMCRefrac default function", lambda x, s: step(x, s, coupling), state)
    p = nb.CobaLIFParameters(tau_syn_exc_inv=torch.tensor(150.0), tau_syn_inh_inv=torch.tensor(90.0))
    state = nb.CobaLIFFeedForwardState(zeros - 20.0, zeros, zeros)
    assert_steps_are_norses("CobaLIF fast function", lambda x, s: nb.coba_lif_feed_forward_step(x, s, p), state)
    p = nb.LSNNParameters(tau_adapt_inv=torch.tensor(21.3), v_leak=torch.tensor(-0.137), beta=torch.tensor(0.37))
    weights = tensors("AdaLIF odd function", "w_in", "w_rec")
    state = nb.LSNNState(zeros, zeros - 0.137, zeros, zeros)
    assert_steps_are_norses("AdaLIF odd function", lambda x, s: nb.ada_lif_step(x, s, *weights, p), state)
    assert sum(case.endswith("function") for case in ALL) == 4
