"""Whether an operation of torch is nothing but that."""

from __future__ import annotations

import torch


def undisturbed() -> bool:
    """Whether nothing looks at, changes or records the operations of torch: no compiler, transform, mode or trace."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack()
        or torch._C._len_torch_function_stack()
    )
