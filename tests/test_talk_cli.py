"""The verbs that talk to a running service: tables for people, JSON for programs, exit codes, errors in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from tests.service_process import ServiceProcess, free_port


@pytest.fixture(scope="module")
def service(checkpoint_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service process."""
    data = tmp_path_factory.mktemp("talk") / "data"
    with ServiceProcess(checkpoint_dir, data, redis_timeout_s=5, redis_connect_timeout_s=5) as running:
        yield running


class Shell:
    """Types commands for one service."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def __call__(self, *arguments: str, code: int = 0, **environment: str) -> Result:
        """Runs a command, which must end with an exit code and without a traceback."""
        given = {"METARL_URL": self._url, "METARL_API_KEY": None, "COLUMNS": "200", "TERM": "dumb", **environment}
        result = CliRunner().invoke(app, list(arguments), env=given)
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Returns the one JSON document that a command prints."""
        return json.loads(self(*arguments, "--json", code=code).stdout)


@pytest.fixture
def shell(service: ServiceProcess) -> Shell:
    """A shell with the service's address in its environment."""
    return Shell(service.port)


def test_recommend_prints_a_table_or_json_and_feedback_is_in_the_next_one(shell: Shell) -> None:
    output = shell("recommend", "tab", "-k", "3", "--filter", '"drama" in genres', "--explain").output
    assert re.search(r"rank +item +score +propensity +attributes +why", output)
    assert output.count("genres=drama") == 3
    assert "cold user, 0 transitions" in output
    slate = shell.json("recommend", "tab", "-k", "2", "--id", "mine")
    assert shell.json("recommend", "tab", "-k", "2", "--id", "mine") == slate
    liked = slate["items"][0]["item_id"]
    told = shell("feedback", "tab", liked, "like", "--recommendation", "mine", "--event-id", "e1").output
    assert "applied; tab is adapted, 1 transitions" in told
    assert (
        "counted before"
        in shell("feedback", "tab", liked, "like", "--recommendation", "mine", "--event-id", "e1").output
    )
    after = shell.json("recommend", "tab", "-k", "50", "--greedy", "--exclude", "item7")
    assert after["user"]["status"] == "adapted"
    assert not {liked, "item7"} & {item["item_id"] for item in after["items"]}


def test_feedback_file_reports_lines_and_the_same_file_counts_once(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        {"user_id": "file", "item_id": "item1", "type": "like"},
        {"user_id": "file", "item_id": "item2", "type": "rating"},
        {"user_id": "file", "item_id": "nothing", "type": "like"},
        {"user_id": "file", "item_id": "item5", "type": "rating", "value": 5, "event_id": "mine"},
    ]
    path.write_text("\n".join([json.dumps(line) for line in lines] + ["{broken", "", "[1]", '{"a": "\\ud800"}']))
    found = shell.json("feedback", "--file", str(path), code=1)
    assert (found["applied"], found["duplicates"]) == (2, 0)
    assert [(each["line"], each["code"]) for each in found["rejected"]] == [
        (2, "invalid_field"),
        (5, "invalid_json"),
        (7, "invalid_field"),
        (8, "invalid_json"),
        (3, "unknown_item"),
    ]
    again = shell("feedback", "--file", str(path), code=1).output
    assert "0 applied, 2 counted before, 5 rejected" in again
    assert "events.jsonl, line 2: a rating needs its value" in again
    assert shell.json("users", "get", "file")["transitions"] == 2


def test_feedback_file_larger_than_a_batch_arrives_whole(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    with path.open("w") as out:
        for number in range(2500):
            event = {"user_id": f"many{number % 40}", "item_id": f"item{number % 200}", "type": "click"}
            out.write(json.dumps(event) + "\n")
    assert shell.json("feedback", "--file", str(path)) == {"applied": 2500, "duplicates": 0, "rejected": []}


def test_users_put_patch_get_reset_merge_export_explain_delete(shell: Shell) -> None:
    assert shell.json("users", "put", "u1", "-a", "age=31", "-a", "gender=F")["attributes"] == {
        "age": 31,
        "gender": "F",
    }
    assert shell.json("users", "patch", "u1", "-a", "gender=null")["attributes"] == {"age": 31}
    shell("feedback", "u1", "item0", "like")
    shell("feedback", "guest", "item4", "like")
    merged = shell("users", "merge", "u1", "guest").output
    assert "u1: adapted, 2 transitions" in merged
    assert re.search(r"age +31", merged)
    assert shell("users", "get", "guest", code=1).output.startswith("refused: unknown_user")
    explained = shell("users", "explain", "u1", "-k", "3").output
    assert re.search(r"rank +item +score +rank before +score before", explained)
    assert re.search(r"item[04] +1 +20\d\d-", explained)
    assert len(shell.json("users", "explain", "u1", "-k", "3")["items"]) == 3
    kinds = [json.loads(line)["kind"] for line in shell("users", "export", "u1").stdout.splitlines()]
    assert kinds[:3] == ["user", "transition", "transition"]
    assert shell.json("users", "reset", "u1")["attributes"] == {"age": 31}
    assert shell.json("users", "reset", "u1", "--attributes")["attributes"] == {}
    shell("users", "delete", "u1")
    shell("users", "delete", "u1")
    shell("users", "get", "u1", code=1)


def test_users_warm_up_tells_histories_of_many_users(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    old = {"type": "rating", "value": 5, "timestamp": "2020-05-01T10:00:00Z"}
    lines = [{"user_id": f"h{number % 3}", "item_id": f"item{number}", **old} for number in range(180)]
    path.write_text("\n".join(json.dumps(line) for line in [*lines, {"item_id": "item3", **old}]))
    found = shell.json("users", "warm-up", str(path), code=1)
    assert found["applied"] == 180
    assert [each["line"] for each in found["rejected"]] == [181]
    assert shell.json("users", "get", "h1")["status"] == "adapted"
    again = shell.json("users", "warm-up", str(path), "--user", "h9")
    assert (again["applied"], again["duplicates"], again["rejected"]) == (1, 180, [])


def test_items_put_patch_list_similar_bulk_delete(shell: Shell, tmp_path: Path) -> None:
    put = shell(
        "items", "put", "m1", "-a", 'genres=["drama"]', "-a", "price=9.5", "--expires-at", "2099-01-01T00:00:00Z"
    )
    assert re.search(r"m1 +yes +0\.\d+ +genres=drama +price=9.5 +2099-01-01", put.output)
    assert "good for filters: price" in put.output
    patched = shell.json("items", "patch", "m1", "--unavailable", "-a", "price=null")
    assert (patched["available"], patched["attributes"]) == (False, {"genres": ["drama"]})
    assert shell("items", "similar", "m1", "-k", "2").output.count("genres=drama") == 2
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": "b1", "attributes": {"price": 1}}\n{"item_id": 7}\n{"item_id": "b2"}\n')
    assert "2 applied, 1 rejected" in shell("items", "bulk", str(path), code=1).output
    assert shell.json("items", "bulk", str(path), code=1)["rejections"][0]["line"] == 2
    listed = shell("items", "list", "--json").stdout.splitlines()
    assert [json.loads(line)["item_id"] for line in listed[-3:]] == ["m1", "b1", "b2"]
    assert len(shell("items", "list", "--json", "--limit", "7").stdout.splitlines()) == 7
    assert "the first 20" in shell("items", "list").output
    assert "b1" in shell("items", "list", "--filter", "price < 2").output
    for item in ("m1", "b1", "b2"):
        shell("items", "delete", item)
    assert "unknown_item" in shell("items", "get", "m1", code=1).output


def test_text_from_outside_is_shown_and_not_obeyed(shell: Shell) -> None:
    shell("items", "put", "evil", "-a", "title=[red]x[/] \x1b[2Jboo\nline", "-a", "[bold]=1")
    output = shell("items", "get", "evil").output
    assert "\x1b[2J" not in output
    assert "[red]x[/]" in output
    assert "[bold]=1" in output
    shell("items", "delete", "evil")


def test_refusal_is_one_line_with_code_1_and_names_the_request(shell: Shell) -> None:
    output = shell("recommend", "ada", "--filter", "price <", code=1).output
    assert re.fullmatch(r"refused: \w+: filter.*\(request [0-9a-f]{16}\)\n", output)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recommend", "ada", "-k", "0"], "-k"),
        (["recommend", "ada", "-a", "age"], "NAME=VALUE"),
        (["recommend", "ada", "--url", "localhost"], "must look like http"),
        (["recommend", "ada", "--api-key", "with space"], "printable ASCII"),
        (["feedback", "ada", "50"], "USER, ITEM and TYPE"),
        (["feedback", "ada", "50", "lik"], "impression, click"),
        (["feedback", "ada", "50", "like", "--file", "x"], "either"),
        (["feedback", "--file", "missing.jsonl"], "missing.jsonl"),
        (["items", "bulk", "missing.jsonl"], "missing.jsonl"),
        (["items", "put", "m", "--expires-at", "tomorrow"], "no time with a zone"),
        (["items", "get", ""], "must not be empty"),
        (["users", "warm-up", "missing.jsonl"], "missing.jsonl"),
        (["users", "get", "\udcff"], "error"),
    ],
)
def test_wrong_usage_is_code_2_and_says_what_is_wrong(shell: Shell, arguments: list[str], words: str) -> None:
    assert words in shell(*arguments, code=2).output.replace("\n", " ")


def test_service_not_running_says_so_and_how_to_start_one() -> None:
    away = Shell(free_port())
    for arguments in (["recommend", "ada"], ["items", "list"], ["users", "get", "ada"], ["feedback", "a", "1", "like"]):
        output = away(*arguments, code=2).output.replace("\n", " ")
        assert "is the service running? start one with `metarl-rec serve`" in output


def test_key_on_the_command_line_warns_and_is_not_repeated(shell: Shell) -> None:
    output = shell("recommend", "ada", "--api-key", "secret-key-1").output
    assert "METARL_API_KEY is not" in output
    assert "secret-key-1" not in output
    assert "warning" not in shell("recommend", "ada", METARL_API_KEY="secret-key-1").output


def test_help_of_every_verb_teaches_with_an_example() -> None:
    verbs = [["recommend"], ["feedback"]]
    verbs += [["items", verb] for verb in ("get", "put", "patch", "delete", "list", "similar", "bulk")]
    verbs += [
        ["users", verb] for verb in ("get", "put", "patch", "delete", "warm-up", "reset", "merge", "export", "explain")
    ]
    for verb in verbs:
        output = CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "200"}).output
        assert f"Example: metarl-rec {' '.join(verb)}" in output
    for group in ("items", "users"):
        assert CliRunner().invoke(app, [group, "--help"]).output.count("\n") > 12
