# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret gets through: environments, URLs, tokens, and what is known."""

from __future__ import annotations

import time

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.metadata import (
    HIDDEN,
    Scrubber,
    environment_secrets,
    leaked,
    redacted_container,
    redacted_metadata,
)
from hypothesis import given
from hypothesis import strategies as st

URL = "mssql://runner:s3cr%2Ft-w0rd@db.example.org:1433/X"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mssql://runner:abc/def:ghi@host/db", f"mssql://{HIDDEN}@host/db"),
        ("postgresql+psycopg://u:p@ss@word@host/db", f"postgresql+psycopg://{HIDDEN}@host/db"),
        ("https://ghx_token@git.example.org/a/b.git", f"https://{HIDDEN}@git.example.org/a/b.git"),
        ("two https://a:b@c/d and https://e:f@g/h", f"two https://{HIDDEN}@c/d and https://{HIDDEN}@g/h"),
        ("https://git.example.org/a/b.git", "https://git.example.org/a/b.git"),
        ("DATABASE_URL=xyz rest", f"DATABASE_URL={HIDDEN} rest"),
        ("JOB_SERVER_TOKEN: abc", f"JOB_SERVER_TOKEN: {HIDDEN}"),
        ("{'Authorization': 'abcdef'}", f"{{'Authorization': '{HIDDEN}'}}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {HIDDEN}"),
        ("login with token=abc and Password = 'x y'", f"login with token={HIDDEN} and Password = '{HIDDEN} y'"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123", HIDDEN),
        ("a token of thanks, no secret", "a token of thanks, no secret"),
        ("user@example.org wrote 10:30", "user@example.org wrote 10:30"),
        ("time 10:00:00 level=info", "time 10:00:00 level=info"),
    ],
)
def test_by_its_look(text: str, shown: str) -> None:
    assert Scrubber().text(text) == shown


def test_what_is_known_is_hidden_in_every_form() -> None:
    scrubber = Scrubber([URL, "tok-1234"])
    for text in (URL, "runner s3cr%2Ft-w0rd", "password s3cr/t-w0rd", "tok-1234"):
        assert "s3cr" not in scrubber.text(text)
        assert "tok-1234" not in scrubber.text(text)
    assert scrubber.value({"tok-1234": [("x tok-1234", 1)]}) == {HIDDEN: [[f"x {HIDDEN}", 1]]}


def test_short_values_and_plain_paths_do_not_garble_everything() -> None:
    environment = ["A=1", "B=yes", "HOME=/root", "PWD=/workspace", "VIRTUAL_ENV=/opt/venv", "KEY=/3jf8K2mQ9xL0aVbNcXzR5tYu", f"U={URL}"]
    assert environment_secrets(environment) == ["1", "yes", "/3jf8K2mQ9xL0aVbNcXzR5tYu", URL]
    scrubber = Scrubber(environment_secrets(environment))
    assert scrubber.text("1 yes in /workspace of /root") == "1 yes in /workspace of /root"


def test_a_container() -> None:
    inspected = {"Id": "x", "Args": ["--url", URL], "Config": {"Env": ["PATH=/bin", f"DATABASE_URL={URL}", "EMPTY="], "Cmd": ["run", URL]}}
    shown = redacted_container(inspected, Scrubber())
    assert shown["Config"]["Env"] == ["PATH=/bin", f"DATABASE_URL={HIDDEN}", f"EMPTY={HIDDEN}"]
    assert "s3cr" not in str(shown)
    assert inspected["Config"]["Env"][1].endswith(URL)  # type: ignore[index]


@pytest.mark.parametrize("container", [None, [], "text", {"Config": None}, {"Config": {"Env": None}}, {"Config": {}}])
def test_metadata_of_an_odd_shape(container: object) -> None:
    metadata = {"job_definition_id": "x", "container_metadata": container, "note": URL}
    shown = redacted_metadata(metadata, Scrubber())
    assert "s3cr" not in str(shown)
    assert leaked(metadata) == []


def test_what_is_in_clear() -> None:
    environment = ["PATH=/bin", f"DATABASE_URL={URL}", "TOKEN=xxxx-REDACTED-xxxx", f"HIDDEN={HIDDEN}", "EMPTY="]
    assert leaked({"container_metadata": {"Config": {"Env": environment}}}) == ["DATABASE_URL"]


@given(st.text(alphabet="abc:/@.% \n=", max_size=200), st.text(alphabet="xyzXYZ0189-_%+", min_size=6, max_size=30))
def test_a_known_secret_never_gets_through(text: str, secret: str) -> None:
    assert secret not in Scrubber([secret]).text(f"{text}{secret}{text}").replace(HIDDEN, "")


def test_long_lines_take_no_long_time() -> None:
    scrubber = Scrubber([URL])
    began = time.monotonic()
    for text in ("a" * 300000, "A" * 300000, "a:/" * 100000, "x@" * 100000, "://" * 100000, "a://" + "b:@" * 100000, "Authorization" * 20000):
        scrubber.text(text)
    assert time.monotonic() - began < 10
