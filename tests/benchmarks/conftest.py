"""What the tests of the benchmarks share: running a command at a tiny size, and reading what it wrote."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.command import main


@pytest.fixture
def bench(tmp_path):
    """``bench(name, *options)`` runs a benchmark and returns (what it printed, the JSON that it wrote)."""

    def run(name, *options):
        path = tmp_path / "result.json"
        done = CliRunner().invoke(main, [name, "--json", str(path), *options])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout, json.loads(path.read_text())

    return run


@pytest.fixture
def refused():
    """``refused(name, *options)`` is the message with which a benchmark refuses to run."""

    def run(name, *options):
        done = CliRunner().invoke(main, [name, *options])
        assert done.exit_code == 2, done.output
        return done.output

    return run
