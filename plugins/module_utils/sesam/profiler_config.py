# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container like another one, with or without one option in its command: the configuration to create it from. Pure.

The engine cannot change the command of a container. What a container was created with is all in its inspection, though not always in the form
in which the engine takes it.
"""

from __future__ import annotations

import copy
import os
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from .container import ASIDE, PROGRAM

OPTION = "--enable-api-profiler"
FOLDER = "api_profiler"
LABEL = "fieldops.runbooks.sesam.api_profiler"
"""On a container that was made with the option here: the bound in bytes, a colon, and where the file system of that size is mounted."""
REPLACES = LABEL + ".replaces"
"""On any container that was made here: the beginning of the id of the one that was put aside for it."""
NEW = "-fieldops.new"
GONE = "-fieldops-gone" + ASIDE
_KEPT = re.compile(r"(?P<name>.+)-fieldops-(?P<id>[0-9a-f]{12})\.(?P<policy>no|always|unless-stopped|on-failure)(?:\.(?P<retries>[0-9]+))?" + re.escape(ASIDE))
_WORD = re.compile(r"(?<![^\s;&|(])(?:[^\s;&|()'\"]*/)?%s(?=$|[\s;&|)])" % PROGRAM)
_SHELL = re.compile(r"-[a-z]*c[a-z]*")
"""After this, a shell takes its commands."""
_ANSWERED = re.compile(r"(?:^|\s)%s(?:=\S*)?(?=$|[\s;&|)])" % re.escape(OPTION))
_FILES = 20000
"""Files that the bounded file system takes: each one needs memory of the kernel that its size does not count."""


class Unfaithful(Exception):
    """Why no container like this one can be made."""


def kept_name(seen: Mapping[str, Any]) -> str:
    """The name under which a container is put aside. It tells its restart policy, which is taken from it so that it does not start by itself."""
    policy = (seen.get("HostConfig") or {}).get("RestartPolicy") or {}
    word, retries = policy.get("Name") or "no", int(policy.get("MaximumRetryCount") or 0)
    return "%s-fieldops-%s.%s%s%s" % (name_of(seen), str(seen["Id"])[:12], word, ".%d" % retries if retries else "", ASIDE)


def kept_of(name: str) -> Optional[Tuple[str, str, Dict[str, Any]]]:
    """What the name of a container that was put aside tells: its own name, the beginning of its id, its restart policy."""
    found = _KEPT.fullmatch(name)
    if found is None:
        return None
    return found["name"], found["id"], {"Name": found["policy"], "MaximumRetryCount": int(found["retries"] or 0)}


def name_of(seen: Mapping[str, Any]) -> str:
    return str(seen.get("Name") or "").lstrip("/")


def has_option(argv: Sequence[str]) -> bool:
    return any(_ANSWERED.search(word) for word in argv)


def command_of(seen: Mapping[str, Any]) -> List[str]:
    config = seen.get("Config") or {}
    return [*_words(config.get("Entrypoint")), *_words(config.get("Cmd"))]


def _words(value: Any) -> List[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value or ()]


def with_option(seen: Mapping[str, Any], running: Sequence[str] = ()) -> Dict[str, Any]:
    """``Entrypoint`` and ``Cmd`` with the option. ``running`` is the command line of the node's process, for an image whose script starts it."""
    entrypoint, command = (_words((seen.get("Config") or {}).get(key)) for key in ("Entrypoint", "Cmd"))
    argv = [*entrypoint, *command]
    texts = [word for before, word in zip(argv, argv[1:]) if _SHELL.fullmatch(before) and _WORD.search(word)]
    hits = [hit for word in texts for hit in _WORD.finditer(word)]
    if len(hits) > 1:
        raise Unfaithful("its command names %s %d times: %s" % (PROGRAM, len(hits), texts[0][:200]))
    if hits:
        there = "%s %s%s" % (texts[0][: hits[0].end()], OPTION, texts[0][hits[0].end() :])
        both = ([there if word == texts[0] else word for word in words] or None for words in (entrypoint, command))
        return dict(zip(("Entrypoint", "Cmd"), both))
    direct = any(os.path.basename(word) == PROGRAM for word in argv)
    if direct or (command and list(running[-len(command) :]) == command):
        return {"Entrypoint": entrypoint or None, "Cmd": [*command, OPTION]}
    raise Unfaithful("nothing in its command starts %s, so it is not known where the option goes: %s" % (PROGRAM, " ".join(argv)[:200]))


def without_option(seen: Mapping[str, Any]) -> Dict[str, Any]:
    parts: Dict[str, Any] = {}
    for key in ("Entrypoint", "Cmd"):
        words = [word for word in _words((seen.get("Config") or {}).get(key)) if not _is_option(word)]
        parts[key] = [_ANSWERED.sub("", word) for word in words] or None
    return parts


def _is_option(word: str) -> bool:
    return word == OPTION or word.startswith(OPTION + "=")


def bound_of(seen: Mapping[str, Any]) -> Optional[Tuple[int, str]]:
    """Bytes and place of the bounded file system of a container that was made here."""
    label = ((seen.get("Config") or {}).get("Labels") or {}).get(LABEL, "")
    size, _colon, place = label.partition(":")
    return (int(size), place) if size.isdigit() and place.startswith("/") else None


def enabled(seen: Mapping[str, Any], size: int, logs: str, running: Sequence[str] = ()) -> Dict[str, Any]:
    """For ``POST /containers/create``: the same with the option, whose folder is a file system in memory of ``size`` bytes."""
    config = recreated(seen)
    place = "%s/%s" % (logs.rstrip("/"), FOLDER)
    config.update(with_option(seen, running))
    config["Labels"] = dict(config.get("Labels") or {}, **{LABEL: "%d:%s" % (size, place)})
    tmpfs = dict(config["HostConfig"].get("Tmpfs") or {})
    tmpfs[place] = "rw,nosuid,nodev,noexec,mode=1777,size=%d,nr_inodes=%d" % (size, _FILES)
    config["HostConfig"]["Tmpfs"] = tmpfs
    return config


def disabled(seen: Mapping[str, Any]) -> Dict[str, Any]:
    """The same without the option and without what ``enabled`` added."""
    config = recreated(seen)
    config.update(without_option(seen))
    bound = bound_of(seen)
    config["Labels"] = {key: value for key, value in (config.get("Labels") or {}).items() if key not in (LABEL, REPLACES)}
    tmpfs = {key: value for key, value in (config["HostConfig"].get("Tmpfs") or {}).items() if bound is None or key != bound[1]}
    config["HostConfig"]["Tmpfs"] = tmpfs
    return config


def recreated(seen: Mapping[str, Any]) -> Dict[str, Any]:
    """What would create the same container, with its first network; ``other_networks`` has the rest."""
    config: Dict[str, Any] = copy.deepcopy(dict(seen.get("Config") or {}))
    host: Dict[str, Any] = copy.deepcopy(dict(seen.get("HostConfig") or {}))
    if str(config.get("Hostname") or "") == str(seen["Id"])[:12]:
        config.pop("Hostname")  # the engine's own choice, by the id
    if config.get("MacAddress") in ("", None):
        config.pop("MacAddress", None)
    host["Links"] = [_link(link) for link in host.get("Links") or []] or None
    _bind_volumes(seen, config, host)
    _pin_ports(seen, host)
    config["HostConfig"] = host
    first = _first_network(seen)
    if first is not None:
        config["NetworkingConfig"] = {"EndpointsConfig": {first: _endpoint(seen, first)}}
    return config


def _link(link: str) -> str:
    """``/db:/node/alias`` as the engine shows it is ``db:alias`` as it takes it."""
    target, _colon, alias = link.partition(":")
    return "%s:%s" % (target.lstrip("/"), alias.rpartition("/")[2])


def _bind_volumes(seen: Mapping[str, Any], config: Dict[str, Any], host: Dict[str, Any]) -> None:
    """Volumes that nobody named are bound by the name that the engine gave them, else the new container would get empty ones."""
    binds, mounts = list(host.get("Binds") or []), list(host.get("Mounts") or [])
    named = {bind.split(":")[1] for bind in binds if bind.count(":")}
    named |= {str(mount.get("Target")) for mount in mounts if mount.get("Source") or mount.get("Type") == "tmpfs"}
    for mount in seen.get("Mounts") or []:
        target = str(mount.get("Destination"))
        if mount.get("Type") == "volume" and mount.get("Name") and target not in named:
            binds = [bind for bind in binds if bind != target]
            binds.append("%s:%s:%s" % (mount["Name"], target, "rw" if mount.get("RW", True) else "ro"))
            mounts = [each for each in mounts if each.get("Target") != target]
            named.add(target)
    host["Binds"], host["Mounts"] = binds or None, mounts or None
    if config.get("Volumes"):
        config["Volumes"] = {target: {} for target in config["Volumes"] if target not in named} or None


def _pin_ports(seen: Mapping[str, Any], host: Dict[str, Any]) -> None:
    """A port that the engine chose stays the same one."""
    published = (seen.get("NetworkSettings") or {}).get("Ports") or {}
    bindings = dict(host.get("PortBindings") or {})
    for port, now in published.items():
        asked = bindings.get(port)
        chosen = asked and any(str(each.get("HostPort") or "0") == "0" for each in asked)
        if now and (chosen or (asked is None and host.get("PublishAllPorts"))):
            bindings[port] = [dict(each) for each in now]
    host["PortBindings"], host["PublishAllPorts"] = bindings, False


def _networks(seen: Mapping[str, Any]) -> Mapping[str, Any]:
    mode = str((seen.get("HostConfig") or {}).get("NetworkMode") or "")
    if mode in ("none", "host") or mode.startswith("container:"):
        return {}
    found: Mapping[str, Any] = (seen.get("NetworkSettings") or {}).get("Networks") or {}
    return found


def _first_network(seen: Mapping[str, Any]) -> Optional[str]:
    """The one that the engine connects a container to when it creates it."""
    mode, networks = str((seen.get("HostConfig") or {}).get("NetworkMode") or ""), _networks(seen)
    if mode in ("", "default", "bridge"):
        return None  # nothing can be asked of that one
    return next((name for name, each in networks.items() if mode in (name, each.get("NetworkID"))), None)


def other_networks(seen: Mapping[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Those that a container is connected to once it was created."""
    first = _first_network(seen)
    return {name: _endpoint(seen, name) for name in _networks(seen) if name != (first or "bridge")}


def _endpoint(seen: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """What was asked for, not what came of it: fixed addresses, aliases but for the engine's own (the id), options."""
    now = _networks(seen)[name]
    own = str(seen["Id"])[:12]
    endpoint = {key: now[key] for key in ("IPAMConfig", "DriverOpts", "GwPriority") if now.get(key)}
    aliases = [alias for alias in now.get("Aliases") or [] if alias != own]
    if aliases:
        endpoint["Aliases"] = aliases
    if now.get("Links"):
        endpoint["Links"] = [_link(link) for link in now["Links"]]
    return endpoint


def unfaithful(seen: Mapping[str, Any], others: Sequence[Mapping[str, Any]] = ()) -> List[str]:
    """Why a container cannot be replaced by one like it; ``others`` are the inspections of the rest."""
    host, config = seen.get("HostConfig") or {}, seen.get("Config") or {}
    labels = config.get("Labels") or {}
    found = []
    if host.get("AutoRemove"):
        found.append("it was started with --rm, so it would be gone as soon as it is stopped")
    if str(host.get("NetworkMode") or "").startswith("container:"):
        found.append("it has the network of another container (%s)" % str(host["NetworkMode"])[:30])
    owner = next((label for label in ("com.docker.swarm.service.name", "io.kubernetes.pod.name") if label in labels), None)
    if owner:
        found.append("it belongs to %s %s, which would start another one as soon as it is stopped" % (owner.rpartition(".")[0], labels[owner]))
    for other in others:
        why = _depends(other, seen)
        if why:
            found.append("container %s %s" % (name_of(other), why))
    return found


def _depends(other: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    """How another container hangs on just this one, and not on one that has its name."""
    host, (name, id_) = other.get("HostConfig") or {}, (name_of(seen), str(seen["Id"]))
    modes = {"NetworkMode": "network", "PidMode": "processes", "IpcMode": "shared memory"}
    for key, word in modes.items():
        target = str(host.get(key) or "").partition("container:")[2]
        if target and (target == name or id_.startswith(target)):
            return "has its %s" % word
    if any(link.partition(":")[0].lstrip("/") == name for link in host.get("Links") or []):
        return "is linked to it"
    return ""


def on_layer(folders: Sequence[str], seen: Mapping[str, Any]) -> List[str]:
    """Folders that lie on no mount: a new container would find them empty."""
    targets = [str(mount.get("Destination") or "").rstrip("/") for mount in seen.get("Mounts") or []]
    return [folder for folder in folders if not any(folder == target or folder.startswith(target + "/") for target in targets)]
