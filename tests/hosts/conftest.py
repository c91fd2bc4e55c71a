# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with systemd for the whole session; where no engine can be had, the tests fail and say what it would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lab.hosts import Host, Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One laboratory for all tests."""
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture(scope="session")
def host(lab: Lab) -> Callable[..., Host]:
    """``host("fits-c")`` is the site of that name, which all tests share; ``host("mine", kind="bare")`` one without a setup."""
    return lab.up
