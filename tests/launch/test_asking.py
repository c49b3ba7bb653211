from __future__ import annotations

import contextlib
import socket
import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore import spec
from smartcore.launch.asking import Ready, question_of, serves

TIMEOUT = 30


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"+OK\r\nstate:ok\r\nnodes:3\r\n+PONG\r\n", True),
        (b"+OK\r\nstate:fail\r\nnodes:3\r\n+PONG\r\n", False),
        (b"-ERR\r\nstate:ok\r\nnodes:3\r\n+PONG\r\n", False),
        (b"+OK\r\nstate:ok\r\n", False),
    ],
)
def test_an_answer_may_have_to_hold_more_than_its_beginning(answer: bytes, expected: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def reply() -> None:
            connection, _ = server.accept()
            # Who has read enough to know leaves before the last piece.
            with connection, contextlib.suppress(OSError):
                # In pieces, as it may come.
                for index in range(0, len(answer), 5):
                    connection.sendall(answer[index : index + 5])

        thread = threading.Thread(target=reply)
        thread.start()
        ready = Ready(
            "127.0.0.1", port, "", "?", "+OK\r\n", 1.0, ["state:ok", "nodes:3"], "+PONG\r\n"
        )
        assert serves(ready) is expected
        thread.join(TIMEOUT)


@given(st.binary(), st.binary(), st.lists(st.binary()), st.binary(), st.text())
def test_a_question_reaches_another_node_as_it_was(
    send: bytes, expect: bytes, holds: list[bytes], ends: bytes, authority: str
) -> None:
    question = spec.Ready(
        send=send,
        expect=expect,
        holds=tuple(holds),
        ends=ends,
        authority=authority,
        timeout=timedelta(seconds=1),
    )
    ready = Ready("", 0, "/socket", timeout=1.0, **question_of(question))
    assert (ready.send, ready.expect, ready.authority) == (send, expect, authority)
    assert (ready.holds, ready.ends) == (holds, ends)
