"""The packages, installed by apt-get without any service being started."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cluster.error import ClusterError

# mpi_pmix.so loads libpmix.so, which is in the -dev package only
SLURM = ("slurmctld", "slurmd", "slurm-client", "munge", "libpmix-dev")
ACCOUNTING = ("slurmdbd", "mariadb-server")
POLICY = Path("/usr/sbin/policy-rc.d")
TRIES = 3
APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=3")


def install(accounting: bool) -> tuple[str, ...]:
    """Install what is missing, and tell what that was.

    Raises:
        ClusterError: apt-get failed three times; its output is in the message.
    """
    absent = missing(SLURM + ACCOUNTING if accounting else SLURM)
    if absent:
        with _no_service_starts():
            _apt(*absent)
    return absent


def missing(packages: tuple[str, ...]) -> tuple[str, ...]:
    asked = ("dpkg-query", "--show", "--showformat=${Package} ${Status}\n", *packages)
    # exit code 1: some are not known at all
    answer = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
    installed = {line.split()[0] for line in answer.splitlines() if line.endswith(" ok installed")}
    return tuple(package for package in packages if package not in installed)


def _apt(*packages: str) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    keep = ("-o", "Dpkg::Options::=--force-confold")
    install = (*APT, *keep, "install", "-y", "--no-install-recommends", *packages)
    for _ in range(TRIES):
        output = ""
        for argv in ((*APT, "update"), install):
            run = subprocess.run(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=1800,
                check=False,
            )
            output += run.stdout
        if run.returncode == 0:
            return
        sys.stderr.write(f"ci/slurm: {' '.join(argv[:1])} failed, trying again\n")
    tail = "\n".join(output.splitlines()[-20:])
    raise ClusterError(f"apt-get cannot install {' '.join(packages)}:\n{tail}")


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    if POLICY.exists():  # as in containers, where it says the same
        allowed = subprocess.run((POLICY, "slurmctld", "start"), timeout=60, check=False)
        if allowed.returncode != 101:
            raise ClusterError(f"{POLICY} lets services start; move it away for the time of this")
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")  # 101: action forbidden by policy
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()
