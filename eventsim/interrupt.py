"""Ctrl-C during a run: heard at once, obeyed where the state is that of one step."""

from __future__ import annotations

import signal
import threading
from typing import Any


class DeferredInterrupt:
    """Within it, Ctrl-C sets ``asked`` instead of raising; a second one raises at once.

    Only the main thread can do that, and only where Python's own handler is in force: elsewhere nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False
        self.ours = False

    def __enter__(self) -> DeferredInterrupt:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self.ours = True
        return self

    def __exit__(self, *raised: object) -> None:
        if self.ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
