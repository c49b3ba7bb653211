"""Settings of mpirun, mpiexec and orterun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smartcore.spec.mpi import MpiSettings, _BaseMPISettings
from smartcore.spec.values import ArgValue, EnvValue

__all__ = ["MpiexecSettings", "MpirunSettings", "OrterunSettings", "_BaseMPISettings"]


class MpirunSettings(MpiSettings):
    """Settings of ``mpirun``.

    :param kwargs: ``container``, ``fail_if_missing_exec``, and ``run_command`` for one that is not
        the first on ``PATH``; see ``MpiSettings``, as for the other parameters
    """

    def __init__(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_args: Mapping[str, ArgValue] | None = None,
        env_vars: Mapping[str, EnvValue] | None = None,
        **kwargs: Any,
    ) -> None:
        options = {"run_command": "mpirun", **kwargs}
        super().__init__(exe, exe_args, run_args=run_args, env_vars=env_vars, **options)


class MpiexecSettings(MpiSettings):
    """Settings of ``mpiexec``; the parameters are those of ``MpirunSettings``."""

    def __init__(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_args: Mapping[str, ArgValue] | None = None,
        env_vars: Mapping[str, EnvValue] | None = None,
        **kwargs: Any,
    ) -> None:
        options = {"run_command": "mpiexec", **kwargs}
        super().__init__(exe, exe_args, run_args=run_args, env_vars=env_vars, **options)


class OrterunSettings(MpiSettings):
    """Settings of ``orterun``; the parameters are those of ``MpirunSettings``."""

    def __init__(
        self,
        exe: str,
        exe_args: str | Sequence[str] | None = None,
        run_args: Mapping[str, ArgValue] | None = None,
        env_vars: Mapping[str, EnvValue] | None = None,
        **kwargs: Any,
    ) -> None:
        options = {"run_command": "orterun", **kwargs}
        super().__init__(exe, exe_args, run_args=run_args, env_vars=env_vars, **options)
