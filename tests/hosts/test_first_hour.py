# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who has the tarball, a host and the page docs/getting_started.md: its commands, as they are written, from nothing to a first triage."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

from lab.fits.sample_files import sample
from lab.hosts.fits_host import FitsHost
from operating import BIN
from pages import blocks
from play import ROOT

NAME = "N20200804S0091.fits"


def ssh_configuration(fits: FitsHost, folder: Path) -> Path:
    """How this stranger's ssh knows the host by its name."""
    known = fits.host.ssh_vars()
    words = {
        "HostName": known["ansible_host"],
        "Port": known["ansible_port"],
        "User": known["ansible_user"],
        "IdentityFile": known["ansible_ssh_private_key_file"],
        **dict(word.split("=", 1) for word in shlex.split(known["ansible_ssh_args"]) if "=" in word),
    }
    file = folder / "ssh_config"
    file.write_text("Host fits-first\n" + "".join(f"  {key} {value}\n" for key, value in words.items()), encoding="utf-8")
    return file


def test_from_install_to_a_first_triage(fits_a: FitsHost, tmp_path: Path) -> None:
    """The host has one failed row, and the report names it with the command that mends it."""
    subprocess.run([BIN / "ansible-galaxy", "collection", "build", ROOT, "--output-path", tmp_path], check=True, capture_output=True, timeout=120)
    fits_a.failed("ingest", NAME, sample())
    commands = "set -eu\n" + "\n".join(blocks("getting_started.md", "sh"))
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("LANG", "TMPDIR")}
    own = {
        **kept,
        "HOME": str(tmp_path),
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "FIRST_HOST": "fits-first",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_ARGS": f"-F {ssh_configuration(fits_a, tmp_path)}",
        "FIELDOPS_REPORT": str(tmp_path / "report.json"),
    }
    done = subprocess.run(["bash", "-c", commands], env=own, cwd=tmp_path, text=True, capture_output=True, timeout=500, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = done.stdout.rpartition("RUNBOOK SUMMARY")[2]
    assert "BROKEN" in shown or "WHAT IS WRONG" in shown
    assert "fieldops.runbooks.fits_ingest_queue" in shown, "the command that mends it"
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert "fits.ingest.failed" in {finding["code"] for finding in report["findings"]}
    assert fits_a.row("ingest", NAME)["failed"], "a look changes nothing"
