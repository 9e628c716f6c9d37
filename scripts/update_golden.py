"""Write what the front end says today about every `tests/golden/*.circuit` file beside it.

Run `python scripts/update_golden.py`, then read the difference that git shows: every line of it is
something that a user will be told.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.front_end import GOLDEN, rendered


def main() -> None:
    """Update the changed files and name them."""
    for path in sorted(GOLDEN.glob("*.circuit")):
        golden = path.with_suffix(".diagnostics")
        text = rendered(path)
        if not golden.exists() or golden.read_text(encoding="utf-8") != text:
            golden.write_text(text, encoding="utf-8")
            print(f"updated {golden.name}")


if __name__ == "__main__":
    main()
