"""Telling the user that something is still going on, where nobody knows how long it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from tqdm import tqdm


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show ``what`` and the time elapsed on stderr while the block runs, once it has taken a second; on a terminal only."""
    done = Event()

    def tick() -> None:
        with tqdm(desc=what, bar_format="{desc}: {elapsed}", delay=1.0, disable=None, leave=False) as bar:
            while not done.wait(0.5):
                bar.update()

    ticker = Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
