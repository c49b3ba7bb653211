from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from smartcore.testing import RunCommandContract


class TestSrun(RunCommandContract):
    command = "smartcore_slurm.srun:Srun"
    settings = "smartcore_slurm.settings:SrunSettings"
    outputs: ClassVar[Mapping[str, str]] = {
        "debian": "slurm-wlm 22.05.8\n",
        "schedmd": "slurm 24.11.1\n",
    }
