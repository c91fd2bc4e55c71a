# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a host: bring Talus up in order, break it, seed it. Standard input: [name of a function here, arguments, options] as JSON; it prints what it gave."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError

from lab.talus import probes, seeds
from lab.talus.probes import ORDER, Document, container, mongo, run, unit, wait_for

SOURCE = Path("/home/talus/talus/src")
DATA = Path("/talus/data/mongodb")
ENVIRONMENT = Path("/etc/talus-lab/db.env")
IMAGES = Path("/var/lib/libvirt/images")
BOXES = Path("/root/.vagrant.d/boxes")
UNITS = Path("/etc/systemd/system")
SETTINGS = Path("/etc/talus-lab")
KEPT = Path("/var/lib/lab-talus")
LEFT_OUT = (
    *("usr/bin/docker*", "usr/sbin/docker*", "usr/bin/containerd*", "usr/bin/ctr", "usr/bin/runc", "usr/sbin/runc", "usr/bin/dnet"),
    *("usr/bin/git*", "usr/lib/git-core", "usr/lib/systemd", "usr/lib/x86_64-linux-gnu/perl*", "usr/lib/python3.11/test"),
)
TAKEN = (
    *("bin", "sbin", "lib", "lib64", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/lib", "opt/mongo", "usr/share/rabbitmq", "var/lib/rabbitmq"),
    *("etc/passwd", "etc/group", "etc/shadow", "etc/nsswitch.conf", "etc/ld.so.cache", "etc/ld.so.conf", "etc/ld.so.conf.d", "etc/alternatives"),
    *("etc/rabbitmq", "etc/default/rabbitmq-server", "etc/pam.d", "etc/security", "etc/login.defs", "usr/share/zoneinfo/UTC"),
)
DEPENDS = {"db": set(), "amqp": set(), "web": {"db"}, "master": {"db", "amqp"}, "slave": {"amqp"}}
EMPTY = ("tmp", "var", "var/tmp", "var/log", "root", "usr", "etc", "opt")
PLACEHOLDER = "lab-placeholder"


def images() -> None:
    """The images: one of this host's own files, and what each container adds to it."""
    words = [
        "tar",
        "-C",
        "/",
        "--anchored",
        "-c",
        *(f"--exclude={name}" for name in LEFT_OUT),
        "--no-recursion",
        *EMPTY,
        "--recursion",
        *(name for name in TAKEN if Path("/", name).exists()),
    ]
    change = ["--change", "ENV PATH=/opt/mongo/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--change", "ENV LC_ALL=C"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as packed:
        subprocess.run(["docker", "import", *change, "-", "talus/base"], stdin=packed.stdout, stdout=subprocess.DEVNULL, check=True)
    for part in probes.CONTAINERS:
        run("docker", "build", "--quiet", "--tag", f"talus/talus-{part}", str(SOURCE / part))


# -- up and down ------------------------------------------------------------------------------------------------------------


def up(parts: Sequence[str] = ORDER) -> None:
    """Start what does not work, in order, each when the one before it works, and what depends on something that was started anew."""
    anew: set[str] = set()
    for part in [each for each in ORDER if each in parts]:
        if running(part) and not DEPENDS[part] & anew and probes.PROBES[part]():
            continue
        anew.add(part)
        stop([part])
        start(part)


def running(part: str) -> bool:
    """Whether systemd says so."""
    return "SubState=running" in probes.show(unit(part))


def start(part: str) -> None:
    """One, and wait until it works. A start that fails for the remains of the one before it is not the last."""

    def tried() -> bool:
        if not running(part) and "auto-restart" not in probes.show(unit(part)):
            run("systemctl", "reset-failed", unit(part), check=False)
            run("systemctl", "start", unit(part), check=False)
        return probes.PROBES[part]()

    wait_for(tried, f"{part} works")


def stop(parts: Sequence[str] = ORDER) -> None:
    """In the other direction. The unit, and what it left."""
    for part in [each for each in reversed(ORDER) if each in parts]:
        run("systemctl", "stop", unit(part), check=False)
        run("systemctl", "reset-failed", unit(part), check=False)
        if part in probes.CONTAINERS:
            run("docker", "rm", "--force", container(part), check=False)
        else:
            end(part)


def end(name: str) -> None:
    """No process of a daemon is left."""
    for process in probes.daemons(name):
        run("kill", "-KILL", str(process["pid"]), check=False)
    wait_for(lambda: not probes.daemons(name), f"{name} is gone")


# -- the database -------------------------------------------------------------------------------------------------------------


def environment(**changes: str) -> None:
    """What the database container is started with from now on; with an empty value no longer."""
    lines = ENVIRONMENT.read_text(encoding="ascii").splitlines()
    known = {**dict(line.split("=", 1) for line in lines), **changes}
    ENVIRONMENT.write_text("".join(f"{name}={value}\n" for name, value in known.items() if value), encoding="ascii")


def database(wipe: bool = False, moved: bool = False, hostname: str = "", **changes: str) -> str:
    """Restart the database alone, changed; its address. `moved`: another address than before."""
    before = probes.containers().get(container("db"), {}).get("address", "")
    stop(["db"])
    if wipe:
        shutil.rmtree(DATA, ignore_errors=True)
    environment(**changes)
    if hostname:
        script = SOURCE / "db/bin/start"
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace(f"--hostname {container('db')}", f"--hostname {hostname}"), encoding="utf-8")
    for number in range(5 if moved else 0):
        run("docker", "run", "--detach", "--name", f"{PLACEHOLDER}{number}", "talus/base", "sleep", "infinity")
        if before in run("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", f"{PLACEHOLDER}{number}"):
            break
    run("systemctl", "start", unit("db"))
    wait_for(probes.db_answers, "the database answers")
    if moved:
        no_placeholder()
    return str(wait_for(lambda: probes.containers().get(container("db"), {}).get("address"), "it has an address"))


def no_placeholder() -> None:
    """The old address is free again."""
    names = [name for name in run("docker", "ps", "--all", "--format", "{{.Names}}").split() if name.startswith(PLACEHOLDER)]
    if names:
        run("docker", "rm", "--force", *names)


def admin(command: Document) -> Document:
    """What the database answers to a command; its refusal, with `code`, is an answer."""
    with mongo(30.0) as client:
        try:
            answer = client.admin.command(command)
        except PyMongoError as error:
            answer = getattr(error, "details", None) or {"ok": 0, "errmsg": str(error)}
    return dict(json.loads(json.dumps(answer, default=str)))


def wait_code(number: int) -> None:
    """Until the member refuses to tell its state with this code."""
    wait_for(lambda: admin({"replSetGetStatus": 1}).get("code") == number, f"the status is error {number}")


def wait_state(number: int) -> None:
    """Until the member says that it is in this state."""
    wait_for(lambda: admin({"replSetGetStatus": 1}).get("myState") == number, f"the member is in state {number}")


# -- documents ----------------------------------------------------------------------------------------------------------------


def seed() -> dict[str, str]:
    """The documents of a small installation; identifiers by what they are."""
    with mongo() as client:
        return seeds.write(client.talus)


def insert(collection: str, document: Document) -> str:
    """One document; {"$oid": ...} and {"$date": seconds} become what they say. Its identifier."""
    with mongo() as client:
        return str(client.talus[collection].insert_one(_real(document)).inserted_id)


def _real(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"$oid"}:
        return ObjectId(value["$oid"])
    if isinstance(value, dict) and set(value) == {"$date"}:
        return datetime.datetime.fromtimestamp(value["$date"], datetime.UTC)
    return {name: _real(each) for name, each in value.items()} if isinstance(value, dict) else value


def find(collection: str) -> list[Document]:
    """All documents of a collection, identifiers and times as text."""
    with mongo() as client:
        return [json.loads(json.dumps(document, default=str)) for document in client.talus[collection].find()]


def empty() -> None:
    """No documents, no messages, no boxes."""
    with mongo() as client:
        for name in seeds.COLLECTIONS:
            if name == "slave":
                client.talus[name].delete_many({"timestamps.modified": {"$not": {"$gt": time.time() - 30}}})
            elif name != "master":
                client.talus[name].delete_many({})
    with probes.channel() as opened:
        for queue in ("jobs", "job_status") if opened else ():
            opened.queue_declare(queue, durable=True)
            opened.queue_purge(queue)
    for folder in (BOXES, IMAGES):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


# -- boxes --------------------------------------------------------------------------------------------------------------------


def box(identity: str, volume: bool = True) -> None:
    """A box as vagrant keeps it; without `volume` the image behind it is gone."""
    folder, image = BOXES / identity / "0/libvirt", IMAGES / f"{identity}_vagrant_box_image_0.img"
    folder.mkdir(parents=True)
    (folder / "metadata.json").write_text('{"provider": "libvirt", "format": "qcow2", "virtual_size": 40}', encoding="ascii")
    (folder / "Vagrantfile").write_text('Vagrant.configure("2") do |config|\nend\n', encoding="ascii")
    (folder / "box.img").symlink_to(image)
    if volume:
        image.write_bytes(b"QFI\xfb" + bytes(65532))


# -- killed -------------------------------------------------------------------------------------------------------------------


def kill_everything(engine: bool = True) -> list[int]:
    """SIGKILL to every process of Talus, its containers and (`engine`) Docker itself, all at once; the processes."""
    pids = [each["pid"] for each in probes.containers().values() if each["pid"]]
    pids += [process["pid"] for name in ("master", "slave") for process in probes.daemons(name)]
    units = [unit(part) for part in ORDER] + (["docker.service", "containerd.service"] if engine else [])
    for pid in list(pids):
        pids += [int(child) for child in run("pgrep", "--parent", str(pid), check=False).split()]
    run("kill", "-KILL", *map(str, pids), check=False)
    run("systemctl", "kill", "--signal=KILL", *units, check=False)
    return pids


# -- spelled otherwise --------------------------------------------------------------------------------------------------------


def respell() -> None:
    """Underscores where there were hyphens: containers, images, hostnames, units."""
    stop()
    for file in [*SOURCE.glob("*/bin/*"), *SOURCE.glob("*/startup.sh")]:
        text = file.read_text(encoding="utf-8")
        for part in probes.CONTAINERS:
            text = text.replace(f"talus/talus-{part}", f"talus_{part}").replace(f"talus-{part}", f"talus_{part}")
        file.write_text(text, encoding="utf-8")
    for part in ORDER:
        old = unit(part)
        new = old.replace("talus-", "talus_")
        run("systemctl", "--quiet", "disable", old)
        (UNITS / old).rename(UNITS / new)
        run("systemctl", "--quiet", "enable", new)
    for part in probes.CONTAINERS:
        run("docker", "build", "--quiet", "--tag", f"talus_{part}", str(SOURCE / part))
    run("systemctl", "daemon-reload")
    up()


def as_installed() -> None:
    """What was installed, again: scripts, units, settings."""
    for file in SETTINGS.iterdir():
        if not (KEPT / "talus-lab" / file.name).exists():
            file.unlink()
    for kept, used in ((KEPT / "talus-lab/db.env", ENVIRONMENT), (KEPT / "src/db/bin/start", SOURCE / "db/bin/start")):
        if kept.read_bytes() != used.read_bytes():
            stop(["db"])  # it may take writes, and not be what it was
    run("rsync", "--archive", "--checksum", f"{KEPT}/talus-lab/", f"{SETTINGS}/")
    no_placeholder()
    if unit("db") != "docker.talus-db.service":
        stop()
        for part in ORDER:
            run("systemctl", "--quiet", "disable", unit(part))
            (UNITS / unit(part)).unlink()
    run("rsync", "--archive", "--checksum", "--delete", "--exclude=__pycache__", f"{KEPT}/src/", f"{SOURCE}/")
    run("rsync", "--archive", "--checksum", f"{KEPT}/units/", f"{UNITS}/")
    run("systemctl", "daemon-reload")
    run("systemctl", "--quiet", "enable", *(unit(part) for part in ORDER))


def main() -> None:
    """Call it, and print what it gave."""
    name, arguments, options = json.load(sys.stdin)
    function = globals().get(name) or getattr(probes, name)
    print(json.dumps(function(*arguments, **options)))


if __name__ == "__main__":
    main()
