#!/usr/bin/python3
"""A stand-in for a MongoDB server, for tests: as much of its wire protocol as the database tools, the shell
and Holdfast use. What was answered is kept through a kill: each change is in a journal that is replayed.

MONGO_INITDB_ROOT_USERNAME and _PASSWORD ask for a login (SCRAM-SHA-256); --replSet NAME makes it the only
member of a replica set, with an oplog; the command configureFailPoint works for `failCommand`."""

import argparse
import base64
import hashlib
import hmac
import itertools
import os
import re
import secrets
import signal
import socketserver
import struct
import sys
import threading
import time

import bson
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from bson.timestamp import Timestamp

VERSION = "7.0.14"
ORDERED = CodecOptions(document_class=SON)
LARGEST_MESSAGE = 48_000_000
BATCH_BYTES = 8 << 20
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013

USER = os.environ.get("MONGO_INITDB_ROOT_USERNAME")
PASSWORD = os.environ.get("MONGO_INITDB_ROOT_PASSWORD", "")
SALT, ROUNDS = secrets.token_bytes(28), 4096

WITHOUT_LOGIN = {
    "hello", "ismaster", "buildinfo", "ping", "saslstart", "saslcontinue", "logout", "endsessions",
    "killcursors", "connectionstatus",
}  # fmt: skip
CHANGES = {
    "insert", "update", "delete", "create", "drop", "dropdatabase", "createindexes", "dropindexes",
    "renamecollection", "applyops",
}  # fmt: skip


class Refused(Exception):
    def __init__(self, code, name, message):
        super().__init__(message)
        self.document = SON(ok=0.0, errmsg=message, code=code, codeName=name)


class Collection:
    def __init__(self, options=None, view=False):
        self.documents = {}  # encoded _id → RawBSONDocument
        self.options = options or SON()
        self.view = view
        self.indexes = {"_id_": SON(v=2, key=SON(_id=1), name="_id_")}
        self.uuid = bson.Binary(secrets.token_bytes(16), 4)
        self.taken = {}  # by unique index, what its documents have; filled when it is asked for

    def described(self, name):
        if self.view:
            return SON(name=name, type="view", options=self.options, info=SON(readOnly=True))
        info = SON(readOnly=False, uuid=self.uuid)
        kind = "timeseries" if "timeseries" in self.options else "collection"
        described = SON(name=name, type=kind, options=self.options, info=info)
        described["idIndex"] = self.indexes["_id_"]
        return described

    def decoded(self):
        return [(document, bson.decode(document.raw, ORDERED)) for document in self.documents.values()]

    def clash(self, new):
        """The unique index that a new document does not fit into; else it counts from now on."""
        for name, index in self.indexes.items():
            if index.get("unique"):
                if name not in self.taken:
                    old = (bson.decode(d.raw, ORDERED) for d in self.documents.values())
                    self.taken[name] = {parts(document, index) for document in old}
                if parts(new, index) in self.taken[name]:
                    return name
        for name in self.taken:
            self.taken[name].add(parts(new, self.indexes[name]))
        return None


def parts(document, index):
    return key([path(document, part) for part in index["key"]])


def key(value):
    return bson.encode({"": value})


def path(document, dotted):
    for part in dotted.split("."):
        if not hasattr(document, "get") or part not in document:
            return None
        document = document[part]
    return document


COMPARISONS = {
    "$eq": lambda a, b: a == b,
    "$ne": lambda a, b: a != b,
    "$gt": lambda a, b: a is not None and a > b,
    "$gte": lambda a, b: a is not None and a >= b,
    "$lt": lambda a, b: a is not None and a < b,
    "$lte": lambda a, b: a is not None and a <= b,
    "$in": lambda a, b: a in b,
    "$nin": lambda a, b: a not in b,
    "$exists": lambda a, b: (a is not None) == bool(b),
    "$regex": lambda a, b: isinstance(a, str) and re.search(b, a) is not None,
}


def matches(document, query):
    for name, wanted in query.items():
        if name in ("$and", "$or"):
            found = [matches(document, part) for part in wanted]
            if not (all(found) if name == "$and" else any(found)):
                return False
            continue
        value = path(document, name)
        if isinstance(wanted, dict) and wanted and all(w.startswith("$") for w in wanted):
            for operator, operand in wanted.items():
                if operator not in COMPARISONS:
                    raise Refused(2, "BadValue", f"unknown operator: {operator}")
                if not COMPARISONS[operator](value, operand):
                    return False
        elif isinstance(wanted, bson.Regex):
            if not isinstance(value, str) or not re.search(wanted.pattern, value):
                return False
        elif value != wanted:
            return False
    return True


class Store:
    """All databases, and what changes them."""

    def __init__(self, folder, replica_set):
        self.lock = threading.RLock()
        self.databases = {}
        self.cursors = {}
        self.numbers = itertools.count(1001)
        self.replica_set = replica_set
        self.oplog = []
        self.fail_point = None
        self.file = os.path.join(folder, "standin.journal")
        self.journal = None

    # Its journal: a command without its documents, then these as they came.

    def replay(self):
        if os.path.exists(self.file):
            whole = 0
            with open(self.file, "rb") as file:
                while (entry := read_document(file)) is not None:
                    entry = bson.decode(entry, ORDERED)
                    documents = [read_document(file) for _ in range(entry["documents"])]
                    if None in documents:
                        break
                    command = entry["command"]
                    if documents:
                        command["documents"] = [RawBSONDocument(d) for d in documents]
                    try:
                        self.run(command, entry["database"])
                    except Refused:
                        pass
                    whole = file.tell()
            os.truncate(self.file, whole)
        self.journal = open(self.file, "ab", buffering=0)

    def change(self, command, database):
        documents = command.get("documents", [])
        documents = [d if isinstance(d, RawBSONDocument) else RawBSONDocument(bson.encode(d)) for d in documents]
        if "documents" in command:
            command["documents"] = documents
        answer = self.run(command, database)
        kept = SON((k, v) for k, v in command.items() if k not in ("documents", "lsid", "$clusterTime"))
        entry = bson.encode(SON(database=database, command=kept, documents=len(documents)))
        self.journal.write(b"".join([entry, *(d.raw for d in documents)]))
        return answer

    def run(self, command, database):
        name = next(iter(command))
        return getattr(self, "do_" + name.lower())(command, database, command[name])

    def log(self, operation, namespace, document, of=None):
        if not self.replica_set:
            return
        last = self.oplog[-1]["ts"] if self.oplog else Timestamp(int(time.time()), 0)
        entry = SON(ts=Timestamp(last.time, last.inc + 1), t=Int64(1), v=Int64(2), op=operation, ns=namespace)
        entry["o"] = document
        if of is not None:
            entry["o2"] = of
        self.oplog.append(RawBSONDocument(bson.encode(entry)))

    # Looking.

    def find(self, database, name):
        return self.databases.get(database, {}).get(name)

    def documents(self, database, name):
        if (database, name) == ("local", "oplog.rs"):
            return list(self.oplog)
        collection = self.find(database, name)
        return list(collection.documents.values()) if collection else []

    def make(self, database, name):
        collection = self.find(database, name)
        if collection is None:
            collection = self.databases.setdefault(database, {})[name] = Collection()
            self.log("c", f"{database}.$cmd", SON(create=name))
        return collection

    # Changing.

    def do_create(self, command, database, name):
        if self.find(database, name):
            raise Refused(48, "NamespaceExists", f"Collection {database}.{name} already exists.")
        skipped = ("create", "$db", "lsid", "writeConcern", "$readPreference", "idIndex", "$clusterTime", "comment")
        options = SON((k, v) for k, v in command.items() if k not in skipped)
        self.databases.setdefault(database, {})[name] = Collection(options, view="viewOn" in options)
        self.log("c", f"{database}.$cmd", SON([("create", name), *options.items()]))
        return SON(ok=1.0)

    def do_drop(self, command, database, name):
        if self.find(database, name) is None:
            raise Refused(26, "NamespaceNotFound", "ns not found")
        del self.databases[database][name]
        self.log("c", f"{database}.$cmd", SON(drop=name))
        return SON(ns=f"{database}.{name}", ok=1.0)

    def do_dropdatabase(self, command, database, _):
        self.databases.pop(database, None)
        self.log("c", f"{database}.$cmd", SON(dropDatabase=1))
        return SON(dropped=database, ok=1.0)

    def do_renamecollection(self, command, _, source):
        database, name = source.split(".", 1)
        other, to = command["to"].split(".", 1)
        collection = self.find(database, name)
        if collection is None:
            raise Refused(26, "NamespaceNotFound", f"Source collection {source} does not exist")
        target = self.find(other, to)
        if collection.view or "timeseries" in collection.options or (target and target.view):
            raise Refused(166, "CommandNotSupportedOnView", "cannot rename view")
        if name.startswith("system.") or to.startswith("system."):
            raise Refused(20, "IllegalOperation", "renaming system collections is not allowed")
        if target and not command.get("dropTarget"):
            raise Refused(48, "NamespaceExists", "target namespace exists")
        if len(command["to"].encode()) > 255:
            raise Refused(73, "InvalidNamespace", "Fully qualified namespace is too long")
        self.databases.setdefault(other, {})[to] = self.databases[database].pop(name)
        self.log("c", f"{database}.$cmd", SON(renameCollection=source, to=command["to"]))
        return SON(ok=1.0)

    def do_createindexes(self, command, database, name):
        collection = self.make(database, name)
        before = len(collection.indexes)
        for index in command["indexes"]:
            index = SON((k, v) for k, v in index.items() if k != "ns")
            collation = index.pop("collation", collection.options.get("collation"))
            if collation and collation["locale"] != "simple":
                index["collation"] = collation
            collection.indexes[index["name"]] = index
        return SON(numIndexesBefore=before, numIndexesAfter=len(collection.indexes), ok=1.0)

    def do_dropindexes(self, command, database, name):
        collection = self.find(database, name)
        for index in list(collection.indexes if collection else ()):
            if index != "_id_" and command["index"] in ("*", index):
                del collection.indexes[index]
                collection.taken.pop(index, None)
        return SON(ok=1.0)

    def do_insert(self, command, database, name):
        collection, errors, done = self.make(database, name), [], 0
        if collection.view:
            raise Refused(166, "CommandNotSupportedOnView", f"Namespace {database}.{name} is a view")
        for at, document in enumerate(command["documents"]):
            if "_id" not in document:
                decoded = bson.decode(document.raw, ORDERED)
                document = RawBSONDocument(bson.encode(SON([("_id", bson.ObjectId()), *decoded.items()])))
            place = key(document["_id"])
            clash = "_id_" if place in collection.documents else collection.clash(document)
            if clash is None:
                collection.documents[place] = document
                self.log("i", f"{database}.{name}", document)
                done += 1
                continue
            message = f"E11000 duplicate key error collection: {database}.{name} index: {clash}"
            errors.append(SON(index=at, code=11000, keyPattern=collection.indexes[clash]["key"], errmsg=message))
            if command.get("ordered", True):
                break
        answer = SON(n=done, ok=1.0)
        if errors:
            answer["writeErrors"] = errors
        return answer

    def do_delete(self, command, database, name):
        collection, count = self.find(database, name), 0
        for delete in command["deletes"]:
            hits = [d for _, d in (collection.decoded() if collection else ()) if matches(d, delete["q"])]
            for hit in hits[: delete.get("limit") or None]:
                del collection.documents[key(hit["_id"])]
                collection.taken.clear()
                self.log("d", f"{database}.{name}", SON(_id=hit["_id"]))
                count += 1
        return SON(n=count, ok=1.0)

    def do_update(self, command, database, name):
        collection, count = self.make(database, name), 0
        for update in command["updates"]:
            change = update["u"]
            hits = [d for _, d in collection.decoded() if matches(d, update["q"])]
            if not hits and update.get("upsert"):
                hits = [SON(_id=update["q"].get("_id", bson.ObjectId()))]
            for hit in hits if update.get("multi") else hits[:1]:
                if any(operator.startswith("$") for operator in change):
                    hit.update(change.get("$set", {}))
                    for field in change.get("$unset", {}):
                        hit.pop(field, None)
                    for field, amount in change.get("$inc", {}).items():
                        hit[field] = hit.get(field, 0) + amount
                else:
                    hit = SON([("_id", hit["_id"]), *((k, v) for k, v in change.items() if k != "_id")])
                collection.documents[key(hit["_id"])] = RawBSONDocument(bson.encode(hit))
                collection.taken.clear()
                self.log("u", f"{database}.{name}", hit, SON(_id=hit["_id"]))
                count += 1
        return SON(n=count, nModified=count, ok=1.0)

    def do_applyops(self, command, *_):
        for operation in command["applyOps"]:
            database, name = operation["ns"].split(".", 1)
            document = operation["o"]
            if operation["op"] == "c":
                self.run(document, database)
            elif operation["op"] == "d":
                if collection := self.find(database, name):
                    collection.documents.pop(key(document["_id"]), None)
                    collection.taken.clear()
            elif operation["op"] in ("i", "u"):
                identity = operation.get("o2", document)["_id"]
                collection = self.make(database, name)
                collection.documents[key(identity)] = RawBSONDocument(bson.encode(document))
                collection.taken.clear()
        return SON(applied=len(command["applyOps"]), ok=1.0)


def read_document(file):
    """None at the end of the file, or where it was cut off."""
    length = file.read(4)
    if len(length) < 4:
        return None
    (size,) = struct.unpack("<i", length)
    rest = file.read(size - 4)
    return length + rest if len(rest) == size - 4 else None


class Conversation(socketserver.BaseRequestHandler):
    """One connection: its login, and its commands one after the other."""

    def handle(self):
        self.store = self.server.store
        self.may_do_all = not USER
        try:
            while True:
                length, request, _, operation = struct.unpack("<iiii", self.receive(16))
                body = self.receive(length - 16)
                if operation == OP_MSG:
                    self.message(request, body)
                elif operation == OP_QUERY:
                    self.query(request, body)
                else:
                    return
        except (EOFError, ConnectionError):
            pass

    def receive(self, length):
        parts = bytearray()
        while len(parts) < length:
            part = self.request.recv(length - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def send(self, request, operation, body):
        self.request.sendall(struct.pack("<iiii", len(body) + 16, 0, request, operation) + body)

    def message(self, request, body):
        (flags,) = struct.unpack_from("<I", body)
        at, end = 4, len(body) - (4 if flags & 1 else 0)
        command, sequences = None, []
        while at < end:
            kind, at = body[at], at + 1
            (size,) = struct.unpack_from("<i", body, at)
            if kind == 0:
                command = bson.decode(body[at : at + size], ORDERED)
            else:
                sequences.append(self.sequence(body, at, size))
            at += size
        for name, documents in sequences:
            raw = name == "documents"
            command[name] = documents if raw else [bson.decode(d.raw, ORDERED) for d in documents]
        answer = self.answer(command, command.get("$db", "admin"))
        if not flags & 2:
            self.send(request, OP_MSG, struct.pack("<I", 0) + b"\0" + bson.encode(answer))

    @staticmethod
    def sequence(body, at, size):
        end, start = at + size, body.index(b"\0", at + 4) + 1
        name, documents = body[at + 4 : start - 1].decode(), []
        while start < end:
            (length,) = struct.unpack_from("<i", body, start)
            documents.append(RawBSONDocument(body[start : start + length]))
            start += length
        return name, documents

    def query(self, request, body):
        end = body.index(b"\0", 4)
        start = end + 9
        (length,) = struct.unpack_from("<i", body, start)
        command = bson.decode(body[start : start + length], ORDERED)
        answer = self.answer(command.get("$query", command), body[4:end].decode().split(".")[0])
        self.send(request, OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(answer))

    def answer(self, command, database):
        name = next(iter(command))
        try:
            answer = self.run(command, database, name)
        except Refused as refused:
            answer = refused.document
        except Exception as error:
            answer = SON(ok=0.0, errmsg=f"{type(error).__name__}: {error}", code=8, codeName="UnknownError")
        if os.environ.get("STANDIN_TRACE"):
            print(name, database, answer.get("errmsg", "ok"), file=sys.stderr, flush=True)
        return answer

    def run(self, command, database, name):
        lower = name.lower()
        if not self.may_do_all and lower not in WITHOUT_LOGIN:
            raise Refused(13, "Unauthorized", f"command {name} requires authentication")
        self.maybe_fail(name)
        if lower in CHANGES:
            with self.store.lock:
                return self.store.change(command, database)
        handler = getattr(self, "on_" + lower, None)
        if handler is None:
            raise Refused(59, "CommandNotFound", f"no such command: '{name}'")
        with self.store.lock:
            return handler(command, database, command[name])

    def maybe_fail(self, name):
        point = self.store.fail_point
        if point is None or name not in point["data"]["failCommands"]:
            return
        mode = point["mode"]
        if mode.get("skip", 0) > 0:
            mode["skip"] -= 1
            return
        if "times" in mode:
            mode["times"] -= 1
            if mode["times"] <= 0:
                self.store.fail_point = None
        time.sleep(point["data"].get("blockTimeMS", 0) / 1000)
        if "errorCode" in point["data"]:
            raise Refused(point["data"]["errorCode"], "FailPoint", f"Failing command {name} via 'failCommand' failpoint")

    # About the server.

    def on_hello(self, command, *_):
        answer = SON(isWritablePrimary=True, ismaster=True, helloOk=True, maxBsonObjectSize=16 << 20)
        answer.update(maxMessageSizeBytes=LARGEST_MESSAGE, maxWriteBatchSize=100_000, connectionId=1)
        answer.update(logicalSessionTimeoutMinutes=30, minWireVersion=0, maxWireVersion=21, readOnly=False)
        if self.store.replica_set:
            me = "127.0.0.1:27017"
            answer.update(setName=self.store.replica_set, setVersion=1, hosts=[me], primary=me, me=me, secondary=False)
        if "saslSupportedMechs" in command:
            answer["saslSupportedMechs"] = ["SCRAM-SHA-256"]
        speculative = command.get("speculativeAuthenticate")
        if isinstance(speculative, dict) and speculative.get("mechanism") == "SCRAM-SHA-256":
            answer["speculativeAuthenticate"] = self.on_saslstart(speculative)
        answer["ok"] = 1.0
        return answer

    on_ismaster = on_hello

    def on_buildinfo(self, *_):
        numbers = [int(part) for part in VERSION.split(".")] + [0]
        return SON(version=VERSION, versionArray=numbers, gitVersion="standin", modules=[], bits=64, ok=1.0)

    def on_ping(self, *_):
        return SON(ok=1.0)

    on_endsessions = on_logout = on_refreshsessions = on_ping

    def on_connectionstatus(self, *_):
        return SON(authInfo=SON(authenticatedUsers=[], authenticatedUserRoles=[]), ok=1.0)

    def on_getparameter(self, *_):
        return SON(featureCompatibilityVersion=SON(version="7.0"), ok=1.0)

    def on_serverstatus(self, *_):
        return SON(version=VERSION, process="mongod", uptime=1.0, ok=1.0)

    def on_getcmdlineopts(self, *_):
        return SON(argv=["mongod"], parsed=SON(), ok=1.0)

    def on_currentop(self, *_):
        return SON(inprog=[], ok=1.0)

    def on_configurefailpoint(self, command, _, name):
        if name != "failCommand":
            raise Refused(2, "BadValue", "only failCommand is known")
        mode = command["mode"]
        mode = SON() if mode == "alwaysOn" else mode
        self.store.fail_point = None if mode == "off" else {"mode": mode, "data": command["data"]}
        return SON(ok=1.0)

    # Looking.

    def on_listdatabases(self, command, *_):
        names = sorted(name for name, collections in self.store.databases.items() if collections)
        found = [SON(name=name, sizeOnDisk=Int64(8192), empty=False) for name in names]
        found = [entry for entry in found if matches(entry, command.get("filter") or {})]
        if command.get("nameOnly"):
            found = [SON(name=entry["name"]) for entry in found]
        return SON(databases=found, totalSize=Int64(8192 * len(found)), ok=1.0)

    def on_listcollections(self, command, database, _):
        collections = sorted(self.store.databases.get(database, {}).items())
        described = [collection.described(name) for name, collection in collections]
        found = [entry for entry in described if matches(entry, command.get("filter") or {})]
        size = command.get("cursor", {}).get("batchSize", 101)
        return self.cursor(f"{database}.$cmd.listCollections", found, size)

    def on_listindexes(self, command, database, name):
        collection = self.store.find(database, name)
        if collection is None:
            raise Refused(26, "NamespaceNotFound", f"ns does not exist: {database}.{name}")
        return self.cursor(f"{database}.{name}", list(collection.indexes.values()), 10**9)

    def on_dbstats(self, command, database, _):
        collections = self.store.databases.get(database, {}).values()
        size = sum(len(d.raw) for collection in collections for d in collection.documents.values())
        disk = os.statvfs(self.server.folder)
        total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        answer = SON(db=database, collections=len(collections), dataSize=float(size), storageSize=float(size))
        answer.update(fsUsedSize=float(total - free), fsTotalSize=float(total), ok=1.0)
        return answer

    def on_collstats(self, command, database, name):
        documents = self.store.documents(database, name)
        size = sum(len(d.raw) for d in documents)
        answer = SON(ns=f"{database}.{name}", count=len(documents), size=size, storageSize=size + 4096)
        answer.update(totalIndexSize=4096, nindexes=1, ok=1.0)
        return answer

    def on_count(self, command, database, name):
        query = command.get("query") or {}
        documents = self.store.documents(database, name)
        if query:
            documents = [d for d in documents if matches(bson.decode(d.raw, ORDERED), query)]
        return SON(n=len(documents), ok=1.0)

    def on_find(self, command, database, name):
        query, sort = command.get("filter") or {}, command.get("sort") or {}
        found = self.store.documents(database, name)
        if query:
            found = [d for d in found if matches(bson.decode(d.raw, ORDERED), query)]
        for field, direction in reversed(list(sort.items())):
            if field == "$natural":
                found = found[::-1] if direction < 0 else found
            else:
                by = lambda d: key(path(bson.decode(d.raw, ORDERED), field))  # noqa: E731, B023
                found.sort(key=by, reverse=direction < 0)
        found = found[command.get("skip") or 0 :]
        limit = abs(command.get("limit") or 0)
        found = found[:limit] if limit else found
        size = command.get("batchSize") or limit or 101
        return self.cursor(f"{database}.{name}", found, size, single=command.get("singleBatch", False))

    def on_aggregate(self, command, database, name):
        documents = [bson.decode(d.raw, ORDERED) for d in self.store.documents(database, name)]
        for stage in command["pipeline"]:
            operator, value = next(iter(stage.items()))
            if operator == "$match":
                documents = [d for d in documents if matches(d, value)]
            elif operator == "$group" and all(v == {"$sum": 1} for k, v in value.items() if k != "_id"):
                sums = [(name, len(documents)) for name in value if name != "_id"]
                documents = [SON([("_id", value["_id"]), *sums])] if documents else []
            elif operator == "$collStats":
                documents = [SON(count=len(documents), storageStats=SON(count=len(documents), size=1))]
            elif operator == "$sort":
                for field, direction in reversed(list(value.items())):
                    documents.sort(key=lambda d: key(path(d, field)), reverse=direction < 0)  # noqa: B023
            else:
                raise Refused(40324, "Location40324", f"Unrecognized pipeline stage name: '{operator}'")
        return self.cursor(f"{database}.{name}", documents, 10**9)

    def cursor(self, namespace, documents, size, first=True, single=False, number=None):
        rest, batch, length = iter(documents), [], 0
        done = True
        for document in rest:
            batch.append(document)
            length += len(document.raw) if isinstance(document, RawBSONDocument) else 300
            if len(batch) >= size or length > BATCH_BYTES:
                done = False
                break
        identity = 0
        if not done and not single:
            identity = number or next(self.store.numbers)
            self.store.cursors[identity] = (namespace, rest)
        cursor = SON([("firstBatch" if first else "nextBatch", batch), ("id", Int64(identity)), ("ns", namespace)])
        return SON(cursor=cursor, ok=1.0)

    def on_getmore(self, command, _, number):
        if number not in self.store.cursors:
            raise Refused(43, "CursorNotFound", f"cursor id {number} not found")
        namespace, rest = self.store.cursors.pop(number)
        return self.cursor(namespace, rest, command.get("batchSize") or 10**9, first=False, number=int(number))

    def on_killcursors(self, command, *_):
        for number in command.get("cursors", []):
            self.store.cursors.pop(int(number), None)
        return SON(cursorsKilled=command.get("cursors", []), ok=1.0)

    # Logging in.

    def on_saslstart(self, command, *_):
        if command.get("mechanism") != "SCRAM-SHA-256":
            raise Refused(2, "BadValue", "Received authentication for mechanism which is not enabled")
        self.first = bytes(command["payload"]).decode().split(",", 2)[2]
        fields = dict(part.split("=", 1) for part in self.first.split(","))
        self.user = fields["n"].replace("=2C", ",").replace("=3D", "=")
        self.nonce = fields["r"] + base64.b64encode(secrets.token_bytes(18)).decode()
        self.challenge = f"r={self.nonce},s={base64.b64encode(SALT).decode()},i={ROUNDS}"
        self.proved = False
        return SON(conversationId=1, done=False, payload=self.challenge.encode(), ok=1.0)

    def on_saslcontinue(self, command, *_):
        if self.proved:
            self.may_do_all = True
            return SON(conversationId=1, done=True, payload=b"", ok=1.0)
        without_proof, proof = bytes(command["payload"]).decode().rsplit(",p=", 1)
        message = ",".join((self.first, self.challenge, without_proof)).encode()
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ROUNDS)
        client = sign(salted, b"Client Key")
        signature = sign(hashlib.sha256(client).digest(), message)
        expected = bytes(a ^ b for a, b in zip(client, signature))
        if self.user != USER or expected != base64.b64decode(proof):
            raise Refused(18, "AuthenticationFailed", "Authentication failed.")
        self.proved = self.may_do_all = True
        verifier = b"v=" + base64.b64encode(sign(sign(salted, b"Server Key"), message))
        return SON(conversationId=1, done=True, payload=verifier, ok=1.0)


def sign(by, message):
    return hmac.new(by, message, hashlib.sha256).digest()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, default=27017)
    options.add_argument("--dbpath", default="/data/db")
    options.add_argument("--replSet")
    options = options.parse_args()
    store = Store(options.dbpath, options.replSet)
    store.replay()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    server = Server(("0.0.0.0", options.port), Conversation)
    server.store, server.folder = store, options.dbpath
    print("Waiting for connections", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
