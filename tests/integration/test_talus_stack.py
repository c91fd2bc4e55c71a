# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart of the stack where nothing of Talus is: on a whole host it is tested in tests/hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from lab.systemd_standin.units import Units
from play import BIN, ROOT


def test_a_host_without_talus_is_not_told_to_work(tmp_path: Path) -> None:
    units = Units(tmp_path / "systemd").create()
    here = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "talus_docker_host": f"unix://{tmp_path}/none.sock",
        "talus_login_port": 1,
    }
    inventory = tmp_path / "hosts.json"
    inventory.write_text(json.dumps({"talus_masters": {"hosts": {"master-a": here}}}), encoding="utf-8")
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        **os.environ,
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": os.pathsep.join([str(units.bin), str(BIN), os.environ["PATH"]]),
    }
    command = ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks" / "talus_stack_restart.yml")]
    try:
        done = subprocess.run(command, env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=120, check=False)
    finally:
        units.close()
    assert done.returncode == 0, done.stdout
    assert "nothing is restarted, though not all is well: nothing of Talus was found on this host" in " ".join(done.stdout.split())
    assert "everything works" not in done.stdout
