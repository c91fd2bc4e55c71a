# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs several modules side by side on a node. The text of this file is what is sent there, behind it a line that calls L(main) with the modules' own texts.

Each module gets a process of its own, forked off: Python starts once, and what every module imports is imported once. Nothing of Ansible is loaded here, since
each module brings its own.
"""

from __future__ import annotations

import json
import os
import selectors
import sys
import tempfile
import zipfile
from typing import Any, Dict, List, NoReturn, Optional

CHUNK = 1 << 16
SHARED = (tempfile, zipfile)
"""Imported here for the modules, all of which import them."""


class Child:
    """One module at work: what it has said so far, and how it ended."""

    def __init__(self, pid: int, ends: Dict[str, int]) -> None:
        self.pid = pid
        self.ends = ends
        self.said: Dict[str, List[bytes]] = {name: [] for name in ends}

    def told(self) -> Dict[str, Any]:
        """As Ansible takes the end of a command."""
        status = os.waitpid(self.pid, 0)[1]
        rc = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        return dict({name: b"".join(said).decode("utf-8", "replace") for name, said in self.said.items()}, rc=rc)


def fork() -> Optional[Child]:
    """In the parent the child, whose output can be read; in the child nothing."""
    pipes = {"stdout": os.pipe(), "stderr": os.pipe()}
    pid = os.fork()
    if pid:
        for pipe in pipes.values():
            os.close(pipe[1])
        return Child(pid, {name: pipe[0] for name, pipe in pipes.items()})
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, pipe in enumerate(pipes.values(), 1):
        os.dup2(pipe[1], number)
        for end in pipe:
            os.close(end)
    return None


def gather(children: List[Child]) -> List[Dict[str, Any]]:
    """All that they say, until the last of them has closed its output."""
    with selectors.DefaultSelector() as waiting:
        for child in children:
            for name, end in child.ends.items():
                waiting.register(end, selectors.EVENT_READ, child.said[name])
        while waiting.get_map():
            for key, _events in waiting.select():
                got = os.read(key.fd, CHUNK)
                if got:
                    key.data.append(got)
                else:
                    waiting.unregister(key.fd)
                    os.close(key.fd)
    return [child.told() for child in children]


def main(texts: List[str]) -> NoReturn:
    """Print one document with what each module has printed, in their order. In a child it is the module that ends the process."""
    children: List[Child] = []
    for text in texts:
        child = fork()
        if child is None:
            exec(compile(text, "<module>", "exec"), {"__name__": "__main__"})  # pylint: disable=exec-used # noqa: S102
            sys.exit(0)
        children.append(child)
    print(json.dumps({"looks": gather(children)}))
    sys.exit(0)
