"""`python -m lerg_runtime` is `lerg-edge`."""

from __future__ import annotations

from lerg_runtime.cli import main

if __name__ == "__main__":
    main()
