"""Prometheus metrics, prefix metarl_: base units, known label sets from the start, never an id as a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from metarl_rec import __version__

__all__ = ["Metrics"]

# From 50 us, a compiled adaptation, to 1 s, far beyond every deadline.
_LATENCY = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# Honest users reach 0.3 to 9 nats; the trust region ends a little above.
_NATS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_REDIS_OPS = (
    "read",
    "commit",
    "erase",
    "put_impression",
    "register",
    "put_items",
    "item_changes",
    "config",
    "key",
    "rate",
    "admin",
)
_REWARDS = tuple(i / 10 for i in range(11))
REJECTIONS = (
    "conflict",
    "unknown_impression",
    "unknown_item",
    "unknown_user",
    "expired",
    "late",
    "not_in_slate",
    "future",
)


class Metrics:
    """All metrics of one process, in a registry of their own."""

    redis_kinds = ("timeout", "connection", "breaker", "oom", "readonly", "loading", "noscript", "other")

    def __init__(self) -> None:
        # When a series began is of no use to any query here, and would double their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        reg = self.registry
        self.requests = Counter("metarl_http_requests", "Requests answered.", ["method", "route", "code"], registry=reg)
        self.request_duration = Histogram(
            "metarl_http_request_duration_seconds", "Time to answer.", ["route"], buckets=_LATENCY, registry=reg
        )
        self.in_flight = Gauge("metarl_http_requests_in_flight", "Requests at work.", registry=reg)
        self.rejected = Counter("metarl_rejected", "Requests refused before any work.", ["reason"], registry=reg)
        self.recommendations = Counter(
            "metarl_recommendations", "Slates served.", ["policy_role", "user_status", "outcome"], registry=reg
        )
        self.degraded = Counter(
            "metarl_degraded", "Slates served with less than was asked for.", ["reason"], registry=reg
        )
        self.feedback_events = Counter(
            "metarl_feedback_events", "Events by outcome.", ["type", "outcome"], registry=reg
        )
        self.feedback_delay = Histogram(
            "metarl_feedback_delay_seconds",
            "From recommendation to feedback.",
            buckets=(1, 5, 15, 60, 300, 900, 3600, 86400),
            registry=reg,
        )
        self.reward = Histogram("metarl_reward", "Rewards learned from.", buckets=_REWARDS, registry=reg)
        self.adaptations = Counter("metarl_adaptations", "Adaptations by outcome.", ["outcome"], registry=reg)
        self.adaptation_duration = Histogram(
            "metarl_adaptation_duration_seconds", "Compute time of one adaptation.", buckets=_LATENCY, registry=reg
        )
        self.adaptation_kl = Histogram(
            "metarl_adaptation_kl_nats", "KL of the adapted policy to the initialization.", buckets=_NATS, registry=reg
        )
        self.clipped_ratio = Histogram(
            "metarl_ppo_clipped_ratio",
            "Share of an adaptation's ratios that the clip silenced.",
            buckets=_REWARDS,
            registry=reg,
        )
        self.value_error = Histogram(
            "metarl_value_error",
            "Root-mean-square error of the critic on a user's transitions.",
            buckets=_REWARDS,
            registry=reg,
        )
        self.redis_duration = Histogram(
            "metarl_redis_command_duration_seconds", "Time of a round trip.", ["op"], buckets=_LATENCY, registry=reg
        )
        self.redis_errors = Counter("metarl_redis_errors", "Failed round trips.", ["op", "kind"], registry=reg)
        self.breaker_open = Gauge("metarl_breaker_open", "1 while Redis counts as away.", registry=reg)
        self.state_bytes = Histogram(
            "metarl_user_state_bytes",
            "Size of a written user state.",
            buckets=(256, 512, 1024, 2048, 4096, 8192, 32768),
            registry=reg,
        )
        self.state_resets = Counter(
            "metarl_state_resets", "User states that could not be read.", ["cause"], registry=reg
        )
        self.settled_positions = Counter(
            "metarl_settled_positions", "Shown positions that got nothing in time and count as that.", registry=reg
        )
        self.warm_up_events = Counter(
            "metarl_warm_up_events", "Events of told histories by outcome.", ["outcome"], registry=reg
        )
        self.erasures = Counter("metarl_user_erasures", "Users deleted.", registry=reg)
        self.catalog_items = Gauge("metarl_catalog_items", "Items on offer.", registry=reg)
        self.policy_info = Gauge("metarl_policy_info", "Policies being served.", ["role", "version"], registry=reg)
        self.policy_loads = Counter("metarl_policy_loads", "Checkpoints loaded.", ["outcome"], registry=reg)
        self.build_info = Gauge("metarl_build_info", "Release.", ["version"], registry=reg)
        self.build_info.labels(__version__).set(1)
        self._start_known_series()

    def _start_known_series(self) -> None:
        """Creates the known label sets at zero, so that a rate over them is defined from the first scrape."""
        for op in _REDIS_OPS:
            self.redis_duration.labels(op)
            for kind in self.redis_kinds:
                self.redis_errors.labels(op, kind)
        for status in ("cold", "adapted"):
            for outcome in ("ok", "replayed", "degraded"):
                self.recommendations.labels("champion", status, outcome)
        for reason in ("redis", "adaptation", "state", "impression"):
            self.degraded.labels(reason)
        for outcome in ("ok", "limited", "failed"):
            self.adaptations.labels(outcome)
        for cause in ("truncated", "foreign", "codec", "checksum"):
            self.state_resets.labels(cause)
        for reason in (
            "body_too_large",
            "body_timeout",
            "body_incomplete",
            "encoding",
            "path",
            "busy",
            "unauthorized",
            "forbidden",
            "rate_limited",
            "validation",
            "json",
        ):
            self.rejected.labels(reason)
        for outcome in ("applied", "duplicate", "rejected"):
            self.warm_up_events.labels(outcome)
        for outcome in ("loaded", "refused"):
            self.policy_loads.labels(outcome)
