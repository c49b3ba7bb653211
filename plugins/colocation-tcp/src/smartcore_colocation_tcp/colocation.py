"""A database next to the application, reached by TCP."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from smartcore.error import InputError, InputTypeError
from smartcore.spec import Colocation, ColocationRequest, ShardAddress
from smartcore.spec.addresses import HIGHEST_PORT, LOWEST_PORT, free_ports, interface_address

DEFAULT_INTERFACE = "lo"
_OPTIONS = frozenset({"port", "ifname"})


class TcpColocation(Colocation):
    """Options: ``port`` (None finds a free one), ``ifname`` (name of a network interface or a list
    of names, of which the first is used).
    """

    name = "tcp"

    def __init__(self) -> None:
        # Ports are chosen before the servers listen: each search begins after the port found last,
        # so that one experiment's models do not get the same.
        self._next = random.randrange(LOWEST_PORT, HIGHEST_PORT)

    def check(self, options: Mapping[str, object], /) -> None:
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise InputError(f"colocation by TCP takes no {', '.join(unknown)}; only port, ifname")
        _port(options)
        _interface(options)

    def address(self, request: ColocationRequest, taken: Sequence[ShardAddress], /) -> ShardAddress:
        host = interface_address(_interface(request.options))
        port = _port(request.options) or request.port
        if not port:
            used = {address.port for address in taken}
            (port,) = free_ports([host], taken=used, first=self._next)
            self._next = port + 1 if port + 1 < HIGHEST_PORT else LOWEST_PORT
        return ShardAddress(host, port)

    def client_address(self, address: ShardAddress, /) -> str:
        return f"{address.host}:{address.port}"


def _port(options: Mapping[str, object]) -> int:
    port = options.get("port") or 0
    if isinstance(port, bool) or not isinstance(port, int):
        raise InputTypeError(f"port must be a whole number or None, not {port!r}")
    if not 0 <= port <= 65535:
        raise InputError(f"port must be between 1 and 65535, not {port}; None picks a free one")
    return port


def _interface(options: Mapping[str, object]) -> str:
    names = options.get("ifname") or DEFAULT_INTERFACE
    first = names[0] if isinstance(names, list | tuple) else names
    if not isinstance(first, str) or not first:
        raise InputTypeError(f"ifname must be the name of a network interface, not {names!r}")
    return first
