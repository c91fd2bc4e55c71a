# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of jobs on this node: pulled by digest, named as jobs ask for them, and the way back to what the names stood for."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker, DockerError
from ..connect.images import Image, Images
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.envelope import Image as Shape
from ..procedure.errors import Refusal
from ..procedure.undo import Store, matches
from .config import read_config
from .errors import JobRunnerError
from .image_state import IMAGE, ImageState, diagnose, facts, look, names_of, plan

CHANGED = "the name stands for another image than when it was looked at: left alone"


class JobImage(Procedure[ImageState]):
    """Has one image under all of its names, or removes images without any."""

    name = "jobrunner_image"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.prune = params["state"] == "pruned"
        self.pull = params["pull"]
        self.names = None if self.prune else _names(params)
        if not params["pull_timeout"] > 0:
            raise JobRunnerError("pull_timeout must be more than 0 seconds, not %g" % params["pull_timeout"])
        self.docker = Docker(params["docker_host"], timeout=params["timeout"])
        self.images = Images(self.docker, params["pull_timeout"])
        self._offered: Optional[str] = None

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> ImageState:
        if self.names is None:
            return ImageState(None, {}, None, self.images.dangling())
        if self.pull and self._offered is None:  # asked once: what is offered now was not what was planned
            self._offered = self.images.offered(self.names.repository, self.names.tag)
        return ImageState(self.names, {name: self.images.get(name) for name in self.names.all}, self._offered)

    def diagnose(self, state: ImageState) -> List[Finding]:
        return diagnose(state, self.prune)

    def facts(self, state: ImageState) -> Mapping[str, Any]:
        return facts(state)

    def evidence(self, state: ImageState) -> Mapping[str, Any]:
        return {"docker_host": self.docker.docker_host, "source": self.names.source_name if self.names else None}

    def plan(self, state: ImageState) -> List[Change]:
        return plan(state, self.prune)

    def context(self) -> Mapping[str, Any]:
        return {"docker_host": self.docker.docker_host, "repository": self.names.repository if self.names else ""}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._apply(change) for change in changes]

    def _apply(self, change: Change) -> Outcome:
        if change.action == "remove":
            return self._remove(change)
        name, repository = change.subject[len(IMAGE) :], self.names.repository if self.names else ""
        if not matches(change.before, look(self.images.get(name), repository)):
            return Outcome(False, CHANGED)
        self.images.tag(self._wanted(change, repository), name)
        return Outcome(True, actual=look(self.images.get(name), repository))

    def _wanted(self, change: Change, repository: str) -> str:
        """Id of the image that was planned. It is pulled by its digest, so that it cannot be another one than that."""
        wanted = change.after or {}
        if "id" in wanted:
            return str(wanted["id"])
        exact = "%s@%s" % (repository, wanted["digest"])
        if change.action == "pull":
            self.images.pull(repository, str(wanted["digest"]))
        image = self.images.get(exact)
        if image is None:
            raise DockerError("the engine has no %s, although it was pulled" % exact)
        return image.id

    def _remove(self, change: Change) -> Outcome:
        image_id = change.subject[len(IMAGE) :]
        image = self.images.get(image_id)
        if image is None or image.tags:
            return Outcome(False, "it is gone, or got a name since it was looked at: left alone")
        self.images.remove_unnamed(image)
        return Outcome(True)


def _names(params: Mapping[str, Any]) -> Any:
    registry = params["registry"] or read_config(params["config_files"]).get("DOCKER_REGISTRY")
    if not params["name"]:
        raise JobRunnerError("name is empty: name an image, for example ehrql")
    return names_of(params["name"], params["tag"], registry, params["proxy"], params["aliases"], params["allowed"])


class ImageStore(Store):
    """Names of images on the engine that a run was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.docker = Docker(str(header["docker_host"]))
        self.images = Images(self.docker)
        self.repository = str(header["repository"])

    def close(self) -> None:
        self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Shape], Any]]:
        return [(look(self.images.get(change.subject[len(IMAGE) :]), self.repository), None) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        gone = [change for change in plan if change.after is not None and self._image(change.after) is None]
        if not gone:
            return []
        reason = "%d names stood for images that were removed since, first %s." % (len(gone), gone[0].subject)
        return [Refusal("gone", reason, "pull the image again, by the digest that the run's journal has; or undo only the others.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._back(change) for change in changes]

    def _back(self, change: Change) -> Outcome:
        name = change.subject[len(IMAGE) :]
        if not matches(change.before, look(self.images.get(name), self.repository)):
            return Outcome(False, CHANGED)
        if change.after is None:
            self.images.remove(name)
        else:
            image = self._image(change.after)
            if image is None:
                return Outcome(False, "the image that it stood for was removed meanwhile")
            self.images.tag(image.id, name)
        return Outcome(True)

    def _image(self, wanted: Shape) -> Optional[Image]:
        """By its id, or by its digest where a run was killed before it could note the id."""
        return self.images.get(str(wanted["id"]) if "id" in wanted else "%s@%s" % (self.repository, wanted["digest"]))


STORES = {"jobrunner_image": ImageStore}
