# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and containers for debugging, as they are planned; what strace says."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.images import Image
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.debug_state import DebugState, Wanted, configuration, guards, plan, shape
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.errors import JobRunnerError
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.image_state import ALLOWED, ImageState, names_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.image_state import plan as plan_images
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.trace_text import Syscall, blocked, summary

HUB = "hub.example.org/opensafely-core"
PROXY = "proxy.example.org/opensafely-core"
OLD = Image("sha256:old", (), (f"{PROXY}/r@sha256:d1",))
NEW = Image("sha256:new", (), (f"{PROXY}/r@sha256:d2",))
SOURCE, FIRST, SECOND = f"{PROXY}/r:latest", f"{HUB}/r:latest", "hub.example.org/opensafely/r:latest"


def names(proxy: str | None = PROXY, aliases: list[str] | None = None, registry: str = HUB) -> Any:
    return names_of("r", None, registry, proxy, aliases, ALLOWED)


def test_names() -> None:
    assert names().all == (SOURCE, FIRST, SECOND)
    assert names(proxy=None).all == (FIRST, SECOND)
    assert names(aliases=[]).all == (SOURCE, FIRST)
    assert names(registry="hub.example.org/mine").all == (SOURCE, "hub.example.org/mine/r:latest")
    assert names_of("tools:v1", None, HUB, None, None, ALLOWED).source_name == f"{HUB}/tools:v1"
    with pytest.raises(JobRunnerError, match="accepted are"):
        names_of("r/../x", None, HUB, None, None, ALLOWED)


@pytest.mark.parametrize(
    ("images", "offered", "wanted"),
    [
        ((None, None, None), "sha256:d2", ["pull", "tag", "tag"]),
        ((OLD, OLD, OLD), "sha256:d2", ["pull", "tag", "tag"]),
        ((NEW, OLD, None), "sha256:d2", ["tag", "tag"]),
        ((OLD, NEW, NEW), "sha256:d2", ["pull"]),  # as a run that was killed leaves it
        ((NEW, NEW, NEW), "sha256:d2", []),
        ((OLD, NEW, None), None, ["tag", "tag"]),
        ((OLD, OLD, OLD), None, []),
    ],
)
def test_what_would_be_done(images: tuple[Image | None, ...], offered: str | None, wanted: list[str]) -> None:
    state = ImageState(names(), dict(zip((SOURCE, FIRST, SECOND), images, strict=True)), offered)
    made = plan_images(state, prune=False)
    assert [change.action for change in made] == wanted
    assert all(change.reversible and not change.data_loss for change in made)


def test_unnamed_images_are_named_in_the_plan() -> None:
    (change,) = plan_images(ImageState(None, {}, None, [Image("sha256:0123456789abcdef", (), (), "", 5)]), prune=True)
    assert (change.reversible, change.data_loss) == (False, "image 0123456789ab")


# -- a container beside a job ---------------------------------------------------------------------------------------------------

JOB = "ab2cd3ef4gh5ij6k"
SHAPE = {"image": "tools", "volume": f"os-volume-{JOB}", "writable": False, "privileged": False, "lifetime": 60}
WANTED = Wanted(JOB, "tools", 60, False, False)


@pytest.mark.parametrize("change", [{}, {"writable": True}, {"privileged": True}, {"volume": f"/srv/high/volumes/{JOB}"}])
def test_what_is_started_is_what_was_planned(change: dict[str, Any]) -> None:
    image = {**SHAPE, **change}
    config = configuration(image)
    inspected = {"Config": {"Image": config["Image"], "Cmd": config["Cmd"]}, "HostConfig": config["HostConfig"]}
    assert shape(inspected) == image
    host = config["HostConfig"]
    assert (host["Privileged"], host.get("PidMode")) == (image["privileged"], "host" if image["privileged"] else None)
    assert (host["NetworkMode"], host["AutoRemove"]) == ("none", True)


@pytest.mark.parametrize(
    ("state", "present", "planned", "refused"),
    [
        (DebugState("v", None), True, ["create"], []),
        (DebugState("v", SHAPE), True, [], []),
        (DebugState(None, None), True, [], ["volume"]),
        (DebugState("v", None, image_here=False), True, ["create"], ["image"]),
        (DebugState("v", {**SHAPE, "writable": True}), True, [], ["settings"]),
        (DebugState("v", SHAPE, foreign=True), False, ["remove"], ["foreign"]),
        (DebugState("v", None), False, [], []),
        (DebugState("v", SHAPE), False, ["remove"], []),
        (DebugState("v", None, half=SHAPE), False, ["remove"], []),
        (DebugState("v", SHAPE, half=SHAPE), False, ["remove", "remove"], []),
    ],
)
def test_plans(state: DebugState, present: bool, planned: list[str], refused: list[str]) -> None:
    assert [change.action for change in plan(state, WANTED, present)] == planned
    assert [refusal.guard for refusal in guards(state, WANTED, present)] == refused


# -- strace ------------------------------------------------------------------------------------------------------------------------

STRACE = """strace: Process 12 attached with 2 threads
[pid    12] futex(0x7f, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
[pid    13] read(3<socket:[99]>, ""..., 8) = 8
[pid    13] poll([{fd=3<TCP:[a->b]>, events=POLLIN}], 1, -1 <detached ...>
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    9.000000     9000000         1           read
 10.00    1.000000         100        10         5 openat
------ ----------- ----------- --------- --------- ----------------
100.00   10.000000                    11         5 total
""".splitlines()


def test_what_strace_says() -> None:
    assert summary(STRACE) == [Syscall("read", 1, 0, 9.0), Syscall("openat", 10, 5, 1.0)]
    assert [(each["pid"], str(each["call"]).partition("(")[0]) for each in blocked(STRACE)] == [(12, "futex"), (13, "poll")]


def test_one_process_has_no_number() -> None:
    assert blocked(["restart_syscall(<... resuming interrupted read ...> <detached ...>"]) == [
        {"pid": None, "call": "restart_syscall(<... resuming interrupted read ...>"}
    ]
    assert blocked([]) == []
    assert summary(["nothing"]) == []
