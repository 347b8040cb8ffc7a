"""Work shared out to threads: nobody goes on before all have stopped, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, wait
from typing import Any

from eventsim.errors import SimulationError


class GaveUp(SimulationError):
    """A worker stopped because another one failed; what that one raised is the reason."""


def run_all(pool: Executor, function: Callable, arguments: Iterable[Any], give_up: Callable[[], None], here: bool = False) -> None:
    """Call the function on each argument in threads and wait for all: they write to memory that the caller holds.

    give_up : called when waiting is interrupted (Ctrl-C), so that the threads return soon
    here : the calling thread takes the first argument itself. It is awake, so that the system wakes the others on other cores;
        woken by a thread that then sleeps, two of them might share a core for a while.

    Raises what the first of them raised that did not stop because of another.
    """
    first, *others = arguments
    jobs: list[Any] = []
    failures: list[BaseException] = []
    try:
        for argument in others if here else (first, *others):
            jobs.append(pool.submit(function, argument))
        if here:
            try:
                function(first)
            except Exception as error:
                failures.append(error)
        failures += [error for error in [job.exception() for job in jobs] if error is not None]
    except BaseException:
        give_up()
        for job in jobs:
            job.cancel()
        wait(jobs)
        raise
    if failures:
        raise next((error for error in failures if not isinstance(error, GaveUp)), failures[0])
