"""How neurons are updated is a matter of cost: what "auto" picks follows from counted activity alone, and changes no spike."""

from dataclasses import replace

import numpy as np
import pytest

from eventsim import (
    LIF,
    FixedOutDegree,
    Increment,
    LIFExcInh,
    Network,
    Population,
    Projection,
    Rates,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
)
from eventsim.adaptation import LONGEST as WINDOW
from eventsim.adaptation import Adaptation, costs

DT = 0.5
SIZE = 3000
BURST = (4 * WINDOW, 6 * WINDOW)  # steps (a, b]
END = 16 * WINDOW


def network():
    neuron = LIF(tau_mem=10.0, tau_syn=3.0)
    return Network(
        [Population("s", 100, SpikeSource()), Population("n", SIZE, neuron), Population("m", 50, neuron)],
        [
            Projection("s", "n", FixedOutDegree(40), weight=2.5, delay=1.0),
            Projection("n", "m", FixedOutDegree(2), weight=1.0, delay=2.0),
            Projection("m", "n", FixedOutDegree(10), weight=0.5, delay=3.5),
        ],
    )


def given(batch=1, bursts=(True,)):
    """A spike now and then, and in the burst 10 in every step."""
    rng = np.random.default_rng(1)
    rows = np.zeros((END, batch, 100), np.uint8)
    for b in range(batch):
        rows[rng.integers(0, END, 6), b, rng.integers(0, 100, 6)] = 1
        if bursts[b]:
            rows[BURST[0] : BURST[1], b] = rng.random((BURST[1] - BURST[0], 100)) < 0.1
    return rows if batch > 1 else rows[:, 0]


def simulate(update="auto", pieces=(END,), dtype="float64", workers=1, **how):
    """(what was recorded, together; counters; states; how "n" was updated at the end of each piece)."""
    record = [Spikes("n"), Spikes("m"), Rates("n", 16.0), States("n", ("v", "i"), neurons=slice(None, None, 50), interval=8.0)]
    how = {"spikes": {"s": given()}, **how}
    simulation = Simulation(network(), DT, dtype=dtype, update=update, workers=workers, record=record, **how)
    made, modes = [], []
    for piece in pieces:
        made.append(simulation.run(piece * DT))
        modes.append(simulation.update_modes()["n"])
    parts = [np.concatenate([getattr(m.spikes[name], f) for m in made]) for name in "nm" for f in ("times", "neurons")]
    parts += [np.concatenate([m.states["n"].values[f] for m in made]) for f in "vi"]
    parts += [simulation.state("n", "v"), simulation.state("m", "i")]
    return parts, simulation.counters, modes


def assert_same(a, b):
    for x, y in zip(a, b, strict=True):
        assert np.array_equal(x, y)


@pytest.fixture(scope="module")
def auto():
    return simulate()


def test_auto_follows_the_activity():
    modes = simulate(pieces=[WINDOW] * 16)[2]
    assert modes[:4] == ["sparse"] * 4  # quiet from the start
    assert modes[4:6] == ["dense"] * 2  # known after the first window of the burst
    assert modes[-1] == "sparse" and modes.index("sparse", 6) < 12  # and back, once it has been quiet for a window or a few


def test_auto_gives_the_spikes_of_dense_and_of_sparse(auto):
    assert len(auto[0][0]) > 1000 and len(auto[0][2]) > 50
    for update in ("dense", "sparse"):
        other, counters, modes = simulate(update)
        assert modes == [update]
        assert_same(auto[0][:4], other[:4])
        for x, y in zip(auto[0][4:], other[4:], strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-12)
        assert counters.spikes == auto[1].spikes and counters.synaptic_events == auto[1].synaptic_events


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_auto_gives_the_same_bits_for_any_workers_and_pieces(auto, dtype):
    whole = auto if dtype == "float64" else simulate(dtype=dtype)
    for workers, pieces in [
        (2, (END,)),
        (3, (WINDOW - 1, 1, 1, WINDOW, 2 * WINDOW + 1, END - 4 * WINDOW - 2)),
        (1, (1, WINDOW, WINDOW - 2, 3, 5 * WINDOW + 17, 0, END - 7 * WINDOW - 19)),
        (2, (4 * WINDOW + 127, 1, 1, END - 4 * WINDOW - 129)),
    ]:
        assert sum(pieces) == END
        other = simulate(pieces=pieces, workers=workers, dtype=dtype)
        assert_same(whole[0], other[0])
        assert whole[1] == other[1], (workers, pieces)  # the same updates too: the same decisions at the same times


def test_auto_costs_about_as_little_as_it_could(auto):
    dense, sparse = (simulate(update)[1].updates for update in ("dense", "sparse"))
    assert dense == END * (SIZE + 50)
    assert sparse < 0.1 * dense
    assert sparse < auto[1].updates < 0.3 * dense


def test_each_item_of_a_batch_is_updated_in_its_own_way():
    rows = given(3, (True, False, True))
    record = [Spikes("n")]
    until = 5 * WINDOW + 10
    together = Simulation(network(), DT, dtype="float32", batch=3, workers=2, record=record, spikes={"s": rows})
    found = [together.run(until * DT).spikes["n"]]
    assert together.update_modes()["n"] == "mixed"
    found.append(together.run((END - until) * DT).spikes["n"])
    assert together.update_modes()["n"] == "sparse"
    updates = 0
    for b in range(3):
        alone = Simulation(network(), DT, dtype="float32", record=record, spikes={"s": rows[:, b]})
        single = alone.run(END * DT).spikes["n"]
        times = np.concatenate([part.times[part.batch == b] for part in found])
        assert np.array_equal(times, single.times)
        assert np.array_equal(together.state("n")[b], alone.state("n"))
        updates += alone.counters.updates
    assert together.counters.updates == updates


def test_populations_can_be_updated_in_different_ways(auto):
    both = Simulation(
        network(),
        DT,
        dtype="float64",
        update={"n": "sparse", "m": "dense"},
        record=[Spikes("n")],
        spikes={"s": given()},
    )
    spikes = both.run(END * DT).spikes["n"]
    assert np.array_equal(spikes.times, auto[0][0]) and np.array_equal(spikes.neurons, auto[0][1])
    assert both.update_modes() == {"n": "sparse", "m": "dense"}
    assert END * 50 < both.counters.updates < 0.1 * both.counters.neuron_steps
    with pytest.raises(SimulationError, match="update"):
        Simulation(network(), DT, update={"n": "lazy"})


def test_sparse_touches_only_who_receives_or_fires():
    """Every delivery below threshold is one touch, of several in one step only one; nothing else is updated."""
    neuron = LIF(tau_mem=10.0, tau_syn=3.0, v_th=50.0)
    rng = np.random.default_rng(3)
    weights = rng.uniform(0.1, 0.5, (12, 40)) * (rng.random((12, 40)) < 0.3)
    rows = (rng.random((300, 12)) < 0.02).astype(int)
    wide = Network([Population("s", 12, SpikeSource()), Population("n", 40, neuron)], [Projection("s", "n", weights, delay=1.5)])
    simulation = Simulation(wide, DT, dtype="float64", update="sparse", spikes={"s": rows})
    simulation.run(310 * DT)
    touched = rows @ (weights != 0)
    assert simulation.counters.synaptic_events == touched.sum()
    assert simulation.counters.updates == (touched > 0).sum() < touched.sum()


def test_nothing_happens_at_no_cost():
    silent = Network([Population("n", 50_000, LIF(tau_mem=10.0, tau_syn=3.0))])
    simulation = Simulation(silent, DT, dtype="float64", update="sparse")
    simulation.run(1e4)
    assert simulation.counters.updates == 0 and simulation.counters.neuron_steps == 20_000 * 50_000
    assert not simulation.state("n").any()


@pytest.mark.parametrize("update", ["sparse", "auto"])
def test_a_neuron_without_closed_form_sleeps_only_at_rest(update):
    """An input that only balances the decay leaves the state as it is: when it stops, the neuron must not be asleep."""
    on, steps = 1500, 1700
    drive = np.zeros(steps)
    drive[:on] = 0.125
    how = {"inputs": [Increment("n", drive, over_time=True)]}
    populations = [Population("n", 3, LIFExcInh(v_th=100.0))]
    dense, other = (
        Simulation(Network(populations, **how), 1.0, dtype="float64", update=u, record=[States("n", ("v", "exc"))])
        for u in ("dense", update)
    )
    a, b = dense.run(float(steps)).states["n"].values, other.run(float(steps)).states["n"].values
    assert a["exc"][on - 1, 0] == a["exc"][on - 2, 0] > 0.5  # it stood still
    for field in a:
        assert np.array_equal(a[field], b[field])
    assert b["exc"][-1, 0] < 1e-9


@pytest.mark.parametrize("v_leak", [0.0, 1.4])
def test_a_neuron_without_closed_form_wakes_after_its_refractory_period(v_leak):
    """At the end of the period v has stood still for long: it must run again, and perhaps fire by itself."""
    neuron = LIFExcInh(v_leak=v_leak, v_reset=-1.0, refractory=3.0)
    populations = [Population("n", 1, neuron, initial={"v": 2.0})]
    made = []
    for update in ("dense", "sparse"):
        record = [Spikes("n"), States("n")]
        simulation = Simulation(Network(populations), 1.0, dtype="float64", update=update, record=record)
        run = simulation.run(400.0)
        made.append((run.spikes["n"].times.tolist(), run.states["n"].values["v"]))
    # from -1 towards 1.4, threshold 1: 20 ln(2.4 / 0.4) = 35.8 ms, and 3 ms before
    wanted = [1.0] if v_leak == 0.0 else [1.0 + 39.0 * k for k in range(11)]
    assert made[0][0] == made[1][0] == wanted
    assert np.array_equal(made[0][1], made[1][1])


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "float64"])
@pytest.mark.parametrize("tau_mem", [10.0, np.linspace(5.0, 20.0, 60)], ids=["common", "own"])
def test_the_ceiling_spares_work_and_changes_nothing(dtype, tau_mem):
    """The same model without linear=True is predicted after every touch: not one update more or less, not one bit."""
    rng = np.random.default_rng(5)
    weights = rng.normal(0.3, 1.0, (20, 60)) * (rng.random((20, 60)) < 0.3)
    rows = (rng.random((400, 20)) < 0.05).astype(int)
    made = []
    for model in (LIF, replace(LIF, linear=False)):
        neuron = model(tau_mem=tau_mem, tau_syn=3.0, refractory=1.0)
        net = Network([Population("s", 20, SpikeSource()), Population("n", 60, neuron)], [Projection("s", "n", weights, delay=1.5)])
        simulation = Simulation(net, DT, dtype=dtype, update="sparse", record=[Spikes("n")], spikes={"s": rows})
        spikes = simulation.run(400 * DT).spikes["n"]
        made.append(
            [spikes.times, spikes.neurons, simulation.state("n", "v"), simulation.state("n", "i"), simulation.counters.updates]
        )
    assert_same(*made)
    assert len(made[0][0]) > 20


def test_gaps_of_any_length_are_jumped():
    """Digits of a gap, one after the other, are the gap: silences of 1 to 200,000 steps, against the exact solution."""
    silence = np.array([1, 2, 255, 256, 257, 511, 65_536, 65_793, 200_000])
    steps = np.cumsum(silence)
    rows = np.zeros((steps[-1] + 1, 1), np.uint8)
    rows[steps - 1] = 1
    neuron = LIF(tau_mem=1e4, tau_syn=1e5, v_th=1e9)
    net = Network(
        [Population("s", 1, SpikeSource()), Population("n", 1, neuron)], [Projection("s", "n", np.ones((1, 1)), delay=DT)]
    )
    simulation = Simulation(net, DT, dtype="float64", update="sparse", spikes={"s": rows})
    simulation.run(float((steps[-1] + 1) * DT))
    ago = DT * (steps[-1] - steps)  # ms between each arrival and now
    decay = np.exp(-ago / 1e5)
    assert simulation.state("n", "i")[0] == pytest.approx(decay.sum(), rel=1e-12)
    assert simulation.state("n", "v")[0] == pytest.approx(np.sum((decay - np.exp(-ago / 1e4)) / (1 - 1e4 / 1e5)), rel=1e-12)


COSTS = costs(np.dtype(np.float32), True, True)


def decisions(shares, sparse=True, size=10_000, choice=None):
    """The modes after each step of a group of which a share is active: an `Adaptation` driven by hand."""
    choice = choice or Adaptation([size], [sparse], [True], [COSTS])
    active, modes = 0, []
    for step, share in enumerate(shares, 1):
        active += int(share * size)
        if step == choice.next:
            choice.decide(step, [active])
        modes.append(choice.sparse[0])
    return np.array(modes)


@pytest.mark.parametrize("share", [0.0, 1e-4, 1e-3, 5e-3, 8e-3, 9e-3, 0.0095, 0.0096, 0.01, 0.012, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("start", [True, False])
def test_a_steady_activity_costs_hardly_more_than_with_the_better_update(share, start):
    steps = 10_000
    modes = decisions([share] * steps, start)
    dense, sparse = COSTS.sweep, COSTS.touch * share
    changes = np.count_nonzero(np.diff([start, *modes]))
    cost = np.sum(np.where(modes, sparse, dense)) + changes * COSTS.change
    assert changes <= 1
    assert cost <= 1.05 * steps * min(dense, sparse) + 2 * COSTS.change + 2 * 8 * max(dense, sparse)


@pytest.mark.parametrize("period", [20, 100, 1000, 3000])
def test_bursts_never_cost_much_more_than_the_better_update(period):
    """Activity that changes as soon as the update has followed it: at worst a small multiple of staying with one update."""
    steps = 20_000
    shares = np.where(np.arange(steps) // period % 2 == 0, 0.001, 0.04)
    modes = decisions(shares)
    per_step = np.where(modes, COSTS.touch * shares, COSTS.sweep)
    cost = per_step.sum() + np.count_nonzero(np.diff(modes)) * COSTS.change
    assert cost < 1.6 * min(COSTS.sweep * steps, COSTS.touch * shares.sum())
