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
from lab.fits.site import Site
from lab.pg import Postgres
from play import BIN, ROOT, Run

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
SITE = {
    "name": "a site with a key",
    "url": "http://127.0.0.1:1/",
    "headers": {"Authorization": f"Bearer {SECRETS['mislaid']}"},
    "secret_headers": {"X-Whatever": SECRETS["header"]},
}


class Operator:
    """Somebody with an inventory, and a folder for whatever is written."""

    def __init__(self, folder: Path, hosts: dict[str, Any], stop: Callable[[], None] = lambda: None) -> None:
        self.folder, self.hosts, self.stop = folder, hosts, stop
        folder.mkdir(exist_ok=True)

    def play(self, playbook: str, *words: str, inventory: str = "", **variables: Any) -> Run:
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        hosts = self.folder / "hosts.json"
        hosts.write_text(json.dumps({"fits_servers": {"hosts": self.hosts}}), encoding="utf-8")
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
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
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
        yield Operator(tmp_path / "operator", hosts_of(site, tmp_path), stack.close)


def test_a_bundle_says_elsewhere_what_was_wrong_and_none_of_the_secrets(operator: Operator, tmp_path: Path) -> None:
    collected = operator.play("collect", "-vvv")
    assert collected.changed == 1, "only the bundle is written"
    (path,) = (operator.folder / "bundles").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    operator.stop()
    shutil.rmtree(tmp_path / "site", ignore_errors=True)

    elsewhere = Operator(tmp_path / "elsewhere", {})
    copy = elsewhere.folder / "copy.tar.gz"
    shutil.copy(path, copy)
    sha256 = handed_on(collected)["fieldops_bundle"]["sha256"]
    run = elsewhere.play("diagnose", "-vvv", inventory="localhost,", diagnose_bundle=str(copy), diagnose_sha256=sha256)
    assert run.rc == 0
    then, now = told(collected), told(run)
    assert len({key for key in then if key[0] == "fits-a"}) > 5
    assert ("fits-a", "fits.ingest.failed") in {key[:2] for key in then}
    assert now == then
    status, plan = handed_on(run)["fieldops_status"], handed_on(run)["fieldops_plan"]
    assert (status["worst"], status["broken"], status["failed_looks"]) == ("critical", ["fits-a", "fits-b", "fits-c"], ["fits-b", "fits-c"])
    (step,) = [step for step in plan["steps"] if "fits.ingest.failed" in step["codes"]]
    assert (step["playbook"], step["hosts"]) == ("fieldops.runbooks.fits_ingest_queue", ["fits-a"])
    assert run.changed == 0

    for name, secret in SECRETS.items():
        # Ansible itself shows the variables of an inventory to nobody; what is not ours is the command line of this test.
        assert secret not in collected.output, name
        assert secret not in run.output, name
        written = [str(where) for where, data in [*texts(operator.folder), *texts(elsewhere.folder)] if secret.encode() in data and where.name != "hosts.json"]
        assert written == [], name
    with tarfile.open(copy) as archive:
        names = [member.name.partition("/")[2] for member in archive]
    assert names[0] == "manifest.json"
    assert any(name.startswith("hosts/fits-a/evidence/") and name.endswith("seeded.log") for name in names)
    assert any(name.startswith("hosts/fits-a/evidence/") and name.endswith("processes.txt") for name in names)
