# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put pip into an empty virtual environment, for ansible-test.

ansible-test downloads a script for this from a host of its own, unless the script lies in its cache. project.py puts this one there, so
that the package index is all that is needed.
"""

from __future__ import annotations

import subprocess
import sys


def main() -> None:
    """Install the packages that are named on the command line; ansible-test's options are about its own script."""
    packages = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # In a process of its own: ensurepip blanks pip's configuration in the one that it runs in.
    subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*pip, "install", *packages], check=True)


if __name__ == "__main__":
    main()
