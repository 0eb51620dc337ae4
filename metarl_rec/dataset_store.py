"""A data set on disk: atomic files, and a manifest with the digest that they must have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from metarl_rec.atomic import beside, read_attributes, read_ratings
from metarl_rec.dataset import AttributeValue, Dataset
from metarl_rec.errors import DataError

__all__ = ["load", "save"]

_FORMAT = 1
_ESCAPED = re.compile("[%\x00-\x1f\x7f-\x9f]")
_ESCAPED_IN_LIST = re.compile("[% \x00-\x1f\x7f-\x9f]")
_ESCAPE = re.compile("%([0-9A-F]{2})")


def save(dataset: Dataset, directory: Path) -> None:
    """Writes atomic files and manifest.json into `directory`, which is made if need be.

    RecBole reads the files as they are. Percent signs, control characters and, inside lists, spaces are written as %XX.
    """
    directory.mkdir(parents=True, exist_ok=True)
    prefix = directory / dataset.name
    manifest = directory / "manifest.json"
    manifest.unlink(missing_ok=True)  # An interrupted save must not look like a finished one.
    header = ["user_id:token", "item_id:token", "rating:float"]
    columns: list[Sequence[str]] = [
        [_escape(dataset.user_ids[u]) for u in dataset.user_index],
        [_escape(dataset.item_ids[i]) for i in dataset.item_index],
        [str(value) for value in dataset.rating],
    ]
    if dataset.timestamp is not None:
        header.append("timestamp:float")
        columns.append([repr(float(value)) for value in dataset.timestamp])
    _write(beside(prefix, ".inter"), header, zip(*columns, strict=True))
    _write_attributes(beside(prefix, ".user"), "user_id", dataset.user_ids, dataset.user_attributes)
    _write_attributes(beside(prefix, ".item"), "item_id", dataset.item_ids, dataset.item_attributes)
    summary = {
        "format": _FORMAT,
        "name": dataset.name,
        "users": len(dataset.user_ids),
        "items": len(dataset.item_ids),
        "ratings": len(dataset.rating),
        "digest": dataset.digest,
    }
    manifest.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def load(directory: Path) -> Dataset:
    """Returns the data set that `save` wrote.

    Raises:
        DataError: the directory holds no finished data set, or its files no longer have the digest in the manifest.
    """
    path = directory / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, name, digest = manifest["format"], manifest["name"], manifest["digest"]
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; run `metarl-rec import` first (ml-100k is bundled)") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not the manifest of a data set; import the data set again") from error
    if version != _FORMAT:
        raise DataError(f"{path} has format {version!r}, this version reads {_FORMAT}; import the data set again")
    prefix = directory / str(name)
    users = read_attributes(beside(prefix, ".user"), "user_id", renames={}, decode=_unescape)
    items = read_attributes(beside(prefix, ".item"), "item_id", renames={}, decode=_unescape)
    dataset = read_ratings(prefix, str(name), users, items, decode=_unescape)
    if dataset.digest != digest:
        raise DataError(f"{directory} was changed: its digest is {dataset.digest}, not {digest}; import it again")
    return dataset


def _write_attributes(
    path: Path, id_field: str, ids: tuple[str, ...], rows: tuple[dict[str, AttributeValue], ...]
) -> None:
    kinds: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kinds[name] = {str: "token", float: "float", list: "token_seq"}[type(value)]
    names = sorted(kinds)
    header = [f"{id_field}:token", *(f"{_escape(name)}:{kinds[name]}" for name in names)]
    body = (
        [_escape(each), *(_formatted(row.get(name)) for name in names)] for each, row in zip(ids, rows, strict=True)
    )
    _write(path, header, body)


def _formatted(value: AttributeValue | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, list):
        return " ".join(_ESCAPED_IN_LIST.sub(lambda found: f"%{ord(found[0]):02X}", entry) for entry in value)
    return repr(value)


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def _write(path: Path, header: list[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        out.write("\t".join(header) + "\n")
        out.writelines("\t".join(row) + "\n" for row in rows)
