"""A small real Slurm on one host, for tests: four emulated nodes, with or without accounting."""
