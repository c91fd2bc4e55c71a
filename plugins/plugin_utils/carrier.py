# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs several of our modules side by side on a node. The text of this file is sent there as a module, with those modules' own texts behind it.

Each module gets a process of its own, forked off when what all of them import has been imported: Python starts once, and compiles each file once.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import sys
import traceback
from typing import Any, Dict, List, Mapping, NoReturn, Optional

from ansible.module_utils import basic

CHUNK = 1 << 16
PACKAGE = "ansible_collections.fieldops.runbooks.plugins.modules"


class Child:
    """One module at work: what it has said so far, and how it ended."""

    def __init__(self, pid: int, ends: Dict[str, int]) -> None:
        self.pid = pid
        self.ends = ends
        self.said: Dict[str, List[bytes]] = {name: [] for name in ends}

    def result(self) -> Any:
        """What it has printed; what is no result is told as one that failed."""
        status = os.waitpid(self.pid, 0)[1]
        rc = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        out, err = (b"".join(self.said[name]).decode("utf-8", "replace") for name in ("stdout", "stderr"))
        try:
            result = json.loads(out)
            if isinstance(result, dict):
                return result
        except ValueError:
            pass
        how = "it was ended by signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "it ended with %d" % rc
        return {"failed": True, "msg": how + ", without a result", "module_stdout": out, "module_stderr": err, "rc": rc}


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


def gather(children: List[Child]) -> List[Any]:
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
    return [child.result() for child in children]


def run(text: str, args: Any) -> NoReturn:
    """Be the module, as Ansible would have it be. The process ends here: to unwind its stack would take the zip away from the others."""
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode("utf-8")  # noqa: SLF001
    code = 1
    try:
        exec(compile(text, "<module>", "exec"), {"__name__": "__main__", "__package__": PACKAGE})  # noqa: S102 # pylint: disable=exec-used
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException as exc:  # noqa: BLE001
        print(json.dumps({"failed": True, "msg": "%s: %s" % (type(exc).__name__, exc), "module_stderr": traceback.format_exc()}))
    finally:
        atexit._run_exitfuncs()  # noqa: SLF001 - a module's own temporary files
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(texts: Mapping[str, str]) -> NoReturn:
    """Print one result with those of all looks, in their order."""
    children: List[Child] = []
    for look in json.loads(basic._ANSIBLE_ARGS or b"")["ANSIBLE_MODULE_ARGS"]["looks"]:  # noqa: SLF001
        child = fork()
        if child is None:
            run(texts[look["module"]], look["args"])
        children.append(child)
    print(json.dumps({"looks": gather(children)}))
    sys.exit(0)
