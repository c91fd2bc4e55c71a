# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of a Docker Engine: names, what a registry has under them, and what is left without a name."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .docker import Docker, DockerError

_NAME = re.compile(r"[a-z0-9]+(?:[._:-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class Image:
    """An image as the engine has it. ``digests`` are the registry's names for it: ``repository@sha256:...``."""

    id: str
    tags: Tuple[str, ...] = ()
    digests: Tuple[str, ...] = ()
    created: str = ""
    size: int = 0

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> Image:
        tags, digests = (tuple(each for each in seen.get(key) or () if not each.startswith("<none>")) for key in ("RepoTags", "RepoDigests"))
        return cls(seen["Id"], tags, digests, str(seen.get("Created", "")), int(seen.get("Size", 0)))

    def digest_of(self, repository: str) -> Optional[str]:
        """What a repository calls it; None when it did not come from there."""
        return next((digest for name, _at, digest in (each.partition("@") for each in self.digests) if name == repository), None)


class Images:
    """Asks and changes through one engine."""

    def __init__(self, docker: Docker, pull_timeout: float = 1800.0) -> None:
        self.docker = docker
        self.pull_timeout = pull_timeout

    def get(self, name: str) -> Optional[Image]:
        """An image by its whole name or id; None when the engine does not have it."""
        found = self.docker.maybe("inspect image %s" % name, lambda: self.docker.api.inspect_image(name))
        return Image.of(found) if found else None

    def dangling(self) -> List[Image]:
        """Images without a name that no other image is built on and no container, running or not, was made from."""
        with self.docker.errors("list images"):
            found = self.docker.api.images(filters={"dangling": True})
        used = {container["ImageID"] for container in self.docker.containers()}
        return sorted((Image.of(image) for image in found if image["Id"] not in used), key=lambda image: image.id)

    def offered(self, repository: str, tag: str) -> str:
        """Digest that a registry has under a name now. The engine asks it, with its own proxy and certificates."""
        with self.docker.errors("ask the registry for %s:%s" % (repository, tag)):
            answer = self.docker.api.inspect_distribution("%s:%s" % (repository, tag))
        return str(answer["Descriptor"]["digest"])

    def pull(self, repository: str, reference: str) -> None:
        """By tag or digest. The engine says in the middle of its answer that it failed, so the answer is read to its end."""
        what = "pull %s (%s)" % (repository, reference)
        deadline = time.monotonic() + self.pull_timeout
        with self.docker.errors(what):
            for said in self.docker.api.pull(repository, tag=reference, stream=True, decode=True):
                if "error" in said:
                    raise DockerError("the engine at %s could not %s: %s" % (self.docker.docker_host, what, said["error"]))
                if time.monotonic() > deadline:
                    raise DockerError("the engine at %s could not %s within %g s" % (self.docker.docker_host, what, self.pull_timeout))

    def tag(self, image: str, name: str) -> None:
        """Give an image a name, which it may take away from another one."""
        repository, tag = split(name)
        with self.docker.errors("name image %s %s" % (image, name)):
            self.docker.api.tag(image, repository, tag)

    def remove(self, name: str) -> bool:
        """Take a name away, and with its last name the image. False when there was none."""
        with self.docker.errors("remove image %s" % name):
            return self.docker.told(lambda: self.docker.api.remove_image(name), (404,))

    def remove_unnamed(self, image: Image) -> bool:
        """Remove an image without tags; what registries call it are names as well."""
        return any([self.remove(digest) for digest in image.digests] or [self.remove(image.id)])


def split(name: str) -> Tuple[str, str]:
    """Repository and tag; a port is no tag."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def is_repository(text: str) -> bool:
    """With a host, or at least two parts."""
    return _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def describe(image: Optional[Image]) -> Optional[Dict[str, Any]]:
    """For a result."""
    return None if image is None else {"id": image.id, "tags": list(image.tags), "digests": list(image.digests), "created": image.created, "size": image.size}
