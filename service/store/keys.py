"""Redis keys. Ids reach Redis only hashed; what belongs to one user shares a hash tag, so one script may touch it.

metarl:{TENANT:BUCKET}:u:USER      a user's state (codec.py)
metarl:{TENANT:BUCKET}:e:USER      event ids that were applied
metarl:{TENANT:BUCKET}:i:USER:ID   one served slate
metarl:{TENANT:BUCKET}:x:USER      sorted set: keys of the user's impressions by expiry
metarl:{TENANT}:items              hash: item number -> item record
metarl:{TENANT}:item-ids           hash: item id -> item number
metarl:{TENANT}:item-next          counter of item numbers
metarl:{TENANT}:item-changes       counter of changes
metarl:{TENANT}:item-log           sorted set: item number by its last change

TENANT is the name of the service's own tenant; of any other it is a name with a dot and 8 hex digits, drawn when it was
made: whatever a deleted tenant leaves for a moment, no later one of that name can read.

metarl:{_}:api-keys                hash: key id -> key record
metarl:{_}:keys-of:TENANT          sorted set: key ids, oldest first
metarl:{_}:tenants                 hash: name -> tenant record
metarl:{_:KEY ID}:rate             what is left of a key's rate (rate_store.py)
metarl:{_}:erasures                hash: TENANT that was deleted -> when the last of it is gone, seconds since 1970
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

__all__ = [
    "API_KEYS",
    "BUCKETS",
    "ERASURES",
    "TENANTS",
    "ItemKeys",
    "UserKeys",
    "digest",
    "keys_of",
    "new_namespace",
    "new_recommendation_id",
    "pattern_of",
    "rate_of",
    "slate_of",
    "user_named_by",
    "user_of_recommendation",
]

BUCKETS = 1024
API_KEYS = "metarl:{_}:api-keys"
TENANTS = "metarl:{_}:tenants"
ERASURES = "metarl:{_}:erasures"


def keys_of(namespace: str) -> str:
    """Returns the key of the ids of a tenant's API keys."""
    return f"metarl:{{_}}:keys-of:{namespace}"


def rate_of(key_id: str) -> str:
    """Returns the key of the token bucket of an API key."""
    return f"metarl:{{_:{key_id}}}:rate"


def new_namespace(name: str) -> str:
    """Returns what stands for a new tenant in its keys; no tenant before had it."""
    return f"{name}.{secrets.token_hex(4)}"


def pattern_of(namespace: str) -> str:
    """Returns the SCAN pattern of all keys of one tenant's users and items."""
    return f"metarl:{{{namespace}[:}}]*"


def digest(value: str) -> bytes:
    """Returns 16 bytes that stand for an id."""
    return hashlib.blake2b(value.encode(), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class UserKeys:
    """Keys of one user.

    Attributes:
        tenant: the tenant.
        user: hex digest of the user id, 32 characters.
    """

    tenant: str
    user: str

    @classmethod
    def of(cls, tenant: str, user_id: str) -> UserKeys:
        """Returns the keys of a user id."""
        return cls(tenant, digest(user_id).hex())

    @property
    def _prefix(self) -> str:
        return f"metarl:{{{self.tenant}:{int(self.user[:8], 16) % BUCKETS}}}"

    @property
    def state(self) -> str:
        """Key of the user's state."""
        return f"{self._prefix}:u:{self.user}"

    @property
    def events(self) -> str:
        """Key of the user's applied event ids."""
        return f"{self._prefix}:e:{self.user}"

    @property
    def impressions(self) -> str:
        """Key of the index of the user's impressions."""
        return f"{self._prefix}:x:{self.user}"

    def impression(self, recommendation_id: str) -> str:
        """Key of one of the user's impressions."""
        return f"{self._prefix}:i:{self.user}:{digest(recommendation_id).hex()}"


@dataclass(frozen=True, slots=True)
class ItemKeys:
    """Keys of one tenant's items; the tag keeps them in one slot."""

    tenant: str

    @property
    def records(self) -> str:
        """Hash of item records by number."""
        return f"metarl:{{{self.tenant}}}:items"

    @property
    def numbers(self) -> str:
        """Hash of item numbers by id."""
        return f"metarl:{{{self.tenant}}}:item-ids"

    @property
    def next_number(self) -> str:
        """Counter of item numbers."""
        return f"metarl:{{{self.tenant}}}:item-next"

    @property
    def changes(self) -> str:
        """Counter of changes to items."""
        return f"metarl:{{{self.tenant}}}:item-changes"

    @property
    def log(self) -> str:
        """Sorted set of item numbers by their last change."""
        return f"metarl:{{{self.tenant}}}:item-log"


def slate_of(key: str) -> bytes:
    """Returns the 8 bytes that stand for a slate in a user's state, from its impression's key."""
    return bytes.fromhex(key.rsplit(":", 1)[1])[:8]


def new_recommendation_id(keys: UserKeys) -> str:
    """Returns a fresh id that tells whose recommendation it is, without telling the user id."""
    return f"r1-{keys.user}-{secrets.token_hex(8)}"


def user_of_recommendation(tenant: str, recommendation_id: str) -> UserKeys | None:
    """Returns whose recommendation a server-made id names; None for any other id."""
    parts = recommendation_id.split("-")
    if len(parts) == 3 and parts[0] == "r1" and len(parts[1]) == 32 and set(parts[1]) <= set("0123456789abcdef"):
        return UserKeys(tenant, parts[1])
    return None


def user_named_by(tenant: str, user_id: str | None, recommendation_id: str | None) -> UserKeys | None:
    """Returns whom a user id and a recommendation id name; None where they contradict each other, or name nobody."""
    named = UserKeys.of(tenant, user_id) if user_id is not None else None
    owner = user_of_recommendation(tenant, recommendation_id) if recommendation_id is not None else None
    if named is not None and owner is not None and named.user != owner.user:
        return None
    return named or owner
