from __future__ import annotations

from smartcore.testing import ColocationContract


class TestTcp(ColocationContract):
    colocation = "smartcore_colocation_tcp.colocation:TcpColocation"
    good = ({}, {"port": None, "ifname": "lo"}, {"port": 12345}, {"ifname": ["lo"]})
    bad = ({"port": 70000}, {"port": "1"}, {"port": True}, {"ifname": 3}, {"unix_socket": "/x"})
