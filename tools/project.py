# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command in the project's own environment, which is made first where needed.

Everything lives below ``.cache`` of the checkout: the virtual environment, the folder that Ansible wants a collection to lie in, the home
of tools that write to one, their caches and logs. ``make clean`` removes it. Only the standard library may be imported here.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
HOME = CACHE / "home"
COLLECTION = Path("ansible_collections/fieldops/runbooks")
TREE = CACHE / "tree"
REQUIREMENTS = (ROOT / "requirements-dev.txt", ROOT / "requirements.txt")

# What a person's own set-up must not decide about a test run: of Ansible and its tools, of Python and its, of PostgreSQL's client and git.
FOREIGN = re.compile(
    r"(ANSIBLE|ANTSIBULL|MOLECULE|PYTHON|PYTEST|COVERAGE|HYPOTHESIS|VIRTUAL_ENV|XDG)|PG[A-Z]+$|GIT_(DIR|WORK_TREE|INDEX_FILE)$"
    r"|FIELDOPS_(REPORT|SHOW|LIMITS_DIR)$"
)


def environment() -> dict[str, str]:
    """The environment of every command of the project."""
    env = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    config = ROOT / "ansible.cfg"
    env.update(
        HOME=str(HOME),
        PATH=os.pathsep.join([str(virtual_environment() / "bin"), *real_path(env.get("PATH", os.defpath))]),
        LC_ALL="C.UTF-8",
        PYTHONPATH=str(TREE),
        ANSIBLE_HOME=str(CACHE / "ansible"),
        ANSIBLE_CONFIG=str(config if config.exists() else HOME / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(TREE),
        ANSIBLE_REMOTE_TMP=str(CACHE / "ansible/tmp"),  # its default is not HOME's, but the one of the password file
        ANSIBLE_PYTHON_INTERPRETER=str(virtual_environment() / "bin/python"),
        HYPOTHESIS_STORAGE_DIRECTORY=str(CACHE / "hypothesis"),
        MYPY_CACHE_DIR=str(CACHE / "mypy"),
        RUFF_CACHE_DIR=str(CACHE / "ruff"),
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        FIELDOPS_ROOT=str(ROOT),
        FIELDOPS_LIMITS_DIR="",  # tests that run side by side are not one another's remediations: the lock lies beside each journal
    )
    return env


def real_path(path: str) -> Iterator[str]:
    """PATH with the interpreters themselves in place of pyenv's shims, which are there for versions that will not run."""
    for entry in path.split(os.pathsep):
        versions = Path(entry).parent / "versions"
        if Path(entry).name == "shims" and versions.is_dir():
            yield from map(str, sorted(versions.glob("3.*/bin")))
        else:
            yield entry


def virtual_environment() -> Path:
    """Where the virtual environment lies: its name changes with all that it was made from. It cannot be moved, so the path counts."""
    made_from = [path.read_bytes() for path in REQUIREMENTS] + [os.fsencode(ROOT)] + [sys.version.encode()]
    return CACHE / f"venv-{hashlib.sha256(b''.join(made_from)).hexdigest()[:12]}"


def set_up() -> None:
    """Make what is missing; a second run finds nothing to do."""
    HOME.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "setup.lock"):
        link = TREE / COLLECTION
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(ROOT, link.parent))
        (HOME / "ansible.cfg").touch()
        ready = virtual_environment() / "ready"
        if not ready.exists():
            install()
            ready.touch()


def install() -> None:
    """Build the virtual environment, and the home in which ansible-test will build some more."""
    place = virtual_environment()
    print(f"Building {place.relative_to(ROOT)} from the package index (once, a minute or two) ...", file=sys.stderr, flush=True)
    venv.create(place, clear=True, with_pip=True)
    pip = [str(place / "bin/python"), "-m", "pip"]
    keep_pip_configuration(subprocess.run([*pip, "config", "list"], check=True, text=True, stdout=subprocess.PIPE).stdout)
    subprocess.run([*pip, "install", "-qq", "-r", str(REQUIREMENTS[0])], check=True, env=environment(), stdout=sys.stderr)
    scripts = HOME / ".ansible/test/cache"
    scripts.mkdir(parents=True, exist_ok=True)
    for version in ("24_2", "25_2"):  # as ansible-core 2.19 and 2.21 name them
        shutil.copyfile(ROOT / "tools/get_pip.py", scripts / f"get_pip_{version}.py")


def keep_pip_configuration(listed: str) -> None:
    """Write what pip is told on this machine (by files and PIP_* variables) where tools find it that lose the home or the variables."""
    config = configparser.RawConfigParser()
    for line in listed.splitlines():
        name, value = line.split("=", maxsplit=1)
        section, option = name.replace(":env:", "global").rsplit(".", maxsplit=1)
        if not config.has_section(section):
            config.add_section(section)
        config.set(section, option, ast.literal_eval(value))
    target = HOME / ".config/pip/pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        config.write(file)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for another run in the same checkout."""
    with open(path, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another run in this checkout ({path.stem}) ...", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Set up, then become the command."""
    try:
        set_up()
    except subprocess.CalledProcessError as exc:
        sys.exit(f"The project's environment could not be built: {exc}")
    if len(sys.argv) > 1:
        env = environment()
        os.chdir(ROOT)
        os.execvpe(sys.argv[1], sys.argv[1:], env)


if __name__ == "__main__":
    main()
