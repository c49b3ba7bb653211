"""The contract of ways of colocation: what is refused, and addresses that serve."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from smartcore.error import InputError, InputTypeError
from smartcore.spec import Colocation, ColocationRequest, Credentials, ShardAddress

from .context import load
from .contract import Contract, case
from .launcher.names import NAMES

# What SmartRedis clients read in SSDB.
READABLE = re.compile(r"[a-zA-Z0-9.:,_\-/]+")


class ColocationContract(Contract):
    """What a way of colocation promises. A plugin's tests subclass this.

    :cvar colocation: target of the class, as it is registered
    :cvar good: options that can work, each a whole set
    :cvar bad: options that cannot, each a whole set
    """

    colocation: ClassVar[str]
    good: ClassVar[Sequence[Mapping[str, object]]] = ({},)
    bad: ClassVar[Sequence[Mapping[str, object]]] = ()

    @pytest.fixture
    def strategy(self) -> Colocation:
        made = load(self.colocation)()
        assert isinstance(made, Colocation)
        return made

    @pytest.fixture
    def runtime(self) -> Iterator[Path]:
        # The path of a socket must be short; that of tmp_path may not be.
        with tempfile.TemporaryDirectory(prefix="sc-") as path:
            yield Path(path)

    def request_of(
        self, runtime: Path, model: str = "model", options: Mapping[str, object] | None = None
    ) -> ColocationRequest:
        return ColocationRequest(model, runtime / "models" / model, runtime, options or {})

    @case("F32")
    def test_it_has_a_name(self, strategy: Colocation) -> None:
        assert strategy.name

    @case("F32")
    def test_good_options_are_accepted_and_left_as_they_are(
        self, strategy: Colocation, runtime: Path
    ) -> None:
        for options in self.good:
            before = dict(options)
            strategy.check(options)
            strategy.address(self.request_of(runtime, "model", options), ())
            assert dict(options) == before

    @case("F32", "F30")
    def test_bad_options_are_refused_by_name_or_value(self, strategy: Colocation) -> None:
        for options in self.bad:
            with pytest.raises((InputError, InputTypeError)) as caught:
                strategy.check(options)
            said = str(caught.value)
            assert any(name in said or str(value) in said for name, value in options.items())

    @case("F30")
    def test_an_unknown_option_is_refused_by_name(self, strategy: Colocation) -> None:
        with pytest.raises(InputError, match="no_such_option"):
            strategy.check({"no_such_option": 1})

    @case("F36")
    def test_no_two_models_get_one_address(self, strategy: Colocation, runtime: Path) -> None:
        taken: list[ShardAddress] = []
        for number in range(30):
            taken.append(strategy.address(self.request_of(runtime, f"model{number}"), taken))
        assert len({strategy.client_address(address) for address in taken}) == 30

    @case("F25")
    @pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
    def test_a_model_of_any_name_gets_an_address_that_clients_can_read(
        self, strategy: Colocation, runtime: Path, name: str
    ) -> None:
        address = strategy.address(self.request_of(runtime, name), ())
        assert READABLE.fullmatch(strategy.client_address(address))

    @case("F36")
    def test_the_address_can_be_listened_on_and_reached(
        self, strategy: Colocation, runtime: Path
    ) -> None:
        address = strategy.address(self.request_of(runtime), ())
        assert bool(address.port) != bool(address.socket), "TCP or a unix socket, not both"
        family = socket.AF_INET if address.port else socket.AF_UNIX
        where = (address.host, address.port) if address.port else address.socket
        with socket.socket(family) as server, socket.socket(family) as client:
            server.bind(where)
            server.listen()
            client.connect(where)

    @case("F36")
    def test_the_clients_address_names_where_it_listens(
        self, strategy: Colocation, runtime: Path
    ) -> None:
        address = strategy.address(self.request_of(runtime), ())
        assert strategy.client_address(address).endswith(address.socket or f":{address.port}")

    @case("F36")
    def test_nobody_else_may_use_it_unless_that_was_asked_for(self, strategy: Colocation) -> None:
        assert strategy.permissions({}, Credentials("admin")) & 0o077 == 0
