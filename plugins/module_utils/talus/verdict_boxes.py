# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with Vagrant's boxes, and between them, the base images of libvirt and the documents of images. Pure."""

from __future__ import annotations

from typing import Dict, Iterator, List, Set

from ..procedure.envelope import Finding, Remedy
from .boxes import BROKEN, MISSING, Box, volume_name
from .names import FILE, number
from .records import Records
from .state import TalusState
from .verdict_records import IMAGES

_HEADING = (FILE, "Vagrant")
_NAMED = 20
_BUSY = ("import", "importing", "configure", "create", "configuring", "import_error", "delete")
"""Images that have no box yet, or no more."""


def judge_boxes(state: TalusState) -> List[Finding]:
    boxes = state.boxes
    if boxes is None:
        return []
    found: List[Finding] = [finding for box in boxes.boxes for finding in _box(box)]
    found += _volumes(state)
    if state.records is not None:
        found += _documents(state, state.records)
    if boxes.uploads is None:
        place = dict(boxes.places).get("files", "")
        text = "there is no directory %s: files that are uploaded through the web server do not reach the master" % place
        remedy = Remedy("restart the web server, whose start script makes it, or make it for everybody to write in")
        found.append(Finding("talus.files.missing", "warning", place, text, {"path": place}, remedy, (FILE, "Docker")))
    return found


def _box(box: Box) -> Iterator[Finding]:
    if box.image == BROKEN:
        text = "box.img of box %s leads to %s, which is not there: it cannot be started, nor can what is based on it" % (box.name, box.target)
        remedy = Remedy("put the base image back, or delete the image and import it anew", IMAGES)
        yield Finding("talus.box.broken_link", "critical", "box %s" % box.name, text, box.to_dict(), remedy, _HEADING)
    elif box.image == MISSING or not box.metadata:
        what = "box.img" if box.image == MISSING else "metadata.json"
        remedy = Remedy("delete the image and import it anew", IMAGES)
        yield Finding("talus.box.incomplete", "critical", "box %s" % box.name, "box %s has no %s" % (box.name, what), box.to_dict(), remedy, _HEADING)


def _volumes(state: TalusState) -> Iterator[Finding]:
    """Base images that no box is for."""
    boxes = state.boxes
    if boxes is None:
        return
    names = {box.name for box in boxes.boxes}
    orphans = [volume for volume in boxes.volumes if volume.image_id not in names]
    if orphans:
        size = sum(volume.size for volume in orphans)
        text = "%s without a box, %d MiB in all: %s" % (
            number(len(orphans), "base image is", "base images are"),
            size >> 20,
            ", ".join(volume.path for volume in orphans[:3]),
        )
        detail = {"volumes": [volume.to_dict() for volume in orphans[:_NAMED]], "number": len(orphans), "bytes": size}
        remedy = Remedy("see that no VM is based on them (jobs' images are overlays), then remove them", IMAGES)
        yield Finding("talus.box.volume_without_box", "warning", "base images", text, detail, remedy, _HEADING)


def _documents(state: TalusState, records: Records) -> Iterator[Finding]:
    """Boxes against documents. Where not all documents were read, absence is not told."""
    if state.boxes is None:
        return
    ours: Dict[str, Box] = {box.name: box for box in state.boxes.boxes if box.of_image}
    known: Set[str] = {image.id for image in records.images}
    without = sorted(set(ours) - known) if records.complete("images") else []
    if without:
        text = "%s without an image in the database: %s" % (number(len(without), "box is", "boxes are"), ", ".join(without[:5]))
        remedy = Remedy("see that nobody imports them just now, then remove them with vagrant box remove", IMAGES)
        yield Finding("talus.box.without_image", "warning", "boxes", text, {"ids": without[:_NAMED], "number": len(without)}, remedy, _HEADING)
    volumes = {volume.image_id for volume in state.boxes.volumes}
    for image in records.images:
        if image.status in _BUSY:
            continue
        lacks = [what for what, there in (("box", image.id in ours), ("base image %s" % volume_name(image.id), image.id in volumes)) if not there]
        if image.id not in ours:
            text = "image %s is %s and has no %s on this host" % (image.name or image.id, image.status, ", nor a ".join(lacks))
            detail = {"id": image.id, "name": image.name, "status": image.status, "lacks": lacks}
            remedy = Remedy("delete the image, or import it anew", IMAGES)
            yield Finding("talus.box.missing", "critical", "image %s" % (image.name or image.id), text, detail, remedy, _HEADING)
