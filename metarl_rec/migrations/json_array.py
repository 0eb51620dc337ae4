"""One JSON array of objects, element by element: the file is never in memory as a whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path

from metarl_rec.reading import Meter
from metarl_rec.records import Row

__all__ = ["array_records"]

_PIECE_BYTES = 256 * 1024
_MAX_ELEMENT = 16 * 1024 * 1024
_BETWEEN = re.compile(r"[\s,\[\ufeff]*")


def array_records(path: Path, meter: Meter) -> Iterator[tuple[int, Row]]:
    """Yields each element with the line that it begins on; where the text is no JSON, what is wrong, and nothing more.

    Raises:
        DataError: the file cannot be read.
    """
    decoder, text, line = json.JSONDecoder(), "", 1
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    with meter.open(path) as file:
        ended = False
        while True:
            between = _BETWEEN.match(text)
            end = between.end() if between else 0
            line += text.count("\n", 0, end)
            text = text[end:]
            if text.startswith("]"):
                return
            try:
                value, end = decoder.raw_decode(text)
                # A number that stops where the piece does may go on.
                complete = ended or end < len(text)
            except (ValueError, RecursionError):
                complete = False
            if complete:
                meter.tick()
                yield line, value if isinstance(value, dict) else "not a JSON object"
                line += text.count("\n", 0, end)
                text = text[end:]
                continue
            if ended or len(text) > _MAX_ELEMENT:
                if text:
                    yield line, "not valid JSON from here on"
                return
            piece = file.read(_PIECE_BYTES)
            ended = not piece
            text += decode(piece, ended)
