"""Whatever is malformed is refused before anything runs, by an error that names the object."""

import numpy as np
import pytest
import scipy.sparse as sp

from eventsim import (
    AFTER_RESET,
    LI,
    LIF,
    AllToAll,
    Connectivity,
    ConnectivityError,
    Current,
    EventsimError,
    FixedInDegree,
    FixedProbability,
    FixedTotalNumber,
    Increment,
    LIFDelta,
    ModelError,
    Network,
    NetworkError,
    Normal,
    OneToOne,
    PoissonNoise,
    PoissonSource,
    Population,
    Projection,
    Rates,
    Simulation,
    SimulationError,
    Spikes,
    SpikeSource,
    States,
    Uniform,
)

A, B = Population("a", 3, LIF()), Population("b", 2, LIF())
SOURCE, READOUT = Population("s", 3, SpikeSource()), Population("r", 2, LI())
NAN, INF = float("nan"), float("inf")


def csr(indptr=(0, 1, 2, 3), targets=(0, 1, 0), weights=(1.0, 1.0, 1.0), delays=None, n_target=2):
    return Connectivity.from_arrays(np.array(indptr), np.array(targets), n_target, weights and np.array(weights), delays)


def project(connectivity, populations=(A, B), target="b", **how):
    return Network(populations, [Projection("a", target, connectivity, **{"delay": 1.0, **how})])


def raw_scipy(kind, indptr, indices, data=(1.0, 1.0, 1.0), shape=(3, 2)):
    """A sparse array whose index arrays nobody has checked: scipy's constructors do not, once they are set from outside."""
    made = getattr(sp, f"{kind}_array")(shape)
    made.indptr, made.indices, made.data = np.array(indptr), np.array(indices), np.array(data)
    return made


def raw_coo(row, col, shape=(3, 2)):
    made = sp.coo_array((np.ones(3), ([0, 1, 2], [0, 1, 0])), shape=shape)
    made.coords = (np.array(row), np.array(col))
    return made


def torch_csr(indptr, targets, shape=(3, 2), values=(1.0, 1.0, 1.0)):
    torch = pytest.importorskip("torch")
    parts = torch.tensor(indptr), torch.tensor(targets), torch.tensor(values)
    # Said so explicitly, torch does not warn that these checks are off by default.
    return torch.sparse_csr_tensor(*parts, size=shape, check_invariants=False)


def simulate(*populations, projections=(), inputs=(), dt=0.1, **how):
    return Simulation(Network(populations or (A,), projections, inputs), dt, **how)


def refused(error, named, case, *, id):
    return pytest.param(error, named, case, id=id)


CONNECTIVITY = [
    refused(ConnectivityError, "indptr", lambda: project(csr(indptr=(1, 1, 2, 3))), id="indptr does not start at 0"),
    refused(ConnectivityError, "indptr", lambda: project(csr(indptr=(0, 1, 2, 4))), id="indptr ends beyond the targets"),
    refused(ConnectivityError, "indptr", lambda: project(csr(indptr=(0, 2, 1, 3))), id="indptr decreases"),
    refused(ConnectivityError, "indptr", lambda: project(csr(indptr=(0, 2**40, 1, 3))), id="indptr leaps"),
    refused(ConnectivityError, "indptr", lambda: project(csr(indptr=(0, -5, 1, 3))), id="indptr negative"),
    refused(ConnectivityError, "indptr", lambda: project(csr(indptr=(0.0, 1.0, 2.0, 3.0))), id="indptr not whole"),
    refused(ConnectivityError, "number of sources", lambda: project(csr(indptr=())), id="indptr empty"),
    refused(ConnectivityError, "targets", lambda: project(csr(targets=(0, 2, 0))), id="target too large"),
    refused(ConnectivityError, "targets", lambda: project(csr(targets=(0, -1, 0))), id="target negative"),
    refused(ConnectivityError, "targets", lambda: project(csr(targets=(0, 2**32, 0))), id="target wraps to 0"),
    refused(ConnectivityError, "targets", lambda: project(csr(targets=(0.0, 0.5, 1.0))), id="target not whole"),
    refused(ConnectivityError, "weights", lambda: project(csr(weights=(1.0, 2.0))), id="too few weights"),
    refused(ConnectivityError, "weights", lambda: project(csr(weights=(1.0, NAN, 2.0))), id="weight not finite"),
    refused(ConnectivityError, "weights", lambda: project(csr(weights=(1j, 1j, 1j))), id="weight complex"),
    refused(ConnectivityError, "weights", lambda: project(csr(weights=("x", "y", "z"))), id="weight text"),
    refused(ConnectivityError, "delays", lambda: project(csr(delays=np.array([1.0, -1.0, 1.0]))), id="delay negative"),
    refused(ConnectivityError, "delays", lambda: project(csr(delays=np.array([1.0, INF, 1.0]))), id="delay not finite"),
    refused(ConnectivityError, "delays", lambda: project(csr(delays=np.array([1.0]))), id="too few delays"),
    refused(ConnectivityError, "'a' -> 'b'.*3 and 2", lambda: project(csr((0, 3), (0, 1, 0))), id="rows do not fit"),
    refused(ConnectivityError, "'a' -> 'b'.*3 and 2", lambda: project(csr(n_target=5)), id="columns do not fit"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(np.ones((2, 3))), id="dense transposed"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(np.ones(3)), id="dense with one axis"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project([[1.0, NAN], [0, 0], [0, 0]]), id="dense not finite"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(sp.csr_array((2, 3))), id="scipy transposed"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project("all"), id="text"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(AllToAll, weight=1.0), id="the class of a rule"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(None, weight=1.0), id="nothing"),
    refused(ConnectivityError, "'a' -> 'b'.*3 and 2", lambda: project(OneToOne(), weight=1.0), id="one to one of two sizes"),
    refused(ConnectivityError, "p must", lambda: FixedProbability(1.5), id="probability above 1"),
    refused(ConnectivityError, "p must", lambda: FixedProbability(NAN), id="probability not a number"),
    refused(ConnectivityError, "FixedInDegree", lambda: FixedInDegree(-1), id="in-degree negative"),
    refused(ConnectivityError, "FixedInDegree", lambda: FixedInDegree(2.5), id="in-degree not whole"),
    refused(ConnectivityError, "FixedTotalNumber", lambda: FixedTotalNumber(-3), id="number negative"),
    refused(
        ConnectivityError,
        "'a' -> 'b'",
        lambda: project(FixedInDegree(4, multapses=False), weight=1.0),
        id="in-degree above what there is",
    ),
    *[
        refused(
            ConnectivityError, "'a' -> 'b'", lambda kind=kind, p=p, i=i: project(raw_scipy(kind, p, i)), id=f"scipy {kind} {what}"
        )
        for what, kind, p, i in (
            ("indptr decreases", "csr", (0, 3, 2, 3), (0, 1, 0)),
            ("indptr beyond", "csr", (0, 1, 2, 30), (0, 1, 0)),
            ("index beyond", "csr", (0, 1, 2, 3), (0, 1, 7)),
            ("index negative", "csr", (0, 1, 2, 3), (0, -1, 1)),
            ("indptr too short", "csr", (0, 1, 3), (0, 1, 0)),
            ("indptr decreases", "csc", (0, 4, 3), (0, 1, 2)),
            ("index beyond", "csc", (0, 1, 3), (0, 1, 9)),
        )
    ],
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(raw_coo((0, 1, 3), (0, 1, 0))), id="scipy coo row beyond"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(raw_coo((0, 1, 2), (0, 1, -1))), id="scipy coo column negative"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(torch_csr([0, 1, 2, 3], [0, 1, 2])), id="torch index beyond"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(torch_csr([0, 3, 2, 3], [0, 1, 0])), id="torch indptr decreases"),
    refused(ConnectivityError, "'a' -> 'b'", lambda: project(torch_csr([0, 1, 2, 9], [0, 1, 0])), id="torch indptr beyond"),
]

PROJECTIONS = [
    refused(NetworkError, "'a' -> 'b'.*weight", lambda: project(AllToAll()), id="rule without weight"),
    refused(NetworkError, "'a' -> 'b'.*delay", lambda: Projection("a", "b", AllToAll(), weight=1.0), id="without delay"),
    refused(NetworkError, "'a' -> 'b'.*weight", lambda: project(AllToAll(), weight=NAN), id="weight not finite"),
    refused(NetworkError, "'a' -> 'b'.*weight", lambda: project(AllToAll(), weight="big"), id="weight text"),
    refused(NetworkError, "'a' -> 'b'.*weight", lambda: project(csr(), weight=[1.0, 2.0]), id="two weights for three synapses"),
    refused(NetworkError, "'a' -> 'b'.*weight", lambda: project(AllToAll(), weight=[1.0] * 6), id="array of weights for a rule"),
    refused(NetworkError, "'a' -> 'b'.*delay", lambda: project(csr(), delay=[1.0, 2.0]), id="two delays for three synapses"),
    refused(NetworkError, "'a' -> 'b'.*delay", lambda: project(csr(), delay=-1.0), id="delay negative"),
    refused(NetworkError, "'a' -> 'b'.*delay", lambda: project(csr(), delay=[1.0, -0.1, 1.0]), id="one delay negative"),
    refused(NetworkError, "'a' -> 'b'.*delay", lambda: project(csr(), delay=Normal(1.0, 0.5)), id="delay may be negative"),
    refused(NetworkError, "'a' -> 'b'.*delay", lambda: project(csr(), delay=INF), id="delay not finite"),
    refused(NetworkError, "'c'.*a, b", lambda: project(csr(), target="c"), id="no such target"),
    refused(
        NetworkError, "'x'.*a", lambda: Network([A], [Projection("x", "a", AllToAll(), weight=1.0, delay=1.0)]), id="no such source"
    ),
    refused(NetworkError, "'a' -> 'b'.*'g'.*i, v", lambda: project(csr(), port="g"), id="no such port"),
    refused(
        NetworkError,
        "'a' -> 's'.*SpikeSource",
        lambda: project(AllToAll(), (A, SOURCE), "s", weight=1.0),
        id="a source is a target",
    ),
    refused(
        NetworkError,
        "'r' -> 'a'.*LI",
        lambda: Network([READOUT, A], [Projection("r", "a", AllToAll(), weight=1.0, delay=1.0)]),
        id="a readout is a source",
    ),
    refused(
        NetworkError, "delay", lambda: simulate(A, B, projections=[Projection("a", "b", csr(), delay=0.25)]), id="delay off grid"
    ),
    refused(
        NetworkError,
        "'a' -> 'b'.*0.33",
        lambda: simulate(A, B, projections=[Projection("a", "b", csr(), delay=[0.1, 0.33, 0.2])]),
        id="one delay off grid",
    ),
    refused(
        NetworkError,
        "'a' -> 'b'",
        lambda: simulate(A, B, projections=[Projection("a", "b", csr(), delay=1e12)]),
        id="delay too long",
    ),
    refused(
        NetworkError,
        "'a' -> 'b'.*float32",
        lambda: simulate(A, B, projections=[Projection("a", "b", AllToAll(), weight=1e300, delay=1.0)]),
        id="weight too large for float32",
    ),
    refused(
        NetworkError,
        "'a' -> 'b'.*float32",
        lambda: simulate(A, B, projections=[Projection("a", "b", csr(weights=(1.0, -1e300, 1.0)), delay=1.0)]),
        id="one weight too large for float32",
    ),
]


def instant(source, target, delay=0.0):
    return Projection(source, target, AllToAll(), weight=1.0, delay=delay)


C = Population("c", 2, LIF())
CYCLES = [
    refused(NetworkError, "cycle.*a -> a", lambda: simulate(A, projections=[instant("a", "a")]), id="zero delay to itself"),
    refused(
        NetworkError,
        "cycle.*(a -> b -> a|b -> a -> b)",
        lambda: simulate(A, B, projections=[instant("a", "b"), instant("b", "a")]),
        id="zero delay there and back",
    ),
    refused(
        NetworkError,
        "cycle.*(a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)",
        lambda: simulate(SOURCE, A, B, C, projections=[instant("s", "a"), instant("a", "b"), instant("b", "c"), instant("c", "a")]),
        id="zero delays in a circle",
    ),
    refused(
        NetworkError,
        "cycle.*a -> a",
        lambda: simulate(A, projections=[instant("a", "a", Uniform(0.0, 1.0))]),
        id="drawn delays that may be zero",
    ),
]

POPULATIONS = [
    refused(NetworkError, "name", lambda: Population("", 3, LIF()), id="no name"),
    refused(NetworkError, "name", lambda: Population(3, 3, LIF()), id="name not text"),
    refused(NetworkError, "'a'.*size", lambda: Population("a", 0, LIF()), id="no neurons"),
    refused(NetworkError, "'a'.*size", lambda: Population("a", -3, LIF()), id="negative size"),
    refused(NetworkError, "'a'.*size", lambda: Population("a", 2.5, LIF()), id="size not whole"),
    refused(NetworkError, "'a'.*size", lambda: Population("a", True, LIF()), id="size a truth value"),
    refused(NetworkError, "'a'.*neuron", lambda: Population("a", 3, LIF), id="a model without parameters"),
    refused(NetworkError, "'a'.*neuron", lambda: Population("a", 3, "LIF"), id="the name of a model"),
    refused(NetworkError, "'a'.*2 values.*3", lambda: Population("a", 3, LIF(v_th=[1.0, 2.0])), id="parameters do not fit"),
    refused(NetworkError, "'a'.*2 values.*3", lambda: Population("a", 3, LIF(refractory=[1.0, 2.0])), id="refractory does not fit"),
    refused(NetworkError, "'a'.*4 values.*3", lambda: Population("a", 3, PoissonSource([1.0] * 4)), id="rates do not fit"),
    refused(NetworkError, "'a'.*'u'", lambda: Population("a", 3, LIF(), initial={"u": 0.0}), id="no such state"),
    refused(NetworkError, "'a'.*'v'", lambda: Population("a", 3, SpikeSource(), initial={"v": 0.0}), id="a source has no state"),
    refused(
        NetworkError, "'a'.*initial v", lambda: Population("a", 3, LIF(), initial={"v": [0.0, 1.0]}), id="initial does not fit"
    ),
    refused(NetworkError, "'a'.*initial v", lambda: Population("a", 3, LIF(), initial={"v": NAN}), id="initial not finite"),
    refused(NetworkError, "'a'", lambda: Network([A, Population("a", 2, LIF())]), id="one name twice"),
    refused(NetworkError, "at least one", lambda: Network([]), id="nothing at all"),
    refused(NetworkError, "wrong place", lambda: Network([A], [Current("a", 1.0)]), id="an input among the projections"),
    refused(NetworkError, "wrong place", lambda: Network([A], inputs=["noise"]), id="text among the inputs"),
    refused(ModelError, "tau_mem", lambda: LIF(tau_mem=[1.0, 0.0]), id="time constant of zero"),
    refused(ModelError, "v_th", lambda: LIF(v_th=INF), id="threshold not finite"),
    refused(ModelError, "tau", lambda: LIF(tau=1.0), id="no such parameter"),
    refused(ModelError, "order", lambda: LIF(order=AFTER_RESET[:3]), id="order with a phase missing"),
    refused(ModelError, "refractory", lambda: LIF(refractory=-1.0), id="refractory negative"),
    refused(
        SimulationError,
        "'a'.*refractory.*0.25",
        lambda: simulate(Population("a", 1, LIF(refractory=0.25))),
        id="refractory off grid",
    ),
    refused(
        SimulationError,
        "'a'.*refractory",
        lambda: simulate(Population("a", 2, LIFDelta(refractory=[0.1, 0.25]))),
        id="one refractory off grid",
    ),
]


def given(value, **how):
    return simulate(SOURCE, spikes={"s": value}, **how)


INPUTS = [
    refused(NetworkError, "PoissonSource.*rate", lambda: PoissonSource(-1.0), id="rate negative"),
    refused(NetworkError, "PoissonSource.*rate", lambda: PoissonSource([1.0, NAN]), id="rate not finite"),
    refused(NetworkError, "PoissonSource.*rate", lambda: PoissonSource("fast"), id="rate text"),
    refused(NetworkError, "PoissonSource.*rate", lambda: PoissonSource([[1.0]]), id="rate with two axes"),
    refused(
        NetworkError, "'p'.*20000", lambda: simulate(Population("p", 2, PoissonSource(20000.0))), id="more than a spike a step"
    ),
    refused(NetworkError, "SpikeSource.*times", lambda: SpikeSource([1.0, 2.0], [0]), id="times and neurons differ"),
    refused(NetworkError, "SpikeSource.*times", lambda: SpikeSource([0.0], [0]), id="time 0"),
    refused(NetworkError, "SpikeSource.*times", lambda: SpikeSource([NAN], [0]), id="time not finite"),
    refused(NetworkError, "SpikeSource.*neurons", lambda: SpikeSource([1.0], [-1]), id="neuron negative"),
    refused(NetworkError, "SpikeSource.*neurons", lambda: SpikeSource([1.0], [0.5]), id="neuron not whole"),
    refused(SimulationError, "'s'.*0.15", lambda: given(SpikeSource([0.1, 0.15], [0, 0])), id="time off grid"),
    refused(SimulationError, "'s'.*not a multiple", lambda: given(SpikeSource([70000.05], [0])), id="late time off grid"),
    refused(SimulationError, "'s'.*1e-09", lambda: given(SpikeSource([1e-9], [0])), id="before the first step"),
    refused(SimulationError, "'s'.*twice", lambda: given(SpikeSource([0.3, 0.1, 0.1 * 3], [1, 1, 1])), id="twice in a step"),
    refused(SimulationError, "'s'.*3", lambda: given(SpikeSource([0.3], [3])), id="neuron beyond the population"),
    refused(
        SimulationError,
        "'x'.*3",
        lambda: simulate(Population("x", 2, SpikeSource([0.1], [3]))),
        id="neuron beyond the population, in the network",
    ),
    refused(SimulationError, "'s'.*0 and 1", lambda: given(np.full((4, 3), 2)), id="two spikes in an array"),
    refused(SimulationError, "'s'.*0 and 1", lambda: given(np.full((4, 3), NAN)), id="array not finite"),
    refused(SimulationError, "'s'.*5 values.*3", lambda: given(np.zeros((4, 5))), id="array of another size"),
    refused(SimulationError, "'s'.*steps", lambda: given(np.zeros(3)), id="array with one axis"),
    refused(SimulationError, "'s'.*2.*1", lambda: given(np.zeros((4, 2, 3))), id="array of another batch"),
    refused(SimulationError, "'s'.*3.*2", lambda: given([SpikeSource()] * 3, batch=2), id="list of another batch"),
    refused(SimulationError, "'s'", lambda: given("110"), id="spikes as text"),
    refused(SimulationError, "'s'", lambda: given(None), id="no spikes"),
    refused(SimulationError, "'a'.*SpikeSource", lambda: simulate(A, spikes={"a": np.zeros((4, 3))}), id="spikes of neurons"),
    refused(NetworkError, "'x'", lambda: simulate(A, spikes={"x": np.zeros((4, 3))}), id="spikes of nobody"),
    refused(SimulationError, "spikes", lambda: simulate(SOURCE, spikes=[SpikeSource()]), id="spikes for no name"),
    refused(NetworkError, "'a'.*rate", lambda: PoissonNoise("a", -1.0, 1.0), id="noise rate negative"),
    refused(NetworkError, "'a'.*weight", lambda: PoissonNoise("a", 1.0, NAN), id="noise weight not finite"),
    refused(
        NetworkError,
        "'a'.*rate.*2.*3",
        lambda: simulate(A, inputs=[PoissonNoise("a", [1.0, 2.0], 1.0)]),
        id="noise rates do not fit",
    ),
    refused(
        NetworkError,
        "'a'.*weight.*2.*3",
        lambda: simulate(A, inputs=[PoissonNoise("a", 1.0, [1.0, 2.0])]),
        id="noise weights do not fit",
    ),
    refused(
        NetworkError,
        "PoissonNoise.*'g'",
        lambda: simulate(A, inputs=[PoissonNoise("a", 1.0, 1.0, port="g")]),
        id="noise to no port",
    ),
    refused(
        NetworkError, "PoissonNoise.*'s'", lambda: simulate(SOURCE, inputs=[PoissonNoise("s", 1.0, 1.0)]), id="noise to a source"
    ),
    refused(NetworkError, "PoissonNoise.*'x'", lambda: simulate(A, inputs=[PoissonNoise("x", 1.0, 1.0)]), id="noise to nobody"),
    refused(NetworkError, "'a'.*amplitude", lambda: Current("a", INF), id="current not finite"),
    refused(NetworkError, "'a'.*amplitude", lambda: Current("a", [[1.0]]), id="constant current with two axes"),
    refused(NetworkError, "'a'.*amplitude", lambda: Current("a", 1.0, interval=1.0), id="current over time without time"),
    refused(NetworkError, "'a'.*amplitude", lambda: Current("a", [], interval=1.0), id="current without values"),
    refused(NetworkError, "'a'.*times", lambda: Current("a", [1.0, 2.0], times=[1.0]), id="current with fewer times"),
    refused(NetworkError, "'a'.*times", lambda: Current("a", [1.0, 2.0], times=[2.0, 1.0]), id="current times descend"),
    refused(NetworkError, "'a'.*times", lambda: Current("a", [1.0, 2.0], times=[1.0, 1.0]), id="current times repeat"),
    refused(NetworkError, "'a'.*times", lambda: Current("a", [1.0], times=[-1.0]), id="current time negative"),
    refused(
        NetworkError, "'a'.*not both", lambda: Current("a", [1.0], times=[1.0], interval=1.0), id="current with times and interval"
    ),
    refused(NetworkError, "'a'.*interval", lambda: Current("a", [1.0], interval=0.0), id="current interval of zero"),
    refused(NetworkError, "'a'.*interval", lambda: Current("a", [1.0], interval=NAN), id="current interval not finite"),
    refused(NetworkError, "'a'.*2.*3", lambda: simulate(A, inputs=[Current("a", [1.0, 2.0])]), id="currents do not fit"),
    refused(
        NetworkError,
        "'a'.*2.*3",
        lambda: simulate(A, inputs=[Current("a", [[1.0, 2.0]], interval=1.0)]),
        id="currents over time do not fit",
    ),
    refused(NetworkError, "Current.*'s'", lambda: simulate(SOURCE, inputs=[Current("s", 1.0)]), id="current into a source"),
    refused(
        SimulationError,
        "Current.*'a'.*0.25",
        lambda: simulate(A, inputs=[Current("a", [1.0], times=[0.25])]),
        id="current time off grid",
    ),
    refused(
        SimulationError,
        "Current.*'a'.*0.25",
        lambda: simulate(A, inputs=[Current("a", [1.0], interval=0.25)]),
        id="current interval off grid",
    ),
    refused(NetworkError, "'a'.*value", lambda: Increment("a", NAN), id="increment not finite"),
    refused(NetworkError, "'a'.*value", lambda: Increment("a", 1.0, over_time=True), id="increment over time without time"),
    refused(NetworkError, "'a'.*2.*3", lambda: simulate(A, inputs=[Increment("a", [1.0, 2.0])]), id="increments do not fit"),
    refused(
        NetworkError,
        "'a'.*2.*3",
        lambda: simulate(A, inputs=[Increment("a", np.ones((9, 2)), over_time=True)]),
        id="increments over time do not fit",
    ),
    refused(NetworkError, "Increment.*'g'", lambda: simulate(A, inputs=[Increment("a", 1.0, port="g")]), id="increment to no port"),
    refused(SimulationError, "'a'.*steps", lambda: simulate(A, increments={"a": np.zeros(3)}), id="given increments with one axis"),
    refused(EventsimError, "'a'.*2.*3", lambda: simulate(A, increments={"a": np.zeros((4, 2))}), id="given increments do not fit"),
    refused(
        SimulationError,
        "'a'.*2.*3",
        lambda: simulate(A, batch=3, increments={"a": np.zeros((4, 2, 3))}),
        id="given increments of another batch",
    ),
    refused(EventsimError, "'s'", lambda: simulate(SOURCE, increments={"s": np.zeros((4, 3))}), id="increments to a source"),
    refused(EventsimError, "'x'", lambda: simulate(A, increments={"x": np.zeros((4, 3))}), id="increments to nobody"),
    refused(
        EventsimError, "'a'.*finite", lambda: simulate(A, increments={"a": np.full((4, 3), NAN)}), id="given increments not finite"
    ),
    refused(SimulationError, "increments", lambda: simulate(A, increments=np.zeros((4, 3))), id="increments for no name"),
]

SIMULATIONS = [
    refused(SimulationError, "Network", lambda: Simulation([A]), id="no network"),
    *[
        refused(SimulationError, "dt", lambda dt=dt: simulate(dt=dt), id=f"dt {dt!r}")
        for dt in (0.0, -0.1, NAN, INF, "0.1", None, True)
    ],
    *[
        refused(SimulationError, "dtype", lambda d=d: simulate(dtype=d), id=f"dtype {d!r}")
        for d in ("float16", int, "single precision", "complex64")
    ],
    *[refused(SimulationError, "seed", lambda s=s: simulate(seed=s), id=f"seed {s!r}") for s in (-1, 1.5, 2**64, "x", None, True)],
    *[refused(SimulationError, "workers", lambda n=n: simulate(workers=n), id=f"workers {n!r}") for n in (0, -1, 1.0, "2", True)],
    *[refused(SimulationError, "batch", lambda n=n: simulate(batch=n), id=f"batch {n!r}") for n in (0, -1, 1.0, None, True)],
    *[
        refused(SimulationError, "update", lambda u=u: simulate(update=u), id=f"update {u!r}")
        for u in ("fast", None, 3, {"a": "fast"})
    ],
    refused(NetworkError, "update.*'x'", lambda: simulate(update={"x": "dense"}), id="update of nobody"),
    refused(EventsimError, "update.*SpikeSource", lambda: simulate(SOURCE, update={"s": "dense"}), id="update of a source"),
    refused(SimulationError, "record", lambda: simulate(record=Spikes("a")), id="a recorder without a list"),
    refused(SimulationError, "record", lambda: simulate(record=["a"]), id="record text"),
    refused(NetworkError, "Spikes of 'x'", lambda: simulate(record=[Spikes("x")]), id="record nobody"),
    refused(SimulationError, "Spikes of 'a'.*twice", lambda: simulate(record=[Spikes("a"), Spikes("a", [0])]), id="record twice"),
    refused(SimulationError, "Spikes of 'a'.*0 to 2", lambda: simulate(record=[Spikes("a", [3])]), id="record a neuron beyond"),
    refused(SimulationError, "Spikes of 'a'.*0 to 2", lambda: simulate(record=[Spikes("a", [-1])]), id="record a negative neuron"),
    refused(SimulationError, "States of 'a'", lambda: simulate(record=[States("a", neurons=[0.5])]), id="record half a neuron"),
    refused(
        SimulationError,
        "States of 'a'",
        lambda: simulate(record=[States("a", neurons=np.ones(4, bool))]),
        id="record a mask that does not fit",
    ),
    refused(
        SimulationError, "States of 'a'.*'u'.*v, i", lambda: simulate(record=[States("a", ("v", "u"))]), id="record no such state"
    ),
    refused(EventsimError, "States of 's'", lambda: simulate(SOURCE, record=[States("s")]), id="record states of a source"),
    refused(SimulationError, "Spikes of 'r'.*LI", lambda: simulate(READOUT, record=[Spikes("r")]), id="record spikes of a readout"),
    refused(
        SimulationError, "Rates of 'r'.*LI", lambda: simulate(READOUT, record=[Rates("r", 1.0)]), id="record rates of a readout"
    ),
    *[
        refused(
            SimulationError,
            "States of 'a'.*interval",
            lambda i=i: simulate(record=[States("a", interval=i)]),
            id=f"states every {i}",
        )
        for i in (0.25, 0.0, -1.0, NAN, INF, "often")
    ],
    *[
        refused(SimulationError, "Rates of 'a'.*interval", lambda i=i: simulate(record=[Rates("a", i)]), id=f"rates every {i}")
        for i in (0.25, 0.0, -1.0, NAN, INF, None)
    ],
    *[
        refused(SimulationError, "duration", lambda d=d: simulate().run(d), id=f"run {d!r}")
        for d in (-1.0, 0.25, NAN, INF, "long", None)
    ],
    refused(NetworkError, "'x'", lambda: simulate().state("x"), id="state of nobody"),
    refused(SimulationError, "'a'.*'u'", lambda: simulate().state("a", "u"), id="no such state"),
    refused(EventsimError, "'s'", lambda: simulate(SOURCE).state("s"), id="state of a source"),
]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta:UserWarning")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled:UserWarning")
@pytest.mark.parametrize(("error", "named", "case"), CONNECTIVITY + PROJECTIONS + CYCLES + POPULATIONS + INPUTS + SIMULATIONS)
def test_refused_by_name(error, named, case):
    with pytest.raises(error, match=f"(?s){named}") as caught:
        case()
    assert isinstance(caught.value, EventsimError)


def test_what_is_next_to_the_malformed_is_accepted():
    """The same calls with nothing wrong in them: what is refused above is refused for its one fault."""
    made = [
        csr(),
        np.ones((3, 2)),
        raw_scipy("csr", (0, 1, 2, 3), (0, 1, 0)),
        raw_scipy("csc", (0, 1, 3), (0, 1, 2)),
        raw_coo((0, 1, 2), (0, 1, 1)),
    ]
    for connectivity in made:
        assert project(connectivity).projections[0].connectivity.nnz == (6 if isinstance(connectivity, np.ndarray) else 3)
    chain = [instant("s", "a"), instant("a", "b"), instant("b", "c"), instant("c", "a", 0.1)]
    simulation = simulate(SOURCE, A, B, C, projections=chain, spikes={"s": SpikeSource([0.1, 0.2], [2, 2])}, seed=2**64 - 1)
    simulation.run(0.3)
    assert simulation.counters.spikes == 2
    given(SpikeSource([70000.1], [0])), given([SpikeSource()] * 2, batch=2), simulate(update={"a": "sparse"})


def test_nothing_changes_behind_the_back_of_a_network():
    """Arrays that were given are copied: to change them later does not bring in what was refused."""
    indptr, targets, weights = np.array([0, 1, 2, 3]), np.array([0, 1, 0], np.int32), np.ones(3)
    made = Connectivity.from_arrays(indptr, targets, 2, weights)
    rate, threshold = np.ones(3), np.ones(3)
    source, neuron = PoissonSource(rate), LIF(v_th=threshold)
    for array in (indptr, targets, weights, rate, threshold):
        array[:] = 99
    assert made.targets.max() == 1 and made.indptr[-1] == 3 and made.weights.max() == 1.0
    assert source.rate.max() == 1.0 and neuron.params.v_th.max() == 1.0
    for array in (made.targets, made.indptr, made.weights, source.rate, neuron.params.v_th):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7
