# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One MongoDB server, spoken to directly: whatever state its replica set is in, it is this one that answers. Errors carry the server's codes.

pymongo is looked for when it is needed, so that the modules can be imported and documented without it.
"""

from __future__ import annotations

import json
import math
import os
import re
import socket
import traceback
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

try:
    import pymongo
    from bson import codec_options, json_util
    from bson.errors import BSONError
    from pymongo import common as pymongo_common
    from pymongo.errors import AutoReconnect, ConfigurationError, PyMongoError
    from pymongo.write_concern import WriteConcern

    IMPORT_ERROR: Optional[str] = None
    DRIVER = pymongo.version
except ImportError:
    pymongo = None  # type: ignore[assignment]
    DRIVER = ""
    IMPORT_ERROR = traceback.format_exc()

APPLICATION_NAME = "fieldops.runbooks"
OPTIONS: Dict[str, Dict[str, Any]] = {
    "login_host": {"type": "str", "default": "localhost"},
    "login_port": {"type": "int", "default": 27017},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_database": {"type": "str", "default": "admin"},
    "auth_mechanism": {"type": "str", "choices": ["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509", "GSSAPI", "PLAIN"]},
    "ssl": {"type": "bool", "default": False, "aliases": ["tls"]},
    "ssl_cert_reqs": {"type": "str", "choices": ["CERT_NONE", "CERT_REQUIRED"], "default": "CERT_REQUIRED"},
    "ssl_ca_certs": {"type": "path", "aliases": ["tlsCAFile"]},
    "ssl_certfile": {"type": "path", "aliases": ["tlsCertificateKeyFile"]},
    "ssl_pem_passphrase": {"type": "str", "no_log": True, "aliases": ["tlsCertificateKeyFilePassword"]},
    "timeout": {"type": "float", "default": 10.0},
}
"""Documented in the fragment ``mongodb``."""

LONGEST_TIMEOUT = 3600.0
_TOO_OLD = (
    "is too old for pymongo %s: it is a MongoDB %s, and that driver speaks with MongoDB %s and later. Install pymongo 3.13 for this module "
    "(pip install 'pymongo>=3.13,<4', best into an environment of its own that ansible_python_interpreter names); it speaks with MongoDB 2.6 to 6.0"
)
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%\w+)?")
_UNAUTHORIZED = (13, 18, 334)
_SHUTTING_DOWN = (91, 11600)
# What the oldest and newest wire versions that matter are called by people.
_RELEASES = {0: "2.4", 1: "2.6", 2: "2.6", 3: "3.0", 4: "3.2", 5: "3.4", 6: "3.6", 7: "4.0", 8: "4.2", 9: "4.4", 13: "5.0", 17: "6.0", 21: "7.0", 25: "8.0"}


class MongoError(Exception):
    """The server refused, or could not be asked. ``code`` is the server's, None where no server spoke."""

    def __init__(
        self,
        message: str,
        code: Optional[int] = None,
        unreachable: bool = False,
        unsupported: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.unreachable = unreachable or code in _SHUTTING_DOWN
        self.unsupported = unsupported
        """The driver does not speak with a server of this age."""

    @property
    def unauthorized(self) -> bool:
        return self.code in _UNAUTHORIZED


class Mongo:
    """A direct connection to one server, made when it is first used. The options are those of `OPTIONS`; time limits are in seconds."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        if pymongo is None:
            raise MongoError("the Python library pymongo is missing on this node (Debian and Ubuntu: python3-pymongo)")
        self._params = dict({name: option.get("default") for name, option in OPTIONS.items()}, **{k: v for k, v in params.items() if k in OPTIONS})
        _check(self._params)
        self.host: str = self._params["login_host"]
        self.port: int = self._params["login_port"]
        self.timeout: float = self._params["timeout"]
        self._client: Any = None

    @property
    def address(self) -> str:
        return "[%s]:%d" % (self.host, self.port) if ":" in self.host else "%s:%d" % (self.host, self.port)

    def at(self, host: str, port: int) -> Mongo:
        """Another server, with the same credentials and limits."""
        return Mongo(dict(self._params, login_host=host, login_port=port))

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                client.close()

    def __enter__(self) -> Mongo:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- asking --------------------------------------------------------------------------------------------------------------

    def command(self, name: str, value: Any = 1, database: str = "admin", **more: Any) -> Dict[str, Any]:
        """One command, as the server answers it. Values may be those of `plain`, through `parsed`."""
        with self._errors():
            return dict(self._database(database).command(name, value, **more))

    def find(
        self,
        database: str,
        collection: str,
        query: Optional[Mapping[str, Any]] = None,
        projection: Optional[Mapping[str, Any]] = None,
        sort: Optional[Sequence[Tuple[str, int]]] = None,
        skip: int = 0,
        limit: int = 0,
        max_time: Optional[float] = None,
        batch_size: int = 0,
    ) -> Iterator[Dict[str, Any]]:
        """Documents one by one. ``max_time`` is what the server may take for each batch, in seconds."""
        with self._errors():
            cursor = self._database(database)[collection].find(
                dict(query or {}),
                dict(projection) if projection else None,
                sort=list(sort) if sort else None,
                skip=skip,
                limit=limit,
                batch_size=batch_size,
                max_time_ms=_milliseconds(max_time) if max_time is not None else None,
            )
            try:
                for document in cursor:
                    yield dict(document)
            finally:
                cursor.close()

    def count(self, database: str, collection: str, query: Optional[Mapping[str, Any]] = None, max_time: Optional[float] = None) -> int:
        """How many documents match, counted by the server, which also knows how without a query and then takes no time."""
        more: Dict[str, Any] = {"maxTimeMS": _milliseconds(max_time)} if max_time is not None else {}
        return int(self.command("count", collection, database, query=dict(query or {}), **more)["n"])

    def write(self, database: str, collection: str, document: Mapping[str, Any], wait: float, identity: Any) -> None:
        """Put one document in the place of the one with this ``_id``, acknowledged by a majority within ``wait`` seconds."""
        with self._errors():
            concern = WriteConcern(w="majority", wtimeout=_milliseconds(wait))
            place = self._database(database).get_collection(collection, write_concern=concern)
            place.replace_one({"_id": identity}, dict(document), upsert=True)

    def remove(self, database: str, collection: str, identity: Any, wait: float) -> None:
        """Take the document with this ``_id`` away, acknowledged likewise."""
        with self._errors():
            concern = WriteConcern(w="majority", wtimeout=_milliseconds(wait))
            self._database(database).get_collection(collection, write_concern=concern).delete_one({"_id": identity})

    # -- connecting -----------------------------------------------------------------------------------------------------------

    def _database(self, name: str) -> Any:
        if self._client is None:
            self._client = self._connect()
        return self._client.get_database(name, codec_options=_codec())

    def _connect(self) -> Any:
        params, limit = self._params, _milliseconds(self.timeout)
        options: Dict[str, Any] = {
            # Through a set's configuration the driver would go to whoever that names, or wait for a primary for ever.
            "directConnection": True,
            "retryWrites": False,
            "retryReads": False,
            "serverSelectionTimeoutMS": limit,
            "connectTimeoutMS": limit,
            "socketTimeoutMS": limit,
            "appname": APPLICATION_NAME,
            "authMechanism": params["auth_mechanism"],
        }
        if params["login_user"]:
            options.update(username=params["login_user"], authSource=_source(params))
            if params["login_password"] is not None:
                options["password"] = params["login_password"]
        if params["ssl"]:
            options.update(tls=True, tlsAllowInvalidCertificates=params["ssl_cert_reqs"] == "CERT_NONE", tlsCAFile=params["ssl_ca_certs"])
            options.update(tlsCertificateKeyFile=params["ssl_certfile"], tlsCertificateKeyFilePassword=params["ssl_pem_passphrase"])
        given = {name: value for name, value in options.items() if value is not None}
        # The driver would try again until the time is up, though nobody listens.
        socket.create_connection((self.host, self.port), timeout=self.timeout).close()
        return pymongo.MongoClient(host="[%s]" % self.host if ":" in self.host else self.host, port=self.port, **given)

    # -- errors ---------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (PyMongoError, BSONError, OSError, OverflowError, ValueError, TypeError) as exc:
            raise self._told(exc) from None

    def _told(self, exc: Exception) -> MongoError:
        """What went wrong, in words without secrets."""
        details = getattr(exc, "details", None)
        details = details if isinstance(details, Mapping) else {}
        code = details.get("code", getattr(exc, "code", None))  # NotPrimaryError has it only among its details
        if isinstance(code, int):
            words = details.get("errmsg") or exc
            return MongoError(self._scrubbed("MongoDB at %s: %s (code %d)" % (self.address, words, code)), code)
        old = self._too_old()
        if isinstance(exc, ConfigurationError) and old:
            return MongoError("MongoDB at %s %s" % (self.address, old), unsupported=True)
        if isinstance(exc, OSError) and self._client is None:
            why = "no answer within %g s" % self.timeout if isinstance(exc, socket.timeout) else exc.strerror or exc
            return MongoError("MongoDB at %s cannot be reached: %s" % (self.address, why), unreachable=True)
        if isinstance(exc, AutoReconnect):
            return MongoError(self._scrubbed("MongoDB at %s cannot be reached: %s" % (self.address, self._why(exc))), unreachable=True)
        return MongoError(self._scrubbed("MongoDB at %s: %s" % (self.address, exc)))

    def _described(self) -> List[Any]:
        """What the driver knows of the server, which is one at most."""
        if self._client is None:
            return []
        with suppress(Exception):
            topology = getattr(self._client, "topology_description", None) or self._client._topology.description  # noqa: SLF001  that of pymongo 3
            return list(topology.server_descriptions().values())
        return []

    def _too_old(self) -> str:
        """Why the driver and this server do not understand each other; empty if they do."""
        driver, least = pymongo.version, pymongo_common.MIN_SUPPORTED_WIRE_VERSION
        for server in self._described():
            if server.is_server_type_known and server.max_wire_version < least:
                return _TOO_OLD % (driver, _release(server.max_wire_version), _release(least))
            if server.is_server_type_known and server.min_wire_version > pymongo_common.MAX_SUPPORTED_WIRE_VERSION:
                return "is too new for pymongo %s: install a newer one" % driver
        return ""

    def _why(self, exc: Exception) -> str:
        """The system's word for it, without what the driver says around it."""
        for server in self._described():
            cause: Optional[BaseException] = server.error
            while cause is not None and not (isinstance(cause, OSError) and cause.strerror):
                cause = cause.__cause__ or cause.__context__
            if isinstance(cause, OSError):
                return str(cause.strerror)
        text = str(exc).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        return "no answer within %g s (%s)" % (self.timeout, text) if getattr(exc, "timeout", False) else text

    def _scrubbed(self, text: str) -> str:
        for name in ("login_password", "ssl_pem_passphrase"):
            secret = self._params[name]
            if secret:
                text = text.replace(secret, "********")
        return text


def plain(value: Any) -> Any:
    """A document as JSON has it: MongoDB's relaxed extended JSON, so that nothing is lost. Texts that are no UTF-8 were mended when they were read."""
    return json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))


def parsed(value: Any) -> Any:
    """The way back: ``{"$oid": ...}``, ``{"$date": ...}`` and so on as the server wants them. Order of keys is kept."""
    options = json_util.JSONOptions(json_mode=json_util.JSONMode.RELAXED, tz_aware=True)
    return json_util.loads(json.dumps(value), json_options=options)


def _check(params: Mapping[str, Any]) -> None:
    host, port, timeout = params["login_host"], params["login_port"], params["timeout"]
    if not _HOST.fullmatch(host):
        raise MongoError("login_host must be the name or address of one host, without a port, not %r" % host)
    if not 0 < port < 65536:
        raise MongoError("login_port must be 1 to 65535, not %d" % port)
    if not 0 < timeout <= LONGEST_TIMEOUT or not math.isfinite(timeout):
        raise MongoError("timeout must be more than 0 and at most %d seconds, not %s" % (LONGEST_TIMEOUT, timeout))
    if params["login_password"] is not None and not params["login_user"]:
        raise MongoError("login_password needs login_user as well")
    if params["login_user"] and params["login_password"] is None and params["auth_mechanism"] not in ("MONGODB-X509", "GSSAPI"):
        raise MongoError("login_user needs login_password as well")
    for name in ("ssl_ca_certs", "ssl_certfile"):
        path = params[name]
        if path is not None and not params["ssl"]:
            raise MongoError("%s is for encrypted connections, and ssl is false" % name)
        if path is not None and not (os.path.isfile(path) and os.access(path, os.R_OK)):
            raise MongoError("%s: %s is not a file that can be read" % (name, path))


def _source(params: Mapping[str, Any]) -> str:
    return "$external" if params["auth_mechanism"] in ("MONGODB-X509", "GSSAPI", "PLAIN") else str(params["login_database"])


def _codec() -> Any:
    """Whatever others stored must be readable: texts that are no UTF-8, and times that Python has no name for."""
    options: Dict[str, Any] = {"unicode_decode_error_handler": "replace", "tz_aware": True}
    if hasattr(codec_options, "DatetimeConversion"):  # pymongo 4.3
        options["datetime_conversion"] = codec_options.DatetimeConversion.DATETIME_AUTO
    return codec_options.CodecOptions(**options)


def _release(wire: int) -> str:
    """The release that first had this wire version."""
    return _RELEASES[max((each for each in _RELEASES if each <= wire), default=0)]


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))
