"""Speaks to a MongoDB server in this container, for tests: far faster than a shell that has to start."""

import base64
import hashlib
import hmac
import os
import re
import socket
import struct

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.son import SON

ORDERED = CodecOptions(document_class=SON)
LOCAL = ("127.0.0.1", 27017)


class Failed(Exception):
    pass


class Client:
    def __init__(self):
        self.socket = socket.create_connection(LOCAL)
        user = os.environ.get("MONGO_INITDB_ROOT_USERNAME")
        if user:
            self.log_in(user, os.environ.get("MONGO_INITDB_ROOT_PASSWORD", ""))

    def run(self, database, command, raw=False):
        body = bson.encode(SON([*command.items(), ("$db", database)]))
        message = struct.pack("<I", 0) + b"\0" + body
        self.socket.sendall(struct.pack("<iiii", len(message) + 16, 1, 0, 2013) + message)
        (length,) = struct.unpack("<i", self.receive(4))
        answer = self.receive(length - 4)[17:]
        plain = bson.decode(answer, ORDERED)
        if not plain["ok"] or plain.get("writeErrors"):
            raise Failed(str(plain))
        return RawBSONDocument(answer) if raw else plain

    def receive(self, length):
        parts = bytearray()
        while len(parts) < length:
            part = self.socket.recv(length - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def all(self, database, command):
        """Every document of a cursor, as it stands."""
        answer = self.run(database, command, raw=True)["cursor"]
        yield from answer["firstBatch"]
        while answer["id"]:
            collection = answer["ns"].split(".", 1)[1]
            more = SON(getMore=answer["id"], collection=collection)
            answer = self.run(database, more, raw=True)["cursor"]
            yield from answer["nextBatch"]

    def insert(self, database, collection, documents):
        self.run(database, SON(insert=collection, documents=documents))

    def databases(self):
        found = self.run("admin", SON(listDatabases=1, nameOnly=True))["databases"]
        return [entry["name"] for entry in found]

    def collections(self, database):
        found = self.all(database, SON(listCollections=1, cursor=SON()))
        return [bson.decode(entry.raw, ORDERED) for entry in found]

    def log_in(self, user, password):
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        start = SON(saslStart=1, mechanism="SCRAM-SHA-256", payload=b"n,," + first.encode())
        answer = self.run("admin", start)
        challenge = bytes(answer["payload"]).decode()
        fields = dict(part.split("=", 1) for part in challenge.split(","))
        rounds, salt = int(fields["i"]), base64.b64decode(fields["s"])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        client = sign(salted, b"Client Key")
        last = f"c=biws,r={fields['r']}"
        message = f"{first},{challenge},{last}".encode()
        signature = sign(hashlib.sha256(client).digest(), message)
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature))).decode()
        payload = f"{last},p={proof}".encode()
        self.run("admin", SON(saslContinue=1, conversationId=1, payload=payload))


def sign(by, message):
    return hmac.new(by, message, hashlib.sha256).digest()


def is_ours(name):
    return re.match(r"hf_(stage|undo|undone)_\d+_[0-9a-f]{8}(\.|$)", name) is not None


def flat(document):
    """The tools do not keep the order of options."""
    return sorted(document.items(), key=str)


def digest(client):
    """A line for each database, collection, index and document, whatever their order; nothing of a restore's."""
    for database in client.databases():
        for entry in client.collections(database):
            name, options = entry["name"], flat(entry["options"])
            if is_ours(name):
                continue
            print(repr(database), repr(name), entry["type"], options)
            if entry["type"] == "view":
                continue
            indexes = client.all(database, SON(listIndexes=name, cursor=SON()))
            for index in sorted(str(flat(bson.decode(i.raw, ORDERED))) for i in indexes):
                print(repr(database), repr(name), "index", index)
            documents = sorted(d.raw for d in client.all(database, SON(find=name, batchSize=10_000)))
            whole = hashlib.sha256(b"".join(documents)).hexdigest()
            print(repr(database), repr(name), len(documents), whole)


def fail(mode, **data):
    """Has the server fail commands, as the fail point of real ones does."""
    # `data` would be an argument of SON's own.
    point = [("configureFailPoint", "failCommand"), ("mode", mode), ("data", SON(**data))]
    client.run("admin", SON(point))


client = Client()
