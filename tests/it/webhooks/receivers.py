"""receivers.py CERTIFICATE KEY: three receivers that speak TLS, none of them written for Holdfast: mail with
STARTTLS, mail over TLS, and HTTPS. The first line on standard output says their ports, each further one what came in."""

import http.server
import json
import socket
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

PASSWORD = b'pass word "%$'


def say(**what):
    print(json.dumps(what), flush=True)


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def authenticate(server, session, envelope, mechanism, auth):
    return AuthResult(success=auth.login == b"ada" and auth.password == PASSWORD, handled=False)


class Mail:
    def __init__(self, kind):
        self.kind = kind

    async def handle_DATA(self, server, session, envelope):
        say(kind=self.kind, login=session.authenticated, encrypted=session.ssl is not None, text=envelope.content.decode())
        return "250 taken"


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        say(kind="https", text=body.decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
ask = {"authenticator": authenticate, "auth_required": True}
starttls = Controller(Mail("starttls"), "127.0.0.1", free_port(), tls_context=context, require_starttls=True, **ask)
tls = Controller(Mail("tls"), "127.0.0.1", free_port(), ssl_context=context, auth_require_tls=False, **ask)
starttls.start()
tls.start()
https = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
https.socket = context.wrap_socket(https.socket, server_side=True)
threading.Thread(target=https.serve_forever, daemon=True).start()
say(starttls=starttls.port, tls=tls.port, https=https.server_port)
sys.stdin.read()
