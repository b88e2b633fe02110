"""Write docs/settings.md from the declarations of the settings: python tools/settings_page.py."""

from __future__ import annotations

from pathlib import Path

from lerg_exporter.exporting.config import RUN_SETTINGS, toml_value
from lerg_exporter.exporting.settings import GROUPS, Setting

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"

HEAD = """# Settings of an export

`lerg-export run` takes these settings, and so do the tables of a [study](studies.md), but for those under
"Data", and [`lerg-export compress`](compress.md), but for those of training. This page is written from their
declarations (`python tools/settings_page.py`).

| where | how | wins over |
|---|---|---|
| an option, for what most people decide | `--retention 0.5` | `--set` and the file |
| `--set`, for every setting | `--set batch=1024 --set keep_users=alice,bob` | the file |
| a file, for every setting | `--config settings.toml` | the defaults |

`lerg-export run --print-config` prints such a file with every setting that would be used, after options,
`--set` and `--config`, and makes nothing. With DATA it states what the data and the budgets decide as well,
and a run with that file and the same DATA makes the same bundle, byte for byte. Without DATA those settings
are comments. A path in `test` is looked for from the current folder. What validation decides, such as the
selector that `auto` takes, is never stated: it is chosen again, alike. A bundle's manifest holds the same
settings under `training.config`, without the path of the test file and the folder of a selector of your
own.

`"auto"` leaves a setting open for which "if not set" stands below. A list of ids is written `["alice",
"bob"]`, or `alice,bob` with `--set`. A size may be written as `"64MiB"`. Everything that is wrong is told
at once, each with the place that gave it.
"""


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for group in GROUPS:
        parts.append(f"\n## {group}\n\n| setting | values | default | what it does |\n|---|---|---|---|\n")
        for setting in RUN_SETTINGS.values():
            if setting.group == group:
                name = f"`{setting.name}`" + (f", `{setting.flag}`" if setting.option else "")
                cells = (name, _values(setting), _default(setting), setting.help)
                parts.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n")
    return "".join(parts)


def _values(setting: Setting) -> str:
    return ", ".join(map(str, setting.choices)) if setting.choices else setting.rule


def _default(setting: Setting) -> str:
    return f"if not set: {setting.unset}" if setting.unset else f"`{toml_value(setting.default)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
