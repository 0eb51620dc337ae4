"""The HTTP protocol with bounds on headers: uvicorn itself waits for ever, and for as much, as a client likes."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.settings import Settings

__all__ = ["bounded_http"]

_LATE = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def bounded_http(settings: Settings) -> type[asyncio.Protocol]:
    """Returns the protocol class for a server with these settings."""

    class BoundedHttp(HttpToolsProtocol):
        """Closes a connection whose request line and headers come too slowly or are too large."""

        _timer: asyncio.TimerHandle | None = None
        _size_bytes = 0
        _named_bytes = 0
        url = b""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_are_here()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # The parser reports a header once it is complete: one that never ends is counted here.
            if self._timer is not None:
                self._size_bytes += len(data)
                if self._size_bytes > 2 * settings.max_header_bytes:
                    self._refuse(_LARGE)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._timer is None:
                self._await_headers()
            self._named_bytes = 0

        def on_header(self, name: bytes, value: bytes) -> None:
            self._named_bytes += len(name) + len(value)
            if self._named_bytes + len(self.url) > settings.max_header_bytes:
                # The parser stops at an exception, and uvicorn then asks for the answer below.
                raise ValueError("headers too large")
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._headers_are_here()
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            if self._named_bytes + len(self.url or b"") > settings.max_header_bytes:
                self._refuse(_LARGE)
            else:
                super().send_400_response(msg)

        def _await_headers(self) -> None:
            self._size_bytes = self._named_bytes = 0
            self._timer = self.loop.call_later(settings.header_timeout_s, self._late)

        def _headers_are_here(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                # A pipelined request waits for the answer to the one before it: that one is not late.
                self._await_headers()
            else:
                self._refuse(_LATE)

        def _refuse(self, answer: bytes) -> None:
            self._headers_are_here()
            if not self.transport.is_closing():
                self.transport.write(answer)
                self.transport.close()

    return BoundedHttp
