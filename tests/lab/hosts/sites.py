# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts there are: a name, the image kind it is built on, and what makes it that host.

Sites are declared in modules of this package whose names end with `_sites`.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lab.hosts as package
from lab.hosts.common import LabError
from lab.hosts.host import Host

Step = Callable[[Host], None]


@dataclasses.dataclass(frozen=True)
class Site:
    """How one host is made. `setup` is run once and kept as an image, `ready` at each start."""

    kind: str
    setup: Step | None = None
    files: tuple[Path, ...] = ()  # files and folders that decide what `setup` makes
    ready: Step | None = None
    groups: tuple[str, ...] = ()  # of the inventory
    variables: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: tuple[str, ...] = ()  # of docker run
    ports: tuple[int, ...] = ()  # published on loopback, besides 22

    @property
    def sources(self) -> list[Path]:
        """All files that a change of needs a new setup."""
        module = inspect.getsourcefile(inspect.unwrap(self.setup)) if self.setup is not None else None
        return sorted({*self.files, *([Path(module)] if module else [])})


_sites: dict[str, Site] = {}


def register(name: str, site: Site) -> None:
    """Declare a host."""
    _sites[name] = site


def find(name: str) -> Site:
    """The site of this name."""
    sites = known()
    if name not in sites:
        raise LabError(f"no site is named {name!r}; there are {', '.join(sites)}")
    return sites[name]


def known() -> dict[str, Site]:
    """All sites, by name."""
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_sites"):
            importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_sites.items()))


register("bare", Site(kind="bare"))
