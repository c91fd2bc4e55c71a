# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``migrate [--dbpath PATH]``: makes the database, or brings it to this release's layout."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..config import Config
from ..store import Store


def run(argv: list[str]) -> None:
    """The command."""
    config = Config.read(os.environ)
    parser = argparse.ArgumentParser(prog="migrate")
    parser.add_argument("--dbpath", type=Path, default=config.database)
    path = parser.parse_args(argv).dbpath
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    steps = Store(path, config.user_version).migrate()
    print(f"created new db at {path}" if new else f"Applied migrations: {', '.join(map(str, steps)) or 'none were needed'}")


if __name__ == "__main__":
    run(sys.argv[1:])
