"""How a person connects: by the server's command-line client, or by a few lines of Python; and what
it means when a server refuses a client.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from smartcore.spec import Command, Server, ShardPlan

# Of redis-cli and keydb-cli, and of valkey-cli.
_AUTH_VARIABLES = ("REDISCLI_AUTH", "VALKEYCLI_AUTH")

# What a server says to a client that sent no password, to a command and to HELLO; that lacks the
# module of a command (6.2 quotes names in another way); that asks for more than models may.
_ADVICE = {
    ("NOAUTH", "HELLO must be called with the client already authenticated"): (
        "the database asks for the password in the file that SMARTCORE_DB_AUTH names; clients that"
        " send none, as SmartRedis, need allow_unauthenticated=True, an argument of"
        " create_database, colocate_db_tcp and colocate_db_uds"
    ),
    ("unknown command 'AI.", "unknown command `AI."): (
        "the database's server has no commands for tensors, models and scripts of SmartRedis; they"
        ' come with a module such as RedisAI: set_db_conf("loadmodule", "/path/to/redisai.so"), or'
        " loadmodule= of colocate_db_tcp and colocate_db_uds"
    ),
    ("NOPERM",): "models may not administrate a database; the driver may: set_db_conf(key, value)",
}


def client_command(server: Server, shard: ShardPlan) -> Command:
    """The client, logged in as the models' user; only its owner can read its environment."""
    address, credentials = shard.address, shard.credentials
    tcp = ("-h", address.host, "-p", str(address.port))
    where = tcp if address.port else ("-s", address.socket)
    certificate = credentials.certificate
    tls = ("--tls", "--cacert", str(certificate.file)) if certificate else ()
    cluster = ("-c",) if shard.clustered else ()  # follow redirections
    return Command(
        (server.cli, *where, *tls, *cluster, "--user", credentials.user),
        env=dict.fromkeys(_AUTH_VARIABLES, credentials.password),
    )


def client_advice(output: str) -> str:
    """The next step after the first refusal that is in a client's output; empty if none is."""
    found = (advice for words, advice in _ADVICE.items() if any(word in output for word in words))
    return next(found, "")


def client_recipe(shards: Sequence[ShardPlan], auth_file: Path) -> str:
    """Lines of Python for the package ``redis``."""
    shard = shards[0]
    address = shard.address
    tcp = f"host={address.host!r}, port={address.port}"
    where = tcp if address.port else f"unix_socket_path={address.socket!r}"
    if certificate := shard.credentials.certificate:
        # The authority has signed this one certificate: the address need not be in it.
        where += f", ssl=True, ssl_ca_certs={str(certificate.file)!r}, ssl_check_hostname=False"
    kind = "RedisCluster" if shard.clustered else "Redis"
    return "\n".join(
        (
            "import json, redis",
            f"auth = json.load(open({str(auth_file)!r}))",
            f"client = redis.{kind}({where}, **auth)",
        )
    )
