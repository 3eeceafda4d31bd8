"""A running daemon, asked over its Unix socket.

It refuses an answer that is not the one asked for, and one without end. The daemon decides what it gives: without
`fleet.share` it gives nothing.
"""

import base64
import binascii
import hashlib
import http.client
import json
import math
import socket

# Bytes of a statistics file in one answer; as text a third more.
PART_BYTES = 4 << 20
# Longer files are not gathered, as by 'edgetuned fleet collect'.
FILE_BYTES_MAX = 64 << 20
# Bytes of one answer.
ANSWER_BYTES_MAX = 32 << 20
# Files that are begun at most, when the daemon restarts meanwhile.
BEGUN_MAX = 4
# Longer than the daemon takes for any answer.
PATIENCE_S = 90


class Refused(Exception):
    """Why a daemon gave nothing, in words for people."""

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


class _Connection(http.client.HTTPConnection):
    """HTTP over the Unix socket at `path`."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """The daemon at a socket, asked about one task: the one called default, or the only one, where `task` is empty."""

    def __init__(self, path: str, task: str = "") -> None:
        self._path = path
        self._task = {"task": task} if task else {}

    def statistics(self, values: int = 0) -> bytes:
        """The statistics file, of embeddings shortened to so many `values`; 0 leaves them as they are."""
        for _ in range(BEGUN_MAX):
            file, sha256 = b"", None
            while True:
                arguments = {"length": PART_BYTES}
                if sha256:
                    arguments |= {"offset": len(file), "sha256": sha256}
                elif values:
                    arguments |= {"values": values}
                try:
                    part = self._ask("statistics", arguments)
                except Refused as refused:
                    # It restarted, or somebody else asked for a first part.
                    if sha256 and refused.code == "not_found":
                        break
                    raise
                sha256 = sha256 or part.get("sha256")
                file += _part(part, len(file), sha256)
                if len(file) == part["bytes"]:
                    if hashlib.sha256(file).hexdigest() != sha256:
                        raise Refused("the statistics were damaged on the way; run it again")
                    return file
        raise Refused(f"the statistics were replaced {BEGUN_MAX} times while they were fetched; run it again later")

    def score(self, head: bytes) -> dict:
        """What a head file is worth on the device's labelled images: `n`, `right`, `unknown`, `log_loss`."""
        score = self._ask("score", {"head": base64.b64encode(head).decode()})
        try:
            numbers = {name: int(score[name]) for name in ("n", "right", "unknown")}
            loss = [float(value) for value in score["log_loss"]]
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(_STRANGER) from error
        if not loss or not all(map(math.isfinite, loss)):
            raise Refused(_STRANGER)
        return numbers | {"log_loss": loss}

    def _ask(self, name: str, arguments: dict) -> dict:
        """The data of the daemon's answer to a request."""
        connection = _Connection(self._path)
        try:
            body = json.dumps(self._task | arguments)
            connection.request("POST", f"/api/v1/{name}", body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read(ANSWER_BYTES_MAX + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Refused(
                f"the daemon at {self._path} gave no answer ({error}); check that it runs, and that this user may open "
                "the socket"
            ) from error
        finally:
            connection.close()
        if len(text) > ANSWER_BYTES_MAX:
            raise Refused(
                f"the answer to {name} has more than {ANSWER_BYTES_MAX} bytes; look at what listens at {self._path}"
            )
        return _data(response.status, text)


_STRANGER = "the answer is none of an edgetuned daemon's; update the program or this package"


def _data(status: int, text: bytes) -> dict:
    """The data of an answer that is no refusal."""
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    match answer:
        case {"status": "ok", "data": dict(data)}:
            return data
        case {"status": "error", "error": {"code": str(code), "message": str(message)}}:
            raise Refused(message, code)
    words = text[:200].decode(errors="replace").strip()
    raise Refused(f"the daemon answered with {status}: {words or 'nothing'}")


def _part(part: dict, offset: int, sha256: object) -> bytes:
    """The bytes of the part that begins at `offset`."""
    try:
        data = base64.b64decode(part["data"], validate=True)
        total, begins, of = part["bytes"], part["offset"], part["sha256"]
    except (KeyError, TypeError, binascii.Error) as error:
        raise Refused(_STRANGER) from error
    if not isinstance(total, int) or not isinstance(of, str):
        raise Refused(_STRANGER)
    if total > FILE_BYTES_MAX:
        raise Refused(f"the statistics have {total} bytes, more than {FILE_BYTES_MAX}; ask for fewer values")
    if not data or begins != offset or of != sha256 or offset + len(data) > total:
        raise Refused("the daemon sent another part of its statistics than the one asked for; run it again")
    return data
