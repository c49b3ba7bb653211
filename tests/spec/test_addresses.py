from __future__ import annotations

import errno
import os
import socket

import pytest

from smartcore.error import DatabaseError, InputError
from smartcore.spec.addresses import (
    HIGHEST_PORT,
    LOWEST_PORT,
    free_ports,
    interface_address,
    interface_names,
    listener_of,
    port_error,
)


def test_the_loopback_interface_has_its_address() -> None:
    assert "lo" in interface_names()
    assert interface_address("lo") == "127.0.0.1"


def test_an_unknown_interface_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no network interface 'ipogif0'.*lo"):
        interface_address("ipogif0")


def test_the_user_who_listens_is_known() -> None:
    with socket.create_server(("127.0.0.3", 0)) as listening:
        port = listening.getsockname()[1]
        assert listener_of("127.0.0.3", port) == os.geteuid()
        assert listener_of("127.0.0.4", port) is None
        with socket.create_connection(("127.0.0.3", port)) as client:
            # Who only connects does not listen.
            assert listener_of(*client.getsockname()) is None
    assert listener_of("127.0.0.3", port) is None
    assert listener_of("some.name", port) is None
    with socket.create_server(("", 0)) as everywhere:
        assert listener_of("127.0.0.3", everywhere.getsockname()[1]) == os.geteuid()


def test_a_port_with_a_listener_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        error = port_error("127.0.0.1", port)
        assert error is not None
        assert error.errno == errno.EADDRINUSE
    assert port_error("127.0.0.1", port) is None


def test_a_connection_that_was_closed_does_not_keep_its_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listening.accept()
            accepted.close()  # the server's end closes first and stays in TIME_WAIT
    assert port_error("127.0.0.1", port) is None


def test_free_ports_are_distinct_and_in_the_range() -> None:
    ports = free_ports(["127.0.0.1"], 50)
    assert len(set(ports)) == 50
    assert all(LOWEST_PORT <= port < HIGHEST_PORT for port in ports)


def test_a_port_and_the_second_port_of_another_are_never_the_same() -> None:
    ports = free_ports(["127.0.0.1"], 3, offsets=(0, 1), first=LOWEST_PORT)
    needed = [port + offset for port in ports for offset in (0, 1)]
    assert len(set(needed)) == 6


def test_taken_ports_and_those_in_use_are_passed_over_and_the_search_wraps_around() -> None:
    (last,) = free_ports(["127.0.0.1"], first=HIGHEST_PORT - 1)
    with socket.create_server(("127.0.0.1", last)):
        (other,) = free_ports(["127.0.0.1"], first=last)
        assert other != last
        (third,) = free_ports(["127.0.0.1"], first=last, taken=[other])
        assert third not in {last, other}


def test_no_free_port_is_an_error() -> None:
    with pytest.raises(DatabaseError, match="no 1 free ports"):
        free_ports(["127.0.0.1"], taken=range(LOWEST_PORT, HIGHEST_PORT))
