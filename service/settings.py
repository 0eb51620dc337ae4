"""The service's settings: environment variables with the prefix METARL_, validated once at start-up."""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from metarl_rec.errors import ConfigError

__all__ = ["EventType", "Settings", "load_settings"]

EventType = Literal["impression", "click", "like", "dislike", "skip", "rating", "purchase", "dwell", "custom"]

_PREFIX = "METARL_"


class Settings(BaseSettings):
    """Everything an operator may set. Durations are in seconds, sizes in bytes.

    Attributes:
        checkpoint_dir: the checkpoint to serve.
        data_dir: the embedded Redis's files and the lock; one service per data directory.
        redis_url: replaces the embedded Redis; redis:// or rediss:// or unix://.
        host: address to bind.
        port: port to bind.
        auth: whether calls need an API key; by default on every host but a loopback one.
        admin_key: a key with every right, to make the others with; 32 characters at least.
        metrics_public: whether /metrics is open to everybody.
        key_cache_s: how long a checked key counts as good without being looked up again.
        key_stale_s: the same while Redis is away.
        rate_per_s: calls a second that a key may make; None for any number.
        rate_burst_s: how many seconds' worth of calls may come at once.
        max_tenants: tenants that one replica serves.
        tenant: whose users and items these are; part of every key.
        buffer_size: transitions B kept for a user; the oldest leave first.
        max_seen: seen items kept for a user; the oldest leave first.
        impression_ttl_s: how long feedback may refer to a recommendation.
        state_ttl_s: how long an idle user's state lives; refreshed by every write.
        event_window_s: how long an event id is remembered.
        event_window_size: how many event ids are remembered for a user.
        default_reward: what a shown position that got nothing within the reward window is learned from as; None
            learns from answers alone.
        settle_grace_s: how long after the window such a slate waits for its user to come back; then it is forgotten.
        reward_aggregation: which reward counts where several events answer one shown item: that of the last or first
            event, the greatest, or their sum (at most 1).
        session_gap_s: a pause longer than this begins a new session, in which nothing has been shown yet.
        rating_threshold: a rating of at least this much is a reward of 1, below it 0.
        event_rewards: reward of every other event type, in [0, 1]; a type that is not named teaches nothing.
        max_clock_skew_s: how far in the future a timestamp may lie.
        redis_connect_timeout_s: limit of a connection attempt.
        redis_timeout_s: limit of one round trip.
        breaker_failures: failures in a row that open the circuit breaker.
        breaker_open_s: how long an open breaker waits before it tries again.
        max_body_bytes: limit of a request body.
        max_batch_body_bytes: limit of the body of events[] and of candidates.
        max_bulk_body_bytes: limit of the body of a bulk load.
        max_in_flight: requests at work at once; beyond that 429.
        max_header_bytes: limit of a request line with its headers.
        header_timeout_s: how long they may take to arrive.
        body_timeout_s: how long a body may take to arrive.
        bulk_timeout_s: how long the body of a bulk load may take to arrive and be applied.
        shutdown_grace_s: how long a stop waits for requests at work.
        seed: of the sampler; None draws one from the operating system.
        log_level: debug, info, warning or error.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    checkpoint_dir: Path
    data_dir: Path
    redis_url: SecretStr | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    auth: Literal["required", "off"] | None = None
    admin_key: SecretStr | None = Field(default=None, min_length=32)
    metrics_public: bool = False
    key_cache_s: float = Field(default=5.0, ge=0, le=300)
    key_stale_s: float = Field(default=3600.0, ge=0)
    rate_per_s: float | None = Field(default=None, gt=0)
    rate_burst_s: float = Field(default=2.0, gt=0, le=3600)
    max_tenants: int = Field(default=100, ge=1)
    tenant: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    buffer_size: int = Field(default=64, ge=1, le=1024)
    max_seen: int = Field(default=4096, ge=1, le=100_000)
    impression_ttl_s: int = Field(default=3600, ge=1)
    state_ttl_s: int = Field(default=30 * 86400, ge=60)
    event_window_s: int = Field(default=86400, ge=60)
    event_window_size: int = Field(default=1024, ge=64, le=65536)
    default_reward: float | None = Field(default=0.0, ge=0, le=1)
    settle_grace_s: int = Field(default=86400, ge=0)
    reward_aggregation: Literal["last", "first", "max", "sum"] = "last"
    session_gap_s: int = Field(default=1800, ge=1)
    rating_threshold: float = 4.0
    event_rewards: dict[EventType, float] = {"click": 1.0, "like": 1.0, "purchase": 1.0, "dislike": 0.0, "skip": 0.0}
    max_clock_skew_s: int = Field(default=300, ge=0)
    redis_connect_timeout_s: float = Field(default=0.05, gt=0, le=10)
    redis_timeout_s: float = Field(default=0.25, gt=0, le=10)
    breaker_failures: int = Field(default=5, ge=1)
    breaker_open_s: float = Field(default=1.0, gt=0)
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)
    max_batch_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_bulk_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_in_flight: int = Field(default=256, ge=1)
    max_header_bytes: int = Field(default=16 * 1024, ge=1024)
    header_timeout_s: float = Field(default=5.0, gt=0, le=600)
    body_timeout_s: float = Field(default=5.0, gt=0, le=600)
    bulk_timeout_s: float = Field(default=120.0, gt=0, le=3600)
    shutdown_grace_s: int = Field(default=20, ge=1)
    seed: int | None = Field(default=None, ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def auth_required(self) -> bool:
        """Whether calls need an API key."""
        return self.auth == "required" or (self.auth is None and not is_loopback(self.host))


def is_loopback(host: str) -> bool:
    """Returns whether an address is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**given: Any) -> Settings:
    """Returns the settings from the environment, with `given` on top.

    Raises:
        ConfigError: a variable is unknown, missing or out of range; the text names it.
    """
    # Those of the command line and of the client may stand in the same environment.
    others = {"METARL_WORKDIR", "METARL_URL", "METARL_API_KEY"}
    known = {_PREFIX + name.upper() for name in Settings.model_fields} | others
    unknown = sorted(name for name in os.environ if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise ConfigError(f"environment variable {unknown[0]} is no setting; known: {', '.join(sorted(known))}")
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = _PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigError(f"{name}: {first['msg']}") from None
    url = settings.redis_url.get_secret_value() if settings.redis_url else "redis://"
    if not url.startswith(("redis://", "rediss://", "unix://")):
        # The address may hold a password: it is not repeated.
        raise ConfigError("METARL_REDIS_URL must start with redis://, rediss:// or unix://")
    if settings.auth == "off" and not is_loopback(settings.host):
        raise ConfigError(
            "METARL_AUTH=off is for loopback addresses alone: on any other, everybody could read and change all; set "
            "METARL_ADMIN_KEY and make keys with it, or bind 127.0.0.1"
        )
    for event, reward in settings.event_rewards.items():
        if not 0 <= reward <= 1:
            raise ConfigError(f"METARL_EVENT_REWARDS: the reward of {event} must lie in 0..1, not {reward}")
    return settings
