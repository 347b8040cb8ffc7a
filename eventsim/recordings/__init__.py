"""Recordings on disk: written while a simulation runs, read again, and turned into what other tools know."""
