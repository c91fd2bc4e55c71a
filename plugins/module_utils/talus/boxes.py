# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Vagrant's boxes, the base images that they are links to, and the directory of uploads. Nothing here is followed out of its place."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .errors import TalusError

IMAGE_ID = re.compile(r"[0-9a-f]{24}")
_VOLUME = re.compile(r"([0-9a-f]{24})_vagrant_box_image_\S+\.img")
_SLASH = "-VAGRANTSLASH-"
PROVIDER = "libvirt"
_MOST_FILES = 10000
LINK, FILE, BROKEN, MISSING = "link", "file", "broken", "missing"


@dataclass(frozen=True)
class Box:
    """One version of a box. ``image`` is how its box.img is: a link, a file of its own, a broken link, or missing."""

    name: str
    version: str
    path: str
    image: str
    target: Optional[str] = None
    size: int = 0
    metadata: bool = True

    @property
    def of_image(self) -> bool:
        """Whether Talus made it: it is named by the id of an image."""
        return IMAGE_ID.fullmatch(self.name) is not None

    def to_dict(self) -> Dict[str, Any]:
        names = ("name", "version", "path", "image", "target", "size", "metadata")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Volume:
    """A base image of libvirt's."""

    image_id: str
    path: str
    size: int

    def to_dict(self) -> Dict[str, Any]:
        return {"image_id": self.image_id, "path": self.path, "size": self.size}


@dataclass(frozen=True)
class Boxes:
    """``uploads`` says what is in the directory of uploaded files; None when it is not there."""

    boxes: Tuple[Box, ...] = ()
    volumes: Tuple[Volume, ...] = ()
    uploads: Optional[Dict[str, Any]] = None
    places: Tuple[Tuple[str, str], ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        return {"boxes": [box.to_dict() for box in self.boxes], "volumes": [volume.to_dict() for volume in self.volumes], "uploads": self.uploads}


def read_boxes(boxes_dir: str, images_dir: str, files_dir: str) -> Boxes:
    """Lists directories, and opens no image."""
    boxes = tuple(box for name in _listed(boxes_dir, "boxes_dir") for box in _versions(boxes_dir, name))
    volumes = tuple(_volumes(images_dir, _listed(images_dir, "images_dir")))
    return Boxes(boxes, volumes, _uploads(files_dir), (("boxes", boxes_dir), ("images", images_dir), ("files", files_dir)))


def volume_name(image_id: str) -> str:
    """As vagrant-libvirt names the base image of version 0 of a box."""
    return "%s_vagrant_box_image_0.img" % image_id


def _versions(boxes_dir: str, name: str) -> Iterator[Box]:
    top = os.path.join(boxes_dir, name)
    if not os.path.isdir(top):
        return
    for version in sorted(os.listdir(top)):
        path = os.path.join(top, version, PROVIDER)
        if os.path.isdir(path):
            state, target, size = _image(os.path.join(path, "box.img"))
            yield Box(name.replace(_SLASH, "/"), version, path, state, target, size, os.path.isfile(os.path.join(path, "metadata.json")))


def _image(path: str) -> Tuple[str, Optional[str], int]:
    """How a box.img is, where it leads, and the size of what is there."""
    target = None
    if os.path.islink(path):
        target = os.path.join(os.path.dirname(path), os.readlink(path))
    try:
        size = os.stat(path).st_size
    except OSError:
        return (BROKEN if target else MISSING), target, 0
    return (LINK if target else FILE), target, size


def _volumes(directory: str, names: List[str]) -> Iterator[Volume]:
    for name in names:
        found = _VOLUME.fullmatch(name)
        if found:
            path = os.path.join(directory, name)
            with contextlib.suppress(OSError):  # removed meanwhile
                yield Volume(found[1], path, os.lstat(path).st_size)


def _uploads(directory: str) -> Optional[Dict[str, Any]]:
    files = size = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_file(follow_symlinks=False):
                        files += 1
                        size += entry.stat(follow_symlinks=False).st_size
                if files >= _MOST_FILES:
                    break
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise TalusError("files_dir: %s cannot be listed: %s" % (directory, exc.strerror)) from exc
    return {"path": directory, "files": files, "bytes": size}


def _listed(directory: str, option: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as exc:
        raise TalusError("%s: %s cannot be listed: %s" % (option, directory, exc.strerror)) from exc
