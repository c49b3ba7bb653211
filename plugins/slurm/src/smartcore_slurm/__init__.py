"""Slurm for smartcore."""
