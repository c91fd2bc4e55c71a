# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is collected from broken servers says the same of them when they are gone, and none of their secrets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab.consul import Consul
from lab.fits.site import Site
from lab.pg import Postgres
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from play import BIN, ROOT, Run
from sesaming import params

SECRETS = {
    "password": "Hush4-password",
    "dsn": "Hush4-dsn",
    "jwt": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJodXNoIn0.Hush4-signature",
    "token": "Hush4-environment",
    "flag": "Hush4-commandline",
    "header": "Hush4-header",
    "mislaid": "Hush4-mislaid",
    "key": "Hush4KeyBlockAAAABBBBCCCC",
    "login": "Hush4-login",
    "consul": "4b5a1f7e-0000-4000-8000-9d8c7b6a5948",
}
LOG = f"""2026-01-02 03:04:05 INFO starting
connecting to postgresql://fitsdata:{SECRETS["dsn"]}@db/fitsdata
login with password={SECRETS["password"]} for fitsdata
Authorization: Bearer {SECRETS["jwt"]}
-----BEGIN RSA PRIVATE KEY-----
{SECRETS["key"]}
-----END RSA PRIVATE KEY-----
MY_TOKEN={SECRETS["token"]}
the end
"""
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
SITE = {
    "name": "a site with a key",
    "url": "http://127.0.0.1:1/",
    "headers": {"Authorization": f"Bearer {SECRETS['mislaid']}"},
    "secret_headers": {"X-Whatever": SECRETS["header"]},
}


class Operator:
    """Somebody with an inventory, and a folder for whatever is written."""

    def __init__(self, folder: Path, groups: dict[str, dict[str, Any]], stop: Callable[[], None] = lambda: None) -> None:
        self.folder, self.groups, self.stop = folder, groups, stop
        folder.mkdir(exist_ok=True)

    def play(self, playbook: str, *words: str, inventory: str = "", **variables: Any) -> Run:
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        hosts = self.folder / "hosts.json"
        hosts.write_text(json.dumps({group: {"hosts": members} for group, members in self.groups.items()}), encoding="utf-8")
        env = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            **os.environ,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
            "FIELDOPS_REPORT": str(report),
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        }
        command = ["ansible-playbook", "-i", inventory or str(hosts), f"fieldops.runbooks.{playbook}", "-e", json.dumps(variables), *words]
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, env=env, cwd=self.folder, text=True, timeout=300, check=False, **pipes)
        print(done.stdout)
        return Run(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {})


def handed_on(run: Run) -> dict[str, Any]:
    """What a workflow gets."""
    found = re.search(r"CUSTOM STATS: \*+\s+RUN: (\{.*\})", run.output)
    assert found
    return dict(json.loads(found.group(1)))


def told(run: Run) -> dict[tuple[str, str, str], Any]:
    """Every finding of every host."""
    return {
        (on["host"], group["code"], group["subject"]): (group["severity"], group["summary"], on.get("detail"))
        for group in run.report["findings"]
        for on in group["hosts"]
        if not group["cleared"]
    }


def texts(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """All that was written, archives unpacked."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
            if path.name.endswith(".tar.gz"):
                with tarfile.open(path) as archive:
                    for member in archive:
                        content = archive.extractfile(member)
                        yield path / member.name, content.read() if content else b""


@contextmanager
def seeded_process() -> Iterator[None]:
    """Something that has secrets on its command line and in its environment."""
    words = [sys.executable, "-c", "import time; time.sleep(600)", "--password", SECRETS["flag"]]
    with subprocess.Popen(words, env=dict(os.environ, MY_TOKEN=SECRETS["token"])) as talker:
        try:
            yield
        finally:
            talker.kill()


def hosts_of(site: Site, folder: Path) -> dict[str, Any]:
    """A host with failed rows, and two that cannot be looked at whole."""
    for n in range(3):
        site.faults.failed("ingest", f"a{n}.fits")
    (site.root.log_dir / "seeded.log").write_text(LOG, encoding="utf-8")
    good = {
        **LOCAL,
        "fits_login_unix_socket": site.server.socket_dir,
        "fits_login_port": site.server.port,
        "fits_login_user": "fitsdata",
        "fits_login_password": SECRETS["login"],
        "fits_login_db": site.database,
        "fits_scripts_dir": str(site.root.scripts),
        "fits_log_dir": [str(site.root.log_dir)],
        "fits_lockfile_dir": [str(site.root.lock_dir)],
        "fits_journal_dir": str(folder / "journal"),
        "fits_service_manager": "none",
        "fits_watch": 1,
        "fits_health_extra": {"http": [SITE]},
    }
    return {
        "fits-a": good,
        "fits-b": {**good, "fits_login_db": "no_such_database"},
        "fits-c": {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"},
    }


def of_sesam(node: PlainSesam) -> dict[str, Any]:
    known = {f"sesam_{name}": value for name, value in params(node).items()}
    places = {"sesam_docker_host": "unix:///nowhere.sock", "sesam_log_folder": str(node.logs), "sesam_data_folder": str(node.data)}
    return {**LOCAL, **known, **places}


def of_motr(consul: Consul) -> dict[str, Any]:
    reach = {"motr_hare_consul_url": consul.url, "motr_hare_consul_token": SECRETS["consul"]}
    return {**LOCAL, **reach, "motr_inspect_process": False, "motr_journal_dir": str(consul.folder / "journal")}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    """Of one FITS server with failed rows, whose logs, processes and options are full of secrets, and of two that cannot be looked at."""
    with ExitStack() as stack:
        server = stack.enter_context(Postgres(listen="127.0.0.1"))
        folder = tmp_path / "site"
        folder.mkdir()
        site = Site.build(server, folder, "C", work=0.2)
        stack.callback(site.close)
        stack.enter_context(seeded_process())
        node = stack.enter_context(PlainSesam(tmp_path / "sesam", config=samples.config()))
        (node.logs / "seeded.log").write_text(LOG, encoding="utf-8")
        consul = stack.enter_context(Consul(tmp_path / "consul", SECRETS["consul"]))
        consul.fill()
        groups = {"fits_servers": hosts_of(site, tmp_path), "sesam_nodes": {"sesam-a": of_sesam(node)}, "motr_servers": {"motr-a": of_motr(consul)}}
        yield Operator(tmp_path / "operator", groups, stack.close)


def test_a_bundle_says_elsewhere_what_was_wrong_and_none_of_the_secrets(operator: Operator, tmp_path: Path) -> None:
    collected = operator.play("collect", "-vvv", collect_seconds=600)
    assert collected.changed == 1, "only the bundle is written"
    (path,) = (operator.folder / "bundles").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    operator.stop()
    for name in ("site", "sesam", "consul"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)

    elsewhere = Operator(tmp_path / "elsewhere", {})
    copy = elsewhere.folder / "copy.tar.gz"
    shutil.copy(path, copy)
    sha256 = handed_on(collected)["fieldops_bundle"]["sha256"]
    run = elsewhere.play("diagnose", "-vvv", inventory="localhost,", diagnose_bundle=str(copy), diagnose_sha256=sha256)
    assert run.rc == 0
    then, now = told(collected), told(run)
    assert len({key for key in then if key[0] == "fits-a"}) > 5
    assert {("fits-a", "fits.ingest.failed"), ("motr-a", "hare.cluster.ok")} <= {key[:2] for key in then}
    assert {key[0] for key in then} == {"fits-a", "fits-b", "sesam-a", "motr-a"}
    assert now == then
    status, plan = handed_on(run)["fieldops_status"], handed_on(run)["fieldops_plan"]
    assert (status["worst"], status["failed_looks"]) == ("critical", ["fits-b", "fits-c"])
    assert {"fits-a", "fits-b", "fits-c"} <= set(status["broken"])
    (step,) = [step for step in plan["steps"] if "fits.ingest.failed" in step["codes"]]
    assert (step["playbook"], step["hosts"]) == ("fieldops.runbooks.fits_ingest_queue", ["fits-a"])
    assert run.changed == 0

    token = operator.groups["sesam_nodes"]["sesam-a"]["sesam_jwt"]
    for name, secret in {**SECRETS, "token of Sesam": token}.items():
        # Ansible itself shows the variables of an inventory to nobody; what is not ours is the command line of this test.
        assert secret not in collected.output, name
        assert secret not in run.output, name
        written = [str(where) for where, data in [*texts(operator.folder), *texts(elsewhere.folder)] if secret.encode() in data and where.name != "hosts.json"]
        assert written == [], name
    with tarfile.open(copy) as archive:
        names = [member.name.partition("/")[2] for member in archive]
    assert names[0] == "manifest.json"
    kept = [str(where) for where, data in texts(elsewhere.folder) if b"INFO starting" in data]
    for host in ("fits-a", "sesam-a"):
        assert any(f"/hosts/{host}/evidence/" in name for name in kept), host  # a long name is cut
    assert any(name.startswith("hosts/fits-a/evidence/") and name.endswith("processes.txt") for name in names)


@pytest.mark.thorough
def test_there_is_no_more_of_it_than_was_allowed(operator: Operator) -> None:
    run = operator.play("collect", "--limit", "fits-a,fits-c", collect_max_bytes=60000, collect_seconds=0.001, collect_dest="small")
    path = handed_on(run)["fieldops_bundle"]["path"]
    assert Path(path).parent == operator.folder / "small"
    with tarfile.open(path) as archive:
        sizes = {member.name.partition("/")[2]: member.size for member in archive}
        manifest = json.load(archive.extractfile(next(name for name in archive.getnames() if name.endswith("manifest.json"))))  # type: ignore[arg-type]
    assert sum(size for name, size in sizes.items() if name != "manifest.json") == manifest["bytes"] <= 60000
    assert manifest["limits"] == {"max_bytes": 60000, "seconds": 0.001}
    why = {(each["host"], each["why"]) for each in manifest["left_out"]}
    assert ("fits-c", "it was not reached") in why
    assert any("time is up" in reason or "60000 bytes" in reason for _host, reason in why)
    assert manifest["hosts"]["fits-a"] == {"groups": ["fits_servers"], "reached": True}
    assert f"\nversion: {manifest['versions']['collection']}\n" in (ROOT / "galaxy.yml").read_text(encoding="utf-8")


def test_in_check_mode_nothing_is_written(operator: Operator) -> None:
    run = operator.play("collect", "--check", "--limit", "motr-a")
    assert (run.rc, handed_on(run)["fieldops_bundle"]) == (0, {"path": None, "sha256": None})
    assert not (operator.folder / "bundles").exists()


@pytest.mark.thorough
def test_a_bundle_that_was_changed_is_refused_by_one_error(operator: Operator) -> None:
    run = operator.play("collect", "--limit", "motr-a")
    path = Path(handed_on(run)["fieldops_bundle"]["path"])
    with tarfile.open(path) as archive:
        archive.extractall(operator.folder / "open", filter="data")
    (folder,) = (operator.folder / "open").iterdir()
    assert operator.play("diagnose", inventory="localhost,", diagnose_bundle=str(folder)).rc == 0
    (record,) = folder.glob("hosts/motr-a/records/*hare_info.json")
    record.write_text(record.read_text(encoding="utf-8").replace("failed", "online") + " ", encoding="utf-8")
    refused = operator.play("diagnose", inventory="localhost,", diagnose_bundle=str(folder))
    assert refused.rc == 2
    assert re.search(r"is damaged, or was changed: hosts/motr-a/records/\d\d-hare_info.json is not what was written. Take another copy", refused.failures)
    assert "CUSTOM STATS" not in refused.output
    other = operator.play("diagnose", inventory="localhost,", diagnose_bundle=str(path), diagnose_sha256="0" * 64)
    assert (other.rc, "is not the bundle that was asked for" in other.failures) == (2, True)
