# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of jobs: under which names they must be there, what is missing, and what would be done about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.images import Image, describe, is_repository, is_tag
from ..procedure.envelope import Change, Finding, Remedy
from .errors import JobRunnerError

ALLOWED = ("cohortextractor", "databuilder", "ehrql", "stata-mp", "r", "jupyter", "python", "sqlrunner")
"""What jobs may run (job-runner ``config.py``)."""
TOOLS = "tools"
"""What a person looks at jobs with; upstream's script for it needs the image and nothing pulls it."""
IMAGE = "image:"
CURRENT, FORMER = "opensafely-core", "opensafely"
"""The two organisations under which upstream's script names each image."""
_RUNBOOK = ("opensafely-jobrunner.md", "Update docker image")


@dataclass(frozen=True)
class Names:
    """One image: where it is pulled from, and what it is called on the node."""

    image: str
    tag: str
    source: str
    targets: Tuple[str, ...]

    @property
    def source_name(self) -> str:
        return "%s/%s:%s" % (self.source, self.image, self.tag)

    @property
    def repository(self) -> str:
        return "%s/%s" % (self.source, self.image)

    @property
    def all(self) -> Tuple[str, ...]:
        """The source first: the others are made from it."""
        wanted = [self.source_name, *("%s/%s:%s" % (target, self.image, self.tag) for target in self.targets)]
        return tuple(dict.fromkeys(wanted))


@dataclass(frozen=True)
class ImageState:
    """``offered`` is the digest that the registry has now; None where it is not asked."""

    names: Optional[Names]
    images: Mapping[str, Optional[Image]]
    offered: Optional[str] = None
    dangling: Sequence[Image] = ()


def names_of(name: str, tag: Optional[str], registry: Optional[str], proxy: Optional[str], aliases: Optional[Sequence[str]], allowed: Sequence[str]) -> Names:
    """From the options; one clear error for what cannot be meant."""
    image, colon, own = name.partition(":")
    if colon and tag:
        raise JobRunnerError("name %r has a tag already; give it there or as tag, not twice" % name)
    if image not in (*allowed, TOOLS):
        raise JobRunnerError("%r is no image that jobs may run; accepted are %s, and %s" % (image, ", ".join(allowed), TOOLS))
    tag = own or tag or "latest"
    if not is_tag(tag):
        raise JobRunnerError("%r is no tag: letters, digits, and _ . - are accepted" % tag)
    if not registry:
        raise JobRunnerError("no registry: none of the config_files sets DOCKER_REGISTRY, so give the option registry (host and organisation of the images)")
    targets = [registry, *(_aliases(registry) if aliases is None else aliases)]
    for text in (*targets, *([proxy] if proxy else [])):
        if not is_repository(text):
            raise JobRunnerError("%r is no place of images; a host and an organisation are meant, for example registry.example.org/opensafely-core" % text)
    return Names(image, tag, proxy or registry, tuple(targets))


def _aliases(registry: str) -> List[str]:
    """The other organisation's name, which jobs of old projects may still use."""
    host, _slash, organisation = registry.rpartition("/")
    return ["%s/%s" % (host, FORMER)] if organisation == CURRENT else []


# -- plan ------------------------------------------------------------------------------------------------------------------


def plan(state: ImageState, prune: bool) -> List[Change]:
    if prune:
        return [_removal(image) for image in state.dangling]
    names = state.names
    if names is None:
        return []
    wanted = _wanted(state, names)
    return [_change(state, names, name, wanted) for name in names.all if not is_as(state.images[name], wanted, names.repository)]


def _wanted(state: ImageState, names: Names) -> Dict[str, Any]:
    """What every name must stand for: what the registry offers, or, where nothing is pulled, what the source's name stands for here."""
    if state.offered is not None:
        return {"digest": state.offered}
    source = state.images[names.source_name]
    if source is None:
        raise JobRunnerError("there is no image %s on this node, and pull is false: there is nothing to name" % names.source_name)
    return {"id": source.id}


def is_as(image: Optional[Image], wanted: Mapping[str, Any], repository: str) -> bool:
    if image is None:
        return False
    return bool(image.id == wanted["id"] if "id" in wanted else image.digest_of(repository) == wanted["digest"])


def look(image: Optional[Image], repository: str) -> Optional[Dict[str, Any]]:
    """What a name stands for, as the journal and the undo compare it."""
    return None if image is None else {"id": image.id, "digest": image.digest_of(repository)}


def _change(state: ImageState, names: Names, name: str, wanted: Mapping[str, Any]) -> Change:
    now = state.images[name]
    before = None if now is None else {"id": now.id}
    if name == names.source_name:
        reason = "it is not on this node" if now is None else "the registry has another one under this name"
        return Change("pull", IMAGE + name, before, dict(wanted), reason)
    reason = "jobs ask for it by this name" if now is None else "this name stands for another image"
    return Change("tag", IMAGE + name, before, dict(wanted), reason)


def _removal(image: Image) -> Change:
    before = {"id": image.id, "digests": list(image.digests), "size": image.size}
    reason = "no name, no container and no other image uses it"
    return Change("remove", IMAGE + image.id, before, None, reason, reversible=False, data_loss="image %s" % short(image.id))


def short(image_id: str) -> str:
    """As docker shows it."""
    return image_id.partition(":")[2][:12] or image_id[:12]


# -- findings ---------------------------------------------------------------------------------------------------------------


def diagnose(state: ImageState, prune: bool) -> List[Finding]:
    if prune:
        return [_unnamed(state)]
    if state.names is None:
        return []
    names, wanted = state.names, _wanted(state, state.names)
    missing = [name for name in names.all if state.images[name] is None]
    other = [name for name in names.all if state.images[name] is not None and not is_as(state.images[name], wanted, names.repository)]
    label = "%s:%s" % (names.image, names.tag)
    remedy = Remedy("run fieldops.runbooks.jobrunner_image without check mode; running jobs keep the image that they were started with")
    found = []
    if missing:
        text = "image %s is missing under %s; a job that needs it fails with an internal error" % (label, " and ".join(missing))
        found.append(Finding("jobrunner.image.missing", "warning", label, text, {"names": missing}, remedy, _RUNBOOK))
    if other:
        text = "image %s is another one than %s under %s" % (label, "the registry has" if state.offered else names.source_name, " and ".join(other))
        found.append(Finding("jobrunner.image.outdated", "warning", label, text, {"names": other, "wanted": wanted}, remedy, _RUNBOOK))
    if not found:
        text = "image %s is here under all of its names%s" % (label, ", as the registry has it" if state.offered else "")
        found.append(Finding("jobrunner.image.ok", "ok", label, text, {"names": list(names.all)}, None, _RUNBOOK))
    return found


def _unnamed(state: ImageState) -> Finding:
    size = sum(image.size for image in state.dangling)
    if not state.dangling:
        return Finding("jobrunner.image.no_dangling", "ok", "images", "there are no images without a name that nothing uses", {}, None, _RUNBOOK)
    text = "%d images without a name are used by nothing and take up to %.1f GB" % (len(state.dangling), size / 1e9)
    detail = {"ids": [image.id for image in state.dangling], "size": size}
    return Finding("jobrunner.image.dangling", "info", "images", text, detail, None, _RUNBOOK)


def facts(state: ImageState) -> Dict[str, Any]:
    return {
        "images": {name: describe(image) for name, image in state.images.items()},
        "offered": state.offered,
        "dangling": [describe(image) for image in state.dangling],
    }
