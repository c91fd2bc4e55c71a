# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage of the checks is run with: a shell that keeps a log, a clean copy of the checkout, a temporary folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import project

LINKED = re.compile(rf"[^\s\"']*/{project.COLLECTION}/")


def plain(text: str) -> str:
    """Name files as they are named in the checkout."""
    return LINKED.sub("", text)


@dataclasses.dataclass
class Outcome:
    """What a stage comes to. ``ok`` is None when it does not apply."""

    ok: bool | None
    count: int = 0
    note: str = ""
    seconds: float = 0.0
    text: str = ""  # to show in place of the end of the log

    @property
    def word(self) -> str:
        """One word for the summary."""
        return {True: "ok", False: "FAILED", None: "skipped"}[self.ok]


class Shell:
    """Runs the commands of one stage, into its log."""

    def __init__(self, log: Path, live: bool, env: dict[str, str]) -> None:
        self.log = log
        self.live = live
        self.env = {**os.environ, "NO_COLOR": "1", **env}
        log.write_bytes(b"")

    def run(self, *command: str | Path, cwd: Path = project.ROOT, **env: str) -> tuple[bool, str]:
        """Run a command to its end: did it succeed, and what did it print."""
        argv = [str(word) for word in command]
        self.say(f"$ {' '.join(argv)}\n")
        printed = []
        # Not a pipe: a process that is left running would hold it open, and this would wait for ever.
        with open(self.log, "ab") as log, open(self.log, encoding="utf-8", errors="replace") as reader:
            reader.seek(0, os.SEEK_END)
            process = subprocess.Popen(argv, cwd=cwd, env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            ended = False
            while not ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    ended = process.wait(timeout=0.1) is not None
                printed.append(self.show(reader.read()))
        return process.returncode == 0, "".join(printed)

    def say(self, text: str) -> None:
        """Add a remark to the log."""
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(self.show(text))

    def show(self, text: str) -> str:
        """What is shown while it happens."""
        text = plain(text)
        if self.live:
            sys.stdout.write(text)
            sys.stdout.flush()
        return text

    def run_each(self, commands: dict[str, Sequence[str | Path]], **env: str) -> Outcome:
        """Run them all, whatever became of the ones before. Each is one check: the folder to run it in, then the command."""
        failed = [name for name, (cwd, *command) in commands.items() if not self.run(*command, cwd=Path(cwd), **env)[0]]
        return Outcome(not failed, len(commands), ("failed: " + ", ".join(failed)) if failed else ", ".join(commands))


@contextlib.contextmanager
def clean_copy() -> Iterator[tuple[Path, Path]]:
    """A copy of the checkout as git would have it, where Ansible wants it: the root of that path, and the copy.

    ansible-test follows no symbolic link to its collection, and other tools would walk through all of .cache. What is copied is what an
    empty repository sees as new in this folder: so a checkout that git does not trust, or that is none, does as well.
    """
    with tempfile.TemporaryDirectory(prefix="copy-", dir=project.CACHE) as root:
        copy = root / project.COLLECTION
        copy.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet", copy], check=True)
        listing = ["git", f"--git-dir={copy / '.git'}", f"--work-tree={project.ROOT}", "ls-files", "-z", "--others", "--exclude-standard"]
        names = subprocess.run(listing, check=True, cwd=project.ROOT, stdout=subprocess.PIPE, text=True).stdout
        for name in filter(None, names.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project.ROOT / name, copy / name, follow_symlinks=False)
        yield Path(root), copy


@contextlib.contextmanager
def temporary(prefix: str) -> Iterator[str]:
    """A folder like /tmp, open to the users that servers and scripts run as; what a killed test left in it goes with it."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o1777)  # noqa: S103
        yield folder
