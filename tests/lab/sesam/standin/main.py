# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""lake -l LOGS -d DATA [--microservices=engine] [--enforce-license] [--enable-api-profiler] [-b BACKUP --backup-use-checkpoints] ..."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lab.sesam.standin.health import HealthChecker
from lab.sesam.standin.settings import Settings
from lab.sesam.standin.state import CannotStart, State
from lab.sesam.standin.web import Server

NAME = b"lake\0"
SHORT = ("p", "go")  # as long as NAME in the process's list of arguments; the script has a link of this name beside it
SCRIPT, PYTHON = "LAB_SESAM_SCRIPT", "LAB_SESAM_PYTHON"


def main() -> int:
    """Run until somebody ends it."""
    settings = Settings.from_environment()
    _rename(settings["argv0"])
    options = _options(sys.argv[1:])
    if settings["frozen_api"] == "once":
        settings.change(frozen_api=False)
    if settings["sigusr1"] == "default":
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    try:
        node = State(Path(options.data), Path(options.logs), settings, options.enforce_license, options.enable_api_profiler)
    except CannotStart as error:
        print(f"lake: {error}", file=sys.stderr)
        return 1
    _listen(node)
    secret = secrets.token_hex(16)
    server = Server(node, secret)
    node.end = server.shutdown
    node.begin()
    HealthChecker(node, secret).start()
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), name="api", daemon=True)
    serving.start()
    _wait(node, serving)
    node.pumps.save()
    server.server_close()
    if node.restarting:
        time.sleep(settings["restart_seconds"])
        os.execv(sys.executable, [sys.executable, os.environ[SCRIPT], *sys.argv[1:]])
    return 0


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lake")
    parser.add_argument("-l", "--logs", required=True)
    parser.add_argument("-d", "--data", required=True)
    parser.add_argument("--enforce-license", action="store_true")
    parser.add_argument("--enable-api-profiler", action="store_true")
    known, _others = parser.parse_known_args(words)
    return known


def _listen(node: State) -> None:
    """To signals. The work is the main thread's, so that a signal which comes in the middle of it disturbs nothing."""

    def ended(_signum: int, _frame: Any) -> None:
        threading.Thread(target=node.end, daemon=True).start()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    if node.settings["sigusr1"] != "default":
        signal.signal(signal.SIGUSR1, lambda _signum, _frame: node.traces_wanted.set())


def _wait(node: State, serving: threading.Thread) -> None:
    while serving.is_alive():
        if node.traces_wanted.wait(0.1):
            node.traces_wanted.clear()
            node.write_traces()


# -- what /proc says of it --------------------------------------------------------------------------------------------------


def _rename(name: str) -> None:
    """`lake -l ...` in the place of `python3 /usr/bin/lake -l ...`: Python cannot be started so, so the list of arguments is written over.

    For that it is started once more with words of the same length.
    """
    if name != "lake":
        return
    if sys.argv[0] != SHORT[1]:
        os.environ.update({PYTHON: sys.executable, "PYTHONHOME": sys.base_prefix})
        os.chdir(Path(os.environ[SCRIPT]).parent)
        os.execv(sys.executable, [SHORT[0], SHORT[1], *sys.argv[1:]])
    sys.executable = os.environ[PYTHON]
    os.chdir("/")
    with contextlib.suppress(OSError, ValueError), open("/proc/self/stat", encoding="utf-8", errors="replace") as stat:
        begin = int(stat.read().rpartition(")")[2].split()[45])
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(begin)
            memory.write(NAME)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text("lake", encoding="ascii")
