# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`systemctl`, as far as it is needed here: list-units, list-unit-files, show, status, is-active, start, stop, restart, reset-failed."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lab.systemd_standin.units import NotFound, Units

FLAGS = ("--no-block", "--plain", "--no-legend", "--no-pager", "--no-ask-password", "--full", "--type=service")
WITH_VALUE = ("--state=", "--property=", "--lines=")


def list_units(units: Units, patterns: Sequence[str], states: Sequence[str]) -> int:
    """Loaded units only, as systemd has it: one that was never started is not in the list."""
    found = [name for name in units.names() if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    told = {name: units.state(name) for name in found if units.file(name, "state").exists()}
    width = max(map(len, told), default=0)
    for name, state in told.items():
        if not states or state["ActiveState"] in states or state["SubState"] in states:
            print(f"{name:<{width}} loaded {state['ActiveState']} {state['SubState']} FITS Storage {name.partition('.')[0]}")
    return 0


def list_unit_files(units: Units, patterns: Sequence[str]) -> int:
    """All that are installed; where nothing matches, nothing is said and the exit code tells."""
    found = [name for name in units.names() if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    for name in found:
        print(f"{name} enabled enabled")
    return 0 if found else 1


def show(units: Units, names: Sequence[str], wanted: Sequence[str]) -> int:
    """Never fails: a unit that does not exist is shown as such. An empty line parts two units."""
    for number, name in enumerate(names):
        found = [unit for unit in units.names() if fnmatch.fnmatchcase(unit, name)] if any(sign in name for sign in "*?[") else [name]
        for unit in found:
            print("\n" * bool(number), end="")
            for key, value in properties(units, unit).items():
                if not wanted or key in wanted:
                    print(f"{key}={value}")
    return 0


def properties(units: Units, name: str) -> dict[str, Any]:
    """What a unit is, and what it is doing."""
    full = name if name.endswith(".service") else f"{name}.service"
    known = {"Type": "simple", "Restart": "always", "Id": full, "Names": full, "Description": f"FITS Storage {full.partition('.')[0]}"}
    try:
        unit = units.unit(name)
    except NotFound:
        missing = f'org.freedesktop.systemd1.NoSuchUnit "Unit {full} not found."'
        return known | {"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "LoadError": missing}
    words = " ".join(unit["command"])
    started = f"{{ path={unit['command'][0]} ; argv[]={words} ; ignore_errors=no ; start_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}"
    times = {"TimeoutStopUSec": span(unit["timeout_stop"]), "RestartUSec": span(unit["restart_sec"])}
    return known | {"LoadState": "loaded", "UnitFileState": "enabled", "ExecStart": started, "RequiredBy": ""} | times | units.state(name)


def span(seconds: float) -> str:
    """A time as systemd writes it: 90 is `1min 30s`."""
    minutes, rest = divmod(round(seconds * 1000), 60000)
    whole, milliseconds = divmod(rest, 1000)
    parts = [(minutes, "min"), (whole, "s"), (milliseconds, "ms")]
    return " ".join(f"{number}{unit}" for number, unit in parts if number) or "0"


def status(units: Units, name: str) -> int:
    """For people."""
    state = units.state(name)
    print(f"{name} - FITS Storage\n     Loaded: loaded\n     Active: {state['ActiveState']} ({state['SubState']})\n   Main PID: {state['MainPID']}")
    return 0 if state["ActiveState"] == "active" else 3


def is_active(units: Units, name: str) -> int:
    """Three for anything but active."""
    state = str(units.state(name)["ActiveState"])
    print(state)
    return 0 if state == "active" else 3


def main(arguments: Sequence[str]) -> int:
    """The command."""
    units, words = Units(arguments[0]), list(arguments[1:])
    end = words.index("--") if "--" in words else len(words)
    options = [word for word in words[:end] if word.startswith("-")]
    values = {prefix: [value for word in options if word.startswith(prefix) for value in word[len(prefix) :].split(",")] for prefix in WITH_VALUE}
    unknown = [word for word in options if word not in FLAGS and not word.startswith(WITH_VALUE)]
    if unknown:
        print(f"systemctl: unrecognized option '{unknown[0]}'", file=sys.stderr)
        return 1
    verb, *names = [word for word in words[:end] if not word.startswith("-")] + words[end + 1 :] or ["list-units"]
    several: dict[str, Callable[[], int]] = {
        "list-units": lambda: list_units(units, names, values["--state="]),
        "list-unit-files": lambda: list_unit_files(units, names),
        "show": lambda: show(units, names, values["--property="]),
    }
    if verb in several:
        return several[verb]()
    verbs: dict[str, Callable[[str], int | None]] = {
        "status": lambda name: status(units, name),
        "is-active": lambda name: is_active(units, name),
        "start": lambda name: units.start(name, "--no-block" not in options),
        "stop": lambda name: units.stop(name, "--no-block" not in options),
        "restart": lambda name: restart(units, name),
        "reset-failed": units.reset_failed,
    }
    return each(verb, verbs, names)


def restart(units: Units, name: str) -> None:
    units.stop(name)
    units.start(name)


def each(verb: str, verbs: dict[str, Callable[[str], int | None]], names: Sequence[str]) -> int:
    """One unit after the other, until one fails."""
    if verb not in verbs:
        print(f"Unknown command verb '{verb}'.", file=sys.stderr)
        return 1
    for name in names:
        try:
            code = verbs[verb](name)
        except NotFound:
            full = name if name.endswith(".service") else f"{name}.service"
            print(f"Failed to {verb} {full}: Unit {full} not {'loaded' if verb == 'stop' else 'found'}.", file=sys.stderr)
            return 5
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
