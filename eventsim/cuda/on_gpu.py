"""What kernels say to a GPU, or to Numba's simulator of one. Imported only where numba-cuda is installed.

The simulator puts what a thread sees in the place of ``cuda`` in the module of each function that it calls, and so these functions
stand in a module that has it under that name.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from eventsim.cuda.layout import AT_PHASE, AT_STEP, DONE, S_LEVELS, STATUS, Arrays, Kinds, dtypes_of


def atomic_add(array, index, value):
    """``array[index] += value`` as one operation; returns the value before."""
    return cuda.atomic.add(array, index, value)


def make_steps(stopped: Any, run: Any, sample: Any) -> Any:
    """The kernel of a network as a function, not compiled yet: all threads go through the phases, and wait for each other."""

    def steps(
        sizes, control, groups, first, state, numbers, arrived, gids, row, pieces, targets, weights, shared, wheel, waiting, spill,
        fired, ends, given, given_ends, noise, keys, cuts, listed, increments, ahead, tally, rules, laws, streams, orders, offsets,
        watched, chosen, samples, step, phase, last,
    ):  # fmt: skip
        a = Arrays(
            sizes, control, groups, first, state, numbers, arrived, gids, row, pieces, targets, weights, shared, wheel, waiting,
            spill, fired, ends, given, given_ends, noise, keys, cuts, listed, increments, ahead, tally, rules, laws, streams,
            orders, offsets, watched, chosen, samples,
        )  # fmt: skip
        thread, threads = cuda.grid(1), cuda.gridsize(1)
        grid = cuda.cg.this_grid()
        while step <= last:
            status = stopped(step, phase, a)
            if status != DONE:
                if thread == 0:
                    control[STATUS] = status
                    control[AT_STEP] = step
                    control[AT_PHASE] = phase
                return
            run(thread, threads, step, phase, a)
            grid.sync()
            phase += 1
            if phase == 2 * sizes[S_LEVELS]:
                step += 1
                phase = 0
        sample(thread, threads, last, a)
        if thread == 0:
            control[STATUS] = DONE
            control[AT_STEP] = step
            control[AT_PHASE] = phase

    return steps


def signature_of(kinds: Kinds) -> tuple[Any, ...]:
    """What the kernel takes, as numba-cuda's types."""
    from numba.cuda.np.numpy_support import from_dtype
    from numba.cuda.types import Array, int64

    return (*(Array(from_dtype(dtype), 1, "C") for dtype in dtypes_of(kinds).values()), int64, int64, int64)
