"""What must hold of the host before anything is done to it, and who runs there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

from cluster import packages
from cluster.error import ClusterError
from cluster.process import read_stat
from cluster.settings import NODES, Settings, is_ours

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
        if name in DAEMONS and not is_ours(Path(_environment(pid).get("SLURM_CONF", "/")))
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


def _environment(pid: int) -> dict[str, str]:
    """What a process was started with; nothing if it has ended."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return {name: value for name, _, value in (pair.partition("=") for pair in text.split("\0"))}


def step_processes(settings: Settings) -> tuple[int, ...]:
    """What still runs on the nodes: slurmstepds, their descendants, and what left those.

    Not among them are srun, salloc and all that was started outside the nodes.
    """
    children: dict[int, list[int]] = {}
    found = []
    for pid, name in _processes():
        stat = read_stat(pid)
        if stat:
            children.setdefault(stat.parent, []).append(pid)
        env = _environment(pid)
        on_node = name == "slurmstepd" or env.get("SLURMD_NODENAME") in NODES
        if on_node and Path(env.get("SLURM_CONF", "/")).parent == settings.conf.parent:
            found.append(pid)
    for pid in found:  # grows
        found.extend(child for child in children.get(pid, ()) if child not in found)
    return tuple(pid for pid in found if pid != os.getpid())


def has_cgroup_v1() -> bool:
    return all(path.exists() and os.access(path, os.W_OK) for path in CGROUP_V1)


def named(name: str) -> tuple[str, ...]:
    """What is put in front of a command that is to see this name as its host's."""
    script = 'hostname "$1" && shift && exec "$@"'
    return ("unshare", "--uts", "/bin/sh", "-c", script, "sh", name)


def can_name() -> bool:
    """Whether processes may have a host name of their own."""
    done = subprocess.run((*named("probe"), "true"), capture_output=True, timeout=60, check=False)
    return done.returncode == 0


def check_ports(ports: tuple[int, ...]) -> None:
    for port in ports:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError as error:
                raise ClusterError(f"port {port} is taken; give another one by --port") from error
