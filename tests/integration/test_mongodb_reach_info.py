# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may ask a server how its set stands, and servers that cannot be asked: a condition as well, told soon, and without secrets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.modules import mongodb_replica_set_info
from lab.hosts.common import CHECKOUT, call, locked
from lab.mongo import Mongod, free_port, wait_for
from mongo_looking import MODULE, expect, look
from support import run_ok, run_refused
from unit.plugins.module_utils.connect.certificates import Authority, day

KEY = "laboratory" * 4


# -- who may ask ----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T13")
def test_users_who_may_and_may_not_ask(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", key=KEY) as mongod:
        assert look(mongod)["condition"] == "not_initiated"  # asked without a user, as long as there is none
        mongod.initiate()
        mongod.add_user("root", "root-password", ["root"])
        mongod.login = ("root", "root-password")
        expect(mongod, "healthy")
        mongod.add_user("monitor", "monitor-password", ["clusterMonitor"])
        mongod.add_user("manager", "manager-password", ["clusterManager"])
        mongod.add_user("writer", "writer-password", [{"role": "readWrite", "db": "talus"}])

        def as_user(name: str, password: str = "") -> dict[str, Any]:
            return look(mongod, login_user=name, login_password=password or f"{name}-password")

        assert as_user("monitor")["condition"] == "healthy"
        manager = as_user("manager")
        assert (manager["condition"], manager["command_line_set"], manager["evidence"]["codes"]["getCmdLineOpts"]) == ("healthy", None, 13)
        writer = as_user("writer")
        assert (writer["condition"], writer["writes"], writer["detail"]) == ("unauthorized", "yes", {"login_refused": False, "says": "PRIMARY"})
        for name, password in (("monitor", "wrong-password"), ("nobody", "some-password")):
            refused = as_user(name, password)
            assert (refused["condition"], refused["detail"], refused["evidence"]["codes"]) == ("unauthorized", {"login_refused": True}, {"isMaster": 18})
            assert password not in json.dumps(refused)
        assert look(mongod, login_password="wrong-password", wait=600)["evidence"]["looks"] == 1  # which would lock some users out
        anonymous = run_ok(MODULE, {"login_host": "127.0.0.1", "login_port": mongod.port})
        assert (anonymous["condition"], anonymous["detail"]["login_refused"]) == ("unauthorized", False)

        mongod.restart(replset="rs1")
        assert as_user("monitor")["condition"] == "wrong_set_name"
        blind = as_user("manager")  # who sees that the configuration does not fit, but not why
        assert (blind["condition"], blind["command_line_set"]) == ("removed", None)
        assert "--replSet" in blind["meaning"]
        mongod.restart(replset=None)
        assert as_user("monitor")["condition"] == "standalone_on_replica_data"
        outside = as_user("writer")
        assert (outside["condition"], outside["writes"], outside["detail"]["says"]) == ("unauthorized", "unsafe", "in no set")


# -- servers that cannot be asked -------------------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)
    for connection in kept:
        connection.close()


@pytest.mark.step("T13")
def test_a_server_that_says_nothing(silent: int, tmp_path: Path) -> None:
    started = time.monotonic()
    mute = run_ok(MODULE, {"login_host": "127.0.0.1", "login_port": silent, "timeout": 1})
    assert (mute["condition"], "no answer within 1 s" in mute["meaning"]) == ("unreachable", True)
    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate()
        mongod.freeze()
        frozen = look(mongod, timeout=1)
        mongod.thaw()
        assert (frozen["condition"], frozen["writes"]) == ("unreachable", "no")
        assert frozen["findings"][0]["severity"] == "critical"
        expect(mongod, "healthy")
    assert time.monotonic() - started < 120


def test_a_name_that_nobody_has() -> None:
    result = run_ok(MODULE, {"login_host": "no-such-host.invalid"})
    assert (result["condition"], result["evidence"]["error"].startswith("MongoDB at no-such-host.invalid:27017 cannot be reached: ")) == ("unreachable", True)


@pytest.mark.step("T13")
@pytest.mark.thorough
def test_a_server_older_than_the_driver_and_the_older_driver(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", "4.2") as mongod:
        result = look(mongod)
        assert (result["condition"], result["writes"]) == ("unsupported_version", "unknown")
        for words in ("a MongoDB 4.2", "MongoDB 4.4 and later", "pymongo>=3.13,<4"):
            assert words in result["meaning"]
        older = {"PYTHONPATH": os.pathsep.join([str(old_driver()), str(CHECKOUT / ".cache/tree"), str(CHECKOUT / "tests/integration")])}

        def told() -> dict[str, Any]:
            program = f"import json; from support import run_ok; print(json.dumps(run_ok({MODULE!r}, {mongod.params!r})))"
            done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **older}, capture_output=True, text=True, check=True, timeout=120)
            return dict(json.loads(done.stdout))

        fresh = told()
        assert (fresh["condition"], fresh["version"], fresh["evidence"]["driver"]) == ("not_initiated", "4.2.6", "3.13.0")
        assert fresh["config"] is None
        initiate = "import pymongo; pymongo.MongoClient('127.0.0.1', %d, directConnection=True).admin.command('replSetInitiate', %r)"
        config = {"_id": "rs0", "version": 1, "members": [{"_id": 0, "host": mongod.host}]}
        subprocess.run([sys.executable, "-c", initiate % (mongod.port, config)], env={**os.environ, **older}, check=True, timeout=120)
        wait_for(lambda: told()["condition"] == "healthy", "it is PRIMARY")
        mongod.move()
        removed = told()
        assert removed["condition"] == "removed", removed["evidence"]


def old_driver() -> Path:
    """A folder with pymongo 3.13, fetched once."""
    place = CHECKOUT / ".cache/mongod/pymongo-3.13.0"
    with locked("pymongo-3.13.0"):
        if not (place / "pymongo").exists():
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            call([*pip, "--no-deps", "--target", str(place), "pymongo==3.13.0"], "pip install pymongo==3.13.0", timeout=600)
    return place


# -- bad input ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"login_port": 0}, "login_port must be 1 to 65535, not 0"),
        ({"login_port": 70000}, "login_port must be 1 to 65535"),
        ({"login_host": "mongodb://db:27017"}, "login_host must be the name or address of one host"),
        ({"login_host": "db:27017"}, "without a port"),
        ({"login_host": "a,b"}, "login_host must be the name or address of one host"),
        ({"login_host": ""}, "login_host must be"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": float("inf")}, "timeout must be more than 0"),
        ({"wait": -1}, "wait must be 0 to 3600 seconds, not -1"),
        ({"wait": float("nan")}, "wait must be"),
        ({"behind_max": 0}, "behind_max must be 1 or more seconds"),
        ({"login_user": "a"}, "login_user needs login_password"),
        ({"login_password": "secret-secret"}, "login_password needs login_user"),
        ({"ssl_ca_certs": "/etc/hostname"}, "ssl_ca_certs is for encrypted connections"),
        ({"ssl": True, "ssl_ca_certs": "/no/such/file"}, "not a file that can be read"),
        ({"auth_mechanism": "NONE"}, "value of auth_mechanism must be one of"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    result = run_refused(MODULE, options)
    assert message in result["msg"]
    assert "secret-secret" not in json.dumps(result)


@pytest.mark.parametrize("host", ["::1", "talus_db.invalid", "talus-db.invalid", "127.0.0.1", "localhost"])
def test_hosts_that_are_taken(host: str) -> None:
    """Whether somebody is there or not."""
    result = run_ok(MODULE, {"login_host": host, "login_port": free_port(), "timeout": 2})
    assert (result["condition"], "cannot be reached: " in result["meaning"]) == ("unreachable", True)


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_replica_set_info, "IMPORT_ERROR", "Traceback: no pymongo")
    assert "pymongo" in run_refused(MODULE, {})["msg"]


@pytest.mark.step("T13")
def test_encrypted_connections(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.make("server", "/CN=mongod", names=("IP:127.0.0.1",), start=day(-1), end=day(30))
    both = tmp_path / "both.pem"
    both.write_text(pair.certificate.read_text() + pair.key.read_text())
    tls = [
        "--tlsMode",
        "preferTLS",
        "--tlsCertificateKeyFile",
        str(both),
        "--tlsCAFile",
        str(authority.own.certificate),
        "--tlsAllowConnectionsWithoutCertificates",
    ]
    with Mongod(tmp_path / "db", options=tls) as mongod:
        mongod.initiate()
        assert look(mongod, ssl=True, ssl_ca_certs=str(authority.own.certificate))["condition"] == "healthy"
        assert look(mongod, tls=True, ssl_cert_reqs="CERT_NONE")["condition"] == "healthy"
        stranger = look(mongod, ssl=True, timeout=5)  # an authority that the node does not know
        assert (stranger["condition"], "CERTIFICATE_VERIFY_FAILED" in stranger["meaning"]) == ("unreachable", True)
    with Mongod(tmp_path / "other") as mongod:
        result = look(mongod, ssl=True, timeout=2)  # who does not speak TLS at all
        assert (result["condition"], result["evidence"]["error"].startswith(f"MongoDB at {mongod.host} cannot be reached: ")) == ("unreachable", True)
