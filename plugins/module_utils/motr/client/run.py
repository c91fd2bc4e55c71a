# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a tool of Motr: in a directory of its own, for every client leaves traces of 16 MB where it runs, and ended when its time is up."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from typing import IO, Dict, Mapping, NamedTuple, Optional, Sequence

from ...connect.command import PATH
from .errors import ToolError

KEPT = 64 << 20
"""Bytes of an output that are read: m0kv prints five to eleven characters for a byte."""
_SHOWN_LINES = 3
_GRACE = 5.0


class Ended(NamedTuple):
    """What became of a tool."""

    code: int
    output: str
    errors: str

    def why(self) -> str:
        """The last lines of what it complained about."""
        lines = [line.strip() for line in (self.errors or self.output).splitlines() if line.strip()]
        return "; ".join(lines[-_SHOWN_LINES:])[:500] or "it says nothing"


def find(program: str, directory: Optional[str]) -> str:
    """The path of a tool, from a directory or from where programs are."""
    found = shutil.which(program, path=directory or "%s:%s" % (os.environ.get("PATH", ""), PATH))
    if found is None:
        where = directory or "the PATH"
        raise ToolError("there is no %s in %s: give the directory of Motr's tools as tools_dir" % (program, where))
    return os.path.abspath(found)


def run(argv: Sequence[str], timeout: float, files: Optional[Mapping[str, str]] = None, stdin: str = "") -> Ended:
    """Run a tool to its end. ``files`` are put into the directory that it runs in, which is removed with all that the tool left there."""
    try:
        directory = tempfile.mkdtemp(prefix="fieldops-motr-")
    except OSError as exc:
        raise ToolError("no directory can be made for %s to run in: %s" % (os.path.basename(argv[0]), exc.strerror)) from exc
    try:
        for name, text in (files or {}).items():
            _write(os.path.join(directory, name), text)
        return _run(argv, timeout, directory, stdin)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(argv: Sequence[str], timeout: float, directory: str, stdin: str) -> Ended:
    name = os.path.basename(argv[0])
    # Files and not pipes: nobody need read meanwhile, and what is left running cannot hold them open.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode("utf-8"))
        given.seek(0)
        try:
            process = subprocess.Popen(argv, env=_environment(), cwd=directory, stdin=given, stdout=output, stderr=errors, start_new_session=True)
        except OSError as exc:
            raise ToolError("%s cannot be run: %s" % (argv[0], exc.strerror)) from exc
        try:
            code = process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ToolError("%s did not end within %g s, and was killed: is the client's endpoint right, and does Motr run?" % (name, timeout)) from None
        finally:
            _end(process)
        return Ended(code, _read(output), _read(errors))


def _environment() -> Dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("M0_", "LD_LIBRARY_PATH", "FI_")) or name == "HOME"}
    return dict(kept, PATH="%s:%s" % (os.environ.get("PATH", ""), PATH), LC_ALL="C.UTF-8")


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _read(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    if size > KEPT:
        raise ToolError("the tool printed %d MB, more than is read: ask for less at once" % (size >> 20))
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE)
