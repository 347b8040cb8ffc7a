"""What each linear module of torch is as a sparse matrix; a file for each kind."""
