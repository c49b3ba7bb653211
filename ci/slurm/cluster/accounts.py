"""The database of the accounting, and who may use the cluster: see sacctmgr(1)."""

from __future__ import annotations

import secrets
import shutil

from cluster.command import must, run
from cluster.settings import Settings

ACCOUNTS = ("proj1", "proj2", "capped")
DEFAULT_ACCOUNT = "proj1"
# Jobs of account capped beyond 2 nodes pend for AssocGrpNodeLimit, in QOS capped for
# QOSGrpNodeLimit; QOS strict refuses more than 2 nodes or 10 minutes at submit.
LIMITS = f"""\
add cluster {{cluster}}
add account {",".join(ACCOUNTS[:2])} cluster={{cluster}}
add account capped cluster={{cluster}} GrpTRES=node=2
add qos capped GrpTRES=node=2
add qos strict Flags=DenyOnLimit MaxTRESPerJob=node=2 MaxWall=10
"""
USER = """\
add user {user} cluster={cluster} account={accounts} defaultaccount={default}
modify user where name={user} cluster={cluster} set qos=normal,capped,strict defaultqos=normal
"""


def make_database(settings: Settings) -> None:
    """Make MariaDB's data directory, its root reachable by the unix socket only."""
    data = settings.directory / "mysql"
    if (data / "mysql").exists():
        return
    data.mkdir(exist_ok=True)
    shutil.chown(data, "mysql", "mysql")
    must(
        settings,
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={data}",
        "--user=mysql",
        "--skip-test-db",
        "--auth-root-authentication-method=socket",
        "--innodb-log-file-size=16M",
        seconds=120,
    )


def password(settings: Settings) -> str:
    file = settings.directory / "etc" / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(16))
    return file.read_text()


def make_user_of_database(settings: Settings) -> None:
    statements = f"""\
CREATE DATABASE IF NOT EXISTS slurm_acct_db;
CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY '{password(settings)}';
GRANT ALL ON slurm_acct_db.* TO 'slurm'@'localhost';
"""
    client = ("mariadb", "--no-defaults", f"--socket={settings.database_socket}", "--user=root")
    must(settings, *client, text=statements)


def make_accounts(settings: Settings) -> None:
    """Register the cluster, its accounts and its users, in one run of sacctmgr."""
    listed = must(settings, "sacctmgr", "-n", "-P", "list", "assoc", "format=cluster,account,user")
    have = set(listed.splitlines())
    text = "" if f"{settings.cluster}|capped|" in have else LIMITS.format(cluster=settings.cluster)
    for user in settings.users:
        if f"{settings.cluster}|capped|{user}" not in have:
            text += USER.format(
                user=user,
                cluster=settings.cluster,
                accounts=",".join(ACCOUNTS),
                default=DEFAULT_ACCOUNT,
            )
    if text:
        must(settings, "sacctmgr", "-i", "-Q", text=text)


def registered(settings: Settings) -> bool:
    """Whether slurmdbd knows where the cluster's slurmctld is."""
    listed = run(
        settings, "sacctmgr", "-n", "-P", "list", "cluster", "format=cluster,controlport"
    ).stdout
    return f"{settings.cluster}|{settings.port}" in listed.splitlines()
