# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of Sesam reduced to what a signal and a restart meet: a program called lake in a real container, and an API that answers as it is told.

The program is a shell script, so that it can be awkward in ways that are written down in one line each.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.engine import Engine

LAKE = """#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in -l) logs=$2; shift ;; -d) data=$2; shift ;; esac
    shift
done
cd "$logs" || exit 1
rotate() {
    rm -f stacktrace.html.4
    for number in 3 2 1; do
        [ ! -e stacktrace.html.$number ] || mv stacktrace.html.$number stacktrace.html.$((number + 1))
    done
    [ ! -e stacktrace.html ] || mv stacktrace.html stacktrace.html.1
}
write() { rotate; echo "<!DOCTYPE html><HTML><body>$(date +%s) $1</body></HTML>" > stacktrace.html; }
"""
CATCHES = "trap write USR1\n"
SLOW = """slow() {
    rotate
    echo '<html><body>' > stacktrace.html
    for number in 1 2 3 4 5 6; do usleep 300000; echo "<p>thread $number</p>" >> stacktrace.html; done
    echo '</body></html>' >> stacktrace.html
}
trap slow USR1
"""
TWICE = "twice() { write signal; write health; }\ntrap twice USR1\n"
NOTHING = "trap : USR1\n"
NO_HTML = 'junk() { rotate; echo "no traces today" > stacktrace.html; }\ntrap junk USR1\n'
IGNORES = "trap '' USR1\n"
STUBBORN = "trap : TERM\n"
ENDS = "sleep 1; exit 3\n"
RUN = """echo started >> node.log
while :; do sleep 1000 & wait $!; kill $! 2> /dev/null; done
"""
DIRECT = ("lake", "-l", "/sesam/logs", "-d", "/sesam/data")
BELOW_SHELL = ("sh", "-c", "chown -R 0:0 /sesam/logs && lake -l /sesam/logs -d /sesam/data --token hush; true")
STILL_PREPARING = ("sh", "-c", "sleep 1000; exec lake -l /sesam/logs -d /sesam/data")
_numbers = itertools.count()


class Lake:
    """Containers of one test, with their folders below ``path``."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path, self.engine = path, engine
        self.name = f"lake-{os.getpid()}-{next(_numbers)}"
        self.logs, self.data = path / "logs", path / "data"
        self.options: tuple[str, ...] = ()
        self.command: tuple[str, ...] = DIRECT
        for folder in (self.logs, self.data):
            folder.mkdir(parents=True)

    def run(self, traps: str = CATCHES, command: tuple[str, ...] = DIRECT, *options: str, name: str = "") -> None:
        """Start the container, and wait until the program, or the shell before it, is there."""
        self.command, self.options = command, options
        self.write(traps)
        mounts = [f"--volume={self.logs}:/sesam/logs", f"--volume={self.data}:/sesam/data", f"--volume={self.path}/lake:/bin/lake:ro"]
        self.engine.docker("run", "--detach", "--network=none", f"--name={name or self.name}", *mounts, *options, self.engine.image, *command)

    def write(self, traps: str) -> None:
        """What the program is when it is started the next time."""
        script = self.path / "lake"
        script.write_text(LAKE + traps + RUN, encoding="utf-8")
        script.chmod(0o755)

    def again(self) -> None:
        """Made anew under the same name, as an updater does it."""
        self.remove()
        self.run(CATCHES, self.command, *self.options)
        self.wait_until_up()

    def remove(self) -> None:
        if self.inspect() is not None:
            self.engine.docker("rm", "--force", self.name)

    def inspect(self) -> dict[str, Any] | None:
        return self.engine.inspect(self.name)

    @property
    def state(self) -> dict[str, Any]:
        seen = self.inspect()
        assert seen is not None
        state: dict[str, Any] = seen["State"]
        return state

    def starts(self) -> int:
        """How often the program has started."""
        log = self.logs / "node.log"
        return log.read_text(encoding="utf-8").count("started") if log.exists() else 0

    def wait_until_up(self, starts: int = 1) -> None:
        wait(lambda: self.starts() >= starts, "the program")

    def traces(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(self.logs.glob("stacktrace.html*"))}

    def arguments(self, journal_dir: str, **values: Any) -> dict[str, Any]:
        """Options of a module that is to look at this container, with an API that nobody serves."""
        known = {"docker_host": self.engine.docker_host, "container": self.name, "journal_dir": journal_dir}
        return {**known, "api_url": "http://127.0.0.1:9", "request_timeout": 5, **values}


def wait(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < until, f"{what}: not within {seconds:g} s"
        time.sleep(0.05)


Answers = dict[str, tuple[int, str, bytes]]


class Api:
    """Answers each path below /api with a status, a type and a body; ``None`` as the answer never comes."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.posted: list[tuple[str, bytes]] = []
        self.on_post: Callable[[bytes], None] = lambda _body: None
        self._ended = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path.removeprefix("/api")
                api.asked.append(path)
                self._answer(path)

            def do_POST(self) -> None:
                path = urlsplit(self.path).path.removeprefix("/api")
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.posted.append((path, body))
                api.on_post(body)
                self._answer("POST " + path)

            def _answer(self, path: str) -> None:
                found = api.answers.get(path, (404, "text/html", b"<html><title>404 Not Found</title></html>"))
                found = found() if callable(found) else found
                if found is None:
                    api._ended.wait(120)
                    return
                status, kind, body = found
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_values: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(**answers: Any) -> Iterator[Api]:
    """An API of its own."""
    api = Api()
    api.answers.update(answers)
    try:
        yield api
    finally:
        api.close()
