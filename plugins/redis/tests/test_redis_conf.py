from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import InputError, ReservedKeywordError
from smartcore.spec import Credentials, Server, ShardAddress, ShardPlan
from smartcore_redis.backend import KeydbBackend, RedisBackend
from smartcore_redis.conf import RESERVED, conf_text, nodes_text, quoted, slot_range

SERVER = Server("/usr/bin/redis-server", "7", "PATH")
ALONE = ShardPlan(
    "db_0",
    Path("/exp/db"),
    ShardAddress("127.0.0.1", 6379),
    (ShardAddress("127.0.0.1", 6379),),
    0,
    Credentials("admin", "admin password", password="user password"),
)
PEERS = tuple(ShardAddress("127.0.0.1", port) for port in (6379, 6380, 6381))
SHARDS = [
    replace(ALONE, name=f"db_{index}", address=peer, peers=PEERS, index=index)
    for index, peer in enumerate(PEERS)
]


def directives(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def test_a_server_listens_where_it_should_and_is_protected() -> None:
    conf = directives(conf_text(SERVER, ALONE))
    assert (conf["bind"], conf["port"], conf["protected-mode"]) == ("127.0.0.1", "6379", "yes")
    assert (conf["daemonize"], conf["logfile"], conf["save"]) == ("no", '""', '""')
    assert (conf["dir"], conf["dbfilename"]) == ('"/exp/db"', '"db_0.rdb"')
    assert "cluster-enabled" not in conf


def test_passwords_are_in_the_configuration_as_hashes_only() -> None:
    text = conf_text(SERVER, ALONE)
    assert "user password" not in text and "admin password" not in text
    assert "#" + hashlib.sha256(b"user password").hexdigest() in text


@pytest.mark.parametrize(
    ("opened", "hosts", "mode"),
    [
        (False, ("127.0.0.1",), "yes"),
        (False, ("10.0.0.1",), "yes"),
        (True, ("127.0.0.1",), "yes"),
        (True, ("10.0.0.1",), "no"),
        (True, ("127.0.0.1", "10.0.0.1"), "no"),
    ],
)
def test_protection_goes_only_where_others_were_let_in(
    opened: bool, hosts: tuple[str, ...], mode: str
) -> None:
    shard = replace(
        ALONE,
        address=ShardAddress(hosts[0], 6379),
        further_hosts=hosts[1:],
        credentials=replace(ALONE.credentials, open=opened),
    )
    conf = directives(conf_text(SERVER, shard))
    assert (conf["protected-mode"], conf["bind"]) == (mode, " ".join(hosts))


def test_a_unix_socket_replaces_the_port() -> None:
    shard = replace(ALONE, address=ShardAddress(socket="/run/x.sock"), socket_permissions=0o770)
    conf = directives(conf_text(SERVER, shard))
    assert (conf["port"], conf["unixsocket"], conf["unixsocketperm"]) == (
        "0",
        '"/run/x.sock"',
        "770",
    )


def test_the_users_configuration_comes_after_defaults_and_before_what_must_hold() -> None:
    server = replace(SERVER, conf="/home/me/my redis.conf")
    shard = replace(ALONE, options={"save": "60 1", "hz": ""})
    names = [line.split(" ")[0] for line in conf_text(server, shard).splitlines()]
    assert names[1:7] == ["save", "include", "save", "save", "hz", "bind"]
    assert 'include "/home/me/my redis.conf"' in conf_text(server, shard)
    assert '\nsave ""\nsave "60" "1"\nhz ""\n' in conf_text(server, shard)


@pytest.mark.parametrize("name", [*sorted(RESERVED), "Port"])
def test_what_a_plan_decides_cannot_be_an_option(name: str) -> None:
    with pytest.raises(ReservedKeywordError, match=name):
        conf_text(SERVER, replace(ALONE, options={name: "x"}))


@pytest.mark.parametrize("name", ["", "a b", "x\nuser evil on nopass", '"'])
def test_what_is_no_name_cannot_be_an_option(name: str) -> None:
    with pytest.raises(InputError):
        conf_text(SERVER, replace(ALONE, options={name: "x"}))


def unquoted(text: str) -> str:
    # sdssplitargs of the servers, for one word in double quotes.
    assert text[0] == text[-1] == '"'
    body = text[1:-1].encode("utf-8", "surrogateescape")
    assert not re.search(rb'[\x00-\x1f"]', body)
    plain = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), body)
    return plain.decode("utf-8", "surrogateescape")


@given(st.text())
def test_any_text_survives_quoting(text: str) -> None:
    text = text.encode(errors="replace").decode()
    assert unquoted(quoted(text)) == text


@given(st.text())
def test_no_value_of_an_option_can_add_a_line(value: str) -> None:
    value = value.encode(errors="replace").decode()
    plain = conf_text(SERVER, replace(ALONE, options={"hz": "1"}))
    changed = conf_text(SERVER, replace(ALONE, options={"hz": value}))
    assert changed.count("\n") == plain.count("\n")


@given(st.integers(3, 200))
def test_every_slot_has_exactly_one_shard(count: int) -> None:
    ranges = [slot_range(index, count) for index in range(count)]
    assert ranges[0][0] == 0 and ranges[-1][1] == 16383
    assert all(after[0] == before[1] + 1 for before, after in pairwise(ranges))


def test_all_shards_tell_the_same_about_the_cluster_but_who_they_are() -> None:
    texts = [nodes_text(shard) for shard in SHARDS]
    assert len(set(texts)) == 3
    assert len({text.replace("myself,", "") for text in texts}) == 1
    lines = texts[1].splitlines()
    assert [line.split()[1] for line in lines[:3]] == [
        "127.0.0.1:6379@16379",
        "127.0.0.1:6380@16380",
        "127.0.0.1:6381@16381",
    ]
    assert "myself" in lines[1] and "myself" not in lines[0] + lines[2]
    assert all(re.fullmatch("[0-9a-f]{40}", line.split()[0]) for line in lines[:3])
    assert len({line.split()[6] for line in lines[:3]}) == 3


def test_another_cluster_at_the_same_addresses_has_other_nodes() -> None:
    other = replace(SHARDS[0], credentials=Credentials("admin", "another"))
    assert nodes_text(other).split()[0] != nodes_text(SHARDS[0]).split()[0]


def test_the_command_line_is_the_server_and_its_configuration() -> None:
    command = RedisBackend().command(SERVER, SHARDS[2])
    assert command.argv == ("/usr/bin/redis-server", "/exp/db/db_2.conf")
    assert [(file.path.name, file.mode) for file in command.files] == [
        ("db_2.conf", 0o600),
        ("nodes-db_2.conf", 0o600),
    ]


def test_threads_have_a_directive_of_their_own_in_keydb() -> None:
    assert KeydbBackend().option("threads", "4") == ("server-threads", "4")
    assert RedisBackend().option("threads", "4") == ("io-threads", "4")
    assert KeydbBackend().option("maxmemory", "1gb") == ("maxmemory", "1gb")
