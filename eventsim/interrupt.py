"""Ctrl-C during a run: heard at once, obeyed where the state is that of one step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupt:
    """Whether the user has asked to stop."""

    asked = False


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Within it, Ctrl-C sets ``asked`` instead of raising; a second one raises at once.

    Only the main thread can do that, and only where Python's own handler is in force: elsewhere nothing changes.
    """
    interrupt = Interrupt()
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def note(number: int, frame: Any) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True

    if ours:
        signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
