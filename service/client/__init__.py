"""A typed client of the service, synchronous and asynchronous. It needs httpx, and nothing else of this project.

from service.client import Client, Event

with Client("http://127.0.0.1:8000") as client:
    slate = client.recommend("ada", k=5, filter='"Drama" in genres')
    client.feedback(Event("like", slate.items[0].item_id, "ada", slate.recommendation_id))
    better = client.recommend("ada", k=5)
"""

from __future__ import annotations

from service.client.asynchronous import AsyncClient
from service.client.blocking import Client
from service.client.call import Call, as_json
from service.client.errors import (
    ApiError,
    ClientError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from service.client.events import Event
from service.client.retrying import Retrying
from service.client.slates import Request

__all__ = [
    "ApiError",
    "AsyncClient",
    "Call",
    "Client",
    "ClientError",
    "ConflictError",
    "Event",
    "ForbiddenError",
    "InvalidRequestError",
    "NotFoundError",
    "Request",
    "Retrying",
    "TooManyRequestsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "as_json",
]
