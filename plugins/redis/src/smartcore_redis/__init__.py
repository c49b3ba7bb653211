"""Redis, Valkey and KeyDB as databases of smartcore: one protocol, three programs."""
