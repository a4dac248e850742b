"""A provider in a process of its own, quick enough to bind nobody, and the only judge of what was accepted how often.

It speaks Postmark's and Resend's send APIs. `Provider(...)` starts it; `python -m tests.provider` is what it starts.
"""

import argparse
import asyncio
import hashlib
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter, defaultdict
from typing import Any

from tests.site import ROOT

FAULTS = ("503", "429", "reset-before", "reset-after", "hang", "garbage")


class Judge:
    """What was accepted, by our reference, and when."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.latency: float = options.latency
        self.fault_rate: float = options.fault_rate
        self.faults: list[str] = options.faults.split(",")
        self.keys: bool = options.keys
        self.chance = random.Random(options.seed)
        self.bodies: dict[str, list[str]] = defaultdict(list)  # ref → a digest per accepted copy
        self.attempts: dict[str, set[str]] = defaultdict(set)  # ref → digests of all requests
        self.by_key: dict[str, tuple[str, bytes]] = {}
        self.requests = 0
        self.arrivals: list[float] = []
        self.faulted: dict[str, str] = {}  # ref → the last fault that was not certain
        self.told: Counter[str] = Counter()

    def state(self) -> dict[str, Any]:
        copies = [len(digests) for digests in self.bodies.values()]
        return {
            "requests": self.requests,
            "accepted": len(copies),
            "copies": sum(copies),
            "refs": list(self.bodies),
            "changed": sum(1 for digests in self.attempts.values() if len(digests) > 1),
            "busiest_second": busiest_second(self.arrivals),
            "faults": dict(self.told),
        }

    def fault(self) -> str:
        if self.fault_rate and self.chance.random() < self.fault_rate:
            return self.chance.choice(self.faults)
        return ""


def busiest_second(arrivals: list[float]) -> int:
    """The most arrivals within any one second."""
    most = start = 0
    for end, moment in enumerate(arrivals):
        while moment - arrivals[start] >= 1:
            start += 1
        most = max(most, end - start + 1)
    return most


class Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, judge: Judge) -> None:
        self.judge, self.buffer = judge, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, blank, rest = self.buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        }
        length = int(headers.get(b"content-length", b"0"))
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        method, path, _ = head.split(b" ", 2)
        if method == b"GET":
            self.control(path.decode())
        else:
            self.message(path.decode(), headers, rest[:length])

    def control(self, path: str) -> None:
        judge = self.judge
        if path.startswith("/__set?"):
            for name, value in (pair.split("=") for pair in path.partition("?")[2].split("&")):
                setattr(judge, name, value.split(",") if name == "faults" else float(value))
        if path.startswith("/__"):
            self.answer(200, json.dumps(judge.state()).encode())
        elif judge.fault_rate == 1 and judge.faults == ["hang"]:
            return
        else:
            self.answer(404, b"{}")

    def message(self, path: str, headers: dict[bytes, bytes], body: bytes) -> None:
        judge = self.judge
        judge.requests += 1
        judge.arrivals.append(time.monotonic())
        data = json.loads(body)
        to = data.get("To") or data.get("to")
        if isinstance(to, str) and to.startswith("invalid"):
            refusal = f"Found inactive addresses: {to}. Inactive recipients have generated a hard bounce."
            self.later(422, json.dumps({"ErrorCode": 406, "Message": refusal}).encode())
            return
        fault = judge.fault()
        judge.told[fault] += 1
        metadata = data.get("Metadata") or json.loads(data.get("headers", {}).get("X-Metadata", "{}"))
        ref, digest = metadata.get("ref", "?"), hashlib.sha256(body).hexdigest()
        judge.attempts[ref].add(digest)
        if fault == "503":
            self.later(503, b'{"ErrorCode": 100, "Message": "Maintenance"}')
        elif fault == "429":
            self.later(429, b'{"ErrorCode": 429, "Message": "Slow down"}', b"Retry-After: 1\r\n")
        elif fault == "reset-before":
            self.transport.abort()
        else:
            self.accept(path, headers, data, ref, digest, fault)

    def accept(self, path: str, headers: dict[bytes, bytes], data: Any, ref: str, digest: str, fault: str) -> None:
        judge = self.judge
        key = headers.get(b"idempotency-key", b"").decode() if judge.keys else ""
        if key and key in judge.by_key:
            known, answer = judge.by_key[key]
            if known != digest:
                self.later(409, b'{"name": "invalid_idempotent_request"}')
                return
        else:
            judge.bodies[ref].append(digest)
            number = len(judge.bodies)
            answer = (
                json.dumps({"id": f"re-{number}"})
                if path.endswith("emails")
                else json.dumps({"ErrorCode": 0, "Message": "OK", "MessageID": f"pm-{number}", "To": data.get("To")})
            ).encode()
            if key:
                judge.by_key[key] = (digest, answer)
        if fault == "reset-after":
            self.transport.abort()
        elif fault == "garbage":
            self.later(200, b"<html>accepted, perhaps")
        elif fault != "hang":
            self.later(200, answer)

    def later(self, status: int, body: bytes, headers: bytes = b"") -> None:
        if self.judge.latency:
            asyncio.get_running_loop().call_later(self.judge.latency, self.answer, status, body, headers)
        else:
            self.answer(status, body, headers)

    def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        if not self.transport.is_closing():
            head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
            self.transport.write(head % (status, headers, len(body)) + body)


async def serve(options: argparse.Namespace) -> None:
    judge = Judge(options)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(judge), "127.0.0.1", options.port, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Provider:
    """The process. `faults` are drawn for `fault_rate` of the requests; `keys` makes it de-duplicate by key."""

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        fault_rate: float = 0.0,
        faults: str = ",".join(FAULTS),
        keys: bool = False,
        seed: int = 1,
    ) -> None:
        command = [sys.executable, "-m", "tests.provider", f"--port={port}", f"--latency={latency}", f"--seed={seed}"]
        command += [f"--fault-rate={fault_rate}", f"--faults={faults}", *(["--keys"] if keys else [])]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> "Provider":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}__state", timeout=10) as response:
            return dict(json.load(response))

    def set(self, **values: Any) -> None:
        """Change latency, fault_rate or faults while it runs."""
        query = "&".join(f"{name}={value}" for name, value in values.items())
        with urllib.request.urlopen(f"{self.url}__set?{query}", timeout=10) as response:
            response.read()

    @property
    def postmark(self) -> dict[str, str]:
        """The environment that chooses it as Postmark."""
        return {"EMAIL_PROVIDER": "postmark", "POSTMARK_SERVER_TOKEN": "token", "POSTMARK_API_URL": self.url}

    @property
    def resend(self) -> dict[str, str]:
        return {"EMAIL_PROVIDER": "resend", "RESEND_API_KEY": "key", "RESEND_API_URL": self.url}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--fault-rate", type=float, default=0.0)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--keys", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
