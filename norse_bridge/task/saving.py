"""A trained model in a file: its state dict and the settings that it is built from, without pickled classes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from eventsim.errors import StorageError


def save_model(path: str | Path, task: str, model: torch.nn.Module, settings: dict[str, Any]) -> None:
    """Write ``{"task", "settings", "state_dict"}``, which ``torch.load(path, weights_only=True)`` reads.

    settings : numbers, texts, booleans and None by name: what the task's ``build`` needs to make the same net
    """
    odd = [name for name, value in settings.items() if not isinstance(value, (bool, int, float, str, type(None)))]
    if odd:
        raise StorageError(f"save_model: the setting {odd[0]!r} is a {type(settings[odd[0]]).__name__}; give a number or a text")
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    torch.save({"task": task, "settings": settings, "state_dict": state}, path)


def load_model(path: str | Path, task: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """``(settings, state_dict)`` of a file that `save_model` wrote for the task; a StorageError for any other."""
    label = f"model {str(path)!r}"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StorageError(f"{label}: cannot be read ({error.strerror})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise StorageError(f"{label}: is no model that a task has saved ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict) or set(found) != {"task", "settings", "state_dict"}:
        raise StorageError(f"{label}: is no model that a task has saved; give the model.pt of an earlier run")
    if found["task"] != task:
        raise StorageError(f"{label}: belongs to the task {found['task']!r}, not to {task!r}")
    return found["settings"], found["state_dict"]
