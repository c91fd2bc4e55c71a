# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of the master daemon.

It takes the addresses of database and broker from its environment, once. It follows the oplog, and ends when there is none. It hands out jobs, writes
down what slaves say, and makes images ready; an image that is being configured when it starts it never looks at again.
"""

from __future__ import annotations

import datetime
import logging
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any

from pymongo import CursorType, MongoClient
from pymongo.errors import AutoReconnect, PyMongoError

from lab.talus import settings
from lab.talus.amqp import Amqp, Message
from lab.talus.network import address_of

DRIP = 25
REQUESTS = ("import", "configure", "create", "delete")
CODE_PASSWORD = "lab-code-cache-password"
"""What the daemon has in its source, and sends to every slave."""
Document = dict[str, Any]


class OplogWatcher(threading.Thread):
    """Calls the master for each change of database `talus`. It takes note of a lost connection, and of nothing else."""

    def __init__(self, master: Master, client: MongoClient[Document]) -> None:
        super().__init__(daemon=True, name="DB-WATCH")
        self._master = master
        self._client = client
        self._running = threading.Event()
        self._running.set()

    def stop(self) -> None:
        """Seconds later it will."""
        self._running.clear()

    def run(self) -> None:
        """From the newest entry on."""
        oplog = self._client.local["oplog.rs"]
        position = list(oplog.find().sort("$natural", -1).limit(1))[0]["ts"]  # noqa: RUF015  as the daemon dies of it
        while self._running.is_set():
            try:
                found = oplog.find({"ns": {"$regex": r"^talus\."}, "ts": {"$gt": position}}, cursor_type=CursorType.TAILABLE_AWAIT).max_await_time_ms(1000)
                while found.alive and self._running.is_set():
                    for entry in found:
                        position = entry["ts"]
                        self._tell(entry)
                time.sleep(0.1)
            except AutoReconnect:
                time.sleep(1.0)
        time.sleep(settings.number(settings.MASTER_STOP))

    def _tell(self, entry: Document) -> None:
        if entry["op"] in {"i", "u"}:
            changed = entry.get("o2") or entry["o"]
            self._master.changed(entry["ns"], changed.get("_id"))


class Master:
    """Everything that is not about connections."""

    def __init__(self, interface: str) -> None:
        self._log = logging.getLogger("Master")
        host, port = os.environ["TALUS_DB_PORT_27017_TCP"].replace("tcp://", "").split(":")
        self._client: MongoClient[Document] = MongoClient(host, int(port), directConnection=True, serverSelectionTimeoutMS=5000, retryWrites=False)
        self._db = self._client.talus
        self._ip = address_of(interface)
        self._amqp = Amqp(os.environ.get("TALUS_AMQP_PORT_5672_TCP", "").replace("tcp://", ""), notices=True)
        self._watcher = OplogWatcher(self, self._client)
        self._sent: dict[Any, int] = {}
        self._configuring: dict[Any, float] = {}

    def run(self) -> None:
        """Until the watcher ends: it was stopped, or there is no oplog."""
        self._client.admin.command("ping")  # an unreachable database ends it at once
        self._log.info("running")
        self._watcher.start()
        self._log.info("started watcher")
        self._watcher.join(0.5)
        if self._watcher.is_alive():
            self._db.master.delete_many({})
            self._db.master.insert_one({"hostname": socket.gethostname(), "ip": self._ip, "vms": [], "queues": {}})
            self._log.info("ready")
            self._take_up()
            self._amqp.on("slave_status", self._on_slave_status)
            self._amqp.on("job_status", self._on_job_status)
            self._amqp.every_turn(self._drip)
            self._amqp.start()
        while self._watcher.is_alive():
            self._watcher.join(0.2)
            self._finish_images()
        self._log.info("shutting down singletons")
        self._amqp.stop()
        self._log.info("done running")

    def stop(self) -> None:
        """Asked to."""
        self._log.info("stopping")
        self._watcher.stop()

    # -- the database --------------------------------------------------------------------------------------------------

    def changed(self, namespace: str, identity: Any) -> None:
        """A document was written."""
        try:
            if namespace == "talus.job" and (job := self._db.job.find_one({"_id": identity})):
                self._job(job)
            elif namespace == "talus.image" and (image := self._db.image.find_one({"_id": identity})):
                self._image(image)
        except AutoReconnect as error:
            self._log.warning("%s", error)

    def _take_up(self) -> None:
        """What was asked for while nobody listened. Images that were being configured are not among it."""
        for job in self._db.job.find({"status.name": {"$in": ["run", "stop", "cancel", "running", "stopping", "cancelling"]}}):
            self._job(job, again=True)
        for image in self._db.image.find({"status.name": {"$in": list(REQUESTS)}}):
            self._image(image)

    def _job(self, job: Document, again: bool = False) -> None:
        status = job["status"]["name"]
        if status == "run" and not self._image_is_ready(job):
            self._set_job(job, "cancelled", errors=[{"message": "image not ready", "backtrace": "", "logs": []}])
        elif status == "run" or (again and status == "running"):
            self._set_job(job, "running")
            self._sent[job["_id"]] = int(job["progress"])
        elif status in {"cancel", "stop"} or (again and status in {"cancelling", "stopping"}):
            self._sent.pop(job["_id"], None)
            self._set_job(job, "cancelled" if status.startswith("cancel") else "finished")

    def _image_is_ready(self, job: Document) -> bool:
        image = self._db.image.find_one({"_id": job["image"]})
        return image is not None and bool(image["status"]["name"] == "ready")

    def _set_job(self, job: Document, status: str, **others: Any) -> None:
        self._log.info("job %s: %s", job["_id"], status)
        moment = {"running": "started", "finished": "finished", "cancelled": "cancelled"}[status]
        self._db.job.update_one({"_id": job["_id"]}, {"$set": {"status": {"name": status}, f"timestamps.{moment}": time.time(), **others}})

    def _image(self, image: Document) -> None:
        if image["status"]["name"] == "delete":
            self._db.image.delete_one({"_id": image["_id"]})
        elif image["status"]["name"] in REQUESTS:
            self._db.image.update_one({"_id": image["_id"]}, {"$set": {"status": {"name": "configuring"}}})
            self._configuring[image["_id"]] = time.monotonic() + settings.number(settings.VM_SECONDS)

    def _finish_images(self) -> None:
        for identity, moment in list(self._configuring.items()):
            if time.monotonic() > moment:
                try:
                    self._db.image.update_one({"_id": identity}, {"$set": {"status": {"name": "ready"}}})
                except PyMongoError as error:
                    self._log.warning("%s", error)
                    continue
                del self._configuring[identity]

    # -- the broker ----------------------------------------------------------------------------------------------------

    def _drip(self) -> None:
        """No more than some messages at a time, and only where few wait."""
        if not self._sent or self._amqp.depth("jobs") >= DRIP:
            return
        try:
            running = list(self._db.job.find({"_id": {"$in": list(self._sent)}}))
        except PyMongoError as error:
            self._log.warning("%s", error)
            return
        for job in running:
            wanted = job["limit"] if job["limit"] >= 0 else self._sent[job["_id"]] + DRIP
            for index in range(self._sent[job["_id"]], min(wanted, self._sent[job["_id"]] + DRIP)):
                self._amqp.send("jobs", {"job": str(job["_id"]), "idx": index, "tool": "lab", "image": str(job["image"]), "vm_max": job["vm_max"]})
                self._sent[job["_id"]] = index + 1

    def _on_job_status(self, message: Message) -> None:
        from bson import ObjectId

        if message["type"] != "progress":
            return
        job = self._db.job.find_one_and_update({"_id": ObjectId(message["job"])}, {"$inc": {"progress": 1}}, return_document=True)
        if job and 0 <= job["limit"] <= job["progress"] and job["status"]["name"] == "running":
            self._sent.pop(job["_id"], None)
            self._set_job(job, "finished")

    def _on_slave_status(self, message: Message) -> None:
        if message["type"] == "new":
            self._new_slave(message)
        elif message["type"] == "status":
            told = {name: message[name] for name in ("running_vms", "total_jobs_run", "vms")}
            if not self._db.slave.update_one({"uuid": message["uuid"]}, {"$set": {**told, "timestamps.modified": time.time()}}).matched_count:
                self._log.warning("got a slave status for a slave that isn't defined yet, making a new one")

    def _new_slave(self, message: Message) -> None:
        self._log.info("handling new slave message: %s", message)
        self._db.slave.delete_many({"hostname": message["hostname"]})
        known = {name: message[name] for name in ("hostname", "uuid", "ip", "max_vms")}
        times = {"created": datetime.datetime.now(datetime.UTC)}
        self._db.slave.insert_one({**known, "running_vms": 0, "total_jobs_run": 0, "vms": [], "timestamps": times})
        code = {"loc": f"http://{self._ip}/code_cache", "username": "talus_job", "password": CODE_PASSWORD}
        config = {"type": "config", "db": self._ip, "code": code, "image_url": f"http://{self._ip}/images/"}
        self._amqp.send(f"slaves_{message['uuid']}", config)


def main(interface: str) -> int:
    """The daemon. Nothing to follow ends it without an error; what it cannot reach ends it with one."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s:%(name)s:%(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    master = Master(interface)

    def asked(_signum: int, _frame: FrameType | None) -> None:
        print("handling signal", flush=True)
        master.stop()

    print("installing signal handlers", flush=True)
    signal.signal(signal.SIGINT, asked)
    signal.signal(signal.SIGTERM, asked)
    master.run()
    return 0
