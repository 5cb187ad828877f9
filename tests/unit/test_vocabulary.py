"""Retired words stay out of names, comments, docstrings and documents.

Docs/glossary.md has their successors.
"""

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from jobs.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for part in ("jobs", "serving", "dags", "tests") for path in (ROOT / part).rglob("*.py")
)
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]

# Words that are part of no name. The field's word is in the glossary.
RETIRED_NAMES = {
    *(
        "bring",
        "brings",
        "tell",
        "tells",
        "told",
        "said",
        "shown",
        "heard",
        "kept",
        "never",
        "settle",
        "settles",
    ),
    *("foretell", "foretold", "together", "crown", "crowned", "uncrown", "house", "shelf", "shelves"),
    *("catalogue", "catalogues"),
}
# A genre of the demo library, and a method of Python's files.
ALLOWED_NAMES = {("jobs/demo/electronic.py", "house"), ("tests/unit/plays/test_spool.py", "tell")}

RETIRED_PHRASES = re.compile(
    r"\bforetells?\b|\bforetold\b|\bgoes? together\b|\b(?:is|are|was) taken up\b"
    r"|\bgoes on from (?:here|where)\b"
    r"|\bis told\b|\bare told\b|\bis no (?:event|audio)\b|\bthat is none\b|\bnewcomers?\b|\bthe night\b"
    r"|\bbrings? \w+ up to\b|\bheard\b|\bwhat is said\b|\bone that is\b|\bcatalogues?\b",
    re.IGNORECASE,
)


def words(name: str) -> set[str]:
    """Return the words of a name; a test's name is a sentence, in which "never" is an English word."""
    name = name.replace("_never_", "_") if name.startswith("test_") else name
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_"))


def defined_names(path: Path) -> Iterator[tuple[int, str]]:
    yield 0, path.stem
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def comments_and_docstrings(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text("utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def findings(paths: list[Path], texts: Callable[[Path], Iterable[tuple[int, str]]]) -> list[str]:
    return [
        f"{relative(path)}:{line} {match[0]}"
        for path in paths
        for line, text in texts(path)
        for match in RETIRED_PHRASES.finditer(text)
    ]


def numbered_lines(path: Path) -> Iterable[tuple[int, str]]:
    return enumerate(path.read_text("utf-8").splitlines(), 1)


def test_names_have_no_retired_word() -> None:
    found = [
        f"{relative(path)}:{line} {name}"
        for path in SOURCES
        for line, name in defined_names(path)
        if words(name) & RETIRED_NAMES and (relative(path), name) not in ALLOWED_NAMES
    ]
    assert not found


def test_comments_have_no_retired_phrase() -> None:
    assert not findings([path for path in SOURCES if path != Path(__file__)], comments_and_docstrings)


def test_documents_have_no_retired_phrase() -> None:
    assert not findings(DOCUMENTS, numbered_lines)


def test_documents_link_to_files_that_exist() -> None:
    missing = [
        f"{relative(path)}: {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text("utf-8"))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not missing


def test_a_retired_word_is_found(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text("def f(told):\n    # what is said here\n    heard_now = told\n")
    assert [name for _, name in defined_names(file) if words(name) & RETIRED_NAMES] == ["told", "heard_now"]
    assert [text for _, text in comments_and_docstrings(file) if RETIRED_PHRASES.search(text)] == [
        "# what is said here"
    ]


def test_every_command_that_is_named_exists():
    named = [
        (path.name, name)
        for path in [*DOCUMENTS, *SOURCES]
        for name in re.findall(r"`segue ([a-z][a-z-]+)", path.read_text("utf-8"))
    ]
    assert len(named) > 100
    assert [each for each in named if each[1] not in COMMANDS] == []
