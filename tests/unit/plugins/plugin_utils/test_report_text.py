# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report import Origin, Report
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_text import ROWS, Page, cells, clean, cut, fold, render, wrap

RUN = {"playbooks": ["/srv/fits.yml"], "started": "2026-01-02T03:04:05Z", "ended": "2026-01-02T03:05:05Z", "check_mode": False, "ansible_version": "2.19.14"}
REMEDY = {"playbook": "fieldops.runbooks.fits_ingest_queue", "vars": {"fits_repair": True}, "text": "Reset the orphaned files."}
BOOK = {"file": "fits.rst", "heading": "Ingest queue"}


def origin(host: str = "fits-a", task: str = "Read the queues", check_mode: bool = False, **args: Any) -> Origin:
    return Origin(host=host, task=task, action="fits_queue_" + task[:5].strip().lower(), at="2026-01-02T03:04:05Z", check_mode=check_mode, args=args)


def finding(severity: str = "critical", summary: str = "12 files have no worker", **more: Any) -> dict[str, Any]:
    return {"code": "fits.ingest.orphaned", "severity": severity, "subject": "ingest queue", "summary": summary, **more}


def plan(count: int, done: bool | None = True, **more: Any) -> dict[str, Any]:
    changes = [{"n": n, "action": "reset", "subject": "N2026S%04d.fits" % n, "done": done, "reversible": True} for n in range(count)]
    return {"changes": changes, "changes_total": count, "plan_sha256": "3f9ac01b22d1" + "0" * 52, "undo_id": "u-1" if done else None, **more}


def lines(report: Report, page: Page | None = None, hosts: int = 1, **run: Any) -> list[str]:
    counts = dict.fromkeys(("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored"), 1)
    stats = {"fits-%d" % n: counts for n in range(hosts)}
    return render(report.document({**RUN, **run}, stats), page or Page())


def text(report: Report, page: Page | None = None, **run: Any) -> str:
    return "\n".join(lines(report, page, **run))


def test_a_whole_page() -> None:
    report = Report(["lab.yml"])
    for n in range(5):
        report.add(origin("fits-%d" % n), {"findings": [finding(remedy=REMEDY, runbook=BOOK)]})
    report.add(
        origin("fits-5", "Repair"),
        {"refusals": [{"guard": "max_changes", "reason": "1500 changes, the limit is 1000.", "allow": "max_changes: 1500"}]},
        ok=False,
    )
    report.add(origin("fits-6", "Repair the queue", login_db="fitsdata"), plan(12))
    report.add_trouble("unreachable", origin("fits-7"), {"msg": "Connection timed out"})
    report.add_trouble("failed", origin("fits-8", "Start the service"), {"msg": "no such unit"})
    assert lines(report, Page(report_path="r.json"), hosts=9) == [
        "RUNBOOK SUMMARY  fits.yml --------------------------------------------------------------------------",
        "",
        "  BROKEN: 1 critical on 5 of 9 hosts; 1 host unreachable; 1 host failed; 1 plan refused",
        "",
        "  WHAT IS WRONG",
        "    unreachable  fits-7               Connection timed out",
        "    failed       fits-8               Start the service: no such unit",
        "    critical     fits-0, fits-1 (+3)  ingest queue: 12 files have no worker [1]",
        "",
        "  WHAT TO DO",
        "    [1] Reset the orphaned files.",
        "        ansible-playbook -i lab.yml fieldops.runbooks.fits_ingest_queue -e fits_repair=true --limit fits-0,fits-1,fits-2,fits-3,fits-4",
        '        Runbook: fits.rst, "Ingest queue"',
        "",
        "  WHAT WAS REFUSED (nothing of these plans was done)",
        "    fits-5  Repair, 0 changes planned",
        "        max_changes: 1500 changes, the limit is 1000.",
        "        to allow it: max_changes: 1500",
        "",
        "  WHAT WAS CHANGED",
        "    fits-6  Repair the queue, 12 changes made, plan 3f9ac01b22d1",
        "        reset N2026S0000.fits, N2026S0001.fits, N2026S0002.fits (+9)",
        "",
        "  HOW TO TAKE IT BACK",
        "    ansible fits-6 -i lab.yml -m fieldops.runbooks.runbook_undo -a 'undo_id=u-1 login_db=fitsdata'",
        "    (Give it what the fix was given: inventory, connection options, become. With --check it only",
        "    shows.)",
        "",
        "  Report: r.json",
    ]


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        (["ok"], "ALL CLEAR"),
        (["info", "ok"], "ALL CLEAR"),
        (["warning", "ok"], "ATTENTION: 1 warning on 1 of 1 host"),
        (["critical", "warning"], "BROKEN: 1 critical, 1 warning on 1 of 1 host"),
        ([], "DONE"),
    ],
)
def test_the_verdict(severities: list[str], verdict: str) -> None:
    report = Report()
    report.add(origin(), {"findings": [finding(severity, severity) for severity in severities]})
    assert lines(report)[2] == "  " + verdict


def test_a_host_that_was_not_reached_leaves_the_picture_incomplete() -> None:
    report = Report()
    report.add(origin("fits-0"), {"findings": [finding("ok")]})
    report.add_trouble("unreachable", origin("fits-1"), {"msg": "x"})
    assert lines(report, hosts=2)[2] == "  INCOMPLETE: 1 host unreachable"


def test_what_is_not_listed_is_counted() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding()]})
    report.add(origin(), {"findings": [finding("ok", "fine"), finding("info", "a note"), {}]})
    report.add(origin(), {"_ansible_no_log": True})
    report.add_trouble("failed", origin(), {"msg": "x"}, ignored=True)
    page = " ".join(line.strip() for line in lines(report, Page(width=200)))
    for words in (
        "1 check ok",
        "1 note not shown (show_info)",
        "cleared since the start of the run: 1",
        "1 result hidden by no_log left out",
        "1 entry could not be read",
        "1 failure ignored or rescued",
    ):
        assert words in page
    assert "a note" not in page.replace("1 note", "")
    assert "WHAT IS WRONG" not in page


def test_info_is_listed_on_request() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding("info", "a note")]})
    assert "    info  fits-a  ingest queue: a note" in lines(report, Page(show_info=True))


def test_hosts_with_the_same_trouble_are_one_line() -> None:
    report = Report()
    for n in range(4):
        report.add_trouble("unreachable", origin("fits-%d" % n), {"msg": "no route"})
    assert "    unreachable  fits-0, fits-1 (+2)  no route" in lines(report)


def test_the_same_refusal_on_many_hosts_is_told_once() -> None:
    report = Report()
    refusal = {"guard": "live_worker", "reason": "a worker may be at work", "allow": "stop it"}
    for n in range(3):
        report.add(origin("fits-%d" % n, "Repair"), plan(2, False, refusals=[refusal]), ok=False)
    report.add(origin("fits-3", "Repair"), plan(2, False, refusals=[refusal, dict(refusal, guard="lock")]), ok=False)
    page = text(report)
    assert "    fits-0, fits-1 (+1)  Repair, 6 changes planned\n        live_worker: a worker may be at work\n        to allow it: stop it\n" in page
    assert "    fits-3  Repair, 2 changes planned, plan 3f9ac01b22d1\n" in page


def test_check_mode_says_would_change() -> None:
    report = Report()
    report.add(origin("fits-a", "Repair the queue", True), plan(2, done=False))
    page = lines(report, check_mode=True)
    assert page[0].startswith("RUNBOOK SUMMARY  fits.yml  check mode, nothing was touched ---")
    assert page[3:] == [
        "",
        "  WHAT WOULD BE CHANGED (check mode)",
        "    fits-a  Repair the queue, would change 2 subjects, plan 3f9ac01b22d1",
        "        reset N2026S0000.fits, N2026S0001.fits",
    ]


def test_a_fix_that_broke_off_says_how_far_it_came() -> None:
    report = Report()
    broken = plan(3)
    broken["changes"][2].update(done=False)
    report.add(origin("fits-a", "Repair"), broken, ok=False)
    page = text(report)
    assert "fits-a  Repair, FAILED after 2 changes of 3, plan 3f9ac01b22d1\n        reset N2026S0000.fits, N2026S0001.fits\n" in page
    assert "runbook_undo -a undo_id=u-1" in page


def test_changes_that_were_no_longer_needed_are_told() -> None:
    report = Report()
    partly = plan(3, plan_sha256=None)
    partly["changes"][0].update(done=False, note="served meanwhile")
    report.add(origin("fits-a", "Repair"), partly)
    assert "Repair, 2 changes of 3 made, the others were no longer needed\n        reset N2026S0001.fits, N2026S0002.fits\n" in text(report)


def test_what_no_undo_brings_back_is_told() -> None:
    report = Report()
    lossy = plan(2)
    lossy["changes"][0].update(reversible=False, data_loss="the log of job 7")
    report.add(origin("fits-a", "Repair"), lossy)
    page = text(report)
    assert "1 change cannot be taken back" in page
    assert "data lost: the log of job 7" in page


def test_undo_comes_newest_first_and_names_secrets() -> None:
    report = Report()
    for n in (1, 2):
        report.add(origin("fits-a", "Repair", login_password="x", n=n), plan(1, undo_id="u-%d" % n))
    page = text(report)
    assert page.index("undo_id=u-2") < page.index("undo_id=u-1")
    assert "HOW TO TAKE IT BACK (newest first)" in page
    assert "become, and login_password" in page


def test_old_findings_are_marked_on_the_hosts_that_were_changed() -> None:
    report = Report()
    for host in ("fits-0", "fits-1"):
        report.add(origin(host), {"findings": [finding()]})
    report.add(origin("fits-1", "Repair"), plan(1))
    assert "(seen before the change below on fits-1: check again)" in text(report)
    report.add(origin("fits-0", "Repair"), plan(1))
    assert "(seen before the change below: check again)" in text(report)


def test_a_command_for_many_hosts_is_not_printed_in_full() -> None:
    report = Report()
    for n in range(50):
        report.add(origin("fits-%d" % n), {"findings": [finding(remedy=REMEDY)]})
    assert "-e fits_repair=true --limit HOSTS   (the 50 hosts of this remedy)" in text(report)


EVIL = "a\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://x\x1b\\b\n\r\tc\x00\x9b\x7f\u202egnp.exe\u2028\udcff"


def test_foreign_text_cannot_talk_to_the_terminal() -> None:
    assert clean(EVIL) == "aredb c gnp.exe"
    report = Report()
    remedy = {"playbook": EVIL, "text": EVIL}
    report.add(
        origin(EVIL, EVIL), dict(plan(1, undo_id=EVIL), findings=[finding(summary=EVIL, subject=EVIL, remedy=remedy, runbook={"file": EVIL, "heading": EVIL})])
    )
    report.add(
        origin(EVIL, EVIL),
        dict(plan(1), changes=[{"action": EVIL, "subject": EVIL, "done": True, "data_loss": EVIL}], refusals=[{"guard": EVIL, "reason": EVIL, "allow": EVIL}]),
    )
    report.add_trouble("unreachable", origin(EVIL, EVIL), {"msg": EVIL})
    report.add_trouble("failed", origin(EVIL, EVIL), {"msg": EVIL})
    page = lines(report, Page(report_path=EVIL), playbooks=[EVIL])
    assert all(line.isprintable() for line in page), page
    assert "\x1b" not in "".join(page)


@pytest.mark.parametrize("width", [20, 60, 79, 100, 200])
def test_no_line_but_a_command_is_wider_than_the_terminal(width: int) -> None:
    report = Report()
    long = "the newest error is " + "very " * 200 + "x" * 300
    for n in range(3):
        report.add(origin("h%d-" % n + "x" * 70), {"findings": [finding(summary=long, remedy={"text": long}, runbook={"file": "f" * 99, "heading": "h" * 99})]})
    report.add(origin("y" * 70, long), dict(plan(3), refusals=[{"guard": "g" * 50, "reason": long, "allow": long}]))
    report.add_trouble("failed", origin("z" * 70, long), {"msg": long})
    page = lines(report, Page(width=width), playbooks=["p" * 300])
    assert [line for line in page if len(line) > max(width, 60) and " -m fieldops.runbooks." not in line] == []
    assert any("..." in line for line in page)


def test_styles_add_colour_and_nothing_else() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding(remedy=REMEDY), finding("warning", "b")]})
    report.add(origin("fits-a", "Repair"), dict(plan(1), refusals=[{"guard": "g", "reason": "r", "allow": ""}]))
    roles = set()

    def style(words: str, role: str) -> str:
        roles.add(role)
        return "<%s>" % words

    styled = lines(report, Page(style=style))
    assert [line.replace("<", "").replace(">", "") for line in styled] == lines(report)
    assert {"critical", "warning", "changed", "heading"} <= roles


def test_a_hundred_thousand_of_everything_is_a_short_page() -> None:
    report = Report()
    count = 100000
    report.add(
        origin(),
        dict(
            plan(count),
            findings=[
                finding(summary="s%d" % n, subject="file %d" % n, remedy={"playbook": "p.yml", "vars": {"files": [n]}} if n % 2 else {"text": "call %d" % n})
                for n in range(count)
            ],
        ),
    )
    for n in range(200):
        report.add(origin("h%d" % n, "Repair", n=n), plan(1, undo_id="u-%d" % n))
        report.add(origin("h%d" % n, "Refused", n=n), {"refusals": [{"guard": "g%d" % m, "reason": "r%d" % n, "allow": "a"} for m in range(50)]}, ok=False)
        report.add_trouble("failed", origin("h%d" % n), {"msg": "m%d" % n})
        report.add_trouble("unreachable", origin("h%d" % n), {"msg": "m%d" % n})
    data = report.document(RUN, {})
    started = time.process_time()
    page = render(data, Page())
    assert time.process_time() - started < 5
    assert len(page) < 400
    assert "    ... and %d more (a JSON report has them all: set report_path)" % (count - ROWS) in page
    assert "    ... and 180 more (see the JSON report)" in render(data, Page(report_path="r.json"))


def test_wide_and_combining_characters_are_measured_in_columns() -> None:
    assert cells("星星") == 4
    assert cells("e\u0301") == 1
    assert cells(cut("星" * 50, 20)) <= 20
    assert cut("abcdef", 5) == "ab..."
    assert all(cells(line) <= 20 for line in wrap("星 " * 50, 20, 3))


def test_words_are_wrapped_and_the_rest_is_cut() -> None:
    assert wrap("aaa bbb ccc ddd", 7, 2) == ["aaa bbb", "ccc ddd"]
    assert wrap("aaa bbb ccc ddd eee", 7, 2) == ["aaa bbb", "ccc..."]
    assert wrap("", 7, 2) == [""]


def test_hosts_are_folded() -> None:
    assert fold(["a"]) == "a"
    assert fold(["a", "b", "a"]) == "a, b"
    assert fold(["a", "b", "c", "d"]) == "a, b (+2)"
    assert fold(["a" * 10, "b" * 10, "c"], 15) == "aaaaaaaaaa (+2)"
    assert fold(["a" * 30, "b"], 15) == "aaaaaaa... (+1)"
    assert fold([]) == ""
