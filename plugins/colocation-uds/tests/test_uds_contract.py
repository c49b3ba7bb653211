from __future__ import annotations

from smartcore.testing import ColocationContract


class TestUds(ColocationContract):
    colocation = "smartcore_colocation_uds.colocation:UdsColocation"
    good = ({}, {"unix_socket": None}, {"unix_socket": "/tmp/s", "socket_permissions": 770})
    bad = (
        {"unix_socket": "relative"},
        {"unix_socket": "/tmp/a b"},
        {"unix_socket": 5},
        {"socket_permissions": 888},
        {"port": 1},
    )
