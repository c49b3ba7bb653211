"""What must hold of the host before anything is done to it, and who runs there."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from cluster import packages
from cluster.error import ClusterError
from cluster.process import read_stat
from cluster.settings import Settings, is_ours

FOREIGN_CONFS = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"))
DAEMONS = ("slurmctld", "slurmd", "slurmdbd")
CGROUP_V1 = (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/freezer"))


def check() -> None:
    """Refuse a host which is not ours to change.

    Raises:
        ClusterError: not root, not Debian or Ubuntu, or it has a Slurm that is not ours.
    """
    if os.geteuid() != 0:
        raise ClusterError("the daemons need root; run it by sudo, or in a container as root")
    if not shutil.which("apt-get"):
        raise ClusterError(
            "this is for Debian and Ubuntu (no apt-get); run it in a debian container"
        )
    for conf in FOREIGN_CONFS:
        if conf.exists():
            raise _foreign(f"{conf} exists")
    chosen = os.environ.get("SLURM_CONF")
    if chosen and Path(chosen).exists() and not is_ours(Path(chosen)):
        raise _foreign(f"SLURM_CONF names {chosen}")
    for pid, name in _foreign_daemons():
        raise _foreign(f"process {pid} is a {name}")
    sinfo = shutil.which("sinfo")
    if sinfo and packages.missing(("slurm-client",)):
        raise _foreign(f"{sinfo} is of no Debian package")


def _foreign(why: str) -> ClusterError:
    return ClusterError(
        f"this host has a Slurm of its own ({why}), which is left alone; "
        "use another host or a container"
    )


def _foreign_daemons() -> list[tuple[int, str]]:
    return [
        (pid, name)
        for pid, name in _processes()
        if name in DAEMONS and not is_ours(Path(variable(pid, "SLURM_CONF") or "/"))
    ]


def _processes() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        stat = read_stat(int(entry.name)) if entry.name.isdigit() else None
        if stat and stat.state not in "ZX":
            try:
                found.append((int(entry.name), (entry / "comm").read_text().strip()))
            except OSError:
                continue  # ended meanwhile
    return found


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return None
    pairs = dict(pair.partition("=")[::2] for pair in environment.split("\0"))
    return pairs.get(name)


def step_processes(settings: Settings) -> tuple[int, ...]:
    """The slurmstepds of this cluster and all that descends from them."""
    parents: dict[int, list[int]] = {}
    found = []
    for pid, name in _processes():
        stat = read_stat(pid)
        if stat:
            parents.setdefault(stat.parent, []).append(pid)
        if name == "slurmstepd" and variable(pid, "SLURM_CONF") == str(settings.conf):
            found.append(pid)
    for pid in found:  # grows
        found.extend(child for child in parents.get(pid, ()) if child not in found)
    return tuple(found)


def has_cgroup_v1() -> bool:
    return all(path.exists() and os.access(path, os.W_OK) for path in CGROUP_V1)


def check_ports(ports: tuple[int, ...]) -> None:
    for port in ports:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                raise ClusterError(f"port {port} is taken; give another one by --port") from error
