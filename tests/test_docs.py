"""The pages say what is so: links lead somewhere, the picture is that of the sources, examples run."""

from __future__ import annotations

import doctest
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from traced import built

from lerg_exporter.cli._main import _lerg_export
from lerg_runtime.cli._main import _lerg_edge

ROOT = Path(__file__).parent.parent
SOURCES = {"lerg_edge": ROOT, "lerg_exporter": ROOT / "exporter", "lerg_runtime": ROOT / "runtime"}
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not {".venv", "build", "dist", ".pytest_cache"} & set(page.relative_to(ROOT).parts)
)
WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
    for package, folder in SOURCES.items()
    for file in (folder / package).rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


def without_code(text: str) -> str:
    """A page without its blocks and spans of code, in which brackets are no links."""
    return re.sub(r"`[^`\n]+`", "", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


def anchors(page: Path) -> set[str]:
    """What links can call the headings of a page, as GitHub and the pages that `make docs` builds do."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.relative_to(ROOT)} links {link}"
        assert not anchor or anchor in anchors(target), f"{page.relative_to(ROOT)} links {link}"


def test_readme_links_every_page() -> None:
    """Or a page does that it links."""
    found, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page.suffix != ".md" or page in found:
            continue
        found.add(page)
        for link in re.findall(r"\]\(([^)\s#]+)", without_code(page.read_text(encoding="utf-8"))):
            if not re.match(r"[a-z]+:", link) and (page.parent / link).is_file():
                left.append((page.parent / link).resolve())
    made_by_sphinx = {ROOT / "docs" / "index.md", *(ROOT / "docs" / "api").glob("*.md")}
    assert not set((ROOT / "docs").rglob("*.md")) - found - made_by_sphinx


def test_named_files_are_there() -> None:
    """Files and folders that pages name as code, from the root of the project."""
    name = re.compile(
        r"`((?:docs|tests|examples|tools|runtime|exporter|lerg_edge|benchmarks|device_tests)/[\w./-]+)`"
    )
    for page in PAGES:
        for path in name.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.relative_to(ROOT)} names {path}"


def test_named_modules_are_there() -> None:
    """Modules and what is in them, where pages name them with dots."""
    for page in PAGES:
        for name in re.findall(
            r"`((?:lerg_edge|lerg_exporter|lerg_runtime)(?:\.\w+)+)`", page.read_text(encoding="utf-8")
        ):
            module, rest = name, []
            while True:
                try:
                    found = importlib.import_module(module)
                    break
                except ModuleNotFoundError:
                    module, _, last = module.rpartition(".")
                    rest.insert(0, last)
            for part in rest:
                assert hasattr(found, part), f"{page.relative_to(ROOT)} names {name}"
                found = getattr(found, part)


def test_commands_have_the_options_that_pages_give_them() -> None:
    groups = {"lerg-edge": _lerg_edge, "lerg-export": _lerg_export}

    checked = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for program, name, rest in re.findall(
            r"\b(lerg-edge|lerg-export) ([a-z]+(?:-[a-z]+)*)\b([^\n`]*)", text
        ):
            command = groups[program].commands.get(name)
            given = re.findall(r"(?<![\w-])--[a-z][\w-]*", rest.split("#")[0])
            if command is None:
                assert not given, f"{page.relative_to(ROOT)} names {program} {name}"
                continue
            known = {"--help"}
            for parameter in command.params:
                known |= {*parameter.opts, *parameter.secondary_opts}
            assert set(given) <= known, f"{page.relative_to(ROOT)}: {program} {name}{rest}"
            checked += len(given)
    assert checked > 30


def test_picture_is_that_of_the_sources(tmp_path: Path) -> None:
    drawn = tmp_path / "architecture.svg"
    subprocess.run([sys.executable, ROOT / "tools" / "draw_architecture.py", drawn], check=True)
    stored = ROOT / "docs" / "architecture.svg"
    assert drawn.read_bytes() == stored.read_bytes(), "run: python tools/draw_architecture.py"


@pytest.mark.parametrize("package", SOURCES)
def test_reference_has_every_public_name(package: str) -> None:
    page = package.removeprefix("lerg_")
    text = (ROOT / "docs" / "api" / f"{page}.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\.\. auto(?:class|exception|function):: (?:\w+\.)?(\w+)$", text, flags=re.M))
    assert set(importlib.import_module(package).__all__) <= listed


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    """A small bundle whose ids are `user-0000` and so on, and `item-0000`."""
    return str(shutil.copytree(built(text_ids=True), tmp_path / "bundle"))


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_in_docstrings(module: str, bundle: str) -> None:
    result = doctest.testmod(importlib.import_module(module), extraglobs={"bundle": bundle})
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize("page", [page for page in PAGES if ">>> " in page.read_text(encoding="utf-8")])
def test_examples_on_pages(page: Path, bundle: str) -> None:
    result = doctest.testfile(str(page), module_relative=False, globs={"bundle": bundle}, encoding="utf-8")
    assert result.attempted
    assert not result.failed


def test_readme_example(bundle: str) -> None:
    """With a folder, a user and an item that are there."""
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S | re.M
    )
    before = Path(bundle, "state.bin").read_bytes()
    for name, other in (("bundle", bundle), ("alice", "user-0007"), ("tt0111161", "item-0003")):
        assert f'"{name}"' in block
        block = block.replace(f'"{name}"', repr(other))
    exec(block, {})
    assert Path(bundle, "state.bin").read_bytes() != before


def test_there_are_examples_in_each_package() -> None:
    assert {module.split(".")[0] for module in WITH_EXAMPLES} == set(SOURCES)
