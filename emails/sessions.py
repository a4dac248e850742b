"""HTTP as Anymail uses it, without what `requests` does anew for every message though it never changes.

What is sent is the same to the byte: requests prepares it, and Python's own http.client puts it into words. Proxies,
.netrc and hooks are looked for once; where there is one, requests does all of it as ever.
"""

import http.client
import os
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.utils import get_environ_proxies, get_netrc_auth, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.util.wait import wait_for_read

from emails.answers import Answer, as_response
from emails.desk import NoThread, Received, elsewhere, send

USUAL = {"params", "data", "headers", "files", "auth"}  # What Anymail asks with.
IDLE = 5.0  # Seconds; a connection that rested longer may be closed by the other side just when it is used again.


class NeverConnected(requests.ConnectionError):
    """No byte of the request has left: the connection could not be made."""


class CertificateRefused(NeverConnected):
    """The provider's certificate is not one to trust with a key."""


class Session(requests.Session):
    """One connection, kept open, for one sender."""

    def __init__(self, like: requests.Session) -> None:
        super().__init__()
        self.headers, self.hooks = like.headers, like.hooks
        self.connection: Any = None
        self.origin = ("", "")
        self.rested_at = 0.0
        self.plain: dict[str, bool] = {}  # Whether nothing in the environment wants a say, by origin.
        self.prepared: tuple[Any, requests.PreparedRequest, list[bytes]] | None = None

    def request(self, method: Any, url: Any, *args: Any, **parts: Any) -> requests.Response:
        timeout = parts.pop("timeout", None)
        usual = not args and parts.keys() <= USUAL and not isinstance(timeout, tuple) and not self.hooks.get("response")
        if not usual or not self.is_plain(str(url)):
            inherited = super().request
            try:
                return elsewhere(lambda: inherited(method, url, *args, **parts, timeout=timeout))  # type: ignore[misc]
            except NoThread as error:
                raise NeverConnected(error) from error
        prepared, written = self.prepare_once(method, url, parts)
        connection = self.connect(str(prepared.url), timeout)
        answer = Answer(Received(connection.sock, timeout), method=method)  # type: ignore[arg-type]
        try:
            send(connection.sock, written, timeout)
            answer.begin()
            content = answer.read()
        except TimeoutError as error:
            self.drop()
            raise requests.ReadTimeout(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.drop()
            raise requests.ConnectionError(error) from error
        except BaseException:
            self.drop()
            raise
        finally:
            answer.close()  # It holds on to the socket as long as it has not been read to its end.
        self.rested_at = time.monotonic()
        if answer.will_close:
            self.drop()
        return as_response(prepared, answer, content)

    def prepare_once(self, method: str, url: str, parts: dict[str, Any]) -> tuple[requests.PreparedRequest, bytes]:
        """The request, and its bytes as requests sends them. URL and headers are the same from message to message."""
        data, headers = parts.get("data"), parts.get("headers") or {}
        if not isinstance(data, str) or parts.get("files"):
            prepared = self.prepare_request(requests.Request(method, url, **parts))
            return prepared, b"".join(worded(prepared, prepared.body))
        key = (method, url, tuple(headers.items()), repr(parts.get("params")), parts.get("auth"))
        if self.prepared is None or self.prepared[0] != key:
            prepared = self.prepare_request(requests.Request(method, url, **{**parts, "data": "x"}))
            del prepared.headers["Content-Length"]  # Counted for each body.
            before, length, after = b"".join(worded(prepared, b"")).partition(b"Content-Length: 0")
            self.prepared = (key, prepared, [before, length[:-1], after])
        _, prepared, (before, name, after) = self.prepared
        body = data.encode()
        return prepared, b"%b%b%d%b%b" % (before, name, len(body), after, body)

    def connect(self, url: str, timeout: float | None) -> Any:
        """The open connection, made anew where it has rested long or the other side has closed it.

        Raises NeverConnected, CertificateRefused or requests.ConnectTimeout.
        """
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        if origin != self.origin:
            self.drop()
            self.origin = origin
        if self.connection is not None:
            rested = time.monotonic() - self.rested_at > IDLE
            if not rested and not wait_for_read(self.connection.sock, 0):
                return self.connection
            self.drop()
        connection = new_connection(parts, timeout)
        try:
            elsewhere(connection.connect)
        except (ssl.SSLCertVerificationError, ssl.CertificateError) as error:
            raise CertificateRefused(error) from error
        except TimeoutError as error:
            raise requests.ConnectTimeout(error) from error
        except (OSError, HTTPError) as error:
            raise NeverConnected(error) from error
        connection.sock.setblocking(False)
        self.connection = connection
        return connection

    def is_plain(self, url: str) -> bool:
        origin = url.partition("://")[2].partition("/")[0]
        if origin not in self.plain:
            proxy = select_proxy(url, get_environ_proxies(url))
            self.plain[origin] = proxy is None and get_netrc_auth(url) is None
        return self.plain[origin]

    def drop(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        self.drop()
        super().close()


def new_connection(parts: Any, timeout: float | None) -> Any:
    if parts.scheme == "http":
        return HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    folder = os.path.isdir(bundle)
    return HTTPSConnection(
        parts.hostname,
        parts.port,
        timeout=timeout,
        cert_reqs="CERT_REQUIRED",
        ca_certs=None if folder else bundle,
        ca_cert_dir=bundle if folder else None,
    )


def worded(request: requests.PreparedRequest, body: Any) -> list[bytes]:
    """The pieces that http.client would send for a prepared request."""
    parts = urlsplit(str(request.url))
    connection = new_connection(parts, None)
    pieces: list[bytes] = []
    connection.send = pieces.append
    http.client.HTTPConnection.request(
        connection, str(request.method), request.path_url, body=body, headers=request.headers
    )
    return pieces
