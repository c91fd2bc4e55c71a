# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which jobs a person means. A part of an id will do, and is compared as LIKE does."""

from __future__ import annotations

import os

from ..config import Config
from ..models import Job
from ..store import Store


def opened() -> tuple[Config, Store]:
    """The settings of this environment, and the database that they mean; made, if there is none."""
    config = Config.read(os.environ)
    config.workdir.mkdir(parents=True, exist_ok=True)
    return config, Store(config.database, config.user_version)


def choose(store: Store, part: str) -> tuple[Job, bool]:
    """The job, and whether there was no doubt. Of several, the person gives a number."""
    matches = store.like(part)
    if not matches:
        raise RuntimeError(f"No jobs found matching '{part}'")
    if len(matches) == 1:
        return matches[0], True
    print(f"Multiple jobs found matching '{part}':")
    for number, job in enumerate(matches, start=1):
        print(f"  {number}: {job.title}")
    number = int(input("\nEnter number: "))
    if not 0 < number <= len(matches):
        raise AssertionError
    return matches[number - 1], False


def confirm(text: str, wanted: str = "") -> None:
    """Ask; without an answer, or with another one, it ends with a traceback."""
    if input(text).strip().lower() != wanted:
        raise AssertionError
