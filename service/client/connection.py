"""Where the service is and who calls: shared by both clients, from arguments or METARL_URL and METARL_API_KEY."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from service.client.call import Call, answer_of
from service.client.errors import UnreachableError
from service.client.retrying import Outcome, Retrying, Tries

__all__ = ["Connection"]

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Connection:
    """How calls are sent.

    Attributes:
        url: of the service.
        timeout_s: of a call with all its tries and pauses.
        connect_timeout_s: of making a connection.
        retrying: how often a call is tried.
        max_connections: open at once.
        key: secret; not part of the representation.
    """

    url: httpx.URL
    timeout_s: float
    connect_timeout_s: float
    retrying: Retrying
    max_connections: int
    key: str | None = field(repr=False)

    @classmethod
    def of(
        cls,
        base_url: str | None,
        api_key: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        retrying: Retrying | None,
        max_connections: int,
    ) -> Connection:
        """Returns the connection that the arguments and, where they are None, the environment describe.

        Raises:
            ValueError: the URL is none of http or https, or the key cannot be one.
        """
        text = base_url or os.environ.get("METARL_URL") or DEFAULT_URL
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            # The text may hold a password: it is not repeated.
            raise ValueError(f"the URL must look like {DEFAULT_URL}; a key goes into api_key or METARL_API_KEY")
        key = (os.environ.get("METARL_API_KEY") if api_key is None else api_key) or None
        key = None if key is None else key.strip()
        if key is not None and not (key.isascii() and key.isprintable() and " " not in key and key):
            raise ValueError("the API key must be printable ASCII without spaces")
        return cls(url, timeout_s, connect_timeout_s, retrying or Retrying(), max_connections, key)

    def httpx_options(self) -> dict[str, Any]:
        """Returns the arguments of an httpx client."""
        headers = {"accept": "application/json", "user-agent": "metarl-rec-client"}
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        limits = httpx.Limits(max_connections=self.max_connections, max_keepalive_connections=self.max_connections)
        return {"base_url": self.url, "headers": headers, "limits": limits}

    def tries(self, call: Call[Any]) -> Tries:
        """Returns the tries of a call that begins now."""
        return Tries(call, self.retrying, self.timeout_s)

    def request_options(self, call: Call[Any], left_s: float) -> dict[str, Any]:
        """Returns the arguments of one try's request."""
        return {
            "method": call.method,
            "url": call.path,
            "params": dict(call.params) or None,
            "content": call.body,
            "headers": {"content-type": call.media} if call.body is not None else None,
            "timeout": httpx.Timeout(left_s, connect=min(left_s, self.connect_timeout_s)),
        }

    def result(self, call: Call[T], outcome: Outcome) -> T:
        """Returns what the last try came to.

        Raises:
            ClientError: no answer came, or the service refused the call.
        """
        if isinstance(outcome, httpx.Response):
            return answer_of(call, outcome)
        raise self._unreachable(outcome) from outcome

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        what = {
            httpx.ConnectError: "nothing listens there, or the host is not known",
            httpx.ConnectTimeout: "no connection within the time-out",
            httpx.ReadTimeout: "no answer within the time-out",
        }.get(type(error), f"the connection failed ({type(error).__name__})")
        return UnreachableError(f"{self.url}: {what}; is the service running? start one with `metarl-rec serve`")
