"""The application as it is on a public address."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.keys import ADMIN, Clock
from tests.running_service import Running, running


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is told."""
    return Clock()


@pytest.fixture
async def guarded(checkpoint_dir: Path, tmp_path: Path, clock: Clock, anyio_backend: str) -> AsyncIterator[Running]:
    """The application asking for keys, with a clock that stands still."""
    async with running(checkpoint_dir, tmp_path / "service", auth="required", admin_key=ADMIN, clock=clock) as app:
        yield app
