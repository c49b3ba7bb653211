"""The settings that users fill in: of srun, and of sbatch."""

from __future__ import annotations

from .sbatch_settings import SbatchSettings
from .srun_settings import SrunSettings, fmt_walltime

__all__ = ["SbatchSettings", "SrunSettings", "fmt_walltime"]
