# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A FITS host whose notification job really runs: its web site, its mail server, its crontabs, its log."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.fits.root import install
from support import run_ok

PROGRAM = "GN-2019A-FT-211"
NIGHT = "20190803"
SCRIPTS = {"A": "YouGotDataEmail.py", "B": "YouGotDataEmail.py", "C": "send_new_data_notification_emails.py"}
_WEB = """
import ssl
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from fits_storage.standin import web
class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
class Handler(WSGIRequestHandler):
    def log_message(self, *arguments): pass
server = make_server("127.0.0.1", int(sys.argv[1]), web.application, Server, Handler)
if sys.argv[2:]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[2:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


class MailHost:
    """One host. ``info`` runs the module with options that find all of it."""

    def __init__(self, server: Any, database: str, generation: str, directory: Path, connection: dict[str, Any]) -> None:
        self.generation = generation
        self.web_port, self.smtp_port = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        site = f"127.0.0.1:{self.web_port}"
        self.root = install(
            directory / "root",
            generation,
            server.dsn(database, user="fitsdata"),
            config={"smtp_server": f"127.0.0.1:{self.smtp_port}", "email_from": "fitsdata@example.org", "fits_server_name": site, "fits_servername": site},
            archive_url=self.url,
        )
        self.session = server.connect(database, user="fitsdata")
        self.smtp_dir, self.cron_dir, self.cron_d = (directory / name for name in ("smtp", "crontabs", "cron.d"))
        for path in (self.smtp_dir, self.cron_dir, self.cron_d):
            path.mkdir()
        self.options: dict[str, Any] = connection | {
            "login_db": database,
            "archive_url": self.url,
            "fits_url": self.url,
            "log_dir": [str(self.root.log_dir)],
            "cron_dirs": [str(self.cron_dir)],
            "system_crontabs": [str(self.cron_d)],
            "timeout": 5,
            "date": NIGHT,
        }
        self.script = str(self.root.scripts / SCRIPTS[generation])

    # -- servers -------------------------------------------------------------------------------------------------------

    @contextmanager
    def serving(self) -> Iterator[None]:
        smtp = ["-m", "fits_storage.standin.smtp", str(self.smtp_dir), str(self.smtp_port)]
        with self.web_site(), self._server(smtp, self.smtp_port):
            yield

    @contextmanager
    def web_site(self, *certificate_and_key: str) -> Iterator[None]:
        with self._server(["-c", _WEB, str(self.web_port), *certificate_and_key], self.web_port):
            yield

    @contextmanager
    def _server(self, arguments: list[str], port: int) -> Iterator[None]:
        process = subprocess.Popen([sys.executable, *arguments], env=self.root.environment(), cwd=self.root.python_path, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port)
            yield
        finally:
            kill(process)

    def web(self, mode: str) -> None:
        (self.root.path / "data" / "web").write_text(mode + "\n", encoding="utf-8")

    def smtp(self, mode: str) -> None:
        (self.smtp_dir / "mode").write_text(mode, encoding="utf-8")

    def received(self) -> list[dict[str, Any]]:
        path = self.smtp_dir / "messages.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    # -- the job -------------------------------------------------------------------------------------------------------

    def start_job(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = self.root.command(SCRIPTS[self.generation], f"--date={NIGHT}", "--demon", *arguments)
        return subprocess.Popen(command, env=self.root.environment(), stderr=subprocess.DEVNULL)

    def run_job(self, *arguments: str) -> int:
        return self.start_job(*arguments).wait(timeout=60)

    def log(self) -> str:
        path = self.root.log_dir / (SCRIPTS[self.generation] + ".log")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + 30
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def cron(self, user: str = "fitsdata", schedule: str = "0 8 * * *", script: str = "", prefix: str = "", jobs: tuple[str, ...] = ("", " --check")) -> None:
        """Lines as upstream's crontab has them."""
        lines = [f"{prefix}{schedule}  python3 {script or self.script} --demon{job}\n" for job in jobs]
        with open(self.cron_dir / user, "a", encoding="utf-8") as file:
            file.writelines(["PYTHONPATH=/opt/FitsStorage\n", "# Notifications\n", *lines])

    # -- rows ----------------------------------------------------------------------------------------------------------

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def notification(self, program: str = PROGRAM, **values: Any) -> int:
        row = {"label": f"Auto - {program}", "selection": f"{program}/science", "piemail": "pi@example.org", "ngoemail": None, "csemail": None} | values
        names = ", ".join(row)
        statement = f"INSERT INTO notification ({names}) VALUES ({', '.join(['%s'] * len(row))}) RETURNING id"
        return int(self.execute(statement, *row.values())[0][0])

    def file(
        self, program: str = PROGRAM, name: str = "N20190803S0001.fits", qa_state: str = "Undefined", night: str = NIGHT, engineering: bool = False
    ) -> None:
        """A file in the database, which is the archive's and the FITS server's at once."""
        (file_id,) = self.execute("INSERT INTO file (name) VALUES (%s) RETURNING id", name)[0]
        (diskfile,) = self.execute(
            "INSERT INTO diskfile (file_id, filename, path, present, canonical) VALUES (%s, %s, '', true, true) RETURNING id", file_id, name
        )[0]
        self.execute(
            "INSERT INTO header (diskfile_id, program_id, engineering, ut_datetime, qa_state) VALUES (%s, %s, %s, %s, %s)",
            diskfile,
            program,
            engineering,
            night,
            qa_state,
        )

    def info(self, **options: Any) -> dict[str, Any]:
        return run_ok("fits_notification_info", self.options | options)


def codes(result: dict[str, Any], *severities: str) -> list[str]:
    """Codes without the common beginning; of some severities only, if any are named."""
    return [finding["code"].removeprefix("fits.notification.") for finding in result["findings"] if not severities or finding["severity"] in severities]


def finding(result: dict[str, Any], what: str) -> dict[str, Any]:
    return next(each for each in result["findings"] if each["code"] == f"fits.notification.{what}")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on {port}"
            time.sleep(0.05)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
