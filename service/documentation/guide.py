"""What stands above the operations: the calls to begin with, and what holds for all of them."""

from __future__ import annotations

from typing import Final

__all__ = ["DESCRIPTION", "TAGS"]

DESCRIPTION: Final = """Recommendations that become personal after two or three reactions.

### Begin with three calls

```sh
# 1. A slate for somebody nobody knows: what the population likes.
curl -s http://127.0.0.1:8000/v1/recommendations -H 'content-type: application/json' \\
  -d '{"user_id": "ada", "k": 5}'
# 2. What ada did. The policy is adapted before the answer comes.
curl -s http://127.0.0.1:8000/v1/feedback -H 'content-type: application/json' \\
  -d '{"events": [{"event_id": "1", "user_id": "ada", "item_id": "50", "type": "like"}]}'
# 3. The next slate is ada's own, and says why.
curl -s http://127.0.0.1:8000/v1/recommendations -H 'content-type: application/json' \\
  -d '{"user_id": "ada", "k": 5, "explain": true}'
```

Or open an operation below, and press Execute: the examples are filled in. The items are those of the checkpoint
(`GET /v1/items` lists them) and those that you `PUT`.

### Keys

Where the service asks for keys (everywhere but on a loopback address), send one as `Authorization: Bearer KEY` or
`X-API-Key: KEY`; *Authorize* on this page does. A key belongs to one tenant and has a role: a *reader* gets
recommendations and reads, a *writer* sends feedback and changes users and items, too, an *admin* makes keys. The first
one is METARL_ADMIN_KEY; `POST /v1/api-keys` makes the others.

### Repeating a call

Repeat a call as it was where no answer came. Feedback counts once by its `event_id`, a slate is drawn once by the
`recommendation_id` that you choose, a change made twice is made once; only `POST /v1/api-keys` makes another key. Ids
are any text of 1 to 256 characters; in a path they are percent-encoded, `/` as `%2F`.

### Refusals

They are problem documents (RFC 9457): `code` is for programs, `detail` says what to do, `request_id` finds the call in
the service's log. 429 and 503 come with `Retry-After`. Without its Redis the service goes on recommending what the
population likes (`degraded` says so) and refuses feedback.

### Filters

Expressions over item attributes, for `filter` and `boosts`: `"Drama" in genres`, `year >= 1990`,
`country = "FR"`, `brand in ["a", "b"]`, `exists(price)`, `item_id != "50"`, joined by `and`, `or`, `not` and
parentheses. Names with other characters than letters, digits, `_`, `.` and `-` stand between backticks. A test is false
for an item that lacks the attribute, `!=` too.
"""

TAGS: Final = [
    {"name": "recommendations", "description": "Slates: what to show to whom, with the probability of every choice."},
    {"name": "feedback", "description": "What users did with it; the next slate knows."},
    {"name": "users", "description": "What is held of a user: attributes, history, export, explanation, deletion."},
    {"name": "items", "description": "The catalogue: a change is effective in the very next slate."},
    {"name": "administration", "description": "API keys, and tenants with users and items of their own."},
    {"name": "operations", "description": "Probes, metrics, version."},
]
"""Groups of operations, in the order in which somebody new meets them."""
