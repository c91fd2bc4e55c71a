# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fits_enqueue is given: bad options, awkward names, another user, an environment, and a script with troubles of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enqueueing import GENERATIONS, NAME, OTHER, Host, making
from lab.fits.faults import AWKWARD, DESTINATION
from lab.procfs import start_time
from support import run_module, run_refused


@pytest.fixture
def make_host(server: Any, database: Callable[..., str], connection: dict[str, Any], journal_dir: str, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    with making(server, database, connection | {"journal_dir": journal_dir}, tmp_path) as make:
        yield make


@pytest.fixture(params=GENERATIONS)
def host(request: Any, make_host: Callable[..., Host]) -> Host:
    return make_host(request.param)


# -- bad input: one clear error each ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filename": "N1.fits"}, "does not exist"),
        ({"filename": "dir.fits"}, "not a regular file"),
        ({"filename": "link.fits"}, "link out of the storage root"),
        ({"filename": "sub/N1.fits"}, "not the name of a file"),
        ({"filename": ".."}, "not the name of a file"),
        ({"filename": ""}, "not the name of a file"),
        ({"filename": "N1.fits\nN2.fits"}, "cannot be queued"),
        ({"filename": "N1.fits\0"}, "cannot be queued"),
        ({"filename": " N1.fits"}, "cannot be queued"),
        ({"filename": "tmp1.fits"}, "silently skip"),
        ({"filename": "x.tiled.fits"}, "silently skip"),
        ({"filename": "N1.txt"}, "silently skip"),
        ({"filename": "N1.fits_preview.jpg"}, "silently skip"),
        ({"filename": []}, "no file is named"),
        ({"file_re": "N("}, "not a regular expression"),
        ({"file_re": "fourday"}, "different generations"),
        ({"file_re": "S2019"}, "matches no file"),
        ({"file_re": "^tmp"}, "would skip them all"),
        ({"file_re": "link"}, "link out of the storage root"),
        ({"filename": NAME, "path": "/sci/dataflow"}, "relative to the storage root"),
        ({"filename": NAME, "path": "sub/../../x"}, "relative to the storage root"),
        ({"filename": NAME, "path": "nowhere"}, "no directory"),
        ({"filename": NAME, "path": "out"}, "link out of the storage root"),
        ({"filename": NAME, "path": "a\nb"}, "characters that cannot be queued"),
        ({"filename": NAME, "storage_root": "/nowhere"}, "no directory"),
        ({"filename": NAME, "scripts_dir": "/nowhere"}, "/nowhere/add_to_ingest_queue.py is not installed"),
        ({"filename": NAME, "python": "/nowhere/python"}, "no interpreter"),
        ({"filename": NAME, "run_as": "no-such-user"}, "no user no-such-user"),
        ({"filename": NAME, "timeout": 0}, "timeout must be more than 0"),
        ({"filename": NAME, "timeout": 900}, "less than lock_expiry"),
        ({"filename": NAME, "environment": {"A B": "1"}}, "not the name of a variable"),
        ({"filename": NAME, "destination": DESTINATION}, "for the export queue"),
        ({"filename": NAME, "queue": "export"}, "needs a destination"),
        ({"filename": NAME, "queue": "export", "destination": ["a\nb"]}, "cannot be passed"),
        ({"file_re": "N", "queue": "export", "destination": DESTINATION}, "for the ingest queue"),
        ({"filename": NAME, "queue": "export", "destination": DESTINATION, "force": True}, "knows no force"),
        ({"filename": NAME, "queue": "export", "destination": DESTINATION}, "never ingested"),
        ({"filename": NAME, "login_db": "postgres"}, "not a FITS Storage database"),
    ],
)
def test_bad_input(make_host: Callable[..., Host], tmp_path: Path, options: dict[str, Any], words: str) -> None:
    host = make_host("C")
    for name in (NAME, "tmp1.fits", "x.tiled.fits", "N1.txt", "N1.fits_preview.jpg"):
        host.root.write_file(name)
    (host.root.dataflow / "dir.fits").mkdir()
    (tmp_path / "secret.fits").write_bytes(b"")
    (host.root.dataflow / "link.fits").symlink_to(tmp_path / "secret.fits")
    (host.root.dataflow / "out").symlink_to(tmp_path)
    result = host.refused(**options)
    assert words in result["msg"]
    assert "\n" not in result["msg"].strip()
    assert not os.path.exists(host.journal_dir) or os.listdir(os.path.join(host.journal_dir, "runs")) == []


def test_the_script_is_not_there(host: Host) -> None:
    host.root.write_file(NAME)
    (host.root.scripts / "add_to_ingest_queue.py").unlink()
    assert "add_to_ingest_queue.py is not installed" in host.refused(filename=NAME)["msg"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("", False)], "no header row"),
        ([("", True), ("sub", True)], "present 2 times"),
        ([("sub", True)], "not in path other"),
    ],
)
def test_what_cannot_be_exported(host: Host, rows: list[tuple[str, bool]], words: str) -> None:
    for path, header in rows:
        host.present(NAME, path, header)
    assert words in host.refused(queue="export", filename=NAME, destination=DESTINATION, path="other")["msg"]


def test_awkward_names(host: Host) -> None:
    """Every name is either refused beforehand or reaches the table as it is, alone and in a list."""
    good = []
    for name in AWKWARD:
        if "/" not in name:
            host.root.write_file(name)
        result = run_module("fits_enqueue", host.options | {"filename": [name]}, check=True)
        if result.get("failed"):
            assert "/" in name or "\n" in name or name != name.strip(), result
        else:
            good.append(name)
    assert len(good) == len(AWKWARD) - 3
    alone = host.ok(filename=good[:1])
    rest = host.ok(filename=good)
    assert {row["filename"] for row in host.rows()} == set(good)
    assert host.undo(rest["undo_id"])["changed"]
    assert host.undo(alone["undo_id"])["changed"]
    assert host.rows() == []


def test_awkward_exports(host: Host) -> None:
    for name in (name for name in AWKWARD if name != AWKWARD[4] and "/" not in name and name == name.strip()):
        host.present(name)
        assert host.ok(queue="export", filename=[name], destination=DESTINATION)["changes"][0]["done"]
        assert host.rows("export")[-1]["filename"] == name


# -- the user, the environment, the script's own troubles ---------------------------------------------------------------


@pytest.fixture
def public_host(server: Any, database: Callable[..., str], connection: dict[str, Any], journal_dir: str) -> Iterator[Callable[[str], Host]]:
    """An installation where user nobody can go, which is not so for pytest's own directories."""
    directory = Path(tempfile.mkdtemp(prefix="fits-", dir="/tmp"))
    directory.chmod(0o755)
    with making(server, database, connection | {"journal_dir": journal_dir}, directory) as make:

        def make_public(generation: str) -> Host:
            host = make(generation)
            shutil.chown(host.root.log_dir, "nobody")
            host.options["run_as"] = "nobody"
            return host

        yield make_public
    shutil.rmtree(directory)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as somebody else")


def _nobody_can_run(host: Host) -> bool:
    probe = ["setpriv", "--reuid=nobody", "--regid=65534", "--clear-groups", sys.executable, "-c", "import psycopg2"]
    return shutil.which("setpriv") is not None and subprocess.run(probe, env={}, cwd="/", capture_output=True, check=False).returncode == 0


@needs_root
@pytest.mark.parametrize("generation", GENERATIONS)
def test_as_another_user(public_host: Callable[[str], Host], generation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = public_host(generation)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where nobody cannot go
    if not _nobody_can_run(host):
        pytest.skip("user nobody cannot run this Python")
    host.root.write_file(NAME)
    host.root.write_file(OTHER)
    real = host.ok(filename=[NAME, OTHER], environment={"LAB_PROOF": "1"})
    assert all(change["done"] for change in real["changes"])
    log = host.root.log_dir / "add_to_ingest_queue.py-fieldops.log"
    assert log.owner() == "nobody"
    (host.root.dataflow / NAME).chmod(0)
    assert "nobody cannot read it" in host.refused(filename=NAME)["msg"]
    host.root.dataflow.chmod(0o711)
    assert "nobody cannot list" in host.refused(file_re=".")["msg"]


@needs_root
def test_neither_root_nor_that_user(make_host: Callable[..., Host]) -> None:
    host = make_host("C")
    host.root.write_file(NAME)
    os.seteuid(65534)
    try:
        result = run_refused("fits_enqueue", host.options | {"filename": NAME})
    finally:
        os.seteuid(0)
    assert "must run as root" in result["msg"]
    assert "become" in result["msg"]


def test_c_without_its_configuration_says_so(make_host: Callable[..., Host]) -> None:
    """It works on a database in memory and exits 0."""
    host = make_host("C")
    host.root.write_file(NAME)
    (host.root.path / "opt" / "FitsStorageConfigurations" / "fits_storage.conf").unlink()
    result = run_module("fits_enqueue", host.options | {"filename": NAME})
    assert result["failed"]
    assert not result["changed"]
    assert "exit code 0" in result["msg"]
    assert "empty database in memory" in result["msg"]
    assert host.rows() == []
    assert [change["done"] for change in result["changes"]] == [False]
    assert result["undo_id"] is None


@pytest.mark.parametrize("generation", ["A", "B"])
def test_the_script_works_on_another_database(make_host: Callable[..., Host], generation: str) -> None:
    host, other = make_host(generation), make_host(generation)
    host.root.write_file(NAME)
    name = other.connection["login_db"]
    result = run_module("fits_enqueue", host.options | {"filename": NAME, "environment": {"FITS_DB_NAME": name}})
    assert result["failed"]
    assert "FITS_DB_NAME" in result["msg"]
    assert host.rows() == []
    assert len(other.rows()) == 1


@pytest.mark.parametrize("broken", ["import fits_storage.nowhere", "import os; os.abort()", "print(open('/etc/shadow').nowhere)"])
def test_a_script_that_breaks_off(host: Host, broken: str) -> None:
    host.root.write_file(NAME)
    (host.root.scripts / "add_to_ingest_queue.py").write_text(broken + "\n")
    result = run_module("fits_enqueue", host.options | {"filename": NAME})
    assert result["failed"]
    assert "did not appear" in result["msg"]
    assert f"ingest:{NAME}" in result["msg"]
    assert result["evidence"]["script"][0]["exit_code"] != 0
    assert host.rows() == []


def test_an_interpreter_that_is_none(host: Host, tmp_path: Path) -> None:
    host.root.write_file(NAME)
    (tmp_path / "python").write_bytes(b"\x7fELF is not enough")
    (tmp_path / "python").chmod(0o755)
    result = run_module("fits_enqueue", host.options | {"filename": NAME, "python": str(tmp_path / "python")})
    assert result["failed"]
    assert "never started" in result["msg"]
    assert "Exec format error" in result["msg"]
    assert host.rows() == []


def test_what_did_appear_can_be_undone(host: Host) -> None:
    """The script breaks off after the first of two files."""
    for name in (NAME, OTHER):
        host.root.write_file(name)
    script = host.root.scripts / "add_to_ingest_queue.py"
    script.write_text(script.read_text().replace("main(__file__)", (
        "import os, sys\n"
        "    from fits_storage.standin.queues import Queue\n"
        "    add, left = Queue.add, [1]\n"
        "    Queue.add = lambda self, row: add(self, row) if left and left.pop() else os._exit(3)\n"
        "    main(__file__)"
    )))  # fmt: skip
    result = run_module("fits_enqueue", host.options | {"filename": [NAME, OTHER]})
    assert result["failed"]
    assert result["changed"]
    assert "exit code 3, but 1 of 2 rows did not appear" in result["msg"]
    assert [change["done"] for change in result["changes"]] == [True, False]
    assert [row["filename"] for row in host.rows()] == [NAME]
    assert host.undo(result["undo_id"])["changed"]
    assert host.rows() == []


def test_time_out_ends_the_script_and_its_children(host: Host, tmp_path: Path) -> None:
    host.root.write_file(NAME)
    (host.root.scripts / "add_to_ingest_queue.py").write_text(
        "import os, signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"child = subprocess.Popen(['sleep', '300'])\nopen({str(tmp_path / 'pids')!r}, 'w').write('%d %d' % (os.getpid(), child.pid))\ntime.sleep(300)\n"
    )
    started = time.monotonic()
    result = run_module("fits_enqueue", host.options | {"filename": NAME, "timeout": 1})
    assert time.monotonic() - started < 30
    assert "was killed after" in result["msg"]
    assert [start_time(int(pid)) for pid in (tmp_path / "pids").read_text().split()] == [None, None]


def test_values_of_the_environment_are_never_shown(host: Host) -> None:
    host.root.write_file(NAME)
    (host.root.scripts / "add_to_ingest_queue.py").write_text(
        "import os\nprint('say', os.environ['PLAIN'], os.environ['SECRET'], 'postgresql://me:hidden@host/db')\n"
    )
    result = run_module("fits_enqueue", host.options | {"filename": NAME, "environment": {"SECRET": "sesame-open", "PLAIN": "1"}}, diff=True)
    assert "sesame-open" not in str(result)
    assert "hidden@" not in str(result)
    assert "say 1 ********" in result["msg"]
    for file in Path(host.journal_dir).rglob("*"):
        assert file.is_dir() or b"sesame-open" not in file.read_bytes()


def test_the_script_gets_no_terminal_and_nobody_elses_environment(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "yes")
    host.root.write_file(NAME)
    (host.root.scripts / "add_to_ingest_queue.py").write_text(
        "import os, sys\nprint(sorted(os.environ), repr(sys.stdin.read()), os.getsid(0) == os.getpid())\n"
    )
    result = run_module("fits_enqueue", host.options | {"filename": NAME, "timezone": "Pacific/Honolulu"})
    said = " ".join(result["evidence"]["script"][0]["output"])
    assert "LEAKED" not in said
    assert "'PYTHONPATH'" in said
    assert "'TZ'" in said
    assert "'' True" in said
