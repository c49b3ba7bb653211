"""Bring the cluster up: packages, files, daemons, accounts, and a first step."""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path

from cluster import accounts, conf, daemons, host, names, packages
from cluster.command import must
from cluster.error import ClusterError
from cluster.process import wait_until
from cluster.settings import GPUS, NODES, Settings, load, save

FOLDERS = ("etc", "run", "log", "ctld", "munge", "dev")


class Phases:
    """Tells on stderr what is done, and how long it took."""

    def __init__(self) -> None:
        self.begin = self.last = time.monotonic()

    def done(self, what: str) -> None:
        now = time.monotonic()
        sys.stderr.write(
            f"ci/slurm: {what:<32} {now - self.last:6.2f} s (total {now - self.begin:6.2f} s)\n"
        )
        self.last = now


def is_up(settings: Settings) -> bool:
    return all(
        daemons.running(settings, name) and daemons.ready(settings, name)
        for name in daemons.names(settings)
    ) and all(daemons.usable(settings, node) for node in NODES)


def up(settings: Settings) -> None:
    """Bring it up, or what of it is not.

    Raises:
        ClusterError: names what failed, with its own words.
    """
    made = load(settings.directory)
    if made and made != settings:
        raise ClusterError(
            f"{settings.directory} has a cluster of other settings; run ci/slurm/down before"
        )
    phases = Phases()
    installed = packages.install(settings.accounting)
    phases.done("packages installed" if installed else "packages are there")
    if not any(daemons.running(settings, name) for name in daemons.names(settings)):
        ports = (settings.port, settings.dbd_port, *settings.node_ports.values())
        host.check_ports(ports)
    names.add_names(settings)
    write_files(settings)
    daemons.start(settings, "munged")
    phases.done("files, munged")
    if settings.accounting:
        _start_accounting(settings, phases)
    daemons.start(settings, "slurmctld")
    phases.done("slurmctld")
    daemons.bring_back(settings, *NODES)
    phases.done(f"{len(NODES)} nodes")
    if not settings.host_names:
        sys.stderr.write("ci/slurm: all nodes have this host's name (unshare --uts is refused)\n")
    _try_out(settings)
    phases.done("a first step")


def _start_accounting(settings: Settings, phases: Phases) -> None:
    accounts.make_database(settings)
    daemons.start(settings, "mariadbd")
    accounts.make_user_of_database(settings)
    phases.done("mariadbd")
    daemons.start(settings, "slurmdbd")
    phases.done("slurmdbd")
    accounts.make_accounts(settings)
    phases.done("accounts")


def _try_out(settings: Settings) -> None:
    controller = daemons.running(settings, "slurmctld")
    if settings.accounting and controller:
        wait_until(
            "the cluster's registration", lambda: accounts.registered(settings), 30, controller
        )
    must(settings, "srun", "-p", "debug", "-n1", "-t1", "true", seconds=60)


def write_files(settings: Settings) -> None:
    top = settings.directory
    for name in FOLDERS:
        (top / name).mkdir(parents=True, exist_ok=True)
    for node in NODES:
        for kind in ("spool", "tmp"):
            (top / kind / node).mkdir(parents=True, exist_ok=True)
        (top / "tmp" / node).chmod(0o1777)
    for number in range(GPUS):
        device = top / "dev" / f"gpu{number}"
        if not device.is_symlink():
            device.symlink_to("/dev/null")  # slurmd wants a character device, never opens it
    save(settings)
    etc = top / "etc"
    settings.conf.write_text(conf.slurm_conf(settings, names.short_name()))
    if settings.host_names:
        settings.conf_in_jobs.write_text(conf.slurm_conf(settings, names.short_name(), True))
        settings.task_prolog.write_text(conf.task_prolog(settings))
        settings.task_prolog.chmod(0o755)
    (etc / "gres.conf").write_text(conf.gres_conf(settings))
    (etc / "cgroup.conf").write_text(conf.cgroup_conf())
    _write_secret(top / "munge" / "munge.key", secrets.token_bytes(1024), keep=True)
    if settings.accounting:
        text = conf.slurmdbd_conf(settings, names.short_name(), accounts.password(settings))
        _write_secret(etc / "slurmdbd.conf", text.encode(), keep=False)


def _write_secret(file: Path, content: bytes, keep: bool) -> None:
    if keep and file.exists():
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
