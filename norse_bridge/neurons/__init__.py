"""One file for each family of neurons: Norse's tuples, functions, cells and layers of one model."""
