"""Ctrl-C and SIGTERM during a run: heard at once, obeyed where the state is that of one step."""

from __future__ import annotations

import signal
import threading
from typing import Any


class DeferredInterrupt:
    """Within it, Ctrl-C sets ``asked`` instead of raising; a second one raises at once.

    terminable : SIGTERM, too, sets ``asked``, and ``terminated``, instead of ending the process

    Only the main thread can do that, and only where the handlers in force are those of Python: elsewhere nothing changes.
    """

    def __init__(self, terminable: bool = False) -> None:
        self.asked = self.terminated = False
        self._wanted = {signal.SIGINT: signal.default_int_handler}
        if terminable:
            self._wanted[signal.SIGTERM] = signal.SIG_DFL  # type: ignore[assignment]  # a number that stands for a handler
        self._ours: list[signal.Signals] = []

    def __enter__(self) -> DeferredInterrupt:
        if threading.current_thread() is threading.main_thread():
            self._ours = [number for number, handler in self._wanted.items() if signal.getsignal(number) == handler]
            for number in self._ours:
                signal.signal(number, self._note)
        return self

    def __exit__(self, *raised: object) -> None:
        for number in self._ours:
            signal.signal(number, self._wanted[number])

    def _note(self, number: int, frame: Any) -> None:
        if number == signal.SIGTERM:
            self.asked = self.terminated = True
        elif self.asked:
            raise KeyboardInterrupt
        else:
            self.asked = True
