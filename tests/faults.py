"""Loopback servers that misbehave in one chosen way: an HTTP server and an SMTP server."""

import gzip
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any

# Nobody signed it, and nobody trusts it: made for 127.0.0.1 by `openssl req -x509`, for these tests alone.
SELF_SIGNED = Path(__file__).parent / "self-signed.pem"


class Server:
    """Accepts connections in a thread; `serve` does with each what the subclass says."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.stopped = threading.Event()
        self.hits = 0

    def __enter__(self) -> Any:
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.stopped.set()
        self.socket.close()

    def accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.guarded, args=[connection], daemon=True).start()

    def guarded(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.serve(connection)
            except (OSError, IndexError):
                pass

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def hang(self) -> None:
        self.stopped.wait(5)


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


OK = b'{"ErrorCode": 0, "Message": "OK", "MessageID": "pm-1", "To": "linus@example.com"}'
# What is sent after the whole request was read; then the connection is closed.
ANSWERS = {
    "garbage status line": b"\x00\x01 nonsense\r\n\r\n",
    "closes without a word": b"",
    "truncated": answer(200, OK).replace(b"Content-Length: ", b"Content-Length: 9"),
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot a chunk",
    "bad gzip": answer(200, b"not gzip at all", "Content-Encoding: gzip"),
    "closing": answer(200, OK, "Connection: close"),
    "good gzip": answer(200, gzip.compress(OK), "Content-Encoding: gzip"),
    "html": answer(200, b"<html>"),
    "other json": answer(200, b'{"it": "worked"}'),
    "redirect": answer(302, b"", "Location: http://127.0.0.1:9/"),
}


class HTTPFault(Server):
    """`fault` is a key of ANSWERS, a status, or one of the ways below."""

    def __init__(self, fault: Any, *headers: str) -> None:
        super().__init__()
        self.fault, self.headers = fault, headers
        self.url = f"http{'s' if fault == 'self-signed' else ''}://127.0.0.1:{self.port}/"

    def serve(self, connection: socket.socket) -> None:
        self.hits += 1
        if self.fault == "reset on accept":
            reset(connection)
            return
        if self.fault == "self-signed":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(SELF_SIGNED)
            connection = context.wrap_socket(connection, server_side=True)
        if self.fault == "reset in the headers":
            connection.recv(20)
            reset(connection)
            return
        if self.fault == "unread":
            self.stopped.wait(2)
            return
        self.read_request(connection)
        if self.fault == "reset after the body":
            reset(connection)
        elif self.fault == "silence":
            self.hang()
        elif self.fault == "trickle":
            for byte in answer(200, OK):
                connection.sendall(bytes([byte]))
                if self.stopped.wait(0.2):
                    return
        elif self.fault == "stalled body":
            connection.sendall(answer(200, OK)[:-20])
            self.hang()
        elif isinstance(self.fault, int):
            connection.sendall(answer(self.fault, b'{"ErrorCode": 1, "Message": "No"}', *self.headers))
        else:
            connection.sendall(ANSWERS[self.fault])

    def read_request(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
        while len(body) < length:
            body += connection.recv(65536)


class SMTPFault(Server):
    """Answers as a good server would, but for one stage: `answers` maps it to a reply, "close" or "hang"."""

    GOOD = {
        "banner": "220 ready",
        "EHLO": "250-here\r\n250-AUTH PLAIN\r\n250 8BITMIME",
        "HELO": "250 here",
        "AUTH": "235 come in",
        "MAIL": "250 ok",
        "RCPT": "250 ok",
        "DATA": "354 go on",
        "dot": "250 ok",
        "QUIT": "221 bye",
        "RSET": "250 ok",
    }

    def __init__(self, **answers: str) -> None:
        super().__init__()
        self.answers = {**self.GOOD, **answers}
        self.accepted = 0

    def serve(self, connection: socket.socket) -> None:
        self.hits += 1
        file = connection.makefile("rb")
        stage = "banner"
        while self.say(connection, stage):
            if stage == "DATA" and self.answers["DATA"].startswith("354"):
                while file.readline() not in {b".\r\n", b""}:
                    pass
                stage = "dot"
                self.accepted += self.answers["dot"].startswith("2")
                continue
            stage = file.readline().split()[0].decode().upper()

    def say(self, connection: socket.socket, stage: str) -> bool:
        reply = self.answers.get(stage, "502 what?")
        if reply == "hang":
            self.hang()
        if reply in {"hang", "close"}:
            return False
        connection.sendall(reply.encode() + b"\r\n")
        return not reply.startswith("421")
