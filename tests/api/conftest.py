"""The application as it is on a public address, and one that the tests of a module share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.keys import ADMIN, Clock
from tests.running_service import Running, running


@pytest.fixture(scope="module")
async def shared_app(
    checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Running]:
    """One application for all tests of a module: none of their requests may change what another one sees."""
    async with running(checkpoint_dir, tmp_path_factory.mktemp("shared") / "service") as service:
        yield service


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is told."""
    return Clock()


@pytest.fixture
async def guarded(checkpoint_dir: Path, tmp_path: Path, clock: Clock, anyio_backend: str) -> AsyncIterator[Running]:
    """The application asking for keys, with a clock that stands still."""
    async with running(checkpoint_dir, tmp_path / "service", auth="required", admin_key=ADMIN, clock=clock) as app:
        yield app
