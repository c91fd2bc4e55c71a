# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks by tables: what their XML says, what is asked for, what is changed, what is refused, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.errors import VirtualError
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.network_findings import diagnose
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.network_plan import (
    Wish,
    definition_to_make,
    guards,
    now_image,
    plan,
    split,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.network_xml import build, parse
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.networks import Network, NetworksState
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import matches

UUID = "6137498b-f067-4fd7-cf64-69d2714f297b"
ROW = "<host mac='52:54:00:00:00:%02x' name='m%d' ip='10.0.0.%d'/>"


def xml(*numbers: int, bridge: str = "virbr2", mask: str = "netmask='255.255.255.0'", uuid: str = UUID) -> str:
    rows = "".join(ROW % (number, number, number) for number in numbers)
    return (
        "<network><name>n</name><uuid>%s</uuid><forward mode='nat'/><bridge name='%s' stp='on' delay='0'/>"
        "<ip address='10.0.0.1' %s><dhcp><range start='10.0.0.50' end='10.0.0.90'/>%s</dhcp></ip></network>" % (uuid, bridge, mask, rows)
    )


def network(kept: str | None, live: str | None, autostart: bool = True, **more: Any) -> Network:
    both = [parse(text) if text else None for text in (kept, live)]
    return Network("n", UUID, kept is not None, live is not None, autostart, both[0], both[1], **more)


def wish(text: str | None = None, rows: Any = (), **more: Any) -> Wish:
    return Wish(build("n", {"xml": text, "static_hosts": list(rows)}), **more)


def row(number: int, ip: str = "", name: str | None = None) -> Any:
    return {"mac": "52:54:00:00:00:%02x" % number, "ip": ip or "10.0.0.%d" % number, "name": name}


WANTED = wish(xml(2, 3))
SOUND = network(xml(2, 3), xml(2, 3))


# -- XML and options -------------------------------------------------------------------------------------------------------------


def test_masks_and_names_are_compared_by_meaning() -> None:
    assert parse(xml(2)).differences(parse(xml(2, mask="prefix='24'"))) == {}
    assert parse(xml(2)).differences(parse(xml(2, bridge="virbr9"))) == {"bridge": ("virbr2", "virbr9")}
    assert parse(xml()).parts["addresses"] == ["10.0.0.1/24"]
    assert parse("<network><name>n</name><ip address='x' netmask='y'/></network>").parts["addresses"] == ["x/y"]
    assert parse("<network><name>n</name><forward dev='eth0'/><domain name='lab'/></network>").parts == {
        "forward": "nat",
        "forward_dev": "eth0",
        "domain": "lab",
    }


def test_options_are_as_good_as_xml() -> None:
    asked = {"address": "10.0.0.1/24", "uuid": UUID.upper(), "bridge": "virbr2", "forward": "nat", "dhcp_start": "10.0.0.50", "dhcp_end": "10.0.0.90"}
    made = build("n", {"xml": None, "static_hosts": [row(2, name="m2")], **asked})
    assert parse(xml(2)).differences(made) == {}
    assert parse(made.xml).hosts == parse(xml(2)).hosts
    six = build("n", {"xml": None, "static_hosts": [], "address": "fd00::1/64"})
    assert "family" in six.xml and six.parts == {"addresses": ["fd00::1/64"], "dhcp_ranges": []}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"xml": "<network>"}, "cannot be read"),
        ({"xml": "<domain><name>n</name></domain>"}, "is no network"),
        ({"xml": "<network/>"}, "is no network"),
        ({"xml": xml().replace("<name>n<", "<name>other<")}, "xml is of network other, and name is n"),
        ({"xml": xml(2, 2)}, "two static hosts with the mac"),
        ({"xml": xml(2), "static_hosts": [row(9, "10.0.0.2")]}, "two static hosts with the ip"),
        ({"static_hosts": [row(2), row(2, "10.0.0.9")]}, "two static hosts with the mac"),
        ({"static_hosts": [{"mac": "9", "ip": "10.0.0.2"}]}, "six bytes"),
        ({"static_hosts": [row(2, "10.0.0")]}, "no address"),
        ({"address": "10.0.0"}, "must be like"),
        ({"xml": "<network><name>n</name></network>", "static_hosts": [row(2)]}, "without an address"),
    ],
)
def test_what_cannot_be_asked_for(params: Any, said: str) -> None:
    with pytest.raises(VirtualError, match=said):
        build("n", {"static_hosts": [], **params})


# -- the plan --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "asked", "expected"),
    [
        (SOUND, WANTED, []),
        (SOUND, wish(), []),
        (network(xml(2, 3, 4), xml(2, 3, 4)), WANTED, []),
        (None, WANTED, ["define n", "start n/active", "autostart n/autostart"]),
        (None, wish(xml(), active=False, autostart=False), ["define n"]),
        (None, wish(), []),
        (network(xml(2, 3), None, False), WANTED, ["start n/active", "autostart n/autostart"]),
        (network(xml(2, 3), None, False), wish(active=False, autostart=False), []),
        (network(xml(2), xml(2)), WANTED, ["add_host n/52:54:00:00:00:03"]),
        (network(xml(2), None), WANTED, ["add_host n/52:54:00:00:00:03", "start n/active"]),
        (network(xml(2, 3), xml(2)), WANTED, ["add_host n/52:54:00:00:00:03"]),
        (network(xml(2, 3).replace("10.0.0.3", "10.0.0.33"), xml(2)), WANTED, ["set_host n/52:54:00:00:00:03", "add_host n/52:54:00:00:00:03"]),
        (network(None, xml(2, 3), False), wish(), ["define n", "autostart n/autostart"]),
        (network(None, xml(2), False), WANTED, ["define n", "add_host n/52:54:00:00:00:03", "autostart n/autostart"]),
        (network(xml(2, bridge="b"), None), wish(xml(2, 3), replace=True), ["redefine n", "start n/active"]),
        (network(xml(2, bridge="b"), xml(2, bridge="b")), wish(xml(2, 3), replace=True), ["redefine n", "restart n/live"]),
        (network(xml(2, bridge="b"), xml(2)), wish(xml(2, 3), replace=True), ["redefine n", "add_host n/52:54:00:00:00:03"]),
        (network(xml(2, 3), xml(2, 3), bridge_gone=True), WANTED, ["restart n/live"]),
    ],
)
def test_only_what_is_missing(now: Network | None, asked: Wish, expected: Any) -> None:
    changes = plan(now, asked)
    assert ["%s %s" % (change.action, change.subject[len("network:") :]) for change in changes] == expected
    assert guards(now, asked) == [] or not changes
    for change in changes:  # what is seen now is what the plan starts from
        assert matches(change.before, now_image(now, split(change.subject)[1]))
        assert not matches(change.after, now_image(now, split(change.subject)[1]))


def test_a_row_whose_name_was_not_asked_for_may_have_any() -> None:
    assert plan(SOUND, wish(rows=[row(2)])) == []
    (change,) = plan(SOUND, wish(rows=[row(2, name="other")]))
    assert (change.action, change.before, change.after) == (
        "set_host",
        {"kept": "10.0.0.2 m2", "live": "10.0.0.2 m2"},
        {"kept": "10.0.0.2 other", "live": "10.0.0.2 other"},
    )


@pytest.mark.parametrize(
    ("now", "asked", "guard"),
    [
        (None, wish(), "undefined"),
        (network(xml(bridge="b"), None), WANTED, "differs"),
        (network(xml(2, 3), xml(2, 3, bridge="b")), WANTED, "differs"),
        (network(xml(2, 3, uuid="0" * 8 + UUID[8:]), None), WANTED, "differs"),
        (network(xml(bridge="b"), xml(bridge="b"), attached=("m",)), wish(xml(), replace=True), "in_use"),
        (SOUND, wish(rows=[row(9, "10.0.0.2")]), "address_taken"),
        (replace(SOUND, uuid="1"), wish(xml(2, 3), replace=True), "uuid"),
    ],
)
def test_refusals(now: Network | None, asked: Wish, guard: str) -> None:
    assert [refusal.guard for refusal in guards(now, asked)] == [guard]


def test_what_takes_the_place_of_another_keeps_its_uuid_and_its_rows() -> None:
    old = network(xml(2, 4, bridge="b"), None)
    made = parse(definition_to_make(old, wish(xml(2, 3, uuid=UUID), replace=True)))
    assert made.parts["uuid"] == UUID
    assert sorted(host.ip for host in made.hosts) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert definition_to_make(network(None, xml(2)), wish()) == xml(2)


def test_a_plan_for_a_row_that_was_carried_out_is_empty() -> None:
    for kept, live in ((xml(2), xml(2)), (xml(2), None), (xml(2), xml())):
        asked = wish(xml(2, 3))
        after = network(xml(2, 3) if kept else None, xml(2, 3) if live or asked.active else None)
        assert plan(network(kept, live), asked)
        assert plan(after, asked) == []


# -- what is said of them ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "asked", "codes"),
    [
        ([SOUND], WANTED, ["healthy"]),
        ([], WANTED, ["undefined"]),
        ([network(xml(), None, False)], None, ["inactive", "not_autostarted"]),
        ([network(None, xml(), False)], None, ["transient"]),
        ([network(xml(), xml(), bridge_gone=True)], None, ["bridge_missing"]),
        ([network(xml(2), xml(2))], WANTED, ["static_hosts_missing"]),
        ([network(xml(2, 3), xml(2))], WANTED, ["static_hosts_missing"]),
        ([network(xml(2, 3), xml(2))], None, ["static_hosts_not_active"]),
        ([network(xml(2, 3, bridge="b"), xml(2, 3))], WANTED, ["differs"]),
    ],
)
def test_what_is_wrong_with_one_that_is_named(now: Any, asked: Wish | None, codes: Any) -> None:
    found = diagnose(NetworksState(now), ["n"], asked.definition if asked else None)
    assert [finding.code.rpartition(".")[2] for finding in found] == codes


def test_of_the_others_only_what_contradicts_itself() -> None:
    assert [finding.code for finding in diagnose(NetworksState([network(xml(), None, False)]), [])] == ["libvirt.network.healthy"]
    assert [finding.code for finding in diagnose(NetworksState([network(xml(), None)]), [])] == ["libvirt.network.inactive"]
