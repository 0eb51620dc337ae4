"""Running the service in this process, until SIGTERM or Ctrl+C; `python -m service.server` takes METARL_ variables."""

from __future__ import annotations

import logging
import signal
import socket
import sys

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metarl_rec.errors import ConfigError, MetarlError
from service.bounded_http import bounded_http
from service.main import create_app
from service.middleware import JsonFormatter
from service.settings import Settings, load_settings

__all__ = ["check_address", "run"]


def run(settings: Settings) -> None:
    """Serves until a signal stops it; requests at work are finished first.

    Raises:
        MetarlError: it could not start; the text says why.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    app = _Checked(create_app(settings))
    # Before anything slow: a port in use is told at once, and nothing is left to stop.
    listener = _bound(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        http=bounded_http(settings),
        lifespan="on",
    )
    logging.getLogger("uvicorn.error").addFilter(lambda record: app.failure is None or record.levelno < logging.ERROR)
    # After an orderly stop uvicorn raises the signal again; without a handler that would end the process as killed.
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except SystemExit:
        if app.failure is not None:
            raise app.failure from None
        # Not foreseen: uvicorn has logged the traceback.
        sys.exit(1)
    finally:
        listener.close()


def check_address(host: str, port: int) -> None:
    """Makes sure that a service could listen there now.

    Raises:
        ConfigError: something else does, or the host is not of this machine.
    """
    _bound(host, port).close()


def _bound(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another --port or METARL_PORT"
        ) from None
    return listener


class _Checked:
    """Keeps the reason why the lifespan failed: uvicorn itself would only log a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: MetarlError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        refused: Message | None = None

        async def tell(message: Message) -> None:
            nonlocal refused
            # Held back until the exception behind it is known; its text is a traceback.
            if message["type"] == "lifespan.startup.failed":
                refused = message
            else:
                await send(message)

        try:
            await self._app(scope, receive, tell)
        except MetarlError as error:
            self.failure = error
            raise
        finally:
            if refused is not None:
                await send({"type": refused["type"]} if self.failure is not None else refused)


def main() -> None:
    """Serves with settings from the environment alone; exit code 1 with one line where it cannot start."""
    try:
        run(load_settings())
    except MetarlError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(1)


if __name__ == "__main__":
    main()
