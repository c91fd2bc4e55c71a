# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A FITS host with real files, rows, logs and an archive on the other side, and files that were lost on it in every way there is."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import pwd
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from lab.fits.faults import Faults
from lab.fits.sample_files import sample
from support import run_module, run_ok

GENERATIONS = ("A", pytest.param("B", marks=pytest.mark.thorough), "C")
"""What is the same in all of them is tested in B by `make thorough` only."""
TODAY = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
LONG_AGO = "20200804"
OLD = time.time() - 7200


def name_of(number: int, date: str = TODAY) -> str:
    return f"N{date}S{number:04d}.fits"


def stranger() -> str:
    """A user who is not the one that the tests run as, where that one may take on another."""
    if os.geteuid():
        return getpass.getuser()
    return next(user.pw_name for user in pwd.getpwall() if user.pw_name in ("nobody", "daemon"))


class Archive:
    """A real web server that answers as the archive's list of files does, awkward where that is."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.mode = "ok"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *what: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def has(self, name: str, data_md5: str = "", pending: bool = False) -> None:
        self.files[name] = {"filename": name, "data_md5": data_md5, "present": True, "canonical": True, "pending_ingest": pending}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = unquote(request.path.rpartition("filename=")[2])
        self.asked.append(asked)
        if self.mode == "hang":
            time.sleep(5)
        status = 500 if self.mode == "500" else 200
        # A name with .bz2 is never found, and any name that begins like the one asked for is.
        found = [] if asked.endswith(".bz2") else [each for name, each in self.files.items() if name.startswith(asked)]
        body = b"<html>Internal error</html>" if self.mode in ("500", "html") else json.dumps(found).encode()
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Host:
    """One host: its directories, its database, and the module on it."""

    def __init__(self, server: Any, database: str, generation: str, options: dict[str, Any], places: dict[str, Any]) -> None:
        # Where every user can get at it, which no directory of pytest's is.
        self.top = Path(tempfile.mkdtemp(prefix="fieldops-follow-", dir="/tmp"))
        self.top.chmod(0o755)
        self.generation = generation
        self.storage, self.dhs, self.visitor = (self._directory(name) for name in ("dataflow", "dhs", "visitor"))
        self.session = server.connect(database, user="fitsdata")
        self.make = Faults(self.session)
        self.logs = Path(places["log_dir"][0])
        self.options = options | places | {
            "login_db": database,
            "storage_root": str(self.storage),
            "dhs_dir": str(self.dhs),
            "visitor_dirs": [str(self.visitor)],
            "run_as": stranger(),
        }  # fmt: skip

    def _directory(self, name: str) -> Path:
        made = self.top / name
        made.mkdir()
        made.chmod(0o755)
        return made

    def close(self) -> None:
        self.session.close()
        shutil.rmtree(self.top)

    def write(self, name: str, kind: str = "plain", path: str = "", area: Path | None = None, written: float = OLD, mode: int = 0o644) -> Path:
        """A real file, written two hours ago."""
        full = (area or self.storage) / path / name
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(sample(kind))
        full.chmod(mode)
        os.utime(full, (written, written))
        return full

    def ingested(self, name: str, path: str = "", md5: str = "0" * 32, **row: Any) -> int:
        """The file, and what an ingest leaves of it."""
        self.write(name, "compressed" if name.endswith(".bz2") else "plain", path)
        number = self.make.diskfile(name, path, **row)
        self.execute("UPDATE diskfile SET data_md5 = %(md5)s WHERE id = %(id)s", md5=md5, id=number)
        return number

    def execute(self, statement: str, **values: Any) -> None:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values)
        if not self.session.autocommit:
            self.session.commit()

    def log(self, job: str, *lines: str, ending: str = ".py.log", day: str = "2026-01-30") -> None:
        """Lines as the job writes them, a second apart."""
        with (self.logs / f"{job}{ending}").open("a", encoding="utf-8") as file:
            file.writelines(f"{day} 08:00:{n:02d},123 4711:{job}:79 WARNING: {line}\n" for n, line in enumerate(lines))

    def follow(self, *names: str, **options: Any) -> dict[str, Any]:
        return run_ok("fits_file_info", self.options | {"filename": list(names)} | options)

    def one(self, name: str, **options: Any) -> dict[str, Any]:
        """The result of one file, whose finding must say the same."""
        result = self.follow(name, **options)
        (found,), (finding,) = result["files"], result["findings"]
        assert (finding["code"], finding["summary"]) == (f"fits.file.{found['verdict']}", found["summary"])
        assert result["verdicts"] == {found["verdict"]: 1}
        return found

    def refused(self, **options: Any) -> str:
        result = run_module("fits_file_info", self.options | options)
        assert result.get("failed"), result
        return str(result["msg"])


@contextmanager
def following(server: Any, database: str, generation: str, options: dict[str, Any], places: dict[str, Any]) -> Iterator[Host]:
    host = Host(server, database, generation, options, places)
    try:
        yield host
    finally:
        host.close()


# -- the ways to lose a file ------------------------------------------------------------------------------------------


def not_copied(host: Host, name: str) -> None:
    host.write(name, area=host.dhs)


def bad_permission(host: Host, name: str) -> None:
    host.write(name, path="graces", mode=0o600 if os.geteuid() == 0 else 0)


def invalid_header(host: Host, name: str) -> None:
    host.write(name, "no_end")


def older_than_the_window(host: Host, name: str) -> None:
    host.write(name)


def failed_ingest(host: Host, name: str) -> None:
    host.write(name)
    host.make.failed("ingest", name)


def orphaned(host: Host, name: str) -> None:
    host.write(name)
    host.make.in_progress("ingest", name)


def twin(host: Host, name: str) -> None:
    host.write(name)
    host.make.starved_twin("ingest", name)


def not_canonical(host: Host, name: str) -> None:
    host.ingested(name, canonical=False)


def engineering(host: Host, name: str) -> None:
    number = host.ingested(name)
    host.execute("UPDATE header SET engineering = true, program_id = 'GN-ENG20260101' WHERE diskfile_id = %(id)s", id=number)


def header_missing(host: Host, name: str) -> None:
    host.ingested(name, header=False)


def export_failed(host: Host, name: str) -> None:
    host.ingested(name)
    if host.generation == "B":
        host.make.export_failed(name, "ft")
    else:
        host.make.failed("export", name, error="Bad HTTP status: 500 from upload post to url")


def archive_back_off(host: Host, name: str) -> None:
    host.ingested(name)
    if host.generation == "A":
        host.make.back_off(name)
    else:
        host.make.deferred("export", name)


Lose = Callable[[Host, str], None]
TWELVE: dict[str, tuple[Lose, str]] = {
    "not copied": (not_copied, "not_copied"),
    "bad permission": (bad_permission, "unreadable"),
    "invalid header": (invalid_header, "invalid"),
    "older than the window": (older_than_the_window, "outside_window"),
    "failed ingest": (failed_ingest, "failed_ingest"),
    "orphaned": (orphaned, "orphaned"),
    "twin": (twin, "starved"),
    "not canonical": (not_canonical, "not_canonical"),
    "engineering": (engineering, "engineering"),
    "header missing": (header_missing, "no_header"),
    "export failed": (export_failed, "export_failed"),
    "archive back-off": (archive_back_off, "export_backoff"),
}


def lost(host: Host) -> dict[str, str]:
    """A file lost in each of the twelve ways: what it should be called, by its name."""
    expected = {}
    for number, (lose, code) in enumerate(TWELVE.values(), 1):
        name = name_of(number, LONG_AGO if lose is older_than_the_window else TODAY)
        lose(host, name)
        expected[name] = code
    return expected
