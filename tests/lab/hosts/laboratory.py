# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory of hosts: one run, its network, its hosts."""

from __future__ import annotations

import atexit
from types import TracebackType
from typing import Any

from lab.hosts import image, runs, sites
from lab.hosts.common import LabError, say, tail
from lab.hosts.host import HOST_LABEL, Host
from lab.hosts.runs import Run


class Lab:
    """Hosts by name. Without `run` it is a run of this process, and all that it made is gone after `close()`, or when the process is."""

    def __init__(self, run: Run | None = None) -> None:
        self._run = run or runs.begin()
        self._sites: dict[str, sites.Site] = {}
        if run is None:
            atexit.register(self.close)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Take down all that was brought up."""
        atexit.unregister(self.close)
        self._run.close()

    @property
    def run(self) -> Run:
        """The run that all this belongs to."""
        return self._run

    def up(self, name: str, kind: str | None = None) -> Host:
        """The host of this name. With `kind`, a host of that image kind without a setup; else the site of this name."""
        host = Host(self._run, name)
        site = sites.Site(kind=kind) if kind else self._sites.get(name) or sites.find(name)
        self._sites[name] = site
        if host.running:
            return host
        if self._run.engine.inspect(host.container) is not None:
            host.remove()  # it crashed, or was halted, and whoever asks for a host wants a fresh one
        host.boot(self.image(name, site), self._network(), site.options, site.ports)
        if site.ready is not None:
            site.ready(host)
        return host

    def down(self, name: str) -> None:
        """Take one host down."""
        Host(self._run, name).remove()
        self._sites.pop(name, None)

    def hosts(self) -> list[Host]:
        """All that run."""
        form = "{{.Label %s}}" % f'"{HOST_LABEL}"'
        names = self._run.engine.docker("ps", "--filter", f"label={self._run.label}", "--format", form).split()
        return [Host(self._run, name) for name in sorted(names)]

    def inventory(self, connection: str = "docker") -> dict[str, Any]:
        """An inventory of the hosts that run, for the docker or the ssh connection; written as JSON, Ansible can read it."""
        hosts: dict[str, Any] = {}
        groups: dict[str, Any] = {}
        for host in self.hosts():
            site = self._sites.get(host.name) or sites.known().get(host.name) or sites.Site(kind="bare")
            hosts[host.name] = {**(host.ssh_vars() if connection == "ssh" else host.ansible_vars()), **site.variables}
            for group in site.groups:
                groups.setdefault(group, {"hosts": {}})["hosts"][host.name] = {}
        return {"all": {"hosts": hosts, "children": groups}}

    def image(self, name: str, site: sites.Site) -> str:
        """The image of a site, with its setup; made if it is missing."""
        engine = self._run.engine
        base = image.of_kind(engine, site.kind)
        setup = site.setup
        if setup is None:
            return base

        def make(tag: str) -> None:
            say(f"setting up {name} ...")
            host = Host(self._run, name)
            try:
                host.boot(base, self._network(), site.options, site.ports)
                setup(host)
                host.run(["truncate", "--size=0", "/etc/machine-id"])
                host.halt()
                host.commit(tag)
            finally:
                if engine.inspect(host.container) is not None:
                    host.remove()

        return image.derived(engine, name, base, site.sources, make)

    def _network(self) -> str:
        """The run's own network, in which hosts find each other by name."""
        name = f"lab-{self._run.token}"
        if self._run.engine.inspect(name, "network") is None:
            try:
                self._run.engine.docker("network", "create", "--label", self._run.label, name)
            except LabError as error:
                say(f"the hosts have no network, so neither names nor ssh: the engine can make no bridge ({tail(str(error), 1)})")
                return "none"
        return name
