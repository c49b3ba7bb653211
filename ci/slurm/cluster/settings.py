"""Which cluster: its variant and ports, and where in its directory everything lies."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.error import ClusterError

NAME = "smartcore"
MARK = "written by smartcore's ci/slurm"
NODES = ("nid001", "nid002", "nid003", "nid004")
NODE_LIST = "nid[001-004]"
CPUS = 8  # of each node; claimed, the host need not have them
MEMORY = 4000  # MiB of each node; claimed
GPUS = 4  # of each node; files stand for the devices
ACCOUNTING_PORT = 27600
PLAIN_PORT = 27650
LOCK = ".lock"
LONGEST_DIRECTORY = 70  # a unix socket's path has at most 107 characters


@dataclass(frozen=True, slots=True)
class Settings:
    """One cluster.

    Ports, all on loopback: `port` is slurmctld's, `port + 1` slurmdbd's, `port + 11` to
    `port + 14` those of the nodes.
    """

    directory: Path
    accounting: bool
    port: int
    max_array_size: int
    cgroup: bool
    users: tuple[str, ...]
    host_names: bool = False  # of the nodes' own

    @property
    def conf(self) -> Path:
        return self.directory / "etc" / "slurm.conf"

    @property
    def conf_in_jobs(self) -> Path:
        return self.conf.with_name("jobs.conf")

    @property
    def task_prolog(self) -> Path:
        return self.conf.with_name("task_prolog")

    @property
    def munge_socket(self) -> Path:
        return self.directory / "munge" / "munge.socket"

    @property
    def database_socket(self) -> Path:
        return self.directory / "mysql" / "mysql.sock"

    @property
    def cluster(self) -> str:
        return f"{NAME}-accounting" if self.accounting else f"{NAME}-plain"

    @property
    def dbd_port(self) -> int:
        return self.port + 1

    @property
    def node_ports(self) -> dict[str, int]:
        return {node: self.port + 10 + number for number, node in enumerate(NODES, start=1)}

    def address(self, node: str) -> str:
        """Where the daemon of a node listens: at what its host's name resolves to."""
        return f"127.0.1.{NODES.index(node) + 1}" if self.host_names else "127.0.0.1"

    def log(self, name: str) -> Path:
        return self.directory / "log" / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """What the daemons and our own commands run with; the caller's variables stay out."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "SLURM_CONF": str(self.conf),
            # libmariadb's socket: slurmdbd.conf has no word for it
            "MYSQL_UNIX_PORT": str(self.database_socket),
        }


def default_directory(accounting: bool) -> Path:
    name = "smartcore-slurm" if accounting else "smartcore-slurm-noacct"
    return Path(tempfile.gettempdir()) / name


def check_directory(directory: Path) -> None:
    """Refuse a directory in which the cluster could not work, or that another user prepared.

    Raises:
        ClusterError: says which, and what to do.
    """
    if len(str(directory)) > LONGEST_DIRECTORY:
        raise ClusterError(f"{directory} is too long for unix sockets; give a shorter one by --dir")
    if directory.is_symlink() or (directory.exists() and directory.stat().st_uid != os.geteuid()):
        raise ClusterError(f"{directory} belongs to somebody else; give another one by --dir")
    used = directory.is_dir() and any(file.name != LOCK for file in directory.iterdir())
    if used and not _file(directory).exists():
        raise ClusterError(f"{directory} holds other files; give an empty or new one by --dir")
    for parent in directory.parents:
        if parent.exists() and not parent.stat().st_mode & stat.S_IXOTH:
            raise ClusterError(f"{parent} shuts other users out; give another place by --dir")


def save(settings: Settings) -> None:
    fields = {**asdict(settings), "directory": str(settings.directory)}
    _file(settings.directory).write_text(json.dumps(fields, indent=2) + "\n")


def load(directory: Path) -> Settings | None:
    """The cluster that was made in this directory, if one was."""
    try:
        fields = json.loads(_file(directory).read_text())
    except FileNotFoundError:
        return None
    fields["directory"] = Path(fields["directory"])
    fields["users"] = tuple(fields["users"])
    return Settings(**fields)


def is_ours(conf: Path) -> bool:
    """Whether this slurm.conf was written by these programs."""
    try:
        return MARK in conf.read_text(errors="replace").partition("\n")[0]
    except OSError:
        return False


def _file(directory: Path) -> Path:
    return directory / "cluster.json"
