"""Which role every route needs: one table, and a route that is not in it cannot be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["METRICS", "NEEDS", "ROLES", "Need", "Role", "need_of"]

Role = Literal["reader", "writer", "admin"]
ROLES: Final[tuple[Role, ...]] = ("reader", "writer", "admin")
"""Each may do what those before it may."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a call needs.

    Attributes:
        role: the least role.
        operator: whether only keys of the service's own tenant will do, because the answer is about all tenants.
    """

    role: Role
    operator: bool = False

    def __str__(self) -> str:
        """Returns it in words."""
        return f"a key of the service's own tenant with the role {self.role}" if self.operator else f"role {self.role}"


METRICS: Final = Need("reader", operator=True)
"""Of `/metrics`, which tells of all tenants together; open to everybody with `metrics_public`."""

_OPEN: Final = None
_READER, _WRITER, _ADMIN = Need("reader"), Need("writer"), Need("admin")

NEEDS: Final[Mapping[tuple[str, str], Need | None]] = MappingProxyType(
    {
        ("POST", "/v1/recommendations"): _READER,
        ("POST", "/v1/recommendations/batch"): _READER,
        ("POST", "/v1/recommendations/{recommendation_id}/activate"): _READER,
        ("POST", "/v1/feedback"): _WRITER,
        ("GET", "/v1/users/{user_id}"): _READER,
        ("PUT", "/v1/users/{user_id}"): _WRITER,
        ("PATCH", "/v1/users/{user_id}"): _WRITER,
        ("DELETE", "/v1/users/{user_id}"): _WRITER,
        ("POST", "/v1/users/{user_id}/warm-up"): _WRITER,
        ("POST", "/v1/users/{user_id}/reset"): _WRITER,
        ("POST", "/v1/users/{user_id}/merge"): _WRITER,
        ("GET", "/v1/users/{user_id}/export"): _READER,
        ("GET", "/v1/users/{user_id}/explain"): _READER,
        ("GET", "/v1/items"): _READER,
        ("POST", "/v1/items/bulk"): _WRITER,
        ("GET", "/v1/items/{item_id}"): _READER,
        ("PUT", "/v1/items/{item_id}"): _WRITER,
        ("PATCH", "/v1/items/{item_id}"): _WRITER,
        ("DELETE", "/v1/items/{item_id}"): _WRITER,
        ("GET", "/v1/items/{item_id}/similar"): _READER,
        ("POST", "/v1/api-keys"): _ADMIN,
        ("GET", "/v1/api-keys"): _ADMIN,
        ("DELETE", "/v1/api-keys/{key_id}"): _ADMIN,
        ("POST", "/v1/tenants"): Need("admin", operator=True),
        ("GET", "/v1/tenants"): Need("admin", operator=True),
        ("DELETE", "/v1/tenants/{name}"): Need("admin", operator=True),
        ("GET", "/livez"): _OPEN,
        ("GET", "/readyz"): _OPEN,
        ("GET", "/metrics"): METRICS,
        ("GET", "/version"): _READER,
    }
)
"""What every call needs, by method and route template; None: nothing."""


def need_of(method: str, template: str) -> Need | None:
    """Returns what a route needs, None where it is open to everybody.

    Raises:
        LookupError: the route is not in `NEEDS`; the program must not start with it.
    """
    try:
        return NEEDS[method, template]
    except KeyError:
        raise LookupError(f"{method} {template} has no role: say in service/roles.py who may call it") from None
