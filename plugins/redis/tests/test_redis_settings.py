from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import DatabaseError, InputError, ReservedKeywordError
from smartcore.spec import Credentials, Server, ShardAddress, ShardPlan
from smartcore_redis.backend import RedisBackend
from smartcore_redis.settings import same_setting

BUFFERS = "client-output-buffer-limit"
EVENTS = "notify-keyspace-events"
ADDRESS = ShardAddress("127.0.0.1", 6379)
SHARD = ShardPlan(
    "db_0",
    Path("/exp"),
    ADDRESS,
    (ADDRESS,),
    0,
    Credentials("admin", "secret"),
    {"maxmemory": "1gb", "hz": "33"},
)


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("maxmemory", "1gb", "1073741824"),
        ("maxmemory", "1g", "1000000000"),
        ("maxmemory", "100MB", "104857600"),
        ("save", "60 1", "60 1"),
        ("save", "", ""),
        ("appendonly", "YES", "yes"),
        ("maxmemory-clients", "5%", "5%"),
        ("latency-tracking-info-percentiles", "50.0 99.90", "50 99.9"),
        ("shutdown-on-sigterm", "now nosave", "nosave now"),
        ("oom-score-adj", "relative", "yes"),
        (EVENTS, "KEA", "AKE"),
        (EVENTS, "Kg$lshzxetd", "AK"),
        (EVENTS, "", ""),
        (BUFFERS, "normal 0 0 0", "normal 0 0 0 slave 268435456 67108864 60"),
        (BUFFERS, "replica 1mb 1k 60", "normal 0 0 0 slave 1048576 1000 60"),
    ],
)
def test_a_setting_may_come_back_in_another_spelling(name: str, asked: str, found: str) -> None:
    assert same_setting(asked, found, name)


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("maxmemory", "1gb", "1"),
        ("appendonly", "yes", "no"),
        ("save", "60 1", ""),
        ("save", "", "3600 1"),
        ("save", "60 1", "3600 1 60 1"),
        ("save", "60 1", "1 60"),
        ("maxclients", "120", "102"),
        (EVENTS, "KEA", "KE"),
        (EVENTS, "", "AKE"),
        (BUFFERS, "normal 0 0 0", "normal 1 0 0 slave 0 0 0"),
        (BUFFERS, "pubsub 60 0 0", "normal 0 0 0 slave 60 0 0"),
    ],
)
def test_a_setting_that_was_not_taken_is_seen(name: str, asked: str, found: str) -> None:
    assert not same_setting(asked, found, name)


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_numbers_are_the_same_only_as_they_are(numbers: list[int]) -> None:
    text = " ".join(map(str, numbers))
    assert same_setting(text, text)
    assert not same_setting(text, " ".join(str(number + 1) for number in numbers))


def test_what_a_plan_decides_is_refused_before_the_program_is_asked() -> None:
    server = Server("/nonexistent", "7", "PATH")
    with pytest.raises(ReservedKeywordError, match="primaryauth"):
        RedisBackend().check(server, {"primaryauth": "x"})
    with pytest.raises(InputError, match="'a b'"):
        RedisBackend().check(server, {"a b": "x"})
    with pytest.raises(InputError, match=r"there is no file /no/module\.so"):
        RedisBackend().check(server, {"LoadModule": "/no/module.so ARGUMENT 1"})
    with pytest.raises(InputError, match="the absolute path"):
        RedisBackend().check(server, {"loadmodule": "module.so"})


@pytest.mark.parametrize("script", ["exit 3", "echo at line 1", "exec sleep 0.1", "cat"])
def test_a_program_that_does_not_say_what_it_knows_is_left_to_its_start(
    tmp_path: Path, script: str
) -> None:
    program = tmp_path / "server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    RedisBackend().check(Server(str(program), "7", "PATH"), {"hz": "1"})
    RedisBackend().check(Server(str(tmp_path / "none"), "7", "PATH"), {"hz": "1"})


def test_each_directive_is_asked_for_in_a_question_of_its_own() -> None:
    question = RedisBackend().inquiry(SHARD)
    assert question.send.count(b"\r\nCONFIG\r\n$3\r\nGET\r\n") == 2
    assert (question.host, question.port) == ("127.0.0.1", 6379)
    assert not RedisBackend().inquiry(replace(SHARD, options={})).send


def reply(name: str, value: str) -> bytes:
    return f"*2\r\n${len(name)}\r\n{name}\r\n${len(value)}\r\n{value}\r\n".encode()


LOGIN, END = b"+OK\r\n", b"+PONG\r\n"
MEMORY = reply("maxmemory", str(2**30))


def test_what_was_taken_is_verified() -> None:
    assert RedisBackend().verify(SHARD, LOGIN + MEMORY + reply("hz", "33") + END) == {}
    assert RedisBackend().verify(replace(SHARD, options={}), b"") == {}


def test_what_a_server_does_not_show_is_left_with_the_reason() -> None:
    left = RedisBackend().verify(SHARD, LOGIN + MEMORY + b"*0\r\n" + END)
    assert list(left) == ["hz"]
    assert "does not show" in left["hz"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (LOGIN + MEMORY + reply("hz", "10") + END, r"db_0 .*hz='33' and says it is '10'"),
        (LOGIN + MEMORY + b"-ERR unknown command 'CONFIG'\r\n" + END, "does not show hz: ERR"),
        (LOGIN + MEMORY + b"*1\r\n:1\r\n" + END, "says it is None"),
        (LOGIN + MEMORY, "breaks off"),
        (LOGIN + MEMORY + b"$5\r\nab", "breaks off"),
        (b"", "breaks off"),
        (b"-WRONGPASS invalid\r\n", "refuses our password"),
        (b"HTTP/1.1 400\r\n", "HTTP"),
    ],
)
def test_what_was_not_taken_is_an_error_that_says_all(answer: bytes, words: str) -> None:
    with pytest.raises(DatabaseError, match=words):
        RedisBackend().verify(SHARD, answer)
