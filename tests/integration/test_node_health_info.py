# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a node: real processes, servers, files, logs and certificates, as they should be and as they should not."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.systemd_standin.units import Units
from play import eventually
from support import run_module, run_ok, run_refused

MODULE = "node_health_info"
ME = pwd.getpwuid(os.geteuid()).pw_name
ROOT = Path(__file__).resolve().parents[2]


def look(**options: Any) -> dict[str, Any]:
    result = run_ok(MODULE, options)
    assert result["changed"] is False
    return result


def codes(result: dict[str, Any]) -> dict[str, str]:
    """Severity by code."""
    return {finding["code"]: finding["severity"] for finding in result["findings"]}


def summary(result: dict[str, Any], code: str) -> str:
    [finding] = [finding for finding in result["findings"] if finding["code"] == code]
    return str(finding["summary"])


@contextlib.contextmanager
def process(*argv: str, ready: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A process that has said that it is ready, where it says so."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if ready:
            assert child.stdout is not None
            assert child.stdout.readline().decode().strip() == ready
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A service in Python, in a place of this test's own."""
    path = tmp_path / "service.py"
    path.write_text("import time\nprint('ready', flush=True)\ntime.sleep(600)\n", encoding="ascii")
    return path


def test_processes(script: Path) -> None:
    service = (sys.executable, str(script), "--demon", "--name=1")
    with process(*service, ready="ready") as one, process(*service, ready="ready"), process("tail", "-f", str(script)):
        good = look(
            processes=[
                {"program": str(script), "args": ["--demon"], "owner": ME, "min": 2, "max": 2},
                {"program": "service.py", "args": [str(script)], "min": 2},
                {"title": r".*service\.py --demon --name=\d", "min": 2, "max": 2},
            ]
        )
        assert codes(good) == {"node.process.ok": "ok"}
        assert [row["found"] for row in good["processes"]] == [2, 2, 2]
        assert {"pid": one.pid, "owner": ME, "program": str(script)}.items() <= good["processes"][0]["processes"][0].items()
        assert 0 <= good["processes"][0]["processes"][0]["age"] < 60
        bad = look(
            processes=[
                {"program": str(script), "max": 1, "code": "a"},
                {"program": str(script), "owner": "nobody", "code": "b", "severity": "warning"},
                {"program": str(script), "min_age": 3600, "code": "c"},
                {"program": str(script), "max_age": 0, "code": "d"},
                {"program": str(script), "args": ["--name"], "code": "e"},
                {"program": str(script), "min": 3, "code": "f"},
            ]
        )
    assert codes(bad) == {
        "a.too_many": "warning",
        "b.wrong_owner": "warning",
        "c.young": "warning",
        "d.old": "warning",
        "e.missing": "critical",
        "f.missing": "critical",
    }
    assert codes(look(processes=[{"program": str(script)}])) == {"node.process.missing": "critical"}


def test_the_module_itself_does_not_count() -> None:
    own = {"title": ".*", "name": "all", "min": 0}
    found = {each["pid"] for each in look(processes=[own])["processes"][0]["processes"]}
    assert os.getpid() not in found


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Units]:
    """The stand-in for systemd, in place of systemctl."""
    made = Units(tmp_path / "systemd").create()
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    yield made
    made.close()


def test_units(units: Units, script: Path) -> None:
    fails = shutil.which("false") or "/bin/false"
    for name, command in (("fits-good1", [sys.executable, str(script)]), ("fits-good2", [sys.executable, str(script)]), ("fits-flaps", [fails])):
        units.define(name, command, {}, restart_sec=1.0)
    systemctl = str(units.bin / "systemctl")
    for name in ("fits-good1", "fits-good2", "fits-flaps"):
        subprocess.run([systemctl, "start", name], check=True)
    options: dict[str, Any] = {"service_manager": "systemd"}
    good = look(units=[{"name": "fits-good*"}, {"name": "fits-good1.service", "min_uptime": 1}], **options)
    assert codes(good) == {"node.unit.ok": "ok"}
    assert {row["name"] for row in good["units"]} == {"fits-good1.service", "fits-good2.service"}
    assert eventually(lambda: "node.unit.flapping" in codes(look(units=[{"name": "fits-flaps"}], watch=1, **options)))
    subprocess.run([systemctl, "stop", "fits-good2"], check=True)
    bad = look(
        units=[{"name": "fits-good*", "code": "fits.unit"}, {"name": "fits-nothing"}, {"name": "fits-good1", "state": "inactive", "code": "x"}], **options
    )
    assert codes(bad) == {"fits.unit.inactive": "critical", "node.unit.unknown_unit": "critical", "x.active": "critical"}
    assert "fits-good2.service is inactive" in summary(bad, "fits.unit.inactive")


def test_a_manager_that_is_not_there_is_not_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "systemctl"
    broken.write_text("#!/bin/sh\necho 'Failed to connect to bus: No such file or directory' >&2\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    result = look(units=[{"name": "fits-httpd"}], service_manager="systemd")
    assert codes(result) == {"node.unit.unknown": "warning"}
    assert "Failed to connect to bus" in summary(result, "node.unit.unknown")


def test_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "fits.sock")
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind(path)
        unix.listen()
        port = tcp.getsockname()[1]
        listens = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", listens, "a word"], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout is not None
            other = int(child.stdout.readline())
            program = os.path.basename(sys.executable)
            good = look(
                sockets=[
                    {"port": port},
                    {"port": port, "address": "127.0.0.1"},
                    {"path": path},
                    {"port": other, "program": program, "owner": ME},
                ]
            )
            assert codes(good) == {"node.socket.ok": "ok"}
            assert [each["pid"] for each in good["sockets"][3]["processes"]] == [child.pid]
            bad = look(
                sockets=[
                    {"port": other, "program": "uwsgi", "code": "a"},
                    {"port": other, "address": "192.0.2.1", "code": "b"},
                    {"path": path + "x", "code": "c"},
                    {"port": other, "protocol": "udp", "code": "d"},
                ]
            )
        finally:
            child.kill()
            child.communicate()
    assert codes(bad) == {"a.wrong_program": "critical", "b.not_listening": "critical", "c.not_listening": "critical", "d.not_listening": "critical"}
    assert codes(look(sockets=[{"port": port}])) == {"node.socket.not_listening": "critical"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    place = tmp_path / "data"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=50,mode=0755", "data", str(place)], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_space_that_is_short(disk: Path) -> None:
    good = look(paths=[{"path": str(disk), "min_free": "10%", "min_free_inodes": "20", "mounted": True, "exists": "directory", "mode": "0755", "owner": ME}])
    assert codes(good) == {"node.path.ok": "ok"}
    row = good["paths"][0]
    assert (row["file_system"]["mount_point"], row["file_system"]["size"], row["type"]) == (str(disk), 16 << 20, "directory")
    (disk / "fill").write_bytes(b"x" * (15 << 20))
    for number in range(40):
        (disk / str(number)).touch()
    bad = look(paths=[{"path": str(disk), "min_free": "10%", "min_free_inodes": "20%"}])
    assert codes(bad) == {"node.path.low_space": "warning", "node.path.low_inodes": "warning"}
    assert "1.0M (6.2 %) of 16M free" in summary(bad, "node.path.low_space")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert codes(look(paths=[{"path": str(disk)}])) == {"node.path.read_only": "critical"}


def test_space_that_does_not_come_back(disk: Path) -> None:
    hold = "import sys, time; f = open(sys.argv[1], 'wb'); f.write(b'x' * (8 << 20)); f.flush(); print('ready', flush=True); time.sleep(600)"
    path = disk / "backup.tar"
    asked = {"path": str(disk), "deleted_open": "1M", "account": True, "expect_free": "8M", "free_before": "8M"}
    unseen = bool(look(paths=[{"path": str(disk), "deleted_open": "1M"}])["evidence"]["not_seen"])
    partly = {"node.path.unknown": "warning"} if unseen else {}
    with process(sys.executable, "-c", hold, str(path), ready="ready") as holder:
        path.unlink()
        result = look(paths=[asked])
        assert codes(result) == {"node.path.deleted_open": "warning", "node.path.not_released": "warning", **partly}
        [row] = result["paths"]
        assert row["deleted_open_size"] == 8 << 20
        [held] = row["deleted_open"]
        assert (held["path"], held["size"], [each["pid"] for each in held["holders"]]) == (str(path), 8 << 20, [holder.pid])
        assert row["unaccounted"] == 0
        assert "8.0M are held by deleted files" in summary(result, "node.path.not_released")
    assert codes(look(paths=[asked])) == (partly or {"node.path.ok": "ok"})


def test_space_that_no_file_explains(disk: Path) -> None:
    """A file below a mount point takes space, and no listing shows it."""
    below = disk / "below"
    below.mkdir()
    (below / "hidden").write_bytes(b"x" * (4 << 20))
    (disk / ".snapshot").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "over", str(below)], check=True)
    try:
        result = look(paths=[{"path": str(disk), "account": True}])
    finally:
        subprocess.run(["umount", str(below)], check=True)
    assert codes(result) == {"node.path.unaccounted": "warning", "node.path.snapshots": "info"}
    assert result["paths"][0]["unaccounted"] == 4 << 20
    assert result["paths"][0]["snapshots"] == [str(disk / ".snapshot")]
    (disk / ".snapshot").rmdir()
    assert codes(look(paths=[{"path": str(disk), "account": True}])) == {"node.path.ok": "ok"}


def test_a_file_system_that_grows(disk: Path) -> None:
    writes = "import sys, time\nwhile True:\n  open(sys.argv[1], 'ab').write(b'x' * 100000); time.sleep(0.05)"
    with process(sys.executable, "-c", writes, str(disk / "log")):
        result = look(paths=[{"path": str(disk)}], logs=[{"path": str(disk / "l*"), "must_grow": True, "optional": True}], watch=1)
    assert result["paths"][0]["growth"] > 100000
    assert result["evidence"]["watched"] >= 1


def test_what_files_are(tmp_path: Path) -> None:
    (tmp_path / "a.fits").touch()
    os.utime(tmp_path / "a.fits", (0, time.time() - 7200))
    (tmp_path / "note").touch()
    here = {"path": str(tmp_path)}
    good = look(
        paths=[
            {**here, "newest_max_age": 60},
            {**here, "newest_max_age": 60, "list": False},
            {**here, "newest_max_age": 8000, "newest_match": "*.fits"},
            {"path": str(tmp_path / "a.fits"), "exists": "file"},
            {"path": str(tmp_path / "none"), "exists": "absent"},
        ]
    )
    assert codes(good) == {"node.path.ok": "ok"}
    assert good["paths"][2]["newest"]["path"] == str(tmp_path / "a.fits")
    bad = look(
        paths=[
            {**here, "newest_max_age": 3600, "newest_match": "*.fits", "code": "a"},
            {**here, "newest_max_age": 3600, "newest_match": "*.bz2", "code": "b"},
            {**here, "newest_max_age": 60, "max_entries": 1, "newest_match": "*.bz2", "code": "c"},
            {**here, "exists": "file", "code": "d"},
            {**here, "owner": "nobody", "mode": "0123", "code": "e"},
            {"path": str(tmp_path / "none"), "code": "f"},
            {"path": str(tmp_path / "note" / "below"), "code": "g"},
            {**here, "exists": "absent", "code": "h"},
            {**here, "mounted": True, "code": "i"},
        ]
    )
    assert codes(bad) == {
        "a.stale": "warning",
        "b.stale": "warning",
        "c.unknown": "warning",
        "d.wrong_type": "critical",
        "e.wrong_owner": "warning",
        "e.wrong_mode": "warning",
        "f.missing": "critical",
        "g.missing": "critical",
        "h.present": "warning",
        "i.not_mounted": "critical",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may try with another user's rights")
def test_who_can_read(tmp_path: Path) -> None:
    place = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True, env={"TMPDIR": "/tmp", **os.environ}).stdout.strip())  # noqa: S108
    try:
        place.chmod(0o755)
        (place / "graces").mkdir(mode=0o755)
        (place / "graces" / "file.fits").touch(0o644)
        asked = {"path": str(place / "graces" / "file.fits"), "readable_by": "nobody"}
        # The temporary directory of a test run may itself be shut to others.
        if codes(look(paths=[asked])) != {"node.path.ok": "ok"}:
            pytest.fail("nobody cannot read %s" % asked["path"])
        (place / "graces" / "file.fits").chmod(0o600)
        assert "may not read" in summary(look(paths=[asked]), "node.path.unreadable")
        (place / "graces").chmod(0o700)
        assert summary(look(paths=[asked]), "node.path.unreadable").endswith(f"may not enter {place}/graces")
        assert codes(look(paths=[{**asked, "readable_by": ME}])) == {"node.path.ok": "ok"}
        assert "there is no user" in summary(look(paths=[{**asked, "readable_by": "no-such-user"}]), "node.path.unknown")
    finally:
        shutil.rmtree(place)


def test_a_path_that_hangs_keeps_nothing_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As a file server does that is gone: the call never returns."""
    real = os.stat
    never = threading.Event()
    monkeypatch.setattr("os.stat", lambda path, *args, **more: never.wait() if path == "/hangs" else real(path, *args, **more))
    started = time.monotonic()
    try:
        result = look(paths=[{"path": "/hangs"}, {"path": str(tmp_path)}], timeout=2, watch=0.1)
    finally:
        never.set()
    assert time.monotonic() - started < 20
    assert [finding["summary"] for finding in result["findings"]] == ["/hangs: it did not answer within 2 s"]
    assert [row["exists"] for row in result["paths"]] == [None, True]


class Site(http.server.BaseHTTPRequestHandler):
    """A web site, an API back end that takes POST alone, and a page that needs a secret."""

    def do_GET(self) -> None:
        if self.path == "/hang":
            time.sleep(30)
        status = 500 if self.path == "/broken" or (self.path == "/secret" and self.headers["X-Key"] != "geheim") else 200
        self.reply(status, b"<h1>Search form</h1>")

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(200, json.dumps({"result": sent == {"message": "x"}, "more": [1, 2]}).encode())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The site, on a port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    server.block_on_close = False
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_web_services_and_ports() -> None:
    with serving() as port:
        site = f"http://127.0.0.1:{port}"
        closed = free_port()
        good = look(
            http=[
                {"url": site + "/searchform", "contains": ["Search", "form"], "max_seconds": 5},
                {"url": site + "/log", "method": "POST", "json": {"message": "x"}, "json_has": {"result": True, "more": [2]}},
                {"url": site + "/broken", "status": [500]},
                {"url": site + "/secret", "secret_headers": {"X-Key": "geheim"}},
                {"url": f"http://fits.example.org:{port}/", "address": "127.0.0.1"},
            ],
            tcp=[{"host": "127.0.0.1", "port": port}],
        )
        assert codes(good) == {"node.http.ok": "ok", "node.tcp.ok": "ok"}
        bad = look(
            http=[
                {"url": site + "/broken", "code": "a"},
                {"url": site + "/", "contains": ["nothing of the kind"], "code": "b"},
                {"url": site + "/log", "method": "POST", "json": {"message": "y"}, "json_has": {"result": True}, "code": "c"},
                {"url": f"http://127.0.0.1:{closed}/", "code": "d"},
                {"url": site + "/secret", "secret_headers": {"X-Key": "verkehrt"}, "code": "e"},
                {"url": f"https://127.0.0.1:{port}/", "code": "f"},
            ],
            tcp=[{"host": "127.0.0.1", "port": closed}],
        )
    assert codes(bad) == {
        "a.wrong_status": "critical",
        "b.wrong_answer": "critical",
        "c.wrong_answer": "critical",
        "d.refused": "critical",
        "e.wrong_status": "critical",
        "f.tls": "critical",
        "node.tcp.refused": "critical",
    }
    assert "verkehrt" not in json.dumps(bad)


def test_servers_that_hang_do_not_add_up() -> None:
    with serving() as port:
        started = time.monotonic()
        hang = {"url": f"http://127.0.0.1:{port}/hang"}
        result = look(http=[{**hang, "code": f"hang{number}"} for number in range(5)] + [{"url": f"http://127.0.0.1:{port}/", "code": "good"}], timeout=3)
        assert time.monotonic() - started < 12  # one after the other they would take 15
    assert set(codes(result)) == {f"hang{number}.timeout" for number in range(5)} or set(codes(result)) <= {
        f"hang{number}.{what}" for number in range(5) for what in ("timeout", "unknown")
    }
    assert result["http"][5]["status"] == 200


def certificate(directory: Path, days: int) -> Path:
    """For localhost, signed by itself; certificate and key in one file."""
    pem = directory / f"{days}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", str(days)]
        + ["-keyout", str(pem), "-out", str(directory / "certificate")],
        check=True,
        capture_output=True,
    )
    with pem.open("a", encoding="ascii") as file:
        file.write((directory / "certificate").read_text(encoding="ascii"))
    return pem


def test_certificates(tmp_path: Path) -> None:
    pem = certificate(tmp_path, 30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    today, last_year = time.strftime("%Y-%m-%d"), f"{int(time.strftime('%Y')) - 1}-01-01"
    with serving(context) as port:
        server = {"host": "127.0.0.1", "server_name": "localhost", "port": port}
        good = look(
            certificates=[{**server, "names": ["localhost"], "trusted": True, "ca_cert": str(pem)}, {"file": str(pem)}],
            http=[{"url": f"https://localhost:{port}/", "address": "127.0.0.1", "ca_cert": str(pem)}, {"url": f"https://127.0.0.1:{port}/", "verify": False}],
        )
        assert codes(good) == {"node.certificate.ok": "ok", "node.http.ok": "ok"}
        assert good["certificates"][0]["names"] == ["localhost"]
        assert good["certificates"][0]["sha256"] == good["certificates"][1]["sha256"]
        bad = look(
            certificates=[
                {**server, "min_days": 60, "code": "a"},
                {**server, "names": ["archive.example.org"], "code": "b"},
                {**server, "trusted": True, "code": "c"},
                {**server, "since": today, "code": "d"},
                {"file": str(tmp_path / "none.pem"), "code": "e"},
                {"host": "127.0.0.1", "port": free_port(), "code": "f"},
            ]
        )
        fine = look(certificates=[{**server, "since": last_year}, {**server, "since": "2999-01-01"}])
    assert codes(bad) == {
        "a.expires": "warning",
        "b.wrong_name": "critical",
        "c.untrusted": "critical",
        "d.renewed": "warning",
        "e.unknown": "warning",
        "f.unknown": "warning",
    }
    assert codes(fine) == {"node.certificate.renewed": "warning"}


LOG = """{old} 4711:service:99 ERROR: disk full
{new} 4711:service:99 INFO: Nothing on queue... Waiting
{new} 4711:service:99 WARNING: AstropyDeprecationWarning: Traceback (most recent call last) is quoted here
{new} 4711:service:99 ERROR: cannot ingest
Traceback (most recent call last):
  File "x.py", line 1
NameError: postgresql://fitsdata:geheim@db/fitsdata
{new} 4711:service:99 INFO: service exiting normally
"""


def test_logs(tmp_path: Path) -> None:
    moment = [time.strftime("%Y-%m-%d %H:%M:%S,000", time.localtime(time.time() - ago)) for ago in (7 * 86400, 60)]
    log = tmp_path / "service.py-1.log"
    log.write_text(LOG.format(old=moment[0], new=moment[1]), encoding="utf-8")
    (tmp_path / "service.py-1.log.1").write_text(f"{moment[0]} 1:service:9 ERROR: disk full\n" * 5, encoding="utf-8")
    patterns = [{"name": "tracebacks", "regex": "Traceback", "severity": "critical"}, {"name": "disk", "regex": "disk full"}]
    asked = {"path": str(tmp_path / "service.py-*.log"), "time_format": "python", "patterns": patterns, "benign": ["Astropy"]}
    result = look(logs=[{**asked, "since": 3600, "max_age": 3600, "must_end_with": "exiting normally$"}])
    assert codes(result) == {"node.log.matched": "critical"}
    [row] = result["logs"]
    [matched] = row["matches"]
    assert (matched["class"], matched["found"], row["complete"]) == ("tracebacks", 1, True)
    assert time.time() - matched["last"] < 120
    assert "geheim" not in json.dumps(result)
    assert "NameError" in matched["lines"][0]
    everything = look(logs=[asked])
    assert {match["class"]: match["found"] for match in everything["logs"][0]["matches"]} == {"tracebacks": 1, "disk": 6}
    newest = look(logs=[{**asked, "rotated": False}])
    assert {match["class"]: match["found"] for match in newest["logs"][0]["matches"]} == {"tracebacks": 1, "disk": 1}
    os.utime(log, (0, time.time() - 600))
    bad = look(
        logs=[
            {"path": str(log), "max_age": 300, "code": "a"},
            {"path": str(log), "must_end_with": "started", "code": "b"},
            {"path": str(tmp_path / "none.log"), "code": "c"},
            {"path": str(tmp_path / "none*.log"), "code": "d", "optional": True},
            {"path": str(tmp_path), "code": "e"},
            {**asked, "since": 30 * 86400, "max_bytes": "100", "code": "f"},
        ]
    )
    assert codes(bad) == {"a.stale": "warning", "b.unfinished": "warning", "c.missing": "warning", "e.unknown": "warning", "f.unknown": "warning"}


def test_a_log_that_grows_and_one_that_does_not(tmp_path: Path) -> None:
    (tmp_path / "still.log").write_text("x\n", encoding="ascii")
    writes = "import sys, time\nwhile True:\n  print('x', file=open(sys.argv[1], 'a')); time.sleep(0.05)"
    (tmp_path / "busy.log").touch()
    with process(sys.executable, "-c", writes, str(tmp_path / "busy.log")):
        result = look(logs=[{"path": str(tmp_path / "*.log"), "must_grow": True}], watch=1)
    assert codes(result) == {"node.log.silent": "warning"}
    assert "still.log" in summary(result, "node.log.silent")
    assert {os.path.basename(row["path"]): bool(row["growth"]) for row in result["logs"]} == {"busy.log": True, "still.log": False}


def test_the_node_itself() -> None:
    result = look(load_per_cpu=1e6, min_available_memory="1", max_oom_kills=10**9)
    assert codes(result) == {"node.limits.ok": "ok"}
    node = result["node"]
    assert node["memory_total"] > node["memory_available"] > 0
    assert node["uptime"] == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME), abs=5)
    assert set(codes(look(load_per_cpu=0, min_available_memory="100%"))) <= {"node.memory.low", "node.load.high", "node.limits.ok"}


def test_check_mode_makes_no_difference(tmp_path: Path) -> None:
    options = {"paths": [{"path": str(tmp_path)}]}
    one, two = run_module(MODULE, options), run_module(MODULE, options, check=True)
    assert one["findings"] == two["findings"]
    assert two["changed"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["one of the following is required", "processes", "certificates"]),
        ({"paths": [{"path": "/", "min_free": "10Q"}]}, ["paths[0].min_free must be a share such as 10% or a size such as 5G, not '10Q'"]),
        ({"paths": [{"path": "data"}]}, ["paths[0].path must be an absolute path"]),
        ({"processes": [{"owner": "root"}]}, ["program", "args", "title"]),
        ({"processes": [{"title": "("}]}, ["processes[0].title must be a regular expression"]),
        ({"processes": [{"program": "x", "colour": "red"}]}, ["colour"]),
        ({"sockets": [{"port": 80, "path": "/x"}]}, ["mutually exclusive"]),
        ({"units": [{"name": "x", "state": "happy"}]}, ["happy"]),
        ({"tcp": [{"host": "h", "port": 1}], "timeout": 0}, ["timeout must be more than 0"]),
        ({"tcp": [{"host": "h", "port": 1}], "watch": -1}, ["watch must be 0 or more"]),
        ({"certificates": [{"host": "h", "file": "/x"}]}, ["mutually exclusive"]),
        ({"http": [{"url": "http://h/", "body": "x", "json": {}}]}, ["mutually exclusive"]),
    ],
)
def test_bad_input(options: dict[str, Any], words: list[str]) -> None:
    result = run_refused(MODULE, options)
    for word in words:
        assert word in result["msg"]
    assert "exception" not in result


def test_a_name_that_is_no_utf8_is_spelt_out(tmp_path: Path) -> None:
    """Ansible refuses a result with anything else, and the whole look with it."""
    with open(os.fsencode(tmp_path) + b"/\xff.log", "wb") as log:
        log.write(b"ERROR \xfe\n")
    result = look(logs=[{"path": str(tmp_path / "*.log"), "patterns": [{"name": "error", "regex": "ERROR"}]}])
    json.dumps(result, ensure_ascii=False).encode("utf-8")
    assert result["logs"][0]["path"] == str(tmp_path / "\\udcff.log")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_says_what_they_could_not_see(tmp_path: Path) -> None:
    """As nobody, in a process of its own; what belongs to others is not known, and never counts as well."""
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    with socket.socket() as tcp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        options = {
            "sockets": [{"port": tcp.getsockname()[1], "program": "python3", "code": "a"}, {"port": tcp.getsockname()[1], "code": "b"}],
            "paths": [{"path": "/", "deleted_open": "1P", "code": "c"}, {"path": "/", "readable_by": "root", "code": "d"}],
            "processes": [{"title": ".*", "owner": "root", "code": "e"}],
            "logs": [{"path": str(closed / "a.log"), "optional": True, "code": "f"}],
        }
        child = os.fork()
        if not child:
            _as_nobody(options, tmp_path / "result")
        os.waitpid(child, 0)
    result = json.loads((tmp_path / "result").read_text(encoding="utf-8"))
    assert codes(result) == {"a.unknown": "warning", "c.unknown": "warning", "d.unknown": "warning", "f.unknown": "warning", "node.process.ok": "ok"}
    assert result["evidence"]["user"] == "nobody"
    assert result["evidence"]["not_seen"]


def _as_nobody(options: dict[str, Any], path: Path) -> None:
    code = 1
    try:
        with path.open("w", encoding="utf-8") as file:
            nobody = pwd.getpwnam("nobody")
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            json.dump(run_module(MODULE, options), file)
            code = 0
    finally:
        os._exit(code)
