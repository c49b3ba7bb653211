"""What this distribution registers."""

from smartcore.spec import TargetRegistrar, hookimpl


@hookimpl
def smartcore_register_databases(registry: TargetRegistrar) -> None:
    registry.add(
        "redis",
        "smartcore_redis.backend:RedisBackend",
        summary="Redis, or Valkey where there is no Redis",
    )
    registry.add("valkey", "smartcore_redis.backend:ValkeyBackend", summary="Valkey")
    registry.add("keydb", "smartcore_redis.backend:KeydbBackend", summary="KeyDB")
