"""The weights of VGG and MobileNetV2: how they start, and how saved ones are read from a file."""

from __future__ import annotations

import pickle

import torch

from eventsim.errors import ModelError, StorageError

LIFTED = "lifted_module"


def initialise(net):
    """Draw the weights of a net as torchvision does, in place: He et al. (2015) for convolutions, counted over their outputs;
    N(0, 0.01^2) for linear maps; 1 for the scales of norms; 0 for every bias."""
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, 0.0, 0.01)
        elif isinstance(module, (torch.nn.BatchNorm2d, torch.nn.GroupNorm)) and module.weight is not None:
            torch.nn.init.ones_(module.weight)
        else:
            continue
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)


def saved_weights(pretrained, name):
    """The state dict that ``pretrained`` asks for: None for False, or what is in the file of that path, of torchvision's model
    ``name``, of Norse's, or of this one. True, a download, is a ModelError that says how to get the file."""
    if pretrained is False or pretrained is None:
        return None
    if pretrained is True:
        raise ModelError(
            f"{name}: pretrained=True is a download, and nothing is downloaded here. Where torchvision is installed, run "
            f"torch.save(torchvision.models.{name}(weights='DEFAULT').state_dict(), '{name}.pt') once; then give the file: "
            f"pretrained='{name}.pt'"
        )
    path = str(pretrained)
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StorageError(f"{name}: {path!r} cannot be read as a state dict: {error}") from error
    if not isinstance(saved, dict) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in saved.items()):
        raise StorageError(f"{name}: {path!r} holds no state dict; write it with torch.save(model.state_dict(), path)")
    return saved


def load_weights(net, saved, name):
    """The net with the weights of a state dict that `saved_weights` read; None changes nothing."""
    if saved is None:
        return net
    own = net.state_dict().keys()
    try:
        net.load_state_dict({_own_key(key, own): value for key, value in saved.items()})
    except RuntimeError as error:
        raise StorageError(f"{name}: the saved weights are those of another net: {error}") from error
    return net


def _own_key(key, own):
    """The key of a weight here: torchvision's nets have the same places, but no Lift around their modules."""
    path, _, leaf = key.rpartition(".")
    lifted = f"{path}.{LIFTED}.{leaf}"
    return lifted if key not in own and lifted in own else key
