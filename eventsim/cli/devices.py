"""``eventsim devices``: on which processors and GPUs simulations can run."""

from __future__ import annotations

import click

from eventsim.memory import available_memory
from eventsim.simulation import available_threads
from eventsim.table import bytes_text


@click.command()
def devices() -> None:
    """Show on what simulations can run: the processor, and the NVIDIA GPUs for backend='cuda'.

    Where no GPU is listed, the last line says what is missing.
    """
    free = available_memory()
    click.echo(f"cpu      {available_threads()} threads, {bytes_text(free.bytes)} of memory available {free.whose}")
    from eventsim.cuda.devices import devices as find_devices  # numba-cuda is an extra, and slow to import

    found, why = find_devices()
    for device in found:
        major, minor = device.capability
        click.echo(
            f"cuda:{device.number}   {device.name}, compute capability {major}.{minor}, {bytes_text(device.memory)} of memory, "
            f"{device.multiprocessors} multiprocessors"
        )
    if not found:
        click.echo(f"cuda     none: {why}")
