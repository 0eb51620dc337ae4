"""What the layout promises: one-way imports, one place for RecBole, small modules, a light serving process."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("service", "metarl_rec", "simulator")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 400
TRAINER_LIBRARIES = ("torch", "recbole", "ray", "pandas", "scipy", "simulator", "matplotlib")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.AST) -> Iterator[str]:
    """Yields every module that is imported by name, wherever the statement stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and dotted(node.func) in ("importlib.import_module", "import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def dotted(node: ast.AST) -> str:
    """Returns `a.b.c` for an attribute chain of names, otherwise an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        value = dotted(node.value)
        return f"{value}.{node.attr}" if value else ""
    return ""


def unsafe_calls(tree: ast.AST) -> Iterator[str]:
    """Yields what may run code out of data: pickle and its kin, torch.load, eval and exec."""
    yield from (
        name for name in imported(tree) if name.split(".")[0] in ("pickle", "cPickle", "cloudpickle", "dill", "joblib")
    )
    yield from (name for name in imported(tree) if name == "torch.load")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func) in ("eval", "exec", "builtins.eval", "builtins.exec"):
            yield dotted(node.func)
        elif isinstance(node, ast.Attribute) and dotted(node) in ("torch.load", "torch.save"):
            yield dotted(node)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield "allow_pickle"


def public_names(tree: ast.Module) -> list[str]:
    """Returns what a module defines at its top level under a name without an underscore."""
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [each.id for target in node.targets for each in ast.walk(target) if isinstance(each, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("_")]


def declared(tree: ast.Module) -> list[str] | None:
    """Returns `__all__`, or None where a module has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(dotted(target) == "__all__" for target in node.targets):
            value = ast.literal_eval(node.value)
            return list(value)
    return None


def test_packages_modules_are_found() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in MODULES}
    assert found == set(PACKAGES)
    assert ROOT / "metarl_rec" / "embeddings.py" in MODULES


def test_import_contracts_hold() -> None:
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


def test_recbole_imports_stand_in_embeddings_alone() -> None:
    importers = {relative(path) for path in MODULES if any(n.split(".")[0] == "recbole" for n in imported(parse(path)))}
    assert importers == {"metarl_rec/embeddings.py"}


def test_no_module_runs_code_out_of_data() -> None:
    found = {relative(path): calls for path in MODULES if (calls := sorted(set(unsafe_calls(parse(path)))))}
    assert found == {}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import pickle", ["pickle"]),
        ("from pickle import loads", ["pickle", "pickle.loads"]),
        ("from torch import load", ["torch.load"]),
        ("import torch\ndef f(): return torch.load('x', weights_only=True)", ["torch.load"]),
        ("x = eval('1')", ["eval"]),
        ("np.load('x', allow_pickle=True)", ["allow_pickle"]),
        ("np.load('x', allow_pickle=False)\nmodel.eval()\nre.compile('x')", []),
    ],
)
def test_unsafe_calls_of_a_source_are_all_named(source: str, expected: list[str]) -> None:
    assert sorted(unsafe_calls(ast.parse(source))) == expected


def test_modules_are_at_most_400_lines() -> None:
    lines = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_modules_have_a_docstring() -> None:
    assert [relative(path) for path in MODULES if not ast.get_docstring(parse(path))] == []


def test_modules_with_public_names_declare_them() -> None:
    offenders = {}
    for path in MODULES:
        tree = parse(path)
        public = public_names(tree)
        if path.name != "__init__.py" and public and declared(tree) is None:
            offenders[relative(path)] = public
    assert offenders == {}


def test_modules_declared_names_exist() -> None:
    offenders = {}
    for path in MODULES:
        tree = parse(path)
        bound = {
            alias.asname or alias.name
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        if missing := set(declared(tree) or ()) - set(public_names(tree)) - bound - {"__version__"}:
            offenders[relative(path)] = sorted(missing)
    assert offenders == {}


def test_no_module_is_a_drawer_for_anything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert [relative(path) for path in MODULES if drawers & set(path.relative_to(ROOT).with_suffix("").parts)] == []


def test_serving_process_asks_for_no_trainer_library() -> None:
    # Refused as if not installed, with the name of whoever asked. Numba looks at the version of a SciPy that is there.
    program = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAINER_LIBRARIES!r}:
            frame = sys._getframe(1)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            print(name, "for", frame.f_globals["__name__"])
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Refuse())
import service.server, service.main, service.commands.serve, service.cli
assert not set({TRAINER_LIBRARIES!r}) & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.splitlines()) <= {"scipy for numba"}
