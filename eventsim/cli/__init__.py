"""The command line."""

from eventsim.cli.main import main

__all__ = ["main"]
