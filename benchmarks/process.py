"""Other processes: one that answers questions (`benchmarks.peers.protocol`), and one that only keeps a core busy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
SHOWN = 12  # lines of what a process printed before it died


class Failed(click.ClickException):
    """A benchmark cannot go on; the message says why and what to do."""

    exit_code = 2


def say(text: str) -> None:
    """A line about progress."""
    click.echo(text, err=True)


def environment(**more: str) -> dict[str, str]:
    """This process's environment, in which this checkout is imported."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **more}


class Child:
    """A process that answers questions. Use it in a ``with`` statement: it ends there.

    name : how messages call it
    command : the program and its arguments
    more : further variables of its environment
    """

    def __init__(self, name: str, command: Sequence[str], more: Mapping[str, str] | None = None):
        self.name = name
        self._printed = tempfile.TemporaryFile(mode="w+", errors="replace")
        try:
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._printed,
                text=True,
                env=environment(**(more or {})),
            )
        except OSError as error:
            self._printed.close()
            raise Failed(f"{name}: {command[0]} cannot be started ({error.strerror}); give the interpreter's path") from error

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: Any) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # it is gone already
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._printed.close()

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a question, wait for the answer; `Failed` with the child's own words if it has none."""
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"{self.name} ended without an answer. The last it printed:\n{self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"{self.name}: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        self._process.wait()
        self._printed.seek(0)
        return "".join(f"  {line}" for line in self._printed.readlines()[-SHOWN:]) or "  (nothing)"


@contextmanager
def busy_process() -> Iterator[None]:
    """Another process computes for as long as this lasts."""
    with subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()
            yield
        finally:
            process.kill()
