# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``flags get [NAME...]`` and ``flags set NAME=VALUE...``"""

from __future__ import annotations

import argparse
import sqlite3
import sys

from ..models import isoformat
from .asking import opened


def assignment(text: str) -> tuple[str, str | None]:
    """`name=value`; no value clears the flag."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"set must have for {name}=value, not just {name}")
    return name, value or None


def shown(row: sqlite3.Row) -> str:
    """A flag as it is printed."""
    return f"{row['id']}={row['value']} ({isoformat(row['timestamp']) if row['timestamp'] else 'never set'})"


def run(argv: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="flags")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("get").add_argument("flags", nargs="*")
    actions.add_parser("set").add_argument("flags", nargs="+", type=assignment)
    given = parser.parse_args(argv)
    _config, store = opened()
    try:
        store.flags()
    except sqlite3.OperationalError:
        sys.exit("The flags table does not exists. Run command again with --create to create it.")
    if given.action == "set":
        for name, value in given.flags:
            store.set_flag(name, value)
    names = [name for name, _value in given.flags] if given.action == "set" else given.flags or [row["id"] for row in store.flags()]
    for name in names:
        row = store.flag(name)
        print(shown(row) if row is not None else f"{name}=None (never set)")


if __name__ == "__main__":
    run(sys.argv[1:])
