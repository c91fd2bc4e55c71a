# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Setting keys of Hare by compare-and-set, with an event in the same transaction.

An event is published as hax does it (hax/queue/publish.py): the counter ``epoch`` is raised from the index that was read, and ``bq/<epoch>`` is set, in one
transaction; when somebody else was quicker, Consul answers 409 and it is tried again. Beyond that, a message that is there is never replaced.
"""

from __future__ import annotations

import base64
import datetime
import json
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..errors import MotrError
from .consul import Conflict, Consul, Item, Lost, put, unmoved

ATTEMPTS = 50
EPOCH = "epoch"
QUEUE = "bq/"


class Message(NamedTuple):
    """An event for all hax. ``kind`` is one of M0_HA_MSG_NVEC and PROCESS-STATE-UPDATE."""

    kind: str
    payload: Mapping[str, Any]

    def image(self) -> Dict[str, Any]:
        return {"message_type": self.kind, "payload": dict(self.payload)}


class Move(NamedTuple):
    """Values of some keys, from and to; ``seen`` is every key that must not have changed, also those that stay."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    seen: Mapping[str, Item]


class Moved(MotrError):
    """A key has another value than it was planned with, so nothing was changed."""


def carry_out(consul: Consul, moves: List[Move], message: Optional[Message] = None) -> Optional[int]:
    """All of it, in one transaction, or none of it. The epoch of the message."""
    seen = {key: item for move in moves for key, item in move.seen.items()}
    wanted = {key: value for move in moves for key, value in move.after.items()}
    epoch = _epoch(consul) if message else None
    for attempt in range(ATTEMPTS):
        operations = [
            put(key, json.dumps(wanted[key]), item.modify_index) if key in wanted else unmoved(key, item.modify_index) for key, item in sorted(seen.items())
        ]
        number = None
        if message is not None and epoch is not None:
            number = int(epoch.value) + 1
            operations += [put(EPOCH, str(number), epoch.modify_index), put("%s%d" % (QUEUE, number), _text(message), 0)]
        conflicts = _write(consul, operations)
        if not conflicts:
            return number
        time.sleep(min(0.2, 0.005 * 2**attempt))
        seen = _again(consul, seen)
        if message is not None:
            epoch = _epoch(consul)
            if number == int(epoch.value) + 1 and any(each.number == len(operations) - 1 for each in conflicts):
                raise MotrError(
                    "%s%s holds a message already, though the counter %s says %s: the counter is behind the queue, so nothing was changed. "
                    "Clear the queue, or raise the counter, when it is known which of the two is right." % (QUEUE, number, EPOCH, epoch.value)
                )
    raise MotrError("others were quicker each of %d times: nothing was changed. Run it again when less goes on in Consul." % ATTEMPTS)


def _write(consul: Consul, operations: Sequence[Mapping[str, Any]]) -> List[Conflict]:
    """The transaction, sent again where nobody knows whether it was made.

    That makes it once at most: each of its operations wants the index that was read, which the first of two transactions raises. Lost where it stays unknown.
    """
    try:
        return consul.write(operations)
    except Lost as exc:
        lost = exc
    deadline, pause = time.monotonic() + consul.timeout, 0.1
    while True:
        try:
            conflicts = consul.write(operations)
            return [] if conflicts and _stands(consul, operations) else conflicts
        except MotrError:
            if time.monotonic() + pause >= deadline:
                raise lost from None
        time.sleep(pause)
        pause = min(1.0, 2 * pause)


def _stands(consul: Consul, operations: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all keys are as a transaction sets them. A message has the time in it, so it is nobody else's."""
    wanted = {row["KV"]["Key"]: base64.b64decode(row["KV"]["Value"]).decode("utf-8") for row in operations if "Value" in row["KV"]}
    now = consul.get(sorted(wanted))
    # The counter may have been raised since.
    return bool(wanted) and all(key in now and now[key].value == value for key, value in wanted.items() if key != EPOCH)


def _again(consul: Consul, seen: Mapping[str, Item]) -> Dict[str, Item]:
    """The keys as they are now. One that was written again with the same value may be taken from there; of another value nothing was planned."""
    now = consul.get(sorted(seen)) if seen else {}
    for key, item in seen.items():
        if key not in now:
            raise Moved("%s was removed since it was looked at: nothing was changed. Run it again." % key)
        if not equal(now[key].value, item.value):
            raise Moved("%s was changed since it was looked at, and is now %s: nothing was changed. Run it again." % (key, now[key].value[:200]))
    return now


def equal(one: str, other: str) -> bool:
    """The same text, or the same JSON."""
    if one == other:
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except (ValueError, RecursionError):
        return False


def _epoch(consul: Consul) -> Item:
    found = consul.get([EPOCH]).get(EPOCH)
    if found is None or not (found.value.isascii() and found.value.isdigit()):
        raise MotrError("there is no number in Hare's key %s, so no event can be published: is the cluster bootstrapped?" % EPOCH)
    return found


def _text(message: Message) -> str:
    stamp = str(datetime.datetime.now())  # as hax has it, without a zone
    return json.dumps({"timestamp": stamp, "message_type": message.kind, "payload": message.payload})


def numbers(consul: Consul) -> List[int]:
    """Epochs of the messages in the queue, in order."""
    names = (name[len(QUEUE) :] for name in consul.names(QUEUE))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def messages(consul: Consul, epochs: List[int]) -> List[Tuple[int, Any]]:
    """Messages by their epoch; None for what is not JSON."""
    keys = {"%s%d" % (QUEUE, epoch): epoch for epoch in epochs}
    found = consul.get(list(keys)[:60]) if keys else {}  # no more than a transaction may have
    return sorted((keys[key], _json(item.value)) for key, item in found.items())


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
