"""Experiments to train from beginning to end, one file each."""
