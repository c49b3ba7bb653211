"""MPI run commands for smartcore."""
