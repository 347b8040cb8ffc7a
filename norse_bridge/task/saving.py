"""A trained model in a file: its state dict and the settings that it is built from, without pickled classes."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from eventsim.errors import StorageError

PLAIN = (bool, int, float, str, type(None))


def save_model(path: str | Path, task: str, model: torch.nn.Module, settings: dict[str, Any]) -> None:
    """Write ``{"task", "settings", "state_dict"}``, which ``torch.load(path, weights_only=True)`` reads.

    settings : what the task's ``build`` needs to make the same net, by name: numbers, texts, booleans, None, or tuples of these
    """
    for name, value in settings.items():
        odd = [v for v in (value if isinstance(value, tuple) else (value,)) if not isinstance(v, PLAIN)]
        if odd:
            raise StorageError(f"save_model: the setting {name!r} is a {type(odd[0]).__name__}; give numbers or texts")
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    torch.save({"task": task, "settings": settings, "state_dict": state}, path)


def load_model(path: str | Path, task: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """``(settings, state_dict)`` of a file that `save_model` wrote for the task; a StorageError for any other."""
    label = f"model {str(path)!r}"
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):  # what torch wrote in another form may hold anything
                raise ValueError("it is no .zip archive")
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StorageError(f"{label}: cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise StorageError(f"{label}: is no model that a task has saved ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict) or set(found) != {"task", "settings", "state_dict"}:
        raise StorageError(f"{label}: is no model that a task has saved; give the model.pt of an earlier run")
    if found["task"] != task:
        raise StorageError(f"{label}: belongs to the task {found['task']!r}, not to {task!r}")
    settings, state = found["settings"], found["state_dict"]
    tensors = isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items())
    if not isinstance(settings, dict) or not tensors:
        raise StorageError(f"{label}: settings must be a mapping of names, state_dict one of names to tensors")
    return settings, state
