"""A loopback SMTP server that keeps what it accepted."""

import socket
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class SMTPSink:
    """`refuse` maps recipients to the SMTP answer that refuses them."""

    def __init__(self, port: int = 0) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[Any] = []
        self.refuse: dict[str, str] = {}
        self.after_data = "250 OK"
        self.controller = Controller(self, hostname="127.0.0.1", port=port or free_port(), ready_timeout=15)
        self.port: int = self.controller.port

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.after_data.startswith("2"):
            self.messages.append(message_from_bytes(envelope.content, policy=policy.default))
            self.envelopes.append(envelope)
        return self.after_data

    def __enter__(self) -> "SMTPSink":
        self.controller.start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.controller.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
