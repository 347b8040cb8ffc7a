"""Programs that run another simulator in its own interpreter and answer over standard input and output."""
