"""The grid engine on an NVIDIA GPU: the same network, the same models, kernels compiled by numba-cuda. Imported when asked for."""
