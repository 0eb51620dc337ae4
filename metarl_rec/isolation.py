"""Keeps what a training library does to the process inside one `with` block."""

from __future__ import annotations

import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

__all__ = ["contained"]

# RecBole puts names back that NumPy has dropped; code that asks for them must go on failing elsewhere.
_NUMPY_ALIASES = ("bool", "int", "float", "complex", "object", "str", "long", "unicode")


@contextmanager
def contained(package: str) -> Iterator[None]:
    """Restores, on leaving, what code of `package` changes in the process; it is silent meanwhile.

    Restored: the state of Python's, NumPy's and torch's random generators, torch's thread count and cuDNN switches,
    `sys.argv` (without arguments inside), the environment, the working directory and NumPy's attributes. Warnings are
    ignored inside, and what the package logs to the root logger is dropped. All of this belongs to the process: enter
    one such block at a time.
    """
    import torch

    argv, environment, directory = sys.argv, dict(os.environ), Path.cwd()
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - RecBole draws from it
    threads = torch.get_num_threads()
    cudnn = (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
    aliases = {name: vars(np)[name] for name in _NUMPY_ALIASES if name in vars(np)}
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]

    def keep(record: logging.LogRecord) -> bool:
        return f"{os.sep}{package}{os.sep}" not in record.pathname

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=devices):
            warnings.simplefilter("ignore")
            sys.argv = argv[:1]
            yield
    finally:
        root.removeFilter(keep)
        sys.argv = argv
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        os.chdir(directory)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        for name in _NUMPY_ALIASES:
            if name in aliases:
                setattr(np, name, aliases[name])
            elif name in vars(np):
                delattr(np, name)
