# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab fits ...` from tests/: the laboratory by hand, for the demo and for hosts in containers.

python -m lab fits up --generation C --root DIR     server, database and workers until Ctrl-C; prints how to reach them
python -m lab fits schema C [--lagging] [--mixed]   the SQL, roles included, for psql on another server
python -m lab fits install ROOT C DSN [--strict]    scripts and configuration below ROOT
python -m lab fits ctl ROOT stop ingest             see lab.fits.ctl
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path

from lab.fits import ctl, schema
from lab.fits.root import install


def _up(options: argparse.Namespace) -> int:
    from lab.fits.workers import Workers
    from lab.pg import Postgres

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Postgres(listen="127.0.0.1") as server:
        schema.create(server, "fitsdata", options.generation, lagging=options.lagging, mixed=options.mixed)
        root = install(options.root, options.generation, server.dsn("fitsdata", user=schema.OWNER))
        with Workers(root) as workers:
            for queue in ("ingest", "export"):
                workers.define(queue, options.workers)
            workers.start()
            facts = {
                "login_unix_socket": server.socket_dir,
                "login_host": server.listen,
                "login_port": server.port,
                "login_db": "fitsdata",
                "login_user": schema.OWNER,
                "scripts_dir": str(root.scripts),
                "log_dir": str(root.log_dir),
                "lockfile_dir": str(root.lock_dir),
                "dataflow": str(root.dataflow),
            }
            print(json.dumps(facts, indent=2), flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return 0


def _schema(options: argparse.Namespace) -> int:
    print(schema.roles_sql() + schema.ddl(options.generation, lagging=options.lagging, mixed=options.mixed))
    return 0


def _install(options: argparse.Namespace) -> int:
    install(options.root, options.generation, options.dsn, strict=options.strict, destinations=tuple(options.destination), python=options.python)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True).add_parser("fits").add_subparsers(required=True)
    up = commands.add_parser("up")
    up.add_argument("--generation", choices=schema.GENERATIONS, default="C")
    up.add_argument("--root", type=Path, required=True)
    up.add_argument("--workers", type=int, default=1)
    up.set_defaults(run=_up)
    text = commands.add_parser("schema")
    text.add_argument("generation", choices=schema.GENERATIONS)
    text.set_defaults(run=_schema)
    for command in (up, text):
        command.add_argument("--lagging", action="store_true")
        command.add_argument("--mixed", action="store_true")
    place = commands.add_parser("install")
    place.add_argument("root", type=Path)
    place.add_argument("generation", choices=schema.GENERATIONS)
    place.add_argument("dsn")
    place.add_argument("--strict", action="store_true")
    place.add_argument("--destination", action="append", default=[])
    place.add_argument("--python", help="interpreter of the services (with psycopg2); default: this one")
    place.set_defaults(run=_install)
    return parser


def main(arguments: list[str]) -> int:
    """The command."""
    if arguments[:2] == ["fits", "ctl"]:
        return ctl.main(arguments[2:])
    options = _parser().parse_args(arguments)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
