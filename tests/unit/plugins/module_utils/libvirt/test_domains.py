# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines by tables: what they are for, what their XML says, which are to be destroyed, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt import destroy_plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.argspec import seconds
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.destroy_plan import DestroyState, Wish
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.domain_findings import diagnose
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.domain_xml import parse, without_secrets
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.domains import Domain, DomainsState
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.errors import VirtualError
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.kinds import CONFIGURATION_PATTERN, JOB_PATTERN, Kinds

KINDS = Kinds.of({"job_pattern": JOB_PATTERN, "configuration_pattern": CONFIGURATION_PATTERN})
JOB, SECOND, CONFIGURATION = "0123456789abcdef01234567_0.img", "0123456789abcdef01234567_1.img", "tmpAbCdEf_default"
XML = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>n</name><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/top.img'/>
  <backingStore type='file'><source file='/i/box.img'/><backingStore/></backingStore><target dev='vda'/></disk>
<disk type='file' device='cdrom'><target dev='hda'/></disk>
<disk type='volume' device='disk'><source pool='default' volume='v'/><target dev='vdb'/></disk>
<interface type='network'><mac address='00:00:C0:A8:7B:02'/><source network='talus-network'/><target dev='vnet0'/></interface>
<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
<graphics type='vnc' port='5905' passwd='geheim-1'><listen type='address' address='192.0.2.1'/></graphics></devices>
<qemu:commandline><qemu:arg value='-object'/><qemu:arg value='secret,id=a,data=geheim-2'/><qemu:arg value='-s'/><qemu:arg value='-no-acpi'/>
<qemu:env name='KEY' value='geheim-3'/></qemu:commandline></domain>"""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (JOB, "job"),
        ("0123456789abcdef01234567_12.img", "job"),
        ("0123456789ABCDEF01234567_0.img", "other"),
        ("0123456789abcdef0123456_0.img", "other"),
        ("0123456789abcdef01234567_.img", "other"),
        ("0123456789abcdef01234567_0.img.bak", "other"),
        ("x0123456789abcdef01234567_0.img", "other"),
        ("0123456789abcdef01234567_vagrant_box_image_0.img", "other"),
        (CONFIGURATION, "configuration"),
        ("tmp_a1B2c3d_default", "configuration"),
        ("tmpAbCdE_default", "other"),
        ("tmpAbCdEf_other", "other"),
        ("web", "other"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert KINDS.kind(name) == kind


def test_a_name_that_both_patterns_match_is_spared() -> None:
    assert Kinds.of({"job_pattern": ".", "configuration_pattern": "^tmp"}).kind(CONFIGURATION) == "configuration"


@pytest.mark.parametrize("value", [0, -1, 3601, float("nan"), float("inf")])
def test_a_time_that_makes_no_sense(value: float) -> None:
    with pytest.raises(VirtualError, match="timeout must be more than 0"):
        seconds("timeout", value)


def test_xml() -> None:
    about = parse(XML)
    assert about.vnc == {"port": 5905, "listen": "192.0.2.1", "socket": None, "display": "192.0.2.1:5"}
    assert [(disk.target, disk.source, disk.backing, disk.files) for disk in about.disks] == [
        ("vda", "/i/top.img", ("/i/box.img",), ("/i/top.img", "/i/box.img")),
        ("hda", None, (), ()),
        ("vdb", "default/v", (), ()),
    ]
    assert [(face.mac, face.source, face.target) for face in about.interfaces] == [
        ("00:00:c0:a8:7b:02", "talus-network", "vnet0"),
        ("52:54:00:00:00:01", "br0", None),
    ]
    assert about.agent


@pytest.mark.parametrize(
    ("graphics", "display"),
    [
        ("<graphics type='vnc' port='-1' autoport='yes'/>", None),
        ("<graphics type='vnc' port='5900'/>", "localhost:0"),
        ("<graphics type='vnc' socket='/run/vnc'/>", None),
    ],
)
def test_displays(graphics: str, display: Any) -> None:
    vnc = parse("<domain><devices>%s</devices></domain>" % graphics).vnc
    assert vnc is not None
    assert vnc["display"] == display


def test_no_display_and_no_xml() -> None:
    assert parse("<domain><devices><graphics type='spice' port='5900'/></devices></domain>").vnc is None
    with pytest.raises(VirtualError, match="cannot be read"):
        parse("<domain>")


def test_what_is_kept_has_no_secrets() -> None:
    text = without_secrets(XML)
    assert "geheim" not in text
    assert "-no-acpi" in text
    assert parse(text).interfaces == parse(XML).interfaces


# -- which are to be destroyed ---------------------------------------------------------------------------------------------


def domain(name: str, active: bool = True, **more: Any) -> Domain:
    state = "running" if active else "shut off"
    known = Domain(name, "uuid of " + name, KINDS.kind(name), 1, active, state, 1, KINDS.kind(name) != "job", False, parse("<domain/>"), "<domain/>")
    return replace(known, **more)


ALL = DomainsState([domain(JOB), domain(SECOND), domain(CONFIGURATION), domain("web"), domain("db", active=False)], {})


def wish(**params: Any) -> Wish:
    return Wish.of({"names": [], "kinds": [], "pattern": None, **params})


@pytest.mark.parametrize(
    ("asked", "meant", "spared"),
    [
        ({"kinds": ["job"]}, [JOB, SECOND], [CONFIGURATION]),
        ({"kinds": ["other"]}, ["web"], [CONFIGURATION]),
        ({"kinds": ["job", "other"]}, [JOB, SECOND, "web"], [CONFIGURATION]),
        ({"kinds": ["job"], "pattern": "_1"}, [SECOND], []),
        ({"pattern": "."}, [JOB, SECOND, "web"], [CONFIGURATION]),
        ({"pattern": "^tmp"}, [], [CONFIGURATION]),
        ({"names": [CONFIGURATION]}, [CONFIGURATION], []),
        ({"names": [CONFIGURATION, "db", "gone"], "kinds": ["job"], "pattern": "_0"}, [JOB, CONFIGURATION], []),
        ({"names": ["tmp"]}, [], [CONFIGURATION]),
    ],
)
def test_who_is_meant(asked: Any, meant: Any, spared: Any) -> None:
    plan = destroy_plan.plan(ALL, wish(**asked))
    assert [change.subject for change in plan] == ["domain:" + name for name in meant]
    assert not any(change.reversible for change in plan)
    assert [each.name for each in destroy_plan.spared(ALL, wish(**asked))] == spared


def test_nothing_asked_is_not_everything() -> None:
    with pytest.raises(VirtualError, match="nothing says which"):
        wish()
    with pytest.raises(VirtualError, match="no regular expression"):
        wish(pattern="(")


def test_a_plan_says_what_stays() -> None:
    transient, persistent = destroy_plan.plan(ALL, wish(names=[JOB, "web"]))
    assert transient.after is None
    assert persistent.after == dict(persistent.before or {}, active=False)
    assert "virsh start web" in persistent.reason


def test_a_plan_that_was_carried_out_is_empty() -> None:
    for asked in (wish(kinds=["job"]), wish(pattern="."), wish(names=["web", CONFIGURATION])):
        made = {change.subject: change.after for change in destroy_plan.plan(ALL, asked)}
        left = [each for each in ALL.domains if made.get("domain:" + each.name, True) is not None]
        after = [replace(each, active=bool((made.get("domain:" + each.name) or {"active": each.active})["active"])) for each in left]
        assert destroy_plan.plan(DomainsState(after, {}), asked) == []


@pytest.mark.parametrize(
    ("state", "asked", "codes"),
    [
        (DestroyState(ALL), {"kinds": ["job"]}, ["meant", "spared"]),
        (DestroyState(ALL, {JOB: "why"}), {"names": [JOB]}, ["will_not_die"]),
        (DestroyState(ALL, {}, {"gone": 7}), {"names": ["gone"]}, ["process_left", "not_there"]),
        (DestroyState(ALL), {"names": ["db"]}, ["none_left"]),
        (DestroyState(ALL), {"names": ["gone"]}, ["none_left", "not_there"]),
    ],
)
def test_what_is_said_of_an_attempt(state: DestroyState, asked: Any, codes: Any) -> None:
    said = [finding.code.rpartition(".")[2] for finding in destroy_plan.diagnose(state, wish(**asked)) if finding.code.startswith("libvirt.domain.")]
    assert [code for code in said if code != "spared" or "spared" in codes] == codes


# -- what is said of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "code", "severity"),
    [
        (domain(JOB, state="crashed"), "crashed", "critical"),
        (domain(JOB, state="paused"), "paused", "warning"),
        (domain("web", state="paused", reason=5), "io_error", "critical"),
        (domain(JOB, missing=("/i/x",)), "disk_missing", "warning"),
        (domain(CONFIGURATION, missing=("/i/x",)), "disk_missing", "critical"),
        (domain("db", active=False, missing=("/i/x",)), "disk_missing", "warning"),
    ],
)
def test_what_is_wrong(broken: Domain, code: str, severity: str) -> None:
    (finding,) = diagnose([domain("well"), broken])
    assert (finding.code, finding.severity, finding.subject) == ("libvirt.domain." + code, severity, broken.name)
    assert finding.remedy is not None
    assert (finding.remedy.playbook is not None) == (broken.kind == "job")


def test_two_with_one_mac() -> None:
    about = parse(XML)
    (first, second) = diagnose([domain(JOB, about=about), domain(SECOND, about=about), domain("db", active=False, about=about)])
    assert first.code == second.code == "libvirt.domain.same_mac"
    assert first.detail["domains"] == [JOB, SECOND]


def test_all_is_well() -> None:
    (finding,) = diagnose(ALL.domains)
    assert (finding.severity, finding.detail) == ("ok", {"running": 4, "total": 5, "job": 2, "configuration": 1})
