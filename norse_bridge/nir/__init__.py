"""The Neuromorphic Intermediate Representation (NIR) both ways: layers <-> graphs, files -> graphs, graphs -> sparse networks."""
