# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the laboratory, and what becomes of those that were killed.

A run is a folder `.cache/lab/runs/<token>` whose lock its process holds; the kernel opens the lock when the process is gone, however it went.
All that a run makes is labelled with its token. Whoever starts or ends a run, and the keeper of a run that was killed, sweeps up what belongs to
runs that nobody holds; the engine, if it is our own, stops with the last run. A run that is kept (`make lab-up`) is held by nobody until it is closed;
there may be several, by name, and `state.json` (`state-<name>.json`) says which they are.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import secrets
import shutil
import sys
from pathlib import Path
from typing import IO

from lab.hosts import engine as engines
from lab.hosts.common import CHECKOUT, PLACE, LabError, locked, say
from lab.hosts.engine import Engine
from lab.keeper import keeper

LABEL = "fieldops.lab.run"
RUNS = PLACE / "runs"
SWEEP = [sys.executable, "-m", "lab.hosts", "sweep"]


@dataclasses.dataclass
class Run:
    """One run, and the engine that it uses."""

    token: str
    engine: Engine
    lock: IO[str] | None = None

    @property
    def folder(self) -> Path:
        """Where the run keeps its key; gone with the run."""
        return RUNS / self.token

    @property
    def label(self) -> str:
        """What all that belongs to the run is marked with."""
        return f"{LABEL}={self.token}"

    def remove(self) -> None:
        """Remove all that the run made."""
        # Our own engine lets go of all when it starts anew, which it does only when no run is left; on another one the folder reminds the next sweep.
        if self.engine.remove(f"label={self.label}") or self.engine.own:
            shutil.rmtree(self.folder)

    def close(self) -> None:
        """End the run; the engine ends with the last one."""
        with locked("engine"):
            for state in _states():
                if _token(state) == self.token:
                    state.unlink()
            if self.folder.exists():
                self.remove()
            if self.lock is not None:
                self.lock.close()
                keeper().forget_command(SWEEP)
            _stop_engine_if_idle()


def begin() -> Run:
    """A new run of this process."""
    with locked("engine"):
        engine = engines.ready()
        _sweep(engine)
        run = _make(engine)
        run.lock = open(run.folder / "lock", "w", encoding="utf-8")  # noqa: SIM115  it is held until the run ends
        fcntl.flock(run.lock, fcntl.LOCK_EX)
    keeper().watch_command(SWEEP, CHECKOUT / "tests")
    return run


def keep(name: str = "") -> Run:
    """The run of this name that outlives the process which made it; made, if there is none."""
    with locked("engine"):
        token = kept_token(name)
        if token is not None:
            run = _read(token)
            if run.engine.own:
                engines.start()  # after a restart of the machine it is down
        else:
            run = _make(engines.ready())
            named("state", name).write_text(json.dumps({"token": run.token}), encoding="utf-8")
        _sweep(run.engine)
        return run


def kept(name: str = "") -> Run:
    """The run that is kept under this name."""
    token = kept_token(name)
    if token is None:
        raise LabError(f"no laboratory{f' named {name}' if name else ''} is up; `make lab-up` brings one up")
    return _read(token)


def kept_token(name: str = "") -> str | None:
    """Which run is kept under this name."""
    return _token(named("state", name))


def named(what: str, name: str) -> Path:
    """A file of the kept run of this name."""
    return PLACE / f"{what}{'-' if name else ''}{name}.json"


def _states() -> list[Path]:
    return list(PLACE.glob("state*.json"))


def _token(state: Path) -> str | None:
    try:
        token = str(json.loads(state.read_text(encoding="utf-8"))["token"])
    except (OSError, ValueError, KeyError):
        return None
    return token if (RUNS / token / "engine.json").exists() else None


def sweep() -> None:
    """Remove what killed runs left; stop our engine if nobody uses it."""
    with locked("engine"):
        _sweep(None)
        _stop_engine_if_idle()


def live() -> list[str]:
    """Tokens of the runs that somebody holds, or that are kept."""
    return [folder.name for folder in _folders() if not _is_dead(folder)]


def _make(engine: Engine) -> Run:
    run = Run(secrets.token_hex(4), engine)
    run.folder.mkdir(parents=True, mode=0o700)
    (run.folder / "engine.json").write_text(json.dumps(dataclasses.asdict(engine)), encoding="utf-8")
    return run


def _read(token: str) -> Run:
    return Run(token, Engine(**json.loads((RUNS / token / "engine.json").read_text(encoding="utf-8"))))


def _folders() -> list[Path]:
    return sorted(RUNS.iterdir()) if RUNS.is_dir() else []


def _is_dead(folder: Path) -> bool:
    if folder.name in map(_token, _states()):
        return False
    try:
        with open(folder / "lock", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # killed before it held its lock
        pass
    return True


def _sweep(running: Engine | None) -> None:
    """Remove dead runs. `running` is an engine that is known to answer; another one may have been gone since."""
    for folder in filter(_is_dead, _folders()):
        say(f"sweeping up after run {folder.name}, which was killed")
        try:
            run = _read(folder.name)
        except (OSError, ValueError):
            shutil.rmtree(folder)  # it came to nothing
            continue
        if run.engine.own and run.engine != running and engines.running():
            engines.start()
        if run.engine == running or run.engine.answers():
            run.remove()
        elif run.engine.own:
            shutil.rmtree(folder)  # with the machine's restart went the engine and all that ran in it
        else:
            say(f"its engine {run.engine.url} does not answer now; it is tried again")
    if running is not None and running.own:  # another engine has other checkouts' runs as well
        known = {folder.name for folder in _folders()}
        for token in set(running.docker("network", "ls", "--filter", f"label={LABEL}", "--format", f'{{{{.Label "{LABEL}"}}}}').split()) - known:
            running.remove(f"label={LABEL}={token}")


def _stop_engine_if_idle() -> None:
    if not any((folder / "engine.json").exists() and _read(folder.name).engine.own for folder in _folders()):
        engines.stop()
