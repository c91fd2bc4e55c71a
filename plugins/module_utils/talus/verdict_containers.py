# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with containers of Talus: whether they run, what they hold of each other, in which order they were started. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ..procedure.envelope import Finding, Remedy
from .containers import Container, Held
from .names import COMPONENTS, DAEMONS, FILE, SPELLINGS, container_name, words
from .state import MASTER, Limits, TalusState

HEADINGS = {"db": "MongoDB", "amqp": "AMQP", "web": "Webserver", "master": "Master Daemon", "slave": "Slave Daemon"}
RESTART = "fieldops.runbooks.talus_stack_restart"
DEPENDS = {"web": ("db",), "master": ("db", "amqp"), "slave": ("amqp",)}
"""What must be up before it. The web server has nothing to do with the broker."""
_PORT = {"db": "27017/tcp", "amqp": "5672/tcp", "web": "80/tcp"}
_DATA = {"db": ("/talus/data", "/talus/data/mongodb", "/data/db"), "amqp": ("/talus/data", "/talus/data/rabbitmq", "/var/lib/rabbitmq")}
_IN_ORDER = Remedy("restart the whole stack in order: db, amqp, web, master, and then every slave", RESTART, {"talus_repair": True})


def judge_containers(state: TalusState, limits: Limits) -> List[Finding]:
    found: List[Finding] = list(_job_files(state))
    if state.containers is not None:
        for component in COMPONENTS:
            container = state.container(component)
            found += _standing(state, component, container, limits)
            if container is not None and container.running:
                found += [*_reachable(state, container), *_data(container)]
        found += [*_spellings(state), *_extras(state)]
    return [*found, *_held(state), *_order(state, limits)]


# -- one by one --------------------------------------------------------------------------------------------------------------


def _standing(state: TalusState, component: str, container: Optional[Container], limits: Limits) -> Iterator[Finding]:
    """Whether it runs and stays."""
    if container is None:
        names = " or ".join(container_name(component, spelling) for spelling in SPELLINGS)
        text = "there is no container of %s, by name (%s), hostname or image" % (component, names)
        yield _said("missing", "critical", component, names, text, dict(_unit(state, component)))
        return
    detail = dict(_unit(state, component), status=container.status, exit_code=container.exit_code, restarts=container.restarts)
    if container.status == "paused":
        text = "%s is paused: it takes connections and answers nobody" % container.name
        remedy = Remedy("see who paused it and why; docker unpause %s" % container.name)
        yield _said("paused", "critical", component, container.name, text, detail, remedy)
    elif not container.running or container.status == "restarting":
        ended = "" if container.exit_code is None else ", exit code %s" % container.exit_code
        yield _said("stopped", "critical", component, container.name, "%s does not run (%s%s)" % (container.name, container.status, ended), detail)
    elif _flaps(state, container, limits):
        text = "%s is started again and again: %d times so far, the last time %d s ago" % (container.name, _restarts(state, container), _age(state, container))
        remedy = Remedy("read the end of its log (docker logs %s, and that of its unit)" % container.name)
        yield _said("flapping", "critical", component, container.name, text, detail, remedy)
    if component == "db" and container.running and container.found_by == "name" and container.hostname != container.name:
        text = "the hostname of %s is %s: the replica set's configuration names the container, so that it cannot find itself in it"
        remedy = Remedy(
            "start it with --hostname %s, or correct the member's host" % container.name, "fieldops.runbooks.talus_replica_set", {"talus_repair": True}
        )
        yield _said("hostname", "warning", component, container.name, text % (container.name, container.hostname), {"hostname": container.hostname}, remedy)


def _flaps(state: TalusState, container: Container, limits: Limits) -> bool:
    return bool(_restarts(state, container)) and _age(state, container) < limits.settle


def _restarts(state: TalusState, container: Container) -> int:
    """By the engine and by the unit: most are removed at their end, and then the engine does not count."""
    unit = state.init.unit(container.component) if state.init else None
    return container.restarts + ((unit.service.restarts or 0) if unit else 0)


def _age(state: TalusState, container: Container) -> float:
    return max(0.0, state.now - container.started) if container.started else 0.0


def _unit(state: TalusState, component: str) -> Mapping[str, Any]:
    unit = state.init.unit(component) if state.init else None
    return {"unit": unit.name, "unit_active": unit.service.active} if unit else {"unit": None}


def _reachable(state: TalusState, container: Container) -> Iterator[Finding]:
    """By its port from outside, and by the others on its networks."""
    wanted = _PORT[container.component]
    if container.network_mode != "host" and not any(port["container"] == wanted for port in container.ports):
        text = "port %s of %s is not published: nobody outside of containers reaches it" % (wanted, container.name)
        yield _said("port", "warning", container.component, container.name, text, {"ports": [dict(port) for port in container.ports]})
    database = state.container("db")
    if container.component != "web" or database is None or not database.running:
        return
    held = any(each.holder == "web" and each.component == "db" for each in state.held)
    shared = set(container.networks) & set(database.networks) - {"bridge", "host", "none"}
    if not held and not shared and container.network_mode != "host":
        text = "%s has no link to %s and shares no network with it (%s; %s): it cannot resolve its name" % (
            container.name,
            database.name,
            words(container.networks) or "none",
            words(database.networks) or "none",
        )
        detail = {"web": dict(container.networks), "db": dict(database.networks)}
        remedy = Remedy("start it on the network of %s, or with --link" % database.name)
        yield Finding("talus.link.none", "critical", container.name, text, detail, remedy, (FILE, "Docker"))


def _data(container: Container) -> Iterator[Finding]:
    """What is lost with it, since every start removes the old container."""
    places = _DATA.get(container.component)
    if places is None or container.mount_at(*places):
        return
    lost, severity = ("all data is", "critical") if container.component == "db" else ("all queues are", "info")
    text = "%s has no volume at %s: %s lost whenever it is started anew" % (container.name, places[0], lost)
    remedy = Remedy("start it with the volume /talus/data:/talus/data") if severity == "critical" else None
    yield _said("volatile", severity, container.component, container.name, text, {"mounts": [dict(mount) for mount in container.mounts]}, remedy)


# -- together -----------------------------------------------------------------------------------------------------------------


def _spellings(state: TalusState) -> Iterator[Finding]:
    """Forks must not be mixed: one looks for the other's names."""
    names = {container.spelling: container.name for container in (state.containers or {}).values() if container and container.running}
    if len(names) > 1:
        text = "names of running containers are spelt in two ways (%s): scripts of one fork do not find what another has started"
        yield Finding("talus.container.spelling", "warning", "containers", text % ", ".join(sorted(names.values())), {"names": names}, None, (FILE, "Docker"))


def _extras(state: TalusState) -> Iterator[Finding]:
    for container in state.others:
        if container.kind == "service" and container.running:
            chosen = state.container(container.component)
            text = "%s runs beside %s: two of %s take each other's ports and data" % (container.name, chosen.name if chosen else "it", container.component)
            remedy = Remedy("see which of them is in use, and stop the unit of the other one")
            yield _said("duplicate", "critical", container.component, container.name, text, {"image": container.image}, remedy)
        elif container.running:
            what = "for development" if container.kind == "dev" else "a shell"
            text = "%s runs: a container %s, started %d s ago" % (container.name, what, _age(state, container))
            yield _said(container.kind, "info", container.component, container.name, text, {"image": container.image, "command": list(container.command)}, None)


def _held(state: TalusState) -> Iterator[Finding]:
    """Addresses that dependants go by, against those that the containers have now."""
    told: Dict[Tuple[str, str], List[Held]] = {}
    for held in state.all_held():
        told.setdefault((held.holder, held.component), []).append(held)
    for (holder, component), every in sorted(told.items()):
        container = state.container(component)
        empty = [each for each in every if not each.address]
        stale = [each for each in every if each.address and not each.local and container and container.running and each.address not in container.addresses]
        if empty:
            text = "%s was started without the address of %s (%s is empty): it cannot connect. An engine's one address is empty on networks of users"
            yield _link("empty", holder, component, text % (holder, component, empty[0].name), empty, container)
        if stale and container:
            text = "%s goes by %s for %s, which is %s now (%s): it does not reach it until it is restarted"
            gone = ", ".join(sorted({each.address for each in stale}))
            where = " and ".join(sorted({"its %s" % ("hosts file" if each.where == "hosts" else each.where) for each in stale}))
            yield _link("stale", holder, component, text % (holder, gone, component, ", ".join(container.addresses) or "nowhere", where), stale, container)


def _link(word: str, holder: str, component: str, text: str, held: List[Held], container: Optional[Container]) -> Finding:
    now = dict(container.networks) if container else {}
    detail = {
        "holder": holder,
        "component": component,
        "now": now,
        "held": [{"where": each.where, "name": each.name, "address": each.address} for each in held],
    }
    playbook, named = ("fieldops.runbooks.talus_daemon_restart", {"talus_daemons": [holder]}) if holder in DAEMONS else (RESTART, {})
    remedy = Remedy("restart %s, after %s" % (holder, component), playbook, dict(named, talus_repair=True))
    return Finding("talus.link.%s" % word, "critical", "%s -> %s" % (holder, component), text, detail, remedy, (FILE, "Docker"))


def _order(state: TalusState, limits: Limits) -> Iterator[Finding]:
    """Dependencies that were started after what depends on them."""
    started = {component: container.started for component, container in (state.containers or {}).items() if container and container.running}
    started.update({daemon.kind: daemon.started for daemon in (state.daemons.found if state.daemons else ())})
    for dependant, dependencies in DEPENDS.items():
        for dependency in dependencies:
            first, second = started.get(dependant), started.get(dependency)
            if first is None or second is None or second <= first + limits.slack:
                continue
            deaf = dependency == "amqp"
            text = "%s was started %d s after %s, which depends on it%s" % (
                dependency,
                second - first,
                dependant,
                ": daemons do not connect to a broker again, whatever they seem to do" if deaf else "",
            )
            detail = {"dependant": dependant, "dependency": dependency, "dependant_started": first, "dependency_started": second}
            code = "talus.order.%s_before_%s" % (dependant, dependency)
            heading = HEADINGS[MASTER] if deaf else "MongoDB"
            yield Finding(code, "critical" if deaf else "warning", "%s -> %s" % (dependant, dependency), text, detail, _IN_ORDER, (FILE, heading))


def _job_files(state: TalusState) -> Iterator[Finding]:
    """Job files of upstart that start something else than they are named for: the db's installer writes that of the broker."""
    for file in state.init.files if state.init else ():
        if file.starts is not None and file.starts != file.named:
            text = "%s starts %s, not %s: the installer of one writes the job file of the other, so that one of the two has no job"
            remedy = Remedy("write a job file for each of them; until then start what has none by its own script, %s" % file.script)
            detail = dict(file.to_dict(), script=file.script)
            yield Finding("talus.init.wrong_job", "critical", file.path, text % (file.path, file.starts, file.named), detail, remedy, (FILE, "AMQP"))


def _said(word: str, severity: str, component: str, subject: str, text: str, detail: Mapping[str, Any], remedy: Optional[Remedy] = _IN_ORDER) -> Finding:
    heading = HEADINGS[component]
    return Finding("talus.container.%s" % word, severity, subject, text, dict(detail, component=component), remedy, (FILE, heading))
