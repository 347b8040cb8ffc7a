"""Benchmarks of eventsim and norse_bridge, alone and side by side with other simulators: ``python -m benchmarks NAME``."""
