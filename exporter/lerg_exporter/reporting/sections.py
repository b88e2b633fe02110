"""What the page says: the figures at its head, and what was read, measured and trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lerg_exporter.bundles.summary import STAGES, data_sentences
from lerg_exporter.reporting.found import Found
from lerg_exporter.reporting.markup import Markup, joined, plain, tag
from lerg_exporter.reporting.people import Item, Person
from lerg_exporter.reporting.pictures import curve, span
from lerg_runtime.sizes import format_size

__all__ = ["accuracy", "data", "head_figures", "people", "table", "training"]

_METRICS = (("ndcg@20", "NDCG@20"), ("recall@20", "Recall@20"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> Markup:
    """A table that scrolls by itself where it is too wide; all but the first `words` columns are figures."""

    def row(cell: str, texts: Sequence[str]) -> Markup:
        return tag(
            "tr", *(tag(cell, text, class_="n" if at >= words else "t") for at, text in enumerate(texts))
        )

    body = tag("tbody", *(row("td", texts) for texts in rows))
    return tag("div", tag("table", tag("thead", row("th", head)), body), class_="wide")


def head_figures(found: Found) -> Markup:
    """The few figures that most people look for."""
    metrics = _measured(found)
    storage, plan = found.bundle["storage"], found.plan
    share = 100 * storage["bundle_bytes"] / storage["baseline_bytes"]
    figures = [
        ("bundle", format_size(storage["bundle_bytes"]), f"{share:.2f} % of a full table"),
        ("memory to recommend", format_size(plan.phase("recommend").total_bytes), "planned, at most"),
    ]
    if metrics:
        title, last, bounds = metrics[-1]
        note = title if bounds is None else f"{title}; {_interval(bounds['ndcg@20'])}"
        figures.insert(0, ("NDCG@20", f"{last['ndcg@20']:.4f}", note))
    if not found.is_personal:
        size = format_size(plan.phase("finetune").total_bytes)
        figures.append(("memory to fine-tune", size, "planned, at most"))
    cards = (
        tag("div", tag("span", name), tag("b", figure), tag("small", note)) for name, figure, note in figures
    )
    return tag("div", *cards, class_="cards")


def data(found: Found) -> list[Markup]:
    """What was read, how it was split, what was left out."""
    dataset, told = found.dataset, found.bundle["data"]
    train, report = dataset.train, dataset.train.report
    cells = train.user_count * train.item_count
    counts = [
        ("rows read", report.rows_read),
        ("duplicates merged", report.duplicates_merged),
        ("bad rows skipped", report.bad_rows_skipped),
        ("rows rated below the threshold", report.below_threshold),
        ("users", train.user_count),
        ("  without a training pair", report.users_without),
        ("items", train.item_count),
        ("  without a training pair", report.items_without),
        ("training pairs", train.pair_count),
        ("test pairs", 0 if dataset.test is None else dataset.test.pair_count),
    ]
    rows = [(name, f"{count:,}") for name, count in counts]
    rows.append(("training pairs of all that could be", f"{100 * train.pair_count / cells:.3g} %"))
    sentences = (tag("li", plain(sentence)) for sentence in data_sentences(told))
    return [tag("ul", *sentences), table(("data", "number"), rows)]


def accuracy(found: Found) -> list[Markup]:
    """Every stage that was measured, with a picture of NDCG@20."""
    measured = _measured(found, all_stages=True)
    if not measured:
        return [tag("p", "Nothing was measured: there was no test set.")]
    most = max(
        max(metrics["ndcg@20"], *(bounds or {}).get("ndcg@20", (0.0,))) for _, metrics, bounds in measured
    )
    rows = []
    for title, metrics, bounds in measured:
        between = None if bounds is None else bounds["ndcg@20"]
        bar = span(metrics["ndcg@20"], between, most=most, label=f"{title}: {metrics['ndcg@20']:.4f}")
        cells = [_figure(metrics[name], None if bounds is None else bounds[name]) for name, _ in _METRICS]
        rows.append((joined((title, bar)), *cells, f"{metrics['users']:,}"))
    said = "Rankings of the whole catalogue, seen items left out, averaged over the users with test pairs. "
    if found.is_personal:
        said += "Each is served from a history, through the bundle's own programs."
    else:
        said += "All but the first are measured through the programs of a bundle."
    if any(bounds for *_, bounds in measured):
        said += " Thin lines and brackets are 95 % bootstrap intervals over users."
    return [tag("p", said), table(("stage", *(title for _, title in _METRICS), "users"), rows)]


def training(found: Found) -> list[Markup]:
    """Curves by epoch; of a personal bundle the codings that were tried."""
    parts = []
    if found.curves:
        drawn = (tag("figure", curve(each)) for each in found.curves)
        parts.append(tag("div", *drawn, class_="curves"))
    if any(each.title == "Fine-tuning" and each.first == 0 for each in found.curves):
        parts.append(
            tag(
                "p",
                "Fine-tuning runs through the bundle's own program; epoch 0 is before it. An epoch is kept "
                "where it gains half a percent or more. The curves are of the model before pruning and after "
                "it, so each has its own scale.",
            )
        )
    if found.codings:
        rows = [
            (
                f"{name} (taken)" if name == found.coding else name,
                f"{size:,}",
                "-" if score is None else f"{score:.4f}",
            )
            for name, size, score in found.codings
        ]
        said = (
            "Each coding of the items was tried on people held out of training. The smallest within a "
            "hundredth of the best is taken, or of those that fit a storage budget."
            if any(score is not None for *_, score in found.codings)
            else "Too few people could be held out to try codings on: the largest that fits is taken."
        )
        parts += [tag("p", said), table(("how items are stored", "bytes", "NDCG@20"), rows)]
    return parts or [tag("p", "Nothing was trained by epochs.")]


def people(found: Found) -> list[Markup]:
    """A few people, what they touched and what they are recommended."""
    in_time = found.dataset.train.timestamps is not None
    said = (
        "Some with few interactions, some with many. They are people of the data: keep this page as you keep "
        "the file that it was made from."
    )
    return [tag("p", said), tag("div", *(_person(each, in_time) for each in found.people), class_="people")]


def _person(person: Person, in_time: bool) -> Markup:
    count = f"{person.count:,} item{'' if person.count == 1 else 's'}"
    title = f"A history of {count}" if person.raw_id is None else plain(person.raw_id)
    touched = [tag("li", _item(item)) for item in person.touched]
    which = "Latest touched" if in_time else "Touched"
    if len(touched) < person.count:
        which += f", {len(touched)} of {person.count:,}" if not in_time else f" of {person.count:,}"
    recommended = [
        tag("li", _item(item), tag("span", f"{item.score:.3g}", class_="score"))
        for item in person.recommended
    ]
    nothing = tag("p", "Nothing is left to recommend: everything has been touched.")
    return tag(
        "section",
        tag("h3", title),
        tag("h4", which),
        tag("ul", *touched, class_="items"),
        tag("h4", "Recommended"),
        tag("ol", *recommended, class_="items") if recommended else nothing,
    )


def _item(item: Item) -> Markup:
    if item.title is None:
        return tag("span", plain(item.raw_id), class_="name")
    return tag("span", plain(item.title), " ", tag("small", plain(item.raw_id)), class_="name")


def _measured(
    found: Found, *, all_stages: bool = False
) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any] | None]]:
    """Title, metrics and intervals of stages; unless all are wanted, of those that ship."""
    intervals = found.bundle.get("intervals", {})
    return [
        (title.strip(), metrics, intervals.get(name) or None)
        for name, title in STAGES
        if (metrics := found.bundle["metrics"].get(name)) and (all_stages or not title.startswith(" "))
    ]


def _figure(value: float, bounds: Sequence[float] | None) -> Markup:
    parts: list[str] = [f"{value:.4f}"]
    if bounds is not None:
        parts += [" ", tag("small", _interval(bounds))]
    return joined(parts)


def _interval(bounds: Sequence[float]) -> str:
    return f"[{bounds[0]:.4f}, {bounds[1]:.4f}]"
