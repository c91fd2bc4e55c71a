# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An embedded, real PostgreSQL server with its own directory, socket and port.

    with Postgres(listen="127.0.0.1") as server:
        server.create_database("fitsdata")
        with server.connect("fitsdata") as connection: ...

`stop()` leaves nothing behind; `halt()`, `kill()` and `start()` again play an outage on the same data. The server ends
with the process that started it, even when that one is killed (see `keeper`).
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from lab import pg_binaries, procfs
from lab.keeper import keeper
from lab.pg_tls import TlsFront

START_TIMEOUT = 30.0
SOCKET_PATH_LIMIT = 100


class ServerError(RuntimeError):
    """The server did not start; the message holds the end of its log."""


class Postgres:
    """One server. `auth` is `trust` or `scram-sha-256` (the superuser keeps `trust` on the socket)."""

    def __init__(
        self,
        *,
        listen: str | None = None,
        port: int | None = None,
        auth: str = "trust",
        password: str | None = None,
        tls: str | None = None,
        fsync: bool = False,
        timezone: str = "UTC",
        settings: dict[str, Any] | None = None,
        major: int = 16,
    ) -> None:
        """`tls` is None, `allow` or `require`: a TLS front on `tls_port` that takes, or insists on, encryption."""
        self.listen = listen or ("127.0.0.1" if tls else None)
        self.auth = auth
        self.password = password
        self.tls = tls
        self._fixed_port = port
        self._settings = self._default_settings(fsync, timezone) | (settings or {})
        self._major = major
        self._work: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._front: TlsFront | None = None
        self._bindir = Path()
        self._port = port or 5432

    @staticmethod
    def _default_settings(fsync: bool, timezone: str) -> dict[str, Any]:
        lasting = "on" if fsync else "off"
        return {
            "fsync": lasting,
            "synchronous_commit": lasting,
            "full_page_writes": lasting,
            "timezone": timezone,
            "log_timezone": timezone,
            "max_connections": 100,
            "shared_buffers": "256MB",
            "unix_socket_permissions": "0777",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] %u@%d ",
        }

    # -- what others need to know -----------------------------------------------------------------------------------

    @property
    def work(self) -> Path:
        """The directory of this server; gone after `stop()`."""
        if self._work is None:
            raise ServerError("the server was not started")
        return self._work

    @property
    def socket_dir(self) -> str:
        """Directory of the Unix socket."""
        return str(self.work / "run")

    @property
    def port(self) -> int:
        """TCP port, and the number in the socket's name."""
        return self._port

    @property
    def tls_port(self) -> int:
        """Port of the TLS front."""
        if self._front is None:
            raise ServerError("started without tls")
        return self._front.port

    @property
    def ca_cert(self) -> str:
        """The certificate of the authority that signed the TLS front's certificate."""
        return str(self.work / "tls" / "ca.crt")

    @property
    def log_file(self) -> Path:
        """The server's own log."""
        return self.work / "server.log"

    @property
    def pid(self) -> int | None:
        """Pid of the postmaster while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def dsn(self, db: str = "postgres", user: str = "postgres", password: str | None = None, tcp: bool = False) -> str:
        """A URL that libpq and SQLAlchemy both take; over the socket unless `tcp`."""
        secret = f":{quote(password, safe='')}" if password else ""
        if tcp:
            return f"postgresql://{quote(user)}{secret}@{self.listen}:{self._port}/{quote(db)}"
        return f"postgresql://{quote(user)}{secret}@/{quote(db)}?host={quote(self.socket_dir)}&port={self._port}"

    def connect(self, db: str = "postgres", user: str = "postgres", autocommit: bool = True, **options: Any) -> Any:
        """A psycopg2 connection over the socket."""
        import psycopg2

        parameters = {"host": self.socket_dir, "port": self._port, "dbname": db, "user": user, **options}
        connection = psycopg2.connect(**parameters)
        connection.autocommit = autocommit
        return connection

    def create_database(self, name: str, owner: str = "postgres") -> None:
        """An empty database."""
        self._as_superuser("CREATE DATABASE {} OWNER {} TEMPLATE template0", name, owner)

    def drop_database(self, name: str) -> None:
        """Drop a database and throw out whoever uses it."""
        self._as_superuser("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def _as_superuser(self, statement: str, *names: str) -> None:
        from psycopg2 import sql

        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
        finally:
            connection.close()

    # -- life cycle -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Postgres:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> Postgres:
        """Start, making the cluster first if there is none; after `halt()` or `kill()` go on with the same data."""
        if self.pid is not None:
            return self
        try:
            if self._work is None:
                self._prepare()
            self._launch()
            if self.tls and self._front is None:
                self._front = TlsFront(self.work / "tls", self._port, insist=self.tls == "require")
        except BaseException:
            self.stop()
            raise
        return self

    def halt(self) -> None:
        """Stop the server in the ordinary way and keep its data."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """The server dies as in a power cut; its data stay as they are."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the server and remove its directory. Safe to call at any time, any number of times."""
        if self._front is not None:
            self._front.close()
            self._front = None
        self._end(signal.SIGINT)
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            keeper().forget_directory(self._work)
            self._work = None
        atexit.unregister(self.stop)

    def _end(self, signum: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        offspring = [(pid, procfs.start_time(pid)) for pid in procfs.children(process.pid)]
        for step in (signum, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(step)
            try:
                process.wait(timeout=10)
                break
            except subprocess.TimeoutExpired:
                continue
        # Backends notice the death of the postmaster by themselves; a new one refuses to start beside them.
        for pid, started in offspring:
            if not procfs.wait_gone(pid, started, 5.0):
                procfs.end(pid, started, signal.SIGKILL)
        keeper().forget_process(process.pid)

    # -- starting ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._work = self._make_work_directory()
        atexit.register(self.stop)
        keeper().watch_directory(self._work)
        self._bindir = pg_binaries.find(self._major)
        if os.geteuid() == 0:
            self._work.chmod(0o711)
            if not os.environ.get("LAB_PG_BINDIR"):
                self._bindir = pg_binaries.copy(self._bindir, self._work / "dist")
        account = self._account()
        for name in ("data", "run"):
            (self._work / name).mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(self._work / name, account.pw_uid, account.pw_gid)
        (self._work / "run").chmod(0o755)
        self._initdb()

    @staticmethod
    def _make_work_directory() -> Path:
        for base in (None, "/tmp", "/var/tmp"):
            path = Path(tempfile.mkdtemp(prefix="lab-pg-", dir=base))
            fits = len(str(path / "run" / ".s.PGSQL.65535")) < SOCKET_PATH_LIMIT
            if fits and (os.geteuid() != 0 or pg_binaries.enterable(path.parent)):
                return path
            path.rmdir()
        raise ServerError("no temporary directory that user nobody can enter with a short enough path")

    @staticmethod
    def _account() -> pwd.struct_passwd:
        """PostgreSQL refuses to run as root, and initdb refuses a user id without a name."""
        try:
            return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        except KeyError as error:
            raise ServerError(f"initdb needs an entry in /etc/passwd: {error}") from error

    def _as_server_user(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "cwd": self.work,
            "env": {"PATH": "/usr/bin:/bin", "LANG": "C", "HOME": str(self.work)},
            "stdin": subprocess.DEVNULL,
        }
        if os.geteuid() == 0:
            account = self._account()
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return options

    def _initdb(self) -> None:
        options = "--username postgres --auth trust --encoding UTF8 --locale C --no-sync --no-instructions".split()
        command = [str(self._bindir / "initdb"), "--pgdata", str(self.work / "data"), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_server_user())
        if done.returncode != 0:
            raise ServerError(f"initdb: {done.stderr.strip()}")
        with open(self.work / "data" / "pg_hba.conf", "w", encoding="utf-8") as handle:
            handle.write("local all postgres trust\n")
            handle.write(f"local all all {self.auth}\nhost all all 127.0.0.1/32 {self.auth}\n")

    def _launch(self) -> None:
        """Start the postmaster; a port that someone else took in the meantime is worth another try."""
        for attempt in range(3):
            if self.listen and not self._fixed_port and not (attempt == 0 and self._restarting):
                self._port = _free_port(self.listen)
            command = [str(self._bindir / "postgres"), "-D", str(self.work / "data")]
            for name, value in self._all_settings().items():
                command += ["-c", f"{name}={value}"]
            with open(self.log_file, "ab") as log:
                process: subprocess.Popen[bytes] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self._as_server_user())
            self._process = process
            keeper().watch_process(process.pid, signal.SIGQUIT)
            if self._wait_ready():
                self._set_password()
                return
            self._end(signal.SIGQUIT)
        raise ServerError(f"the server did not start: {self.log_file.read_text(errors='replace')[-2000:]}")

    @property
    def _restarting(self) -> bool:
        return self.log_file.exists()

    def _all_settings(self) -> dict[str, Any]:
        return self._settings | {
            "listen_addresses": self.listen or "",
            "unix_socket_directories": self.socket_dir,
            "port": self._port,
        }

    def _wait_ready(self) -> bool:
        """The postmaster writes its state into the eighth line of postmaster.pid."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.pid is not None:
            try:
                lines = (self.work / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            except OSError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        return False

    def _set_password(self) -> None:
        if self.password is None:
            return
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute("ALTER ROLE postgres PASSWORD %s", (self.password,))
        finally:
            connection.close()


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
