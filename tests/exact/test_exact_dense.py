"""Dense windows of the exact engine: what arrives is folded into one change at their end, and the spikes are the same."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
from drawn_network import LAWS

import eventsim.exact.group as exact_group
import eventsim.exact.simulation as exact_simulation
from eventsim import (
    Current,
    FixedInDegree,
    LIFDelta,
    Network,
    Normal,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    Spikes,
    SpikeSource,
    States,
    Uniform,
    VaryingRate,
)
from eventsim.exact import layout as w
from eventsim.exact.foldable import LONGER, fold_gains
from eventsim.models import BUILT_IN

SIZE = 300
FOLDABLE = [name for name, model in BUILT_IN.items() if name in LAWS and model.linear]
DURATION = 40.0


@pytest.fixture
def always(monkeypatch):
    """Any group that can be is dense from its first window on."""
    monkeypatch.setattr(exact_group, "FEWEST", 1)
    monkeypatch.setattr(exact_group, "MANY", 0.0)
    monkeypatch.setattr(exact_group, "FEW", 0.0)
    monkeypatch.setattr(exact_group, "PATIENCE", 0.0)


def never(monkeypatch):
    monkeypatch.setattr(exact_group, "FEWEST", 1 << 62)


def network(model, *, gain=0.02, delay=1.5, currents=(), inputs=(), size=SIZE):
    """Two layers, driven to fire by themselves, of which the second hears the first, and both a little of themselves, so that what is
    rounded does not grow."""
    law = LAWS[model]
    name, _, drive, _ = law.drives
    neuron = BUILT_IN[model](**{**law.params, name: 1.2 * drive}, refractory=law.refractory)
    exc, inh = law.ports
    return Network(
        [
            Population("a", size, neuron, initial={"v": Uniform(*law.begin)}),
            Population("b", size, neuron, initial={"v": Uniform(*law.begin)}),
            Population("s", 40, PoissonSource(300.0)),
            Population("g", 2, SpikeSource([3.0, 3.0, 7.25], [0, 1, 0])),
        ],
        [
            Projection("a", "b", FixedInDegree(40), weight=0.1 * law.weight, delay=delay, port=exc),
            Projection("a", "a", FixedInDegree(20), weight=Normal(0.0, gain * law.weight), delay=delay, port=exc),
            Projection("b", "b", FixedInDegree(20), weight=-gain * law.weight, delay=2.25, port=inh),
            Projection("s", "a", FixedInDegree(10), weight=0.3 * law.weight, delay=0.5, port=exc),
            Projection("g", "b", FixedInDegree(1), weight=0.2 * law.weight, delay=0.0, port=exc),
        ],
        [*inputs, *currents],
    )


RECORD = [Spikes("a"), Spikes("b"), Spikes("s"), Rates("a", 1.5)]


def simulation(chosen, record=RECORD, seed=4):
    return Simulation(chosen, method="exact", seed=seed, record=record)


def spikes_of(recordings, names="ab"):
    out = []
    for name in names:
        times = np.concatenate([r.spikes[name].times for r in recordings])
        neurons = np.concatenate([r.spikes[name].neurons for r in recordings])
        order = np.lexsort((times, neurons))
        out.append((times[order], neurons[order]))
    return out


def close(found, expected, bound=1e-9):
    """The same neurons fire as often, at the same times but for rounding."""
    for (times, neurons), (others, theirs) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(neurons, theirs)
        np.testing.assert_allclose(times, others, rtol=0.0, atol=bound)


def is_dense(run):
    return [group.dense for group in run._groups]


@pytest.mark.parametrize("model", FOLDABLE)
def test_the_spikes_are_those_of_single_events(model, monkeypatch):
    dense = simulation(network(model))
    found = spikes_of([dense.run(DURATION)])
    foldable = [bool(group.words[w.FOLDABLE]) for group in dense._groups]
    assert is_dense(dense) == foldable and (foldable[0] or model in ("IAF", "IAFSubtract"))
    never(monkeypatch)
    single = simulation(network(model))
    expected = spikes_of([single.run(DURATION)])
    assert not any(is_dense(single)) and single.counters == dense.counters
    assert all(len(times) > SIZE // 2 for times, _ in expected)
    close(found, expected)
    for name in "ab":
        for field in dense._group(name).fields:
            np.testing.assert_allclose(dense.state(name, field), single.state(name, field), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_of_all_kinds(seed, always, monkeypatch):
    """Layers of random models, weights, delays and drives, too weakly coupled to be chaotic."""
    rng = np.random.default_rng(seed)
    names = rng.choice([name for name in FOLDABLE if not name.startswith("IAF")], 3)
    populations, projections = [Population("s", 30, PoissonSource(float(rng.uniform(50, 500))))], []
    before = "s"
    for layer, name in enumerate(names):
        law = LAWS[name]
        drive = law.drives[2] * rng.uniform(0.8, 1.3)
        refractory = float(rng.choice([0.0, 0.3, 2.0, 5.0]))
        hold = ("v",) if rng.random() < 0.7 else BUILT_IN[name].State._fields
        neuron = BUILT_IN[name](**{**law.params, law.drives[0]: drive}, refractory=refractory, hold=hold)
        populations.append(Population(f"p{layer}", 150, neuron, initial={"v": Uniform(*law.begin)}))
        delay = float(rng.uniform(0.3, 4.0))
        for port, sign in zip(law.ports, (1.0, -1.0), strict=True):
            weight = Normal(0.0, float(rng.uniform(0.0, 0.1)) * law.weight) if port == "i" else sign * 0.1 * law.weight
            projections.append(Projection(before, f"p{layer}", FixedInDegree(15), weight=weight, delay=delay, port=port))
            projections.append(
                Projection(f"p{layer}", f"p{layer}", FixedInDegree(10), weight=0.01 * sign * law.weight, delay=delay, port=port)
            )
        before = f"p{layer}"
    chosen = Network(
        populations, projections, [PoissonNoise("p0", 200.0, 0.1 * LAWS[names[0]].weight, port=LAWS[names[0]].ports[0])]
    )
    record = [Spikes(f"p{layer}") for layer in range(3)]
    monkeypatch.setattr(exact_simulation, "PER_SEGMENT", 0)
    layers = ("p0", "p1", "p2")
    dense = simulation(chosen, record, seed)
    found = spikes_of([dense.run(30.0)], layers)
    assert all(is_dense(dense))
    cut = simulation(chosen, record, seed)
    pieces = spikes_of([cut.run(piece) for piece in (0.01, 3.3, 0.0, 11.1, 30.0 - 0.01 - 3.3 - 11.1)], layers)
    never(monkeypatch)
    single = simulation(chosen, record, seed)
    close(found, spikes_of([single.run(30.0)], layers))
    for (times, neurons), (others, theirs) in zip(found, pieces, strict=True):
        np.testing.assert_array_equal(times, others)
        np.testing.assert_array_equal(neurons, theirs)


def results(chosen, pieces, record):
    run = simulation(chosen, record)
    recordings = [run.run(piece) for piece in pieces]
    out = [np.concatenate([getattr(r.spikes[name], field) for r in recordings]) for name in "abs" for field in ("times", "neurons")]
    return run, out, [run.state(name, field) for name in "ab" for field in run._group(name).fields], recordings


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


CURRENT = [Current("a", [0.0, 0.3, 0.0], times=[4.5, 11.0, 20.0]), Current("b", 0.1)]
NOISE = [PoissonNoise("a", 200.0, 0.05)]


@pytest.mark.parametrize("model", ["LIFDelta", "LIF", "LIFResetAll"])
@pytest.mark.parametrize("inputs", [(), CURRENT, NOISE], ids=["steady", "changing", "noise"])
def test_no_bit_depends_on_how_a_run_is_cut(model, inputs, always):
    chosen = network(model, gain=0.5, inputs=inputs)
    whole, expected, state, _ = results(chosen, (30.0,), RECORD)
    assert all(is_dense(whole))
    for pieces in ((0.1, 3.37, 11.0, 30.0 - 0.1 - 3.37 - 11.0), (1.485, 1.485, 4.5 - 2 * 1.485, 25.5), tuple([0.25] * 120)):
        run, found, at_end, _ = results(chosen, pieces, RECORD)
        same(expected, found)
        same(state, at_end)
        assert run.counters == whole.counters
    sampled = [*RECORD, States("a", interval=0.7)]
    _, found, _, recordings = results(chosen, (30.0,), sampled)
    same(expected, found)
    _, found, _, pieces = results(chosen, (7.01, 0.5, 22.49), sampled)
    same(expected, found)
    for field in recordings[0].states["a"].values:
        same([recordings[0].states["a"].values[field]], [np.concatenate([r.states["a"].values[field] for r in pieces])])


def test_states_within_a_window_are_those_of_single_events(always, monkeypatch):
    chosen, record = network("LIF"), [*RECORD, States("b", interval=0.4)]
    found = simulation(chosen, record).run(20.0).states["b"].values
    never(monkeypatch)
    expected = simulation(chosen, record).run(20.0).states["b"].values
    for field, values in expected.items():
        np.testing.assert_allclose(found[field], values, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", ["LIFDelta", "LIF"])
def test_buffers_may_be_small(model, always, monkeypatch):
    chosen = network(model, gain=0.5, inputs=CURRENT)
    _, expected, state, _ = results(chosen, (30.0,), RECORD)
    monkeypatch.setattr(exact_simulation, "ROOM", 1)
    _, found, at_end, _ = results(chosen, (13.3, 16.7), RECORD)
    same(expected, found)
    same(state, at_end)


def test_groups_are_dense_while_they_are_busy(monkeypatch):
    """Bursts of input, and silence between them, in which windows are passed over."""
    bursts = VaryingRate([1500.0, 0.0], [0.0, 10.0], period=50.0)
    chosen = Network(
        [Population("s", 100, PoissonSource(bursts)), Population("a", 400, LIFDelta(tau_mem=20.0, v_th=20.0, refractory=2.0))],
        [
            Projection("s", "a", FixedInDegree(20), weight=1.5, delay=1.0),
            Projection("a", "a", FixedInDegree(20), weight=0.001, delay=1.0),
        ],
    )
    run = simulation(chosen, [Spikes("a")])
    seen, recordings = [], []
    for _ in range(16):
        recordings.append(run.run(12.5))
        seen.append(is_dense(run)[0])
    found = spikes_of(recordings, "a")
    whole = simulation(chosen, [Spikes("a")])
    same(found[0], spikes_of([whole.run(200.0)], "a")[0])
    assert set(seen) == {True, False} and len(found[0][0]) > 400
    never(monkeypatch)
    close(found, spikes_of([simulation(chosen, [Spikes("a")]).run(200.0)], "a"))


def test_one_group_may_be_dense_and_another_not(always, monkeypatch):
    """Neurons whose time constants differ take their input one by one; thresholds and drives may differ."""

    def mixed():
        ends = np.linspace(18.0, 26.0, SIZE)
        neuron = LIFDelta(tau_mem=20.0, v_leak=ends, v_th=ends[::-1] - 2.0, v_reset=10.0, refractory=np.linspace(0.0, 4.0, SIZE))
        other = LIFDelta(tau_mem=np.linspace(15.0, 25.0, SIZE), v_leak=22.0, v_th=20.0, v_reset=10.0, refractory=1.0)
        return Network(
            [
                Population("a", SIZE, neuron, initial={"v": Uniform(0.0, 20.0)}),
                Population("b", SIZE, other),
                Population("s", 5, PoissonSource(200.0)),
            ],
            [
                Projection("a", "b", FixedInDegree(40), weight=0.05, delay=1.5),
                Projection("b", "a", FixedInDegree(40), weight=-0.05, delay=1.5),
                Projection("s", "b", FixedInDegree(3), weight=0.5, delay=0.1),
            ],
        )

    run, expected, state, recordings = results(mixed(), (30.0,), RECORD)
    assert is_dense(run) == [True, False]
    _, found, at_end, _ = results(mixed(), (0.2, 10.0, 1.0, 18.8), RECORD)
    same(expected, found)
    same(state, at_end)
    never(monkeypatch)
    close(spikes_of(recordings), spikes_of([simulation(mixed()).run(30.0)]))


class Interrupting:
    """The loop; Ctrl-C comes during one of its pieces."""

    def __init__(self, drive, call):
        self.drive, self.left = drive, call

    def ctypes(self, context, until):
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        return self.drive.ctypes(context, until)


@pytest.mark.parametrize("call", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
def test_ctrl_c_is_heard_between_windows_and_within(call, always, monkeypatch):
    chosen = network("LIF", gain=0.5, inputs=CURRENT)
    _, expected, state, _ = results(chosen, (30.0,), RECORD)
    monkeypatch.setattr(exact_simulation, "PIECE", 20)
    run = simulation(chosen)
    run._drive = Interrupting(run._drive, call)
    with pytest.raises(KeyboardInterrupt):
        run.run(30.0)
    first = run.recording
    assert 0.0 <= run.time < 30.0
    description, arrays = run._capture()
    run._drive = run._drive.drive
    other = simulation(chosen)
    other._restore(description, arrays, "here")
    for again in (run, other):
        recordings = [first, again.run(30.0 - first.stop)]
        found = [
            np.concatenate([getattr(r.spikes[name], field) for r in recordings]) for name in "abs" for field in ("times", "neurons")
        ]
        same(expected, found)
        same(state, [again.state(name, field) for name in "ab" for field in again._group(name).fields])


def test_what_a_weight_can_lift_the_margin_by():
    """Within little more than 1.5 ms: v of LIFDelta keeps exp(-1.5/20) of it at least, and all of it at once; of an inhibitory one nothing at first."""
    end = 1.5 * LONGER
    gains = fold_gains(BUILT_IN["LIFDelta"], BUILT_IN["LIFDelta"](tau_mem=20.0).params, 1.5)[:, 0]
    np.testing.assert_allclose(gains, [1.0, np.exp(-end / 20.0), 1.0, 0.0], rtol=1e-8, atol=1e-12)
    params = BUILT_IN["LIF"](tau_mem=20.0, tau_syn=2.0, r_mem=1.0).params
    high_v, high_i, low_v, low_i, high, _, low, of_v = fold_gains(BUILT_IN["LIF"], params, 1.5)[:, 0]  # ports: i, v
    lifted = 2.0 / 18.0 * (np.exp(-end / 20.0) - np.exp(-end / 2.0))  # v then, of a current of 1
    np.testing.assert_allclose([high_v, high_i, high], [1.0, lifted, lifted], rtol=1e-8)
    np.testing.assert_allclose([low_v, low_i, low, of_v], [np.exp(-end / 20.0), 0.0, 0.0, 0.0], rtol=1e-8, atol=1e-8)
    assert fold_gains(BUILT_IN["QIF"], BUILT_IN["QIF"]().params, 1.5) is None
    assert fold_gains(BUILT_IN["LIF"], params._replace(tau_mem=np.array([10.0, 20.0])), 1.5) is None
    many = params._replace(v_leak=np.array([0.0, 30.0]), v_th=np.array([1.0, 5.0]))
    np.testing.assert_allclose(
        fold_gains(BUILT_IN["LIF"], many, 1.5)[:, 0], fold_gains(BUILT_IN["LIF"], params, 1.5)[:, 0], rtol=1e-7, atol=1e-7
    )


def test_what_differs_among_neurons_may_stand_in_advance():
    """A linear model may multiply its states by parameters there too: then neurons that differ in them are not alike."""
    lif = BUILT_IN["LIF"]

    def exact(ops, t, p):
        return lif.exact(ops, t, p._replace(r_mem=1.0))

    def advance(s, k, p):
        moved = lif.advance(s._replace(i=p.r_mem * s.i), k, p)
        return moved._replace(i=s.i + k.i * s.i)

    chosen = replace(lif, name="Resistances", exact=exact, advance=advance)
    one, other = (model(tau_mem=20.0, tau_syn=2.0, r_mem=np.linspace(1.0, 3.0, SIZE)).params for model in (chosen, lif))
    assert fold_gains(chosen, one, 1.5) is None and fold_gains(lif, other, 1.5) is None
    assert fold_gains(chosen, one._replace(r_mem=2.0), 1.5) is not None
