# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Uploads by tables: what is sent, what is planned, what is refused, and what of it is shown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import plan_sha256
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import config_secrets as secret
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.config_saved import Saved, packed
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.config_state import ConfigState, Wanted, diagnose, diff, guards, loss, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.metadata import KEYS
from hypothesis import given
from hypothesis import strategies as st

KEY = KEYS[0]
NODE: dict[str, Any] = {"_id": "node", "type": "metadata", "global_defaults": {"x": 1}}
OFF = {**NODE, "task_manager": {KEY: True}}
Entities = Sequence[Dict[str, Any]]


def pipe(name: str, **others: Any) -> dict[str, Any]:
    return {"_id": name, "type": "pipe", **others}


def state(now: Entities, upload: Entities, **wanted: Any) -> ConfigState:
    own = next((entity for entity in now if entity["_id"] == "node"), None)
    return ConfigState(Wanted(upload, **wanted), now, own)


@pytest.mark.parametrize(
    ("now", "upload", "sent"),
    [
        ([NODE], [pipe("a")], [pipe("a"), OFF]),  # the node's own are kept
        ([NODE], [pipe("a"), {"_id": "node", "type": "metadata"}], [pipe("a"), {"_id": "node", "type": "metadata", "task_manager": {KEY: True}}]),
        ([], [pipe("a")], [pipe("a"), {"_id": "node", "type": "metadata", "task_manager": {KEY: True}}]),
        (
            [NODE],
            [{**NODE, "task_manager": {"concurrent_tasks": 2, KEY: False}}, pipe("a")],
            [{**NODE, "task_manager": {"concurrent_tasks": 2, KEY: True}}, pipe("a")],
        ),
    ],
)
def test_what_is_sent(now: Entities, upload: Entities, sent: Entities) -> None:
    assert state(now, upload).sent == sent


def test_as_uploaded_and_other_groups_leave_the_metadata() -> None:
    assert state([NODE], [pipe("a")], scheduler_off=False).sent == [pipe("a"), NODE]
    assert state([], [pipe("a")], scheduler_off=False).sent == [pipe("a")]
    assert ConfigState(Wanted([pipe("a")], group="lab"), [], NODE).sent == [pipe("a")]


IDS = st.sampled_from(["a", "b", "c", "node"])
CONFIGS = st.dictionaries(IDS, st.integers(0, 2)).map(
    lambda found: [({"_id": name, "type": "metadata", "x": value} if name == "node" else pipe(name, x=value)) for name, value in found.items()]
)


@given(CONFIGS, CONFIGS)
def test_what_is_sent_leaves_an_empty_plan(now: list[dict[str, Any]], upload: list[dict[str, Any]]) -> None:
    before = state(now, upload, delete=["a", "b", "c"])
    planned = plan(before)
    assert guards(before) == []
    assert plan(state(before.sent, upload)) == []
    assert {change.subject for change in planned if change.action == "remove"} == {"entity:" + name for name in before.lacking}
    again = plan(state(list(reversed(now)), list(reversed(upload)), delete=["a", "b", "c"]))
    assert plan_sha256("x", planned) == plan_sha256("x", again)


def test_what_would_be_deleted_is_refused_by_name() -> None:
    now = [NODE, pipe("a"), pipe("b")]
    (refusal,) = guards(state(now, [NODE]))
    assert "lacks 2 of the 3 entities that the node has, which would be deleted: a, b." in refusal.reason
    assert [each.guard for each in guards(state(now, [NODE], delete=["a"]))] == ["delete"]
    assert guards(state(now, [NODE], delete=["a", "b"])) == []
    every = state(now, [NODE], delete=["all"])
    assert guards(every) == []
    assert {change.data_loss for change in plan(every) if change.action == "remove"} == {
        "2 entities of the configuration, and what the node keeps for them: a, b"
    }
    # An entity of that very name is deleted like another one when it is not alone.
    assert guards(state([NODE, pipe("all"), pipe("b")], [NODE], delete=["all", "b"])) == []


def test_many_ids_are_one_text_that_names_just_these() -> None:
    names = ["pipe-%d" % number for number in range(2000)]
    assert len(loss(names)) < 1000
    assert loss(names).startswith("2000 entities")
    assert loss(names) != loss([*names[:-1], "pipe-x"])
    assert loss(["a"]) == "1 entity of the configuration, and what the node keeps for them: a"


def test_a_result_is_bounded_and_names_keys() -> None:
    now = [NODE, *[pipe("p%d" % number, x=1, comment="c" * 1000) for number in range(1500)]]
    upload = [NODE, *[pipe("p%d" % number, x=2, comment="d" * 1000) for number in range(1500)]]
    told = diff(state(now, upload))
    assert len(told["entities"]) == 1000
    assert told["upload"] == {"group": "default", "entities": 1501, "unchanged": 0, "added": 0, "removed": 0, "changed": 1501}
    comment, x = told["entities"][1]["differences"]
    assert (x, comment["key"]) == ({"key": "x", "before": 1, "after": 2}, "comment")
    assert comment["before"].endswith("(1002 characters)")


def test_findings() -> None:
    seen = ConfigState(Wanted([pipe("a", password="x")]), [pipe("a", password="x"), OFF], OFF, ["a"], [{"id": "a", "level": "warning", "message": "odd"}])
    assert [finding.code.rpartition(".")[2] for finding in diagnose(seen)] == ["same", "invalid", "deploying", "credential", "scheduler_off"]
    assert [finding.code.rpartition(".")[2] for finding in diagnose(state([NODE], [pipe("b")]))] == ["differs"]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("password", "x", True),
        ("client_secret", "x", True),
        ("jwt_token", "abc", True),
        ("api-key", "abc", True),
        ("password", "$SECRET(pw)", False),
        ("Authorization", "Bearer $SECRET(token)", False),
        ("password", "", False),
        ("password", 5, False),
        ("token_url", "https://login.example.org/token", False),
        ("token_url", "https://me:pw@login.example.org/token", True),
        ("url_pattern", "https://$ENV(user):$SECRET(pw)@example.org/", False),
        ("url_pattern", "https://example.org/?a=b@c", False),
        ("comment", "Bearer abcdefghijkl", True),
        ("comment", "-----BEGIN RSA PRIVATE KEY-----", True),
        ("comment", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", True),
        ("dataset", "crm-person", False),
        ("connection_string", "Server=x", True),
        ("comment", "AccountKey=abc", True),
        ("comment", "ghp_abcdefghijklmnop0123", True),
        ("comment", "github_pat_abcdefghijklmnop0123", True),
        ("comment", "glpat-abcdefghijklmnop0123", True),
        ("comment", "Basic abcdefghijkl", True),
    ],
)
def test_what_looks_like_a_credential(name: str, value: Any, found: bool) -> None:
    assert secret.is_secret(name, value) is found
    assert bool(list(secret.secrets({"x": [{name: value}]}))) is found


def test_what_lies_below_a_name_that_speaks_of_secrets_is_one() -> None:
    entity = {"_id": "a", "credentials": {"user": "me", "more": ["x"]}, "other": {"user": "me"}}
    assert sorted(path for path, _value in secret.secrets(entity)) == [("credentials", "more", "0"), ("credentials", "user")]
    assert secret.shown(("credentials",), {"user": "me"}) == secret.HIDDEN
    assert secret.shown(("credentials", "user"), "me") == secret.HIDDEN


def test_differences_show_keys_and_no_credentials() -> None:
    before = {"a": {"b": 1, "list": [1, 2]}, "password": "one", "gone": None, "rows": [1], "url": "https://a:b@c/"}
    after = {"a": {"b": 1, "list": [1, 3]}, "password": "two", "new": False, "rows": [1, 2], "url": "https://a:x@c/"}
    assert secret.differences(before, after) == [
        {"key": "a.list.1", "before": 2, "after": 3},
        {"key": "gone", "before": None, "after": None},
        {"key": "new", "before": None, "after": False},
        {"key": "password", "before": secret.HIDDEN, "after": secret.HIDDEN},
        {"key": "rows", "before": [1], "after": [1, 2]},
        {"key": "url", "before": secret.HIDDEN, "after": secret.HIDDEN},
    ]
    assert len(secret.differences({"x%d" % number: 0 for number in range(100)}, {}, 10)) == 10


def test_fingerprints_tell_entities_apart_and_give_nothing_away() -> None:
    one, other = pipe("a", password="one"), pipe("a", password="two")
    assert secret.fingerprint(one) == secret.fingerprint({"password": "one", "$audit": 1, **one})
    assert secret.fingerprint(one) != secret.fingerprint(other)
    assert secret.fingerprint(one).startswith("slow:")
    assert len(secret.fingerprint(one)) < 20
    assert len(secret.fingerprint(pipe("a"))) == 32


def test_a_text_of_the_node_is_scrubbed() -> None:
    assert secret.scrubbed("bad value 'hunter22' in https://me:pw@x/", ["hunter22", "abc"]) == "bad value '********' in https********x/"
    assert secret.scrubbed("abc is fine", ["abc"]) == "abc is fine"  # too short to be told from a word


def test_saved_whole_found_again_and_swept(tmp_path: Path) -> None:
    saved = Saved(str(tmp_path / "journal"))
    data = packed([pipe("b"), pipe("a", x="å")])
    assert data == packed([pipe("a", x="å"), pipe("b")])
    name = saved.keep(data)
    assert (saved.load(name), saved.keep(data)) == (data, name)
    assert os.stat(saved.path(name)).st_mode & 0o777 == 0o600
    other = saved.keep(b"other")
    saved.sweep([name])
    assert os.listdir(saved.directory) == [name]
    for wrong, said in ((other, "cannot be read"), ("../lock", "is not the name")):
        with pytest.raises(SesamError, match=said):
            saved.load(wrong)
    Path(saved.path(name)).write_bytes(Path(saved.path(saved.keep(b"x"))).read_bytes())
    with pytest.raises(SesamError, match="is not what it was any more"):
        saved.load(name)
    assert saved.load(saved.keep(data)) == data  # what is broken is written again
    os.chmod(saved.directory, 0o777)  # noqa: S103
    with pytest.raises(SesamError, match="others may write"):
        saved.load(name)
    with pytest.raises(SesamError, match="nothing was changed"):
        saved.keep(b"more")
