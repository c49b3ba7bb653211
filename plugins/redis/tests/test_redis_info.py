from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from smartcore.spec import Credentials, Server, ShardAddress, ShardPlan, ShardStatistics
from smartcore_redis.client import client_command, client_recipe
from smartcore_redis.info import facts, statistics
from smartcore_redis.resp import Refusal

TCP, SOCKET = ShardAddress("127.0.0.1", 7000), ShardAddress(socket="/run/s")
SERVER = Server("/opt/redis-server", "7.2", "PATH", "/opt/redis-cli")
# From redis 7.0.15 and 6.2.14; the times are chosen.
INFO = """# Server
redis_version:7.0.15
server_time_usec:1700000100000000
uptime_in_seconds:100

# Clients
connected_clients:3
# Memory
used_memory:1000
used_memory_peak:2000
total_system_memory:4000
maxmemory:3000
# Persistence
rdb_changes_since_last_save:7
rdb_last_save_time:{last}
rdb_last_bgsave_status:{status}
rdb_last_bgsave_time_sec:{seconds}
aof_enabled:0
# Stats
total_commands_processed:11
instantaneous_ops_per_sec:5
total_net_input_bytes:12
total_net_output_bytes:13
evicted_keys:2
keyspace_hits:3
keyspace_misses:1
# Replication
role:master
# Keyspace
db0:keys=4,expires=0,avg_ttl=0
db3:keys=2,expires=1,avg_ttl=100,subexpiry=0
"""


def plan(*peers: ShardAddress) -> ShardPlan:
    credentials = Credentials("admin", "secret-admin", "default", "secret-user")
    return ShardPlan("db_0", Path("/exp/db"), peers[0], peers, 0, credentials)


def told(last: int = 1_700_000_000, status: str = "ok", seconds: int = -1) -> ShardStatistics:
    info = INFO.format(last=last, status=status, seconds=seconds).replace("\n", "\r\n")
    return statistics(plan(TCP), [info, ["save", ""]])


def test_numbers_of_all_sections_and_keys_of_all_databases_are_read() -> None:
    found = told()
    assert (found.memory, found.memory_peak, found.memory_limit) == (1000, 2000, 3000)
    assert (found.memory_host, found.keys, found.clients, found.commands) == (4000, 6, 2, 11)
    assert (found.hits, found.misses, found.evicted, found.ops_per_second) == (3, 1, 2, 5.0)
    assert (found.received, found.sent, found.unsaved, found.role) == (12, 13, 7, "master")
    assert found.uptime.total_seconds() == 100


def test_a_server_that_has_never_saved_is_not_taken_for_one_that_saved_at_its_start() -> None:
    assert told().saved is None
    assert told(seconds=0).saved == datetime.fromtimestamp(1_700_000_000, UTC)
    assert told(last=1_700_000_050).saved == datetime.fromtimestamp(1_700_000_050, UTC)


def test_a_save_that_failed_is_told_and_is_none() -> None:
    found = told(status="err", seconds=0)
    assert found.saved is None
    assert "could not write" in found.save_problem


@pytest.mark.parametrize(
    ("points", "aof", "saves"), [("", 0, False), ("60 1", 0, True), ("", 1, True)]
)
def test_data_is_kept_by_save_points_or_an_append_only_file(
    points: str, aof: int, saves: bool
) -> None:
    info = f"aof_enabled:{aof}\r\n"
    assert statistics(plan(TCP), [info, ["save", points]]).saves is saves


def test_what_is_missing_or_no_number_is_zero() -> None:
    found = statistics(plan(TCP), ["used_memory:lots\r\nrole:slave\r\n", ["save", ""]])
    assert (found.answered, found.memory, found.keys, found.role) == (True, 0, 0, "slave")


def test_a_refusal_is_a_problem() -> None:
    found = statistics(plan(TCP), [Refusal("LOADING wait"), ["save", ""]])
    assert found.problem == "refuses to tell: LOADING wait"


def test_the_view_of_the_cluster_is_told() -> None:
    shard = plan(TCP, ShardAddress("127.0.0.1", 7001))
    found = statistics(shard, ["", ["save", ""], "cluster_state:fail\r\ncluster_size:3\r\n"])
    assert found.cluster == "fail"


def test_comments_and_blank_lines_are_no_facts() -> None:
    assert facts("# Head: er\r\n\r\na:b:c\r\n") == {"a": "b:c"}


def test_the_client_of_a_cluster_follows_redirections() -> None:
    one = client_command(SERVER, plan(TCP))
    assert one.argv == ("/opt/redis-cli", "-h", "127.0.0.1", "-p", "7000", "--user", "default")
    assert set(one.env.values()) == {"secret-user"}
    assert "-c" in client_command(SERVER, plan(TCP, TCP, TCP)).argv
    assert client_command(SERVER, plan(SOCKET)).argv[1:3] == ("-s", "/run/s")


def test_the_recipe_is_python_and_names_the_file_with_the_password() -> None:
    for shards in ([plan(TCP)], [plan(SOCKET)], [plan(TCP, TCP, TCP)]):
        text = client_recipe(shards, Path("/exp/it's/auth.json"))
        compile(text, "recipe", "exec")
        assert "it's" in text
        assert "secret" not in text
    assert "RedisCluster" in text
