# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of the set in configuration files of every kind: written, and everything else as it was; taken back, and the file as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb import restart
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.errors import MongodbError
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.restart_conf import drop_in, edit_for, name_in, option, taken_back, with_replset
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.restart_plan import Runner, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import matches
from hypothesis import given
from hypothesis import strategies as st

FILES = [
    # before, name in it, after rs0
    ("", None, "replication:\n  replSetName: rs0\n"),
    ("net:\n  port: 1\n", None, "net:\n  port: 1\nreplication:\n  replSetName: rs0\n"),
    ("net:\n  port: 1", None, "net:\n  port: 1\nreplication:\n  replSetName: rs0\n"),
    ("#replication:\n", None, "#replication:\nreplication:\n  replSetName: rs0\n"),
    ("replication:\n", None, "replication:\n  replSetName: rs0\n"),
    ("replication:", None, "replication:\n  replSetName: rs0\n"),
    ("replication:\n    oplogSizeMB: 50\nnet:\n  port: 1\n", None, "replication:\n    replSetName: rs0\n    oplogSizeMB: 50\nnet:\n  port: 1\n"),
    ("replication: # c\n\n  # d\n  oplogSizeMB: 50\n", None, "replication: # c\n  replSetName: rs0\n\n  # d\n  oplogSizeMB: 50\n"),
    ("replication:\n  replSetName: rs1 # c\n", "rs1", "replication:\n  replSetName: rs0 # c\n"),
    ("replication:\n  replSetName: 'rs 1'\n", "rs 1", "replication:\n  replSetName: rs0\n"),
    ('replication:\n  replSetName: "rs#1"', "rs#1", "replication:\n  replSetName: rs0"),
    ("replication:\n  replSetName:\n", None, "replication:\n  replSetName: rs0\n"),
    ("net:\r\n  port: 1\r\nreplication:\r\n  replSetName: rs1\r\n", "rs1", "net:\r\n  port: 1\r\nreplication:\r\n  replSetName: rs0\r\n"),
    ("net:\r\n  port: 1\r\n", None, "net:\r\n  port: 1\r\nreplication:\r\n  replSetName: rs0\r\n"),
    ("replication:\r\n  oplogSizeMB: 5\r\n", None, "replication:\r\n  replSetName: rs0\r\n  oplogSizeMB: 5\r\n"),
    ("replication.replSetName: rs1\n", "rs1", "replication.replSetName: rs0\n"),
    ("sharding:\n  replSetName: no\n", None, "sharding:\n  replSetName: no\nreplication:\n  replSetName: rs0\n"),
    ("# old\nport = 1\nreplSet = rs1 # c\n", "rs1", "# old\nport = 1\nreplSet = rs0 # c\n"),
    ("port=1", None, "port=1\nreplSet=rs0\n"),
]


@pytest.mark.step("T14")
@pytest.mark.parametrize(("before", "name", "after"), FILES)
def test_a_name_is_written_and_taken_back(before: str, name: str | None, after: str) -> None:
    assert name_in(before) == name
    edit = edit_for(before, "rs0")
    assert edit.apply(before) == after
    assert name_in(after) == "rs0"
    assert taken_back(after, edit.old, edit.new, name) == before


@pytest.mark.parametrize(
    "text",
    [
        "replication: {oplogSizeMB: 50}\n",
        "{replication: {replSetName: rs1}}\n",
        "replication:\n  replSetName: a\n  replSetName: b\n",
        "replication:\n  oplogSizeMB: 5\nnet:\n  port: 1\nreplication:\n  replSetName: b\n",
        "net:\n  port: 1\nport = 2\n",
        "net:\n  port: 1\n...\n",
        "net:\n  port: 1\n---\nnet:\n  port: 1\n",
    ],
)
def test_what_is_not_understood_is_not_edited(text: str) -> None:
    with pytest.raises(MongodbError):
        edit_for(text, "rs0")


LINES = st.lists(st.sampled_from(["net:", "  port: 1", "# a comment", "", "storage:", "  dbPath: /x  # there", "    wiredTiger:", "\tfunny"]), max_size=12)


@given(LINES, st.text("abc019-_. #'\"", min_size=1, max_size=8), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_every_other_line_stays(lines: list[str], name: str, ended: bool, newline: str) -> None:
    """Whatever the name is, it is read back as it was written, and the way back is exact."""
    text = newline.join(["systemLog:", *lines]) + newline * ended
    edit = edit_for(text, name)
    after = edit.apply(text)
    assert name_in(after) == name
    assert after.startswith(text)
    assert taken_back(after, edit.old, edit.new, None) == text


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["mongod"], ["mongod", "--replSet", "rs0"]),
        (["mongod", "--replSet", "rs1", "--port", "1"], ["mongod", "--port", "1", "--replSet", "rs0"]),
        (["mongod", "--replSet=rs1", "--port", "1"], ["mongod", "--port", "1", "--replSet", "rs0"]),
    ],
)
def test_command_lines(argv: list[str], wanted: list[str]) -> None:
    assert with_replset(argv, "rs0") == wanted
    assert option(wanted, "--replSet") == "rs0"
    assert option(wanted, "--config", "-f") is None


def test_a_unit_takes_every_word_as_it_is() -> None:
    text = drop_in(["/usr/bin/mongod", "--dbpath", "/my data", "--note", '5% of "$HOME"'])
    assert 'ExecStart=\nExecStart=/usr/bin/mongod --dbpath "/my data" --note "5%% of \\"$$HOME\\""\n' in text


@pytest.mark.step("T14")
@pytest.mark.parametrize(("before", "name", "after"), [FILES[1], FILES[2], FILES[8]])
def test_a_file_on_disk(tmp_path: Path, before: str, name: str | None, after: str) -> None:
    """Written with its mode kept, told apart from what somebody else makes of it, and taken back."""
    path = tmp_path / "mongod.conf"
    path.write_text(before, encoding="utf-8")
    path.chmod(0o640)
    data, version = restart.read_file(str(path))
    runner = Runner(pid=7, argv=("mongod", "--config", str(path)), unit="mongod.service", manager="systemd", config=str(path), data=data, version=version)
    edit, again = plan(runner, name, "rs0", "why")
    assert (edit.action, again.action) == ("set_replset", "restart")
    assert restart.edit(edit).done
    assert path.read_text(encoding="utf-8") == after
    assert path.stat().st_mode & 0o777 == 0o640
    assert not restart.edit(edit).done  # it is another file now
    now, token = restart.now_image(edit)
    assert matches(edit.after, now) and not matches(edit.before, now)

    restart.edit(Change("undo_set_replset", edit.subject, edit.after, edit.before, "back", token=token))
    assert path.read_text(encoding="utf-8") == before
    now, _token = restart.now_image(edit)
    assert matches(edit.before, now) and not matches(edit.after, now)
    path.write_text("replication:\n  replSetName: rs9\n", encoding="utf-8")
    now, _token = restart.now_image(edit)
    assert not matches(edit.before, now) and not matches(edit.after, now)


@pytest.mark.step("T14")
def test_a_drop_in_on_disk(tmp_path: Path) -> None:
    place = tmp_path / "mongod.service.d" / "90.conf"
    runner = Runner(pid=7, argv=("mongod", "--replSet", "rs1"), unit="mongod.service", manager="systemd", drop_in=str(place))
    edit, _again = plan(runner, "rs1", "rs0", "why")
    assert restart.now_image(edit)[0] is None
    restart.edit(edit)
    assert "ExecStart=mongod --replSet rs0" in place.read_text(encoding="utf-8")
    assert matches(edit.after, restart.now_image(edit)[0])
    restart.edit(Change("undo_set_replset", edit.subject, edit.after, edit.before, "back"))
    assert not place.parent.exists()
