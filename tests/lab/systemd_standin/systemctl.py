# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`systemctl`, as far as it is needed here: list-units, show, is-active, start, stop."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable, Sequence

from lab.systemd_standin.units import NotFound, Units

FLAGS = ("--no-block", "--plain", "--no-legend", "--no-pager", "--type=service")


def list_units(units: Units, patterns: Sequence[str], states: Sequence[str]) -> int:
    """Loaded units only, as systemd has it: one that was never started is not in the list."""
    found = [name for name in units.names() if not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    told = {name: units.state(name) for name in found if units.file(name, "state").exists()}
    width = max(map(len, told), default=0)
    for name, state in told.items():
        if not states or state["ActiveState"] in states or state["SubState"] in states:
            print(f"{name:<{width}} loaded {state['ActiveState']} {state['SubState']} FITS Storage {name.partition('.')[0]}")
    return 0


def show(units: Units, name: str) -> int:
    """Never fails: a unit that does not exist is shown as such."""
    full = name if name.endswith(".service") else f"{name}.service"
    print(f"Type=simple\nRestart=always\nId={full}\nNames={full}\nDescription=FITS Storage {full.partition('.')[0]}")
    try:
        unit = units.unit(name)
    except NotFound:
        print(f'LoadState=not-found\nActiveState=inactive\nSubState=dead\nLoadError=org.freedesktop.systemd1.NoSuchUnit "Unit {full} not found."')
        return 0
    words = " ".join(unit["command"])
    print(f"LoadState=loaded\nUnitFileState=enabled\nTimeoutStopUSec={unit['timeout_stop']:g}s\nRestartUSec={unit['restart_sec']:g}s")
    print(f"ExecStart={{ path={unit['command'][0]} ; argv[]={words} ; ignore_errors=no ; start_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}")
    for key, value in units.state(name).items():
        print(f"{key}={value}")
    return 0


def is_active(units: Units, name: str) -> int:
    """Three for anything but active."""
    state = str(units.state(name)["ActiveState"])
    print(state)
    return 0 if state == "active" else 3


def main(arguments: Sequence[str]) -> int:
    """The command."""
    units, options = Units(arguments[0]), [word for word in arguments[1:] if word.startswith("-")]
    states = [state for word in options if word.startswith("--state=") for state in word[8:].split(",")]
    unknown = [word for word in options if word not in FLAGS and not word.startswith("--state=")]
    if unknown:
        print(f"systemctl: unrecognized option '{unknown[0]}'", file=sys.stderr)
        return 1
    verb, *names = [word for word in arguments[1:] if not word.startswith("-")] or ["list-units"]
    if verb == "list-units":
        return list_units(units, names, states)
    verbs: dict[str, Callable[[str], int | None]] = {
        "show": lambda name: show(units, name),
        "is-active": lambda name: is_active(units, name),
        "start": units.start,
        "stop": lambda name: units.stop(name, "--no-block" not in options),
    }
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
