"""``eventsim run``: simulate a network, record, save, draw."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from eventsim.cli import kept
from eventsim.cli.choose import choose, dtype_option, force_option, network_options, weights_option
from eventsim.cli.report import Run, make_folder, print_report, write_results
from eventsim.cli.waiting import waiting
from eventsim.errors import SimulationError
from eventsim.estimate import estimate
from eventsim.grid import steps_of
from eventsim.models import Neuron
from eventsim.networks import Example
from eventsim.recording import Recorder, Spikes, States
from eventsim.recordings.joined import joined
from eventsim.simulation import Simulation
from eventsim.table import bytes_text

TRACED = 8  # neurons of which states are recorded
SAMPLES = 5000  # of each, at most about so many
LARGE = 20_000_000  # synapses that take more than a moment to build


def _states(example: Example, wanted: tuple[str, ...], duration: float, dt: float) -> list[States]:
    """The recorders of ``--record-state``: POPULATION:STATE."""
    fields: dict[str, list[str]] = {}
    for text in wanted:
        name, colon, state = text.rpartition(":")
        if not colon:
            raise click.UsageError(f"--record-state wants POPULATION:STATE, such as exc:v, not {text!r}")
        population = example.network.population(name, "--record-state")
        known = population.neuron.model.State._fields if isinstance(population.neuron, Neuron) else ()
        if state not in known:
            raise click.UsageError(f"--record-state {text}: the states of {name!r} are {', '.join(known) or 'none'}")
        fields.setdefault(name, []).append(state)
    interval = dt * max(1, round(duration / dt / SAMPLES))
    return [
        States(name, tuple(states), neurons=list(range(min(TRACED, example.network.population(name).size))), interval=interval)
        for name, states in fields.items()
    ]


def simulate(example: Example, duration: float, discard: float, states: tuple[str, ...], settings: dict[str, Any]) -> Run:
    """Build and run, timed; what is discarded is simulated and not counted."""
    recorders: list[Recorder] = [*map(Spikes, example.record)]
    recorders += _states(example, states, duration, example.dt)
    if settings["method"] == "grid":
        size = estimate(
            example.network, example.dt, settings["dtype"], settings["workers"] or 1, weight_dtype=settings["weight_dtype"]
        )
        if size.synapses > LARGE:
            click.echo(f"building {size.synapses:,.0f} synapses, {bytes_text(size.peak_bytes)} ...", err=True)
        settings = {**settings, "dt": example.dt}
    start = time.perf_counter()
    with waiting("building and compiling"):
        simulation = Simulation(example.network, record=recorders, **settings)
    built = time.perf_counter() - start
    if discard:
        simulation.run(discard, progress=True)
    before = simulation.counters
    with waiting("compiling"):  # what the first step needs: not part of the time that is reported
        first = simulation.run(example.dt)
    start = time.perf_counter()
    recording = joined([first, simulation.run(duration - example.dt, progress=True)], recorders, {})
    wall = time.perf_counter() - start
    return Run(example, recording, before, simulation.counters, duration, built, wall)


@click.command()
@network_options
@click.option("--duration", type=float, help="Time that is counted, in ms.  [default: the network's usual one]")
@click.option(
    "--discard", type=float, help="Time simulated before that and not counted, in ms.  [default: the network's usual one]"
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of everything random; the same seed gives the same spikes."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Number of threads; results do not depend on it.  [default: one for each 20,000 neurons that are updated densely, "
    "at most the cores]",
)
@click.option(
    "--update",
    type=click.Choice(["auto", "dense", "sparse"]),
    default="auto",
    show_default=True,
    help="Update every neuron in every step (dense), only those that something happens to (sparse), or what is faster.",
)
@dtype_option
@weights_option
@click.option(
    "--method",
    type=click.Choice(["grid", "exact"]),
    default="grid",
    show_default=True,
    help="Steps of --dt, or spike times that are real numbers; then there are no --dt, --workers, --update, --dtype and --weights.",
)
@click.option(
    "--record-state", multiple=True, metavar="POPULATION:STATE", help=f"Record a state of the first {TRACED} neurons, too."
)
@click.option(
    "--checkpoint-every",
    type=float,
    metavar="MS",
    help="Write the state every so many simulated ms, and what is recorded to recording.h5 as it happens: 'eventsim resume FOLDER' "
    "goes on with it.  (needs h5py)",
)
@click.option("--overwrite", is_flag=True, help="With --checkpoint-every: begin anew in a folder whose run is not finished.")
@force_option
@click.option("--output", type=click.Path(file_okay=False), help="Folder for the results.  [default: ./eventsim-NETWORK]")
def run(
    network: str,
    dt: float | None,
    duration: float | None,
    discard: float | None,
    seed: int,
    workers: int | None,
    update: str,
    dtype: str,
    weight_dtype: str | None,
    method: str,
    record_state: tuple[str, ...],
    checkpoint_every: float | None,
    overwrite: bool,
    force: bool,
    output: str | None,
    **options: Any,
) -> None:
    """Simulate NETWORK; print its rates, save spikes, rates and a raster plot.

    NETWORK is brunel, vogels-abbott, microcircuit, fly, or the path of a saved network (.npz).

    \b
    Examples:
      eventsim run brunel
      eventsim run microcircuit --scale 0.1 --duration 2000
      eventsim run fly --connectome connectome.npz --seed 1
      eventsim run vogels-abbott --synapses coba --delay 0.8 --record-state exc:v
      eventsim run my-network.npz --dt 0.1 --duration 500 --output results
      eventsim run brunel --method exact
      eventsim run brunel --duration 600000 --checkpoint-every 10000 --output long
    """
    example = choose(network, dt, options)
    duration = example.duration if duration is None else duration
    discard = example.discard if discard is None else discard
    if not duration > 0 or not discard >= 0:
        raise click.UsageError(f"--duration must be above 0 ms and --discard not negative, not {duration} and {discard}")
    for name, time_given in (("--duration", duration), ("--discard", discard)):
        steps_of(time_given, example.dt, name)  # refuses what is not on the grid, before anything is built
    folder = make_folder(Path(output or f"eventsim-{example.name}"))
    click.echo(example.description)
    for note in example.notes:
        click.echo(f"  {note}")
    grid = {"workers": workers, "update": update, "dtype": dtype, "weight_dtype": weight_dtype}
    if method == "exact":
        context = click.get_current_context()
        for name in ("dt", *grid):
            if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
                option = "--weights" if name == "weight_dtype" else f"--{name}"
                raise click.UsageError(f"{option} is the grid's: --method exact has no steps, and float64 states on one thread")
        grid = {}
    settings: dict[str, Any] = {"method": method, "seed": seed, **grid, "force": force}
    try:
        if checkpoint_every is None:
            done = simulate(example, duration, discard, record_state, settings)
        else:
            states = [vars(recorder) for recorder in _states(example, record_state, duration, example.dt)]
            about = {name: value for name, value in vars(example).items() if name != "network"}
            if method == "grid":
                settings["dt"] = example.dt
            asked = kept.Asked(about, settings, states, duration, discard, checkpoint_every)
            with kept.alone(folder):
                kept.begin(folder, example, asked, overwrite)
                done = kept.go_on(folder)
    except MemoryError as error:
        raise SimulationError("not enough memory; 'eventsim info NETWORK' shows what is needed") from error
    print_report(done)
    write_results(done, folder)
