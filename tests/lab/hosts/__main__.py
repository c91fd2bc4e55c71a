# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory's hosts by hand, from tests/:

python -m lab.hosts up [NAME ...]    bring sites up and leave them; all of them when none is named
python -m lab.hosts status           what is up
python -m lab.hosts shell NAME       a root shell on a host
python -m lab.hosts down             take all of it down, the engine too if it is ours
python -m lab.hosts build            build what is missing of all images
python -m lab.hosts sweep            remove what runs that were killed left
python -m lab.hosts purge            down, and forget the engine's images

`--as NAME` keeps hosts apart from those that somebody else brought up, for `up`, `shell` and `down`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from lab.hosts import engine as engines
from lab.hosts import image, runs, sites
from lab.hosts.common import CHECKOUT, LabError, as_root, call, locked
from lab.hosts.laboratory import Lab

Words = argparse.Namespace


def up(words: Words) -> None:
    """Bring sites up and leave them."""
    chosen = {name: sites.find(name) for name in words.names or sites.known()}
    lab = Lab(runs.keep(words.name))
    for name in chosen:
        print(f"{name}: container {lab.up(name).container}", flush=True)
    inventory = runs.named("inventory", words.name)
    inventory.write_text(json.dumps(lab.inventory(), indent=2), encoding="utf-8")
    print(f"inventory: {inventory.relative_to(CHECKOUT)}; `make shell` opens a shell in which `ansible -i` takes it")


def build(_words: Words) -> None:
    """Build what is missing of all images."""
    with Lab() as lab:
        for kind in image.kinds():
            image.of_kind(lab.run.engine, kind)
        for name, site in sites.known().items():
            lab.image(name, site)


def status(words: Words) -> None:
    """Say what is up."""
    tokens = runs.live()
    print(f"own engine: {'runs' if engines.running() else 'does not run'}; runs: {', '.join(tokens) or 'none'}")
    if runs.kept_token(words.name) is not None:
        for host in Lab(runs.kept(words.name)).hosts():
            print(f"{host.name}: container {host.container}")


def shell(words: Words) -> None:
    """Become a shell on a host."""
    if len(words.names) != 1:
        raise LabError("shell wants the name of one host")
    lab = Lab(runs.kept(words.name))
    hosts = {host.name: host for host in lab.hosts()}
    if words.names[0] not in hosts:
        raise LabError(f"{words.names[0]} is not up, but {', '.join(hosts) or 'nothing'}")
    command = lab.run.engine.command("exec", "--interactive", "--tty", hosts[words.names[0]].container, "/bin/bash", "--login")
    os.execvp(command[0], command)


def down(words: Words) -> None:
    """Take all of it down."""
    if runs.kept_token(words.name) is not None:
        runs.kept(words.name).close()
    runs.sweep()
    runs.named("inventory", words.name).unlink(missing_ok=True)


def purge(words: Words) -> None:
    """Take all down and forget the images. Most of it is root's."""
    down(words)
    with locked("engine"):
        if engines.running():
            raise LabError("another run still uses the engine")
        call(as_root("rm", "-rf", "--one-file-system", str(engines.DATA)), "rm")


def sweep(_words: Words) -> None:
    """Remove what killed runs left."""
    runs.sweep()


COMMANDS = {function.__name__: function for function in (up, down, status, build, shell, sweep, purge)}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="lab.hosts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--as", dest="name", default="", metavar="NAME")
    options = parser.parse_args()
    try:
        COMMANDS[options.command](options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
