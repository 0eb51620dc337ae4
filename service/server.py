"""Running the service in this process, until SIGTERM or Ctrl+C; `python -m service.server` takes METARL_ variables."""

from __future__ import annotations

import logging
import signal
import sys

import uvicorn

from metarl_rec.errors import MetarlError
from service.main import create_app
from service.middleware import JsonFormatter
from service.settings import Settings, load_settings

__all__ = ["run"]


def run(settings: Settings) -> None:
    """Serves until a signal stops it; requests at work are finished first.

    Raises:
        MetarlError: it could not start; the text says why.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    config = uvicorn.Config(
        _Checked(create_app(settings)),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        h11_max_incomplete_event_size=16 * 1024,
        lifespan="on",
    )
    app = config.app
    # After an orderly stop uvicorn raises the signal again; without a handler that would end the process as killed.
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: None)
    uvicorn.Server(config).run()
    if isinstance(app, _Checked) and app.failure is not None:
        raise app.failure


class _Checked:
    """Keeps the reason why the lifespan failed: uvicorn itself would only log a traceback."""

    def __init__(self, app: object) -> None:
        self._app = app
        self.failure: MetarlError | None = None

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        try:
            await self._app(scope, receive, send)  # type: ignore[operator]
        except MetarlError as error:
            self.failure = error
            raise


def main() -> None:
    """Serves with settings from the environment alone; exit code 1 with one line where it cannot start."""
    try:
        run(load_settings())
    except MetarlError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
