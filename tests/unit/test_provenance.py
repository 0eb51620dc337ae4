"""Where the code came from: the commit of its own checkout alone, and a digest of what can decide a figure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from metarl_rec import provenance

CODE = (
    "metarl_rec/train.py",
    "metarl_rec/protocols/drift.py",
    "metarl_rec/protocols/drift_report.py",
    "simulator/env.py",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Returns a checkout with one commit, which holds both packages and a README."""
    root = (tmp_path / "checkout").resolve()
    for name in (*CODE, "README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n", encoding="utf-8")
    author = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    for arguments in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message=first"]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)
    return root


def digest(root: Path, *, reports: bool = True) -> str:
    provenance.sources.cache_clear()
    return provenance.sources(root, reports=reports)


def commit(root: Path) -> str:
    provenance._commit.cache_clear()
    return provenance._commit(root)


def test_commit_is_that_of_the_code_and_says_where_files_differ(checkout: Path) -> None:
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert commit(checkout) == head.stdout.strip()
    (checkout / "simulator/env.py").write_text("# otherwise\n", encoding="utf-8")
    assert commit(checkout) == head.stdout.strip() + "-dirty"


def test_commit_of_a_checkout_around_the_code_is_not_its_own(checkout: Path) -> None:
    packages = checkout / ".venv/lib/site-packages"
    packages.mkdir(parents=True)
    assert commit(packages) == "unknown"


def test_machine_without_git_says_that_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    provenance._commit.cache_clear()
    found = provenance.machine()
    provenance._commit.cache_clear()
    assert found["commit"] == "unknown"
    assert found["sources"] == provenance.sources()


@pytest.mark.parametrize("name", CODE)
def test_sources_change_with_every_edit_of_code_committed_or_not(checkout: Path, name: str) -> None:
    digests = [digest(checkout)]
    for text in ("# one edit\n", "# the next\n"):
        (checkout / name).write_text(text, encoding="utf-8")
        digests.append(digest(checkout))
    (checkout / name).rename((checkout / name).with_name("moved.py"))
    digests.append(digest(checkout))
    assert len(set(digests)) == 4


def test_sources_do_not_change_with_what_is_no_code(checkout: Path) -> None:
    before = digest(checkout)
    (checkout / "README.md").write_text("another figure\n", encoding="utf-8")
    (checkout / "metarl_rec/results.json").write_text("{}\n", encoding="utf-8")
    assert digest(checkout) == before


def test_sources_of_what_is_played_do_not_change_with_how_a_report_reads(checkout: Path) -> None:
    before = digest(checkout, reports=False)
    (checkout / "metarl_rec/protocols/drift_report.py").write_text("# other words\n", encoding="utf-8")
    assert digest(checkout, reports=False) == before
    (checkout / "metarl_rec/protocols/drift.py").write_text("# another game\n", encoding="utf-8")
    assert digest(checkout, reports=False) != before


def test_modules_that_only_report_are_there() -> None:
    assert all((provenance._ROOT / name).exists() for name in provenance._REPORTING)
