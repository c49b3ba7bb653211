"""What this distribution registers."""

from smartcore.spec import TargetRegistrar, hookimpl


@hookimpl
def smartcore_register_colocations(registry: TargetRegistrar) -> None:
    registry.add(
        "tcp",
        "smartcore_colocation_tcp.colocation:TcpColocation",
        summary="a TCP port of the node's own interface",
    )
