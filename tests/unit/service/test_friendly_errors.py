"""Ctrl+C and faults, as `friendly_errors` tells them apart."""

from __future__ import annotations

import pytest
import typer

from service.commands.options import friendly_errors


def interrupted_kernel() -> None:
    """What numba's dispatcher makes of a signal that arrives while a kernel runs."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise SystemError("CPUDispatcher returned a result with an exception set") from error


def test_interrupt_within_a_compiled_kernel_is_an_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stopped, friendly_errors(debug=False, on_interrupt="stopped here"):
        interrupted_kernel()
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().err == "stopped here\n"


def test_system_error_of_another_cause_is_not_hidden() -> None:
    with pytest.raises(SystemError, match="something else"), friendly_errors(debug=False):
        raise SystemError("something else")
