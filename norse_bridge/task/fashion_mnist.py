"""Pieces of clothing in ten classes, with the net and the options of the task mnist.

\b
Example:
  python -m norse_bridge.task fashion-mnist --data fashion-mnist --epochs 3 --seq-length 10 --simulate
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from norse_bridge.datasets.images import read_digits
from norse_bridge.task.files import Source, data, find
from norse_bridge.task.mnist import OWN_OPTIONS, train
from norse_bridge.task.report import Report

SOURCE = Source(
    ("fashion-mnist.npz", "fashion-mnist"),
    """Data: get the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz,
t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz of
  http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/
and give the path of their folder, or that of an .npz with x_train, y_train, x_test, y_test.""",
)
OPTIONS = [data(SOURCE), *OWN_OPTIONS]


def run(options: dict[str, Any], out: Path, report: Report) -> dict[str, Any]:
    """Train on Fashion-MNIST and test."""
    return train("fashion-mnist", read_digits(find(options["data"], SOURCE)), options, out, report)
