from __future__ import annotations

from pathlib import Path

import pytest

from smartcore.error import InputError, InputTypeError
from smartcore.spec import ColocationRequest, ShardAddress
from smartcore_colocation_tcp.colocation import TcpColocation


def request(**options: object) -> ColocationRequest:
    return ColocationRequest("model", Path("/exp/model"), Path("/run/user/1"), options)


def test_the_port_and_interface_asked_for_are_taken() -> None:
    tcp = TcpColocation()
    address = tcp.address(request(port=6380, ifname=["lo", "eth9"]), ())
    assert address == ShardAddress("127.0.0.1", 6380)
    assert tcp.client_address(address) == "127.0.0.1:6380"


def test_models_of_one_experiment_never_get_the_same_free_port() -> None:
    tcp = TcpColocation()
    ports = [tcp.address(request(port=None, ifname="lo"), ()).port for _ in range(200)]
    assert len(set(ports)) == 200


def test_a_taken_port_is_passed_over() -> None:
    tcp = TcpColocation()
    first = tcp.address(request(), ())
    following = ShardAddress("127.0.0.1", first.port + 1)
    assert tcp.address(request(), [following]).port not in {first.port, following.port}


def test_an_unknown_interface_is_an_error() -> None:
    with pytest.raises(InputError, match="nosuch0"):
        TcpColocation().address(request(ifname="nosuch0"), ())


@pytest.mark.parametrize(
    "options", [{"port": 70000}, {"port": "6379"}, {"port": True}, {"ifname": 3}, {"socket": "/x"}]
)
def test_options_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises((InputError, InputTypeError)):
        TcpColocation().check(options)


def test_the_defaults_can_work() -> None:
    TcpColocation().check({"port": None, "ifname": "lo"})
    TcpColocation().check({})
