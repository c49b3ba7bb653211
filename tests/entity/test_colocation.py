from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import pytest

from smartcore.entity import ColocationSettings, Model
from smartcore.entity.colocation import pinned_cpus
from smartcore.error import InputError, InputTypeError, UnsupportedError
from smartcore.spec.settings import RunSettings


@pytest.fixture
def model() -> Model:
    return Model("m", {}, RunSettings("true"))


def settings_of(model: Model) -> ColocationSettings:
    assert model.colocation is not None
    return model.colocation


def test_a_model_is_not_colocated_unless_asked_for(model: Model) -> None:
    assert not model.colocated
    assert model.colocation is None


def test_the_defaults_of_tcp_leave_the_port_to_smartcore(model: Model) -> None:
    model.colocate_db_tcp()
    assert model.colocated
    assert model.colocation == ColocationSettings(
        strategy="tcp", options={"port": None, "ifname": "lo"}, pinning=(0,)
    )


def test_the_defaults_of_a_socket_leave_its_path_to_smartcore(model: Model) -> None:
    model.colocate_db_uds()
    assert model.colocation == ColocationSettings(
        strategy="uds", options={"unix_socket": None, "socket_permissions": 700}, pinning=(0,)
    )


def test_further_arguments_are_settings_of_the_server(model: Model) -> None:
    model.colocate_db_tcp(
        port=6780, ifname=["ib0", "ib1"], db_cpus=2, custom_pinning=[], debug=True,
        db_identifier="near", maxclients=100, save="", maxmemory_policy="noeviction", io=True,
    )  # fmt: skip
    settings = settings_of(model)
    assert settings.options == {"port": 6780, "ifname": ["ib0", "ib1"]}
    assert (settings.db_cpus, settings.pinning, settings.debug) == (2, None, True)
    assert settings.db_identifier == "near"
    assert settings.server_options == {
        "maxclients": "100",
        "save": "",
        "maxmemory-policy": "noeviction",
        "io": "yes",
    }


def test_settings_of_an_inference_module_are_noted_and_ignored_with_a_warning(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="smartcore"):
        model.colocate_db_uds(threads_per_queue=2, maxclients=5)
    settings = settings_of(model)
    assert settings.inference_options == {"threads_per_queue": "2"}
    assert settings.server_options == {"maxclients": "5"}
    assert "threads_per_queue" in caplog.text


@pytest.mark.parametrize(
    ("custom_pinning", "cpus"),
    [(None, (0, 1)), ([], None), ([3], (3,)), ([2, range(4, 6), [0]], (0, 2, 4, 5)),
     ((1, 1), (1,)), (np.arange(2), (0, 1)), ((n for n in [7]), (7,))],
)  # fmt: skip
def test_pinning_is_the_first_cores_those_named_or_none(
    custom_pinning: Iterable[int] | None, cpus: tuple[int, ...] | None
) -> None:
    assert pinned_cpus(custom_pinning, 2) == cpus


@pytest.mark.parametrize(
    "custom_pinning", [3, "0,1", [1.5], ["0"], [[1.5]], [True], [None], {1: 2}]
)
def test_pinning_to_something_else_than_integers_is_refused(custom_pinning: object) -> None:
    with pytest.raises(InputTypeError, match="custom_pinning"):
        pinned_cpus(custom_pinning, 1)  # type: ignore[arg-type]


def test_pinning_to_a_negative_core_is_refused() -> None:
    with pytest.raises(InputError, match="at least 0, not -1"):
        pinned_cpus([-1], 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": -1}, "port"),
        ({"port": 65536}, "port must be at most 65535"),
        ({"ifname": ""}, "ifname"),
        ({"ifname": []}, "ifname"),
        ({"db_cpus": 0}, "db_cpus"),
        ({"db_identifier": "a b"}, "db_identifier='a b'"),
        ({"unix_socket": "/tmp/x"}, "takes no unix_socket; use colocate_db_uds"),
    ],
)
def test_bad_arguments_of_tcp_are_refused(
    model: Model, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.colocate_db_tcp(**arguments)  # type: ignore[arg-type]
    assert not model.colocated


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unix_socket": "relative"}, "absolute path"),
        ({"unix_socket": "/tmp/"}, "absolute path of a file"),
        ({"unix_socket": "/tmp/a b"}, "characters that clients cannot read"),
        ({"unix_socket": "/" + "x" * 107}, "has 108 bytes"),
        ({"socket_permissions": 788}, "is no mode"),
        ({"socket_permissions": 0o700}, "is no mode"),
        ({"socket_permissions": 7000}, "is no mode"),
        ({"socket_permissions": -1}, "socket_permissions"),
        ({"port": 1}, "takes no port; use colocate_db_tcp"),
    ],
)
def test_bad_arguments_of_a_socket_are_refused(
    model: Model, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        model.colocate_db_uds(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [{"port": "6379"}, {"port": True}, {"ifname": 3}, {"db_cpus": 1.0}, {"db_identifier": None},
     {"maxclients": None}, {"maxclients": [1]}, {"allow_unauthenticated": "yes"}],
)  # fmt: skip
def test_arguments_of_the_wrong_type_are_refused(
    model: Model, arguments: dict[str, object]
) -> None:
    with pytest.raises(InputTypeError, match=next(iter(arguments))):
        model.colocate_db_tcp(**arguments)  # type: ignore[arg-type]


def test_what_colocation_cannot_do_is_refused(model: Model) -> None:
    with pytest.raises(UnsupportedError, match="limit_app_cpus"):
        model.colocate_db_tcp(limit_app_cpus=True)


def test_the_old_name_still_works_with_a_warning(model: Model) -> None:
    with pytest.warns(FutureWarning, match="colocate_db_tcp"):
        model.colocate_db(port=6780, maxclients=3)
    settings = settings_of(model)
    assert (settings.options["port"], settings.server_options) == (6780, {"maxclients": "3"})


def test_a_second_colocation_replaces_the_first_with_a_warning(
    model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    model.colocate_db_tcp()
    with caplog.at_level(logging.WARNING, logger="smartcore"):
        model.colocate_db_uds()
    assert settings_of(model).strategy == "uds"
    assert "colocated already" in caplog.text
