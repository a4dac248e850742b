"""A provider's answer over HTTP: read by Python's own http.client, its usual head without the parser for mail."""

import http.client
import re
from io import BytesIO

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

# Line by line, nothing folded, no interim answer (RFC 9112, sections 4 and 5): what every provider says on a good day.
HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ([^\r\n]*)\r\n((?:[A-Za-z0-9-]+:[^\r\n\x00]*\r\n){1,99})\r\n")
FRAMING = {"content-length", "transfer-encoding", "connection"}
EMPTY = {204, 304}  # These have no body, whatever they say of its length.


class Answer(http.client.HTTPResponse):
    """http.client's, which has the parser for mail read every head: a fifth of what a message takes is that."""

    def begin(self) -> None:
        """Read the head. Raises OSError, and http.client's HTTPException for what is none."""
        head = HEAD.match(self.fp.peek())  # type: ignore[attr-defined]
        lines = head[3].decode("iso-8859-1").split("\r\n")[:-1] if head else []
        headers = [(name, value.lstrip(" \t")) for name, _, value in (line.partition(":") for line in lines)]
        framing = [(name.lower(), value) for name, value in headers if name.lower() in FRAMING]
        said = dict(framing)
        length, encoding = said.get("content-length", ""), said.get("transfer-encoding", "")
        framed = length.isdecimal() and len(length) < 19 if not encoding else encoding == "chunked" and not length
        if head is None or not framed or len(said) < len(framing):
            super().begin()
            return
        self.fp.read(head.end())
        self.version, self.reason = 11, head[2].decode("iso-8859-1").strip()
        self.code = self.status = int(head[1])
        self.headers = self.msg = http.client.HTTPMessage()
        for name, value in headers:
            self.headers[name] = value
        self.chunked, self.chunk_left = bool(encoding), None
        self.will_close = "close" in said.get("connection", "").lower()
        empty = self.status in EMPTY or self._method == "HEAD"  # type: ignore[attr-defined]
        self.length = 0 if empty else None if encoding else int(length)


def as_response(request: requests.PreparedRequest, answer: Answer, content: bytes) -> requests.Response:
    """The answer as `requests` gives it. Raises its ContentDecodingError for what can't be decompressed."""
    response = requests.Response()
    response.status_code, response.reason = answer.status, answer.reason
    response.headers = CaseInsensitiveDict(answer.headers.items())
    if "Content-Encoding" in response.headers:
        content = decoded(content, answer)
    response._content, response._content_consumed = content, True  # type: ignore[attr-defined]
    response.encoding = get_encoding_from_headers(response.headers)
    response.url, response.request = str(request.url), request
    return response


def decoded(content: bytes, answer: Answer) -> bytes:
    try:
        headers = HTTPHeaderDict(answer.headers.items())
        return HTTPResponse(body=BytesIO(content), headers=headers, decode_content=True).data
    except HTTPError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
