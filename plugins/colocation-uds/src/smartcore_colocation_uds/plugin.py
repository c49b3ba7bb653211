"""What this distribution registers."""

from smartcore.spec import TargetRegistrar, hookimpl


@hookimpl
def smartcore_register_colocations(registry: TargetRegistrar) -> None:
    registry.add(
        "uds",
        "smartcore_colocation_uds.colocation:UdsColocation",
        summary="a unix socket that only its owner may use",
    )
