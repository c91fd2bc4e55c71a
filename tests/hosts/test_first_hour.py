# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody who has the tarball, a host and the page docs/getting_started.md: its commands, as they are written, from nothing to a first triage."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from lab.fits.sample_files import sample
from lab.hosts import Lab, image
from lab.hosts.fits_host import FitsHost
from operating import BIN
from pages import blocks
from play import ROOT

NAME = "N20200804S0091.fits"
THERE = "/srv/first"
REACH = ("PIP_CERT", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "http_proxy", "https_proxy", "no_proxy")
"""How this machine reaches a package index, if it has ways of its own."""
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")
SETTINGS = Path("/etc/pip.conf")
"""What an administrator of this network would have put on a machine: certificates, and the index. Neither is of this project."""


def know(fits: FitsHost, folder: Path) -> None:
    """The stranger's ssh knows the host by its name."""
    known = fits.host.ssh_vars()
    words = dict(word.split("=", 1) for word in shlex.split(known["ansible_ssh_args"]) if "=" in word)
    for path, name in ((known["ansible_ssh_private_key_file"], "key"), (words["UserKnownHostsFile"], "known_hosts")):
        shutil.copy(path, folder / name)
    lines = [
        "Host fits-first",
        f"  HostName {known['ansible_host']}",
        f"  Port {known['ansible_port']}",
        f"  User {known['ansible_user']}",
        f"  IdentityFile {THERE}/key",
        f"  UserKnownHostsFile {THERE}/known_hosts",
    ]
    (folder / "ssh_config").write_text("\n".join(lines) + "\n", encoding="utf-8")


def in_a_clean_container(lab: Lab, folder: Path, commands: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Where nothing of this project is but what lies in the folder; on this machine's network, as the laboratory's own leads nowhere else."""
    engine = lab.run.engine
    reach = {name: os.environ[name] for name in REACH if name in os.environ}
    if TRUSTED.exists():
        reach.setdefault("PIP_CERT", str(TRUSTED))
    paths = {path for path in [*reach.values(), str(SETTINGS)] if path.startswith("/") and os.path.exists(path)}
    mounted = [f"--volume={path}:{path}:ro" for path in sorted(paths)]
    options = [f"--env={name}={value}" for name, value in {**reach, **env}.items()]
    label = f"--label={lab.run.label}"
    made = engine.docker(
        "create", label, "--network=host", *mounted, *options, f"--workdir={THERE}", image.of_kind(engine, "controller"), "bash", "-c", commands
    )
    engine.docker("cp", f"{folder}/.", f"{made}:{THERE}")
    done = subprocess.run(engine.command("start", "--attach", made), text=True, capture_output=True, timeout=500, check=False)
    if done.returncode == 0:
        engine.docker("cp", f"{made}:{THERE}/report.json", str(folder / "report.json"))
    engine.docker("rm", "--force", made)
    return done


def test_from_install_to_a_first_triage(fits_a: FitsHost, lab: Lab, tmp_path: Path) -> None:
    """In a clean container. The host has one failed row, and the report names it with the command that mends it."""
    subprocess.run([BIN / "ansible-galaxy", "collection", "build", ROOT, "--output-path", tmp_path], check=True, capture_output=True, timeout=120)
    fits_a.failed("ingest", NAME, sample())
    know(fits_a, tmp_path)
    commands = "set -eu\n" + "\n".join(blocks("getting_started.md", "sh"))
    own = {
        "FIRST_HOST": "fits-first",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_SSH_ARGS": f"-F {THERE}/ssh_config",
        "FIELDOPS_REPORT": f"{THERE}/report.json",
        "LANG": "C.UTF-8",
    }
    done = in_a_clean_container(lab, tmp_path, commands, own)
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    shown = done.stdout.rpartition("RUNBOOK SUMMARY")[2]
    assert "BROKEN" in shown or "WHAT IS WRONG" in shown
    assert "fieldops.runbooks.fits_ingest_queue" in shown, "the command that mends it"
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert "fits.ingest.failed" in {finding["code"] for finding in report["findings"]}
    assert fits_a.row("ingest", NAME)["failed"], "a look changes nothing"
