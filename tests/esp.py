"""A loopback ESP: an HTTP server that speaks Postmark's send API and keeps what it accepted."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    server: "Server"
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        with self.server.esp.lock:
            self.server.esp.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        esp = self.server.esp
        with esp.lock:
            esp.requests += 1
            number = esp.requests
            esp.moments.append(time.monotonic())
            esp.keys.append(self.headers.get("Idempotency-Key", ""))
            esp.bodies.append(body)
        fault = esp.fault(number) if callable(esp.fault) else esp.fault
        if fault == "hang":
            self.hang()
            return
        if fault == "reset-before":
            self.connection.close()
            return
        if fault is None or fault == "reset-after" or fault == "garbage":
            with esp.lock:
                esp.accepted.append(json.loads(body) if esp.reads_json else {})
        if fault == "reset-after":
            self.close_connection = True
            self.connection.shutdown(2)
            return
        if isinstance(fault, int):
            self.answer(fault, {"ErrorCode": 300, "Message": f"Refused <linus@example.com> with {fault}"})
        elif fault == "garbage":
            self.answer(200, None)
        elif esp.body is not None:
            self.answer(200, esp.body)
        else:
            to = json.loads(body).get("To", "")
            self.answer(200, {"ErrorCode": 0, "Message": "OK", "MessageID": esp.message_id or f"pm-{number}", "To": to})

    def do_GET(self) -> None:
        if self.server.esp.fault == "hang":
            self.hang()
        else:
            self.answer(404, {})

    def hang(self) -> None:
        time.sleep(0.4)
        self.close_connection = True

    def answer(self, status: int, data: Any) -> None:
        payload = b"<html>not json" if data is None else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in self.server.esp.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    esp: "LoopbackESP"
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args: Any) -> None:
        pass  # Connections that a test breaks on purpose.


class LoopbackESP:
    """`fault`: None, an HTTP status, "reset-before", "reset-after", "garbage", "hang", or a function of the number."""

    def __init__(self, port: int = 0) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.requests = self.connections = 0
        self.message_id = ""  # Instead of numbered ones.
        self.body: Any = None  # Instead of Postmark's.
        self.reads_json = True  # Else only `bodies` keeps what came.
        self.headers: dict[str, str] = {}
        self.moments: list[float] = []
        self.keys: list[str] = []
        self.bodies: list[bytes] = []
        self.fault: Any = None
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.esp = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def __enter__(self) -> "LoopbackESP":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def refs(self) -> list[str]:
        """Our reference of each accepted message, in the order they came."""
        return [message["Metadata"]["ref"] for message in self.accepted]
