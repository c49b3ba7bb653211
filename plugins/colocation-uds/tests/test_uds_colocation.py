from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.error import InputError, InputTypeError
from smartcore.spec import ColocationRequest, Credentials, ShardAddress
from smartcore_colocation_uds.colocation import UdsColocation

RUNTIME = Path("/run/user/1000/smartcore")


def request(
    model: str = "model",
    directory: str = "/exp/model",
    runtime: Path = RUNTIME,
    **options: object,
) -> ColocationRequest:
    return ColocationRequest(model, Path(directory), runtime, options)


def test_the_socket_asked_for_is_taken() -> None:
    uds = UdsColocation()
    address = uds.address(request(unix_socket="/tmp/my.sock"), ())
    assert address == ShardAddress(socket="/tmp/my.sock")
    assert uds.client_address(address) == "unix:///tmp/my.sock"


def test_each_model_of_each_experiment_has_a_socket_of_its_own() -> None:
    places = [("m", "/a/m"), ("m", "/b/m"), ("n", "/a/m"), ("m:", "/a/m"), ("m_", "/a/m")]
    made = {UdsColocation().address(request(*place), ()).socket for place in places}
    assert len(made) == len(places)


@given(st.text(min_size=1, max_size=240).filter(lambda name: "\0" not in name))
def test_any_name_of_a_model_gives_a_socket_that_clients_can_read(name: str) -> None:
    uds = UdsColocation()
    address = uds.address(request(name.encode(errors="replace").decode()), ())
    uds.check({"unix_socket": address.socket})
    assert Path(address.socket).parent == RUNTIME


def test_a_runtime_directory_with_a_long_path_is_an_error_with_the_way_out() -> None:
    with pytest.raises(InputError, match="SMARTCORE_RUNTIME_DIR"):
        UdsColocation().address(request(runtime=Path("/" + "x" * 90)), ())


def test_a_socket_that_another_model_has_is_refused() -> None:
    taken = [ShardAddress(socket="/tmp/my.sock")]
    with pytest.raises(InputError, match="another model"):
        UdsColocation().address(request(unix_socket="/tmp/my.sock"), taken)


@pytest.mark.parametrize(
    "options",
    [
        {"unix_socket": "relative.sock"},
        {"unix_socket": "/tmp/a b"},
        {"unix_socket": "/tmp/ü"},
        {"unix_socket": "/tmp/dir/"},
        {"unix_socket": "/" + "x" * 107},
        {"unix_socket": 5},
        {"socket_permissions": 800},
        {"socket_permissions": 7777},
        {"socket_permissions": "rwx"},
        {"port": 1},
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises((InputError, InputTypeError)):
        UdsColocation().check(options)


def test_the_longest_path_that_can_work_does() -> None:
    UdsColocation().check({"unix_socket": "/" + "x" * 106})


def test_permissions_are_read_as_octal_digits() -> None:
    assert UdsColocation().permissions({"socket_permissions": 770}, Credentials("a")) == 0o770
    assert UdsColocation().permissions({}, Credentials("a")) == 0o700
