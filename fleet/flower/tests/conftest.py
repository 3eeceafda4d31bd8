"""A daemon that is played: its answers at a real Unix socket."""

import base64
import hashlib
import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest


class Played:
    """What a daemon has and says; tests change it."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.file = bytes(range(256)) * 40
        # Longest part, whatever is asked for.
        self.part = 4_000
        # By kind of head, which is what a played head file holds.
        self.scores = {}
        self.refuses = None
        self.asked = []

    def answer(self, name: str, ask: dict) -> tuple[int, dict | bytes]:
        self.asked.append((name, ask))
        if self.refuses:
            return 409, {"status": "error", "error": {"code": "not_possible", "message": self.refuses}}
        if name == "score":
            kind = base64.b64decode(ask["head"]).decode()
            if kind in self.scores:
                return 200, {"status": "ok", "data": self.scores[kind]}
            return 400, {"status": "error", "error": {"code": "bad_request", "message": f"cannot read head {kind}"}}
        sha256 = hashlib.sha256(self.file).hexdigest()
        if ask.get("sha256", sha256) != sha256:
            return 404, {"status": "error", "error": {"code": "not_found", "message": "no longer there"}}
        begin = ask.get("offset", 0)
        data = base64.b64encode(self.file[begin : begin + self.part]).decode()
        return 200, {"status": "ok", "data": {"sha256": sha256, "bytes": len(self.file), "offset": begin, "data": data}}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        ask = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, answer = self.server.played.answer(self.path.removeprefix("/api/v1/"), ask)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def play(tmp_path):
    """Starts played daemons by name; all end with the test."""
    servers = []

    def start(name: str) -> Played:
        played = Played(tmp_path / f"{name}.sock")
        server = socketserver.ThreadingUnixStreamServer(played.path, Handler)
        server.daemon_threads = True
        server.played = played
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return played

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
