"""The product of spikes with weights that recurrent neurons receive in each step."""

from __future__ import annotations

import torch

from norse_bridge.undisturbed import undisturbed


def product(x, weights):
    """What neurons receive: ``(..., outputs)`` for x ``(..., inputs)`` and weights ``(outputs, inputs)``.

    On the CPU, in float32 and float64, it is the sum over those that fire, in ascending order (`norse_bridge.fused.products`): the
    same bits for any number of samples, in a cell and in a layer over time. Elsewhere it is torch's product.
    """
    if _is_ordinary(x, weights):
        from norse_bridge.fused.product_function import Product, multiply

        differentiable = torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad)
        return Product.apply(x, weights) if differentiable else multiply(x, weights)
    return torch.nn.functional.linear(x, weights)


def _is_ordinary(x, weights) -> bool:
    return (
        type(x) is torch.Tensor
        and type(weights) in (torch.Tensor, torch.nn.Parameter)
        and x.layout == torch.strided == weights.layout
        and x.dtype == weights.dtype
        and x.dtype in (torch.float32, torch.float64)
        and x.device.type == "cpu" == weights.device.type
        and weights.ndim == 2
        and x.ndim > 0
        and x.shape[-1] == weights.shape[1]
        and undisturbed()
        and not torch.is_autocast_enabled("cpu")
    )
