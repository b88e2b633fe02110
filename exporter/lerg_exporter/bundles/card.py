"""The model card of a bundle, as Markdown: what it was made from, its accuracy, what it takes and discloses.

After "Model Cards for Model Reporting" (Mitchell et al., arXiv 1810.03993). All is taken from the bundle
itself, whose maker may be a stranger: what the manifest holds as text is shown as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lerg_exporter.bundles.summary import STAGES, data_sentences
from lerg_runtime.sizes import format_size

__all__ = ["model_card"]

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_METRICS = (("ndcg@20", "NDCG@20"), ("recall@20", "Recall@20"))
_OF_IDS = ("keep_users", "keep_items")
_LONGEST = 2_000  # characters of a value


def model_card(found: Mapping[str, Any], *, name: str) -> str:
    """The card of a bundle.

    Args:
        found: what `inspect_bundle` tells of it.
        name: how to call it, such as the name of its folder.

    Raises:
        KeyError, TypeError, ValueError: the manifest lacks what is told for people, or tells it otherwise.
    """
    sections = (
        ("Data", _data(found)),
        ("Accuracy", _accuracy(found)),
        ("What it takes", _costs(found)),
        ("What it discloses", _disclosure(found)),
        ("How it was made", _making(found)),
    )
    parts = [f"# Model card: {_text(name)}", _headline(found)]
    for title, lines in sections:
        parts += [f"## {title}", *lines]
    return "\n\n".join(parts) + "\n"


def _headline(found: Mapping[str, Any]) -> str:
    model = found["model"]
    if found["form"] == "personal":
        serves = "It serves one person from the history that their device keeps, and knows no user."
        what = f"A recommender of {model['items']:,} items for one person"
    else:
        serves = "It serves the users that it was made from, and others from a history."
        what = f"A recommender of {model['items']:,} items for {model['users']:,} users"
    weights = f"{model['codebook_rows']:,} x {model['dim']} codebook of {model['bits']} bits"
    return (
        f"{what}: a {weights}, {_text(found['lowering'])} programs, format {found['format']['version']}. "
        f"{serves} Identity `{found['identity']}`."
    )


def _data(found: Mapping[str, Any]) -> list[str]:
    data = found.get("data")
    if not data:
        return ["The bundle does not say what it was made from."]
    pairs = found["training"].get("pairs")
    lines = [_text(sentence) for sentence in data_sentences(data)]
    if _was_given(found):
        lines.append("Nothing was trained: the rows of users and items were given.")
    elif type(pairs) is int:
        lines.append(f"The model learned from {pairs:,} pairs.")
    if data.get("timestamp_unit") is None:
        lines.append("There were no timestamps.")
    return [_bullets(lines)]


def _was_given(found: Mapping[str, Any]) -> bool:
    """Whether `lerg-export compress` made the bundle of tables that were trained elsewhere."""
    return "given" in found["training"]


def _accuracy(found: Mapping[str, Any]) -> list[str]:
    intervals = found.get("intervals", {})
    rows: list[Sequence[str]] = []
    for stage, title in STAGES:
        metrics = found["metrics"].get(stage)
        if metrics:
            cells = [_with_interval(metrics[key], intervals.get(stage, {}).get(key)) for key, _ in _METRICS]
            rows.append((title.strip(), *cells, f"{metrics['users']:,}"))
    if not rows:
        return ["Nothing was measured: there was no test set."]
    said = "Rankings of the whole catalogue, seen items left out, averaged over the users with test pairs. "
    if _was_given(found):
        said += "*Tables as given* are measured as they were, all else through the programs of a bundle."
    elif found["form"] == "personal":
        said += "Each is served from a history, through the bundle's own programs."
    else:
        said += "All but *before pruning* is measured through the programs of a bundle."
    if intervals:
        said += " In brackets: 95 % bootstrap intervals over users."
    return [said, _table(("stage", *(title for _, title in _METRICS), "users"), rows)]


def _with_interval(value: float, interval: Sequence[float] | None) -> str:
    return f"{value:.4f}" + ("" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]")


def _costs(found: Mapping[str, Any]) -> list[str]:
    storage, memory = found["storage"], found["memory"]
    baseline = storage["baseline_bytes"]
    sizes = [
        (title, f"{storage[name]:,}", f"{100 * storage[name] / baseline:.2f} %")
        for title, name in (("embeddings", "embedding_bytes"), ("the bundle, all files", "bundle_bytes"))
    ]
    full = f"of a full table of {storage['reference_dim']} floats per user and item"
    phases = [(f"memory to {_DOING[phase]}", format_size(size)) for phase, size in memory.items()]
    config = found["training"].get("config", {})
    asked = [
        f"{kind} of {config[name]:,} bytes"
        for name, kind in (("memory_budget", "a memory budget"), ("storage_budget", "a storage budget"))
        if type(config.get(name)) is int
    ]
    lines = [_table(("on disk", "bytes", full), sizes), _table(("on the device", "at most"), phases)]
    if asked:
        lines.append(f"It was made for {' and '.join(asked)}.")
    lines.append("Memory is what the runtime takes beside Python and its libraries (`lerg-edge info`).")
    return lines


_DOING = {"open": "open", "encode": "encode", "recommend": "recommend", "finetune": "fine-tune"}


def _disclosure(found: Mapping[str, Any]) -> list[str]:
    model, state = found["model"], found["state"]
    titles = found.get("titles", {}).get("items", 0)
    items = f"The ids of all {model['items']:,} items" + (f", and titles of {titles:,}" if titles else "")
    if found["form"] == "personal":
        least = found["training"].get("min_item_users")
        rows = f"{model['own_rows']:,} items have a row of their own; the others share rows"
        if type(least) is int:
            rows += f", because fewer than {least:,} users touched them"
        lines = [
            "No id of a user, no interaction and no row that belongs to a user.",
            f"{items}, whoever touched them.",
            "About how often each item was touched, in steps of 9 %.",
            f"Rows of items, which were learned from people. {rows}.",
            f"A history of {state['history']:,} items is kept in `state.bin`.",
        ]
    else:
        lines = [
            f"The ids of all {model['users']:,} users.",
            "Who touched what, exactly: what was learned from, what was held out, and what was rated low.",
            f"{items}.",
            f"{state['local_interactions']:,} interactions of the device are kept in `state.bin`.",
            "It is as confidential as the file of interactions that it was made from.",
        ]
    if "features" in found:
        names = ", ".join(str(column["name"]) for column in found["features"]["columns"])
        lines.append(f"What was known of items ({names}): the values of categories, and a row for each.")
    if state["added_items"]:
        lines.append(
            f"{state['added_items']:,} items that the device has added are kept in `state.bin`, and which "
            "users touched them first."
        )
    return [_bullets(lines), "The page `docs/privacy.md` of lerg-edge says what that means."]


def _making(found: Mapping[str, Any]) -> list[str]:
    versions = {name: value for name, value in found["versions"].items() if name != "requires"}
    needs = found["versions"]["requires"]["executorch"]
    made = ", ".join(f"{_text(name)} {_text(value)}" for name, value in versions.items())
    lines = [f"Made with {made}; needs executorch {_text(needs)} or later."]
    config = found["training"].get("config")
    if isinstance(config, dict) and config:
        settings = [f"{_code(name)} = {_setting(name, value)}" for name, value in sorted(config.items())]
        command, data = ("compress", "tables") if _was_given(found) else ("run", "data")
        lines.append(f"Settings, by which `lerg-export {command}` makes it again from the same {data}:")
        lines.append("\n".join(("```toml", *settings, "```")))
    return lines


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, aligned, *rows))


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _setting(name: str, value: object) -> str:
    """A value as TOML has it; of a list of ids only how many there are, as a card is for everybody."""
    if name in _OF_IDS and isinstance(value, list) and value:
        return f"[]  # {len(value)} in truth, which this card does not name"
    return _code(json.dumps(value))


def _text(value: object) -> str:
    """A text of the manifest in a line of Markdown: nothing in it is markup."""
    return _MARKUP.sub(r"\\\1", _plain(value))


def _code(value: object) -> str:
    """A text of the manifest in a block of code, which it cannot end."""
    return _plain(value).replace("```", "'''")


def _plain(value: object) -> str:
    shown = str(value)[:_LONGEST]
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
