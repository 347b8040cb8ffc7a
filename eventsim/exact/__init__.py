"""The exact engine: spike times are real numbers, limited by float64 alone."""
