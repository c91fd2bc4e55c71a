# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `import lab` work wherever pytest was started, and gives the laboratory's own tests a server and sites."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.fits.site import Site
from lab.pg import Postgres


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One server for all tests."""
    with Postgres(listen="127.0.0.1") as running:
        yield running


@pytest.fixture
def make(server: Postgres, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Builds sites, each with a database of its own."""
    made: list[Site] = []

    def build(generation: str, **options: Any) -> Site:
        made.append(Site.build(server, tmp_path, generation, **options))
        return made[-1]

    yield build
    for site in made:
        site.close()
