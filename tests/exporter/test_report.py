"""`lerg-export run --report`: the page says what was done, runs nothing, and is written whole or not."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from _browser import visit

from lerg_edge.data.interactions import Dataset, IdMap
from lerg_edge.data.titles import ItemTitles
from lerg_edge.errors import InputError
from lerg_exporter import ExportOptions, ExportReport, export, export_personal, inspect_bundle, write_report
from lerg_exporter.cli import main
from lerg_exporter.exporting.small_bundle import small_dataset
from lerg_exporter.reporting.found import gathered
from lerg_exporter.reporting.page import page
from lerg_exporter.reporting.pictures import Curve, curve, stacked
from lerg_exporter.reporting.place import check_report_place
from lerg_runtime import Recommender
from lerg_runtime.sizes import format_size

pytestmark = pytest.mark.native

EVIL = "<script>alert(1)</script><img src=http://127.0.0.1:9/{side}{number} onerror=alert(2)>\"'&\x1b\u202e"
SMALL = {"dim": 8, "epochs": 1, "max_k": 20, "threads": 1, "device": "cpu"}
OPTIONS = ExportOptions(
    **SMALL, codebook_rows=16, batch=128, max_users=4, placeholders=6, finetune_epochs=2, newcomers=0
)  # fmt: skip


@dataclass(frozen=True)
class Made:
    """An export and what it was made from."""

    report: ExportReport
    dataset: Dataset


def hostile(dataset: Dataset) -> Dataset:
    """The same pairs, every id and every second title an attempt to be markup."""
    users, items = (
        IdMap.from_values(EVIL.format(side=side, number=f"{number:04d}") for number in range(count))
        for side, count in (("u", dataset.train.user_count), ("i", dataset.train.item_count))
    )
    assert dataset.test is not None
    titles = tuple(
        None if at % 2 else f"</style></title>Title {at}<script>" for at in range(dataset.train.item_count)
    )
    return replace(
        dataset,
        train=replace(dataset.train, user_ids=users, item_ids=items),
        test=replace(dataset.test, user_ids=users, item_ids=items),
        titles=ItemTitles(titles),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    dataset = hostile(small_dataset(60, 40, 600))
    return Made(export(dataset, tmp_path_factory.mktemp("made") / "a <b> & c", OPTIONS), dataset)


@pytest.fixture(scope="module")
def written(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(made.report, made.dataset, tmp_path_factory.mktemp("page") / "report")


class Elements(HTMLParser):
    """Names and attributes of all elements, and the text between them; they must be closed in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src", "xlink:href")}
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @classmethod
    def of(cls, text: str) -> Elements:
        found = cls()
        found.feed(text)
        found.close()
        assert not found._open
        return found


def cells(text: str, title: str) -> list[str]:
    """The figures of the row of a table that begins with a title."""
    rows = [
        [re.sub(r"<svg.*?</svg>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", text)
    ]
    (found,) = [row[1:] for row in rows if row and row[0].strip() == title]
    return [re.sub(r"<[^>]+>", "", cell) for cell in found]


def test_the_page_says_what_the_export_did(made: Made, written: Path) -> None:
    text, report = written.read_text(encoding="utf-8"), made.report
    found = inspect_bundle(report.path)
    train, test = made.dataset.train, made.dataset.test
    assert test is not None
    assert re.findall("<h2>(.*?)</h2>", text) == [
        "What was read",
        "Accuracy by stage",
        "Bytes by part",
        "Memory by phase",
        "Training",
        "Recommendations",
    ]
    assert cells(text, "training pairs") == [f"{train.pair_count:,}"]
    assert cells(text, "test pairs") == [f"{test.pair_count:,}"]
    assert cells(text, "rows read") == [f"{train.report.rows_read:,}"]
    for title, stage in (("after rewiring", "rewired"), ("after fine-tuning", "finetuned")):
        metrics, spans = found["metrics"][stage], found["intervals"][stage]
        ndcg, recall, users = cells(text, title)
        for cell, name in ((ndcg, "ndcg@20"), (recall, "recall@20")):
            assert cell == f"{metrics[name]:.4f} [{spans[name][0]:.4f}, {spans[name][1]:.4f}]"
        assert users == str(metrics["users"])
    assert cells(text, "before pruning")[0] == f"{found['metrics']['before_pruning']['ndcg@20']:.4f}"
    for name, parts in found["parts"].items():
        assert f"{name}: {sum(parts.values()):,} bytes" in text
    assert f"{sum(found['files'].values()):,} bytes in {len(found['files'])} files" in text
    for phase in ("open", "encode", "recommend", "finetune"):
        assert f'aria-label="{phase}: {format_size(found["memory"][phase])}"' in text
    tuned = report.tuned
    assert tuned is not None
    assert f"kept: epoch {tuned.best_epoch}" in text
    assert text.count('<svg class="curve"') == 2
    assert found["identity"] in text


def test_people_get_what_the_bundle_recommends(made: Made, written: Path) -> None:
    found = gathered(made.report, made.dataset)
    counts = [person.count for person in found.people]
    assert len(counts) == 4
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]
    train = made.dataset.train
    titles = (
        {}
        if made.dataset.titles is None
        else dict(zip(train.item_ids, made.dataset.titles.texts, strict=True))
    )
    with Recommender.open(made.report.path) as recommender:
        for person in found.people:
            assert person.raw_id is not None
            items, scores = recommender.recommend(person.raw_id, k=10)
            assert [item.raw_id for item in person.recommended] == items.tolist()
            assert [item.score for item in person.recommended] == scores.tolist()
            touched = train.items[train.users == train.user_ids.index_of(person.raw_id)]
            assert {item.raw_id for item in person.touched} <= {train.item_ids.values[at] for at in touched}
            assert len(touched) == person.count
            assert all(item.title == titles[item.raw_id] for item in (*person.touched, *person.recommended))


def test_latest_come_first_where_times_are_known(made: Made) -> None:
    train = made.dataset.train
    times = (train.items.astype("int64") * 7919) % 1009
    timed = replace(made.dataset, train=replace(train, timestamps=times))
    for person in gathered(made.report, timed).people:
        own = train.users == train.user_ids.index_of(person.raw_id)
        latest = [train.item_ids.values[at] for at in train.items[own][times[own].argsort()[::-1]]]
        assert [item.raw_id for item in person.touched] == latest[: len(person.touched)]


def test_nothing_in_the_data_is_markup(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    elements = Elements.of(text)
    assert "&lt;script&gt;alert(1)" in text
    assert "Title" in elements.text
    assert not elements.names & {"script", "img", "b>", "iframe", "link", "object", "base", "form"}
    assert not {name for name in elements.attributes if name.startswith("on")}
    assert all(address.startswith("#") for address in elements.addresses)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_parser_sees_markup_where_there_is_some() -> None:
    """The guard of the test above."""
    elements = Elements.of("<div><script>1</script><p onclick='x' /></div>")
    assert {"script", "div"} <= elements.names
    assert "onclick" in elements.attributes


def test_in_a_browser(written: Path, tmp_path: Path) -> None:
    found = visit(written, tmp_path)
    assert found.complaints == []
    assert found.requests == []
    assert found.document.count('<svg class="curve"') == 2
    assert "<footer>Made with" in found.document


def test_browser_tells_of_requests_and_errors(tmp_path: Path) -> None:
    """The guard of the test above."""
    bad = tmp_path / "bad.html"
    bad.write_text("<img src=http://127.0.0.1:9/seen><script>undefined.x</script>", encoding="utf-8")
    found = visit(bad, tmp_path)
    assert found.requests == ["http://127.0.0.1:9/seen"]
    assert len(found.complaints) == 1


def test_browser_runs_nothing_even_unescaped(written: Path, tmp_path: Path) -> None:
    """The page's own policy is a second lock."""
    text = written.read_text(encoding="utf-8")
    opened = tmp_path / "opened.html"
    evil = "<script>document.title='run'</script><img src=http://127.0.0.1:9/seen>"
    opened.write_text(text.replace("<main>", f"<main>{evil}"), encoding="utf-8")
    found = visit(opened, tmp_path)
    assert found.requests == []
    assert "<title>run" not in found.document
    assert len(found.complaints) >= 2


def test_same_export_same_page(made: Made, written: Path) -> None:
    assert page(gathered(made.report, made.dataset)) == written.read_text(encoding="utf-8")


def test_of_a_personal_bundle(tmp_path: Path) -> None:
    dataset = hostile(small_dataset(120, 40, 1_200, seed=3))
    options = ExportOptions(**SMALL, personal=True)
    report = export_personal(dataset, tmp_path / "bundle", options)
    text = write_report(report, dataset, tmp_path / "report").read_text(encoding="utf-8")
    Elements.of(text)
    assert "/u00" not in text  # no id of a user
    assert "A history of" in text
    assert f"{report.chosen.coding} (taken)" in text
    assert "people held out of training" in text
    assert "to fine-tune" not in text
    shown = gathered(report, dataset).people[-1]
    with Recommender.open(report.path) as recommender:
        of_one = [
            dataset.train.item_ids.values[dataset.train.items[dataset.train.users == user]].tolist()
            for user in range(dataset.train.user_count)
        ]
        answers = [
            recommender.recommend_from_history(items, k=10)[0].tolist()
            for items in of_one
            if len(items) == shown.count
        ]
    assert [item.raw_id for item in shown.recommended] in answers


def test_without_test_pairs_or_fine_tuning(tmp_path: Path) -> None:
    dataset = replace(small_dataset(40, 30, 300), test=None, split=None)
    report = export(dataset, tmp_path / "bundle", replace(OPTIONS, finetune_epochs=0))
    text = write_report(report, dataset, tmp_path / "report").read_text(encoding="utf-8")
    assert "Nothing was measured" in text
    assert text.count('<svg class="curve"') == 1


def test_places_that_are_refused(made: Made, written: Path, tmp_path: Path) -> None:
    bundle = made.report.path
    other = tmp_path / "other"
    other.mkdir()
    (other / "index.html").write_text("somebody's own", encoding="utf-8")
    source = tmp_path / "data" / "interactions.csv"
    source.parent.mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for path, why in (
        (bundle, "lie in each other"),
        (bundle / "report", "lie in each other"),
        (bundle.parent, "lie in each other"),
        (source.parent, "holds what is read"),
        (tmp_path / "none" / "report", "there is no folder"),
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "link", "is not a folder"),
        (other, "other files in it"),
    ):
        with pytest.raises(InputError, match=why):
            check_report_place(path, bundle=bundle, sources=(source, None), overwrite=True)
    with pytest.raises(InputError, match="--force"):
        check_report_place(written.parent, bundle=bundle, overwrite=False)
    assert (other / "index.html").read_text(encoding="utf-8") == "somebody's own"


def test_replaced_only_when_asked(made: Made, written: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(written.parent, tmp_path / "report"))
    before = (folder / "index.html").read_bytes()
    (folder / "index.html").write_bytes(before + b"<!-- older -->")
    write_report(made.report, made.dataset, folder, overwrite=True)
    assert (folder / "index.html").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


def test_whole_or_not_at_all(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lerg_exporter.reporting.place.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(made.report, made.dataset, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_curves_and_bars() -> None:
    drawn = curve(Curve("Fine-tuning", "loss", 1, (0.5, 0.4), None))
    assert "kept" not in drawn
    assert drawn == curve(Curve("Fine-tuning", "loss", 1, (0.5, 0.4), None))
    both = drawn + curve(Curve("Pretraining", "loss", 1, (0.5, 0.4), None))
    names = re.findall(r' id="([^"]+)"', both)
    assert len(names) == len(set(names)) > 0
    bar = stacked([("a", 1, "#fff"), ("<b>", 3, "#000")], most=8, label='"x"')
    assert re.findall(r'x="([\d.]+)" y="0" width="([\d.]+)"', bar) == [("0", "12.5"), ("12.5", "37.5")]
    assert "<title>&lt;b&gt;</title>" in bar


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "interactions.csv"
    rows = [f"u{user},i{(user * 7 + step * 3) % 30}" for user in range(30) for step in range(6)]
    path.write_text("user,item\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_command(capsys: pytest.CaptureFixture[str], table: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(["run", str(table), *map(str, arguments)])
        captured = capsys.readouterr()
        return int(exited.value.code or 0), captured.out, captured.err

    bundle, report = tmp_path / "bundle", tmp_path / "report"
    small = ["--dim", 8, "--epochs", 1, "--set", "codebook_rows=12", "--set", "finetune_epochs=0"]
    status, out, err = run("-o", bundle, "--report", report, "--json", *small)
    assert status == 0, err
    assert json.loads(out)["bundle"] == str(bundle)
    assert f"a report is in {report / 'index.html'}" in err
    assert "Export report: bundle" in (report / "index.html").read_text(encoding="utf-8")
    status, out, err = run("-o", tmp_path / "another", "--report", report)
    assert (status, out) == (2, "")
    assert "--force" in err
    assert not (tmp_path / "another").exists()
