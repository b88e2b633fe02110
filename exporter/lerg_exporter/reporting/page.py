"""The page: its head, its looks, its sections in their order."""

from __future__ import annotations

from lerg_exporter.reporting.found import Found
from lerg_exporter.reporting.markup import Markup, plain, tag
from lerg_exporter.reporting.place import SIGN
from lerg_exporter.reporting.sections import accuracy, data, head_figures, people, training
from lerg_exporter.reporting.sizes import bytes_by_part, memory_by_phase

__all__ = ["page"]

# Nothing is loaded and nothing runs, whatever a text of the data might look like.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_LOOKS = Markup(
    """
:root { --ink: #1d2733; --faint: #5b6878; --line: #dfe4ea; --paper: #fff; --back: #f4f6f8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 1.2rem; margin: 0 0 12px; }
h3 { font-size: 1rem; margin: 0 0 4px; }
h4 { font-size: .8rem; font-weight: 600; color: var(--faint); margin: 10px 0 2px; }
p, ul { margin: 0 0 12px; }
small, .lead, .line span, .score, thead th, figcaption { color: var(--faint); }
main > section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin-top: 16px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin-top: 18px; }
.cards div { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; }
.cards span, .cards small { display: block; font-size: .8rem; color: var(--faint); line-height: 1.35; }
.cards b { font-size: 1.5rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: 0 0 12px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: 5px 0 5px 16px; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; font-size: .8rem; }
.t { text-align: left; padding-left: 0; white-space: pre-wrap; overflow-wrap: break-word; min-width: 9em; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bar { display: block; width: 100%; height: 14px; background: var(--back); border-radius: 3px; }
td .bar { height: 8px; margin-top: 4px; background: none; }
.whisker { fill: var(--ink); }
.files > div { margin: 0 0 12px; }
.line { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px; font-size: .9rem; }
.line span, .score { font-variant-numeric: tabular-nums; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 14px; font-size: .8rem;
  margin: 4px 0 12px; color: var(--faint); }
.legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(280px, 100%), 1fr)); gap: 12px; }
.curve { width: 100%; max-width: 480px; height: auto; }
.curve * { stroke-linejoin: round; stroke-linecap: butt; }
figure { margin: 0 0 12px; }
.people { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(360px, 100%), 1fr)); gap: 16px; }
.people > section { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px; min-width: 0; }
.items { margin: 0; padding-left: 0; list-style: none; counter-reset: place; font-size: .9rem; }
.items li { display: flex; gap: 8px; justify-content: space-between; padding: 1px 0; }
ol.items li { counter-increment: place; }
ol.items li::before { content: counter(place); color: var(--faint); min-width: 1.4em; text-align: right;
  font-variant-numeric: tabular-nums; }
.name { flex: 1; min-width: 0; unicode-bidi: isolate; }
details { margin: 0 0 8px; }
summary { cursor: pointer; font-size: .9rem; color: #0059a8; margin-bottom: 6px; }
footer { color: var(--faint); font-size: .8rem; margin-top: 20px; }
@media (max-width: 620px) {
  main { padding: 16px 10px 32px; }
  main > section { padding: 14px 12px; }
  .cards { grid-template-columns: 1fr 1fr; gap: 8px; }
  .cards b { font-size: 1.25rem; }
  th, td { padding-left: 8px; }
  .t { min-width: 7em; }
  .n small { display: block; }
}
@media print { body { background: none; } main > section { break-inside: avoid; } }
"""
)


def page(found: Found) -> str:
    """The whole page as HTML."""
    sections = (
        ("What was read", data(found)),
        ("Accuracy by stage", accuracy(found)),
        ("Bytes by part", bytes_by_part(found)),
        ("Memory by phase", memory_by_phase(found)),
        ("Training", training(found)),
        ("Recommendations", people(found)),
    )
    name = plain(found.name)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"Export report: {name}"),
        tag("style", _LOOKS),
    )
    body = tag(
        "body",
        tag(
            "main",
            tag("header", tag("h1", f"Export report: {name}"), tag("p", _lead(found), class_="lead")),
            head_figures(found),
            *(tag("section", tag("h2", title), *parts) for title, parts in sections),
            tag("footer", _foot(found)),
        ),
    )
    return f"<!DOCTYPE html>\n{SIGN}\n{tag('html', head, body, lang='en')}\n"


def _lead(found: Found) -> str:
    model = found.bundle["model"]
    weights = f"{model['codebook_rows']:,} x {model['dim']} codebook of {model['bits']} bits"
    if found.is_personal:
        return (
            f"A bundle of {model['items']:,} items that serves one person from a history: a {weights}, "
            f"{found.bundle['lowering']} programs."
        )
    return (
        f"A bundle for {model['users']:,} users and {model['items']:,} items, of whom "
        f"{model['retained_users']:,} and {model['retained_items']:,} stay in its graph: a {weights}, "
        f"{found.bundle['propagation']} propagation, {found.bundle['lowering']} programs."
    )


def _foot(found: Found) -> str:
    versions = {name: value for name, value in found.bundle["versions"].items() if name != "requires"}
    made = ", ".join(f"{name} {value}" for name, value in versions.items())
    return f"Made with {made}. Identity of the bundle: {found.bundle['identity']}."
