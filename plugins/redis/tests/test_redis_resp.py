from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import DatabaseError
from smartcore.spec import Credentials, ShardAddress, ShardPlan
from smartcore_redis.backend import RedisBackend
from smartcore_redis.resp import ProtocolError, Refusal, decode, encode

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"+OK\r\n", "OK"),
        (b":-12\r\n", -12),
        (b"$5\r\na\r\nbc\r\n", "a\r\nbc"),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*0\r\n", []),
        (b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n", [[1], ""]),
    ],
)
def test_replies_are_read(data: bytes, reply: object) -> None:
    assert decode(io.BytesIO(data)) == reply


def test_an_error_is_told_from_a_text() -> None:
    refusal = decode(io.BytesIO(b"-ERR no\r\n"))
    assert isinstance(refusal, Refusal)
    assert refusal == "ERR no"
    assert not isinstance(decode(io.BytesIO(b"+ERR no\r\n")), Refusal)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n", b"\x00\x01", b":x\r\n"])
def test_what_is_no_reply_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(io.BytesIO(data))


@pytest.mark.parametrize("data", [b"", b"$5\r\nabc", b"*2\r\n:1\r\n"])
def test_a_reply_that_breaks_off_is_an_end(data: bytes) -> None:
    with pytest.raises(EOFError):
        decode(io.BytesIO(data))


@given(st.lists(st.text(), min_size=1))
def test_commands_are_arrays_of_texts(words: list[str]) -> None:
    words = [word.encode(errors="replace").decode() for word in words]
    assert decode(io.BytesIO(encode(*words))) == words


@contextmanager
def listener(answer: bytes) -> Iterator[ShardPlan]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = ShardAddress("127.0.0.1", listening.getsockname()[1])
        yield ShardPlan("db_0", Path("/"), address, (address,), 0, Credentials("admin", "secret"))
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"-WRONGPASS invalid username-password pair\r\n-NOAUTH\r\n",
        b"-ERR wrong number of arguments for 'auth' command\r\n+PONG\r\n",
        b"-DENIED Redis is running in protected mode\r\n-DENIED\r\n",
    ],
)
def test_who_does_not_know_our_password_is_a_stranger(answer: bytes) -> None:
    with listener(answer) as shard, pytest.raises(DatabaseError, match=str(shard.address)):
        RedisBackend().ready([shard], SECOND)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"+OK\r\n",
        b"+OK\r\n-LOADING Redis is loading the dataset in memory\r\n",
        b"-ERR max number of clients reached\r\n-ERR max number of clients reached\r\n",
    ],
)
def test_who_is_busy_is_not_ready_yet(answer: bytes) -> None:
    with listener(answer) as shard:
        assert not RedisBackend().ready([shard], SECOND)


def test_nobody_there_is_not_ready_yet() -> None:
    with listener(b"+OK\r\n+PONG\r\n") as shard:
        assert RedisBackend().ready([shard], SECOND)
    assert not RedisBackend().ready([shard], SECOND)
    nowhere = ShardAddress(socket="/nonexistent/socket")
    plan = ShardPlan("db_0", Path("/"), nowhere, (nowhere,), 0, Credentials("admin"))
    assert not RedisBackend().ready([plan], SECOND)


def test_a_setting_that_was_accepted_and_not_taken_is_an_error() -> None:
    answer = b"+OK\r\n+OK\r\n*2\r\n$2\r\nhz\r\n$2\r\n10\r\n"
    with listener(answer) as shard, pytest.raises(DatabaseError, match="says it is '10'"):
        RedisBackend().configure([shard], "hz", "500")


def test_a_setting_for_a_server_that_has_gone_is_an_error() -> None:
    with listener(b"+OK\r\n") as shard, pytest.raises(DatabaseError, match="was not set"):
        RedisBackend().configure([shard], "hz", "500")
