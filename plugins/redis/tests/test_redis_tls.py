from __future__ import annotations

import contextlib
import ssl
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from smartcore.error import PluginMissingError, ReservedKeywordError, UnsupportedError
from smartcore.spec import Certificate, Credentials, Server, ShardAddress, ShardPlan
from smartcore_redis.backend import RedisBackend
from smartcore_redis.certificate import new_certificate
from smartcore_redis.client import client_command, client_recipe
from smartcore_redis.conf import check_directive, conf_text, nodes_text

FILE = Path("/exp/db/db.ca.pem")
SERVER = Server("/usr/bin/redis-server", "7", "PATH", "/usr/bin/redis-cli")
PEERS = tuple(ShardAddress("10.0.0.1", port) for port in (6379, 6380, 6381))


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return new_certificate(FILE)


@pytest.fixture
def shard(certificate: Certificate) -> ShardPlan:
    credentials = Credentials("admin", "admin password", certificate=certificate)
    return ShardPlan("db_0", Path("/exp/db"), PEERS[0], PEERS, 0, credentials)


def directives(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition(" ") for line in text.splitlines())}


def handshake(path: Path, server: Certificate, trusted: Certificate) -> None:
    file = path / "server.pem"
    file.write_text(server.key + server.certificate + server.authority)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(file)
    ours = ssl.create_default_context(cadata=trusted.authority)
    ours.check_hostname = False
    ours.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ours.wrap_bio(back, there)
    host = theirs.wrap_bio(there, back, server_side=True)
    for side in (client, host, client, host):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()


def test_clients_trust_the_one_certificate_and_no_other(
    certificate: Certificate, tmp_path: Path
) -> None:
    handshake(tmp_path, certificate, certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, new_certificate(FILE), certificate)


def test_the_key_is_the_servers_and_that_of_the_authority_is_nowhere(
    certificate: Certificate,
) -> None:
    key = load_pem_private_key(certificate.key.encode(), None).public_key()
    authority, own = (
        load_pem_x509_certificate(text.encode()).public_key()
        for text in (certificate.authority, certificate.certificate)
    )
    assert key == own
    assert key != authority
    assert "PRIVATE KEY" not in certificate.authority + certificate.certificate
    assert certificate.key not in repr(certificate)


def test_an_encrypted_server_has_no_plain_port(shard: ShardPlan) -> None:
    conf = directives(conf_text(SERVER, shard))
    assert (conf["port"], conf["tls-port"], conf["bind"]) == ("0", "6379", "10.0.0.1")
    assert {conf[f"tls-{name}-file"] for name in ("cert", "key", "ca-cert")} == {
        '"/exp/db/db_0.pem"'
    }
    assert (conf["tls-cluster"], conf["tls-replication"]) == ("yes", "yes")
    # Clients prove who they are by password.
    assert conf["tls-auth-clients"] == "no"


def test_shards_may_show_their_certificate_to_one_another_only(
    shard: ShardPlan, certificate: Certificate
) -> None:
    among = replace(shard, credentials=Credentials("admin", "secret", peers=certificate))
    conf = directives(conf_text(SERVER, among))
    assert (conf["port"], conf["tls-port"], conf["cluster-port"]) == ("6379", "0", "16379")
    assert (conf["tls-cluster"], "tls-replication" in conf) == ("yes", False)
    assert [line.split()[1] for line in nodes_text(among).splitlines()[:2]] == [
        "10.0.0.1:0@16379",
        "10.0.0.1:0@16380",
    ]
    assert any(certificate.key in file.text for file in RedisBackend().command(SERVER, among).files)
    assert not RedisBackend().readiness(among).authority
    assert "tls" not in client_command(SERVER, among).argv
    assert "ssl" not in client_recipe([among], Path("/auth.json"))


def test_shards_of_an_old_server_have_tls_among_them_with_that_of_clients_only(
    redis_of_this_host: Server,
) -> None:
    old = replace(redis_of_this_host, version="6.2.14")
    with pytest.raises(UnsupportedError, match=r"6\.2\.14.*only together with tls=True"):
        RedisBackend().certificate(old, FILE, clients=False)
    assert RedisBackend().certificate(old, FILE, clients=True).key
    assert RedisBackend().certificate(redis_of_this_host, FILE, clients=False).key


def test_a_server_without_a_certificate_is_told_nothing_of_tls(shard: ShardPlan) -> None:
    plain = replace(shard, credentials=Credentials("admin", "admin password"))
    assert "tls" not in conf_text(SERVER, plain)
    assert len(RedisBackend().command(SERVER, plain).files) == 2


def test_the_key_is_in_one_file_for_its_owner_only(
    shard: ShardPlan, certificate: Certificate
) -> None:
    files = RedisBackend().command(SERVER, shard).files
    (holding,) = [file for file in files if certificate.key in file.text]
    assert (holding.path, holding.mode) == (Path("/exp/db/db_0.pem"), 0o600)


@pytest.mark.parametrize("name", ["tls-port", "tls-auth-clients", "tls-key-file", "TLS-Cluster"])
def test_what_encrypts_a_server_is_no_users_setting(name: str) -> None:
    with pytest.raises(ReservedKeywordError, match=name):
        check_directive(name)


def test_how_it_encrypts_is_a_users_setting() -> None:
    check_directive("tls-protocols")
    check_directive("tls-ciphersuites")


def test_people_are_told_how_to_connect(shard: ShardPlan) -> None:
    argv = client_command(SERVER, shard).argv
    assert argv[argv.index("--tls") + 1 :][:2] == ("--cacert", str(FILE))
    recipe = client_recipe([shard], Path("/exp/db/db.auth.json"))
    assert f"ssl=True, ssl_ca_certs='{FILE}', ssl_check_hostname=False" in recipe


def test_a_server_that_has_no_tls_is_refused_by_name(valkey_of_the_wheel: Server) -> None:
    for _ in range(2):
        with pytest.raises(UnsupportedError, match=r"valkey-server .*without TLS"):
            RedisBackend().certificate(valkey_of_the_wheel, FILE, clients=True)


def test_another_program_has_no_tls() -> None:
    with pytest.raises(UnsupportedError, match="/bin/true"):
        RedisBackend().certificate(replace(SERVER, executable="/bin/true"), FILE, clients=True)


def test_without_the_package_that_makes_certificates_the_extra_is_named(
    redis_of_this_host: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "smartcore_redis.certificate")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(PluginMissingError, match=r"smartcore-redis\[tls\]"):
        RedisBackend().certificate(redis_of_this_host, FILE, clients=True)
