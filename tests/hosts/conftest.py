# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with systemd for the whole session; where no engine can be had, the tests fail and say what it would take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from lab.hosts import Host, Lab
from lab.hosts.backend_host import BackendHost
from lab.hosts.fits_host import FitsHost
from lab.hosts.motr_host import MotrHost
from lab.hosts.sesam_host import SesamHost
from lab.hosts.talus_host import TalusHost
from operating import Operator

Server = TypeVar("Server", FitsHost, BackendHost)


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """One laboratory for all tests."""
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture(scope="session")
def host(lab: Lab) -> Callable[..., Host]:
    """``host("fits-c")`` is the site of that name, which all tests share; ``host("mine", kind="bare")`` one without a setup."""
    return lab.up


@pytest.fixture
def operator(lab: Lab, tmp_path: Path) -> Operator:
    """Someone who runs playbooks on the hosts that are up."""
    return Operator(lab, tmp_path)


@pytest.fixture
def archive(host: Callable[..., Host]) -> Iterator[FitsHost]:
    """The archive; mended and emptied after the test."""
    yield from _lent(FitsHost(host("archive")))


@pytest.fixture
def backend(host: Callable[..., Host]) -> Iterator[BackendHost]:
    """A backend that runs job-runner; mended and emptied after the test."""
    yield from _lent(BackendHost(host("backend")))


@pytest.fixture
def fits_a(host: Callable[..., Host]) -> Iterator[FitsHost]:
    """A FITS server of the runbook's era."""
    yield from _lent(FitsHost(host("fits-a")))


@pytest.fixture
def fits_c(host: Callable[..., Host]) -> Iterator[FitsHost]:
    """A FITS server of today."""
    yield from _lent(FitsHost(host("fits-c")))


@pytest.fixture(params=[pytest.param("fits-a", marks=pytest.mark.thorough), "fits-c"])
def fits(request: pytest.FixtureRequest, host: Callable[..., Host]) -> Iterator[FitsHost]:
    """Either, one after the other; a test that says :data:`operating.MAINLY_A` is always had on the first."""
    yield from _lent(FitsHost(host(request.param)))


def _lent(server: Server) -> Iterator[Server]:
    yield server
    server.mend()
    server.clear()


@pytest.fixture
def talus(host: Callable[..., Host]) -> Iterator[TalusHost]:
    """A master of Talus with a slave on it; mended and emptied after the test."""
    server = TalusHost(host("talus-master"))
    yield server
    server.mend()
    server.clear()


@pytest.fixture
def sesam(host: Callable[..., Host]) -> Iterator[SesamHost]:
    """A host with a Sesam node; another node, as new, after the test."""
    server = SesamHost(host("sesam"))
    server.wait_up()
    yield server
    server.mend()


@pytest.fixture
def motr(host: Callable[..., Host]) -> Iterator[MotrHost]:
    """A server of Motr, its requests served and its cluster well; so it is again after the test."""
    server = MotrHost(host("motr"))
    yield server
    server.mend()
