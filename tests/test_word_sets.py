"""Every pair of arguments of a metric: each file resolves or is refused, and none fails."""

from itertools import product
from pathlib import Path

import pytest

from tests.front_end import read_file

ARGUMENTS = (
    "A", "B", "N", "Y", '"x"', '"31"', "N > Y", "N >= Y", "N < N", "N != Y", "A != B", "A > B",
    "B != B", "max N", "max N != Y", "max N > Y", "max A", "max A != B", "max A != A",
)  # fmt: skip


def diagnostics(folder: Path, metric: str) -> list[str]:
    path = folder / "sets.circuit"
    path.write_text(f"""model "gpt2"
prompts {{
  clean   "the {{A}} {{B}} of {{Y}} to"
  corrupt A = fresh
  A, B    from "x", "y", "z", "w", "v"
  Y       from "31".."35"
  N       from "30".."40"
}}
metric {metric}
edges {{
  L9.H9 ~> logits
}}
""")
    _, circuit, found = read_file(path)
    told = [each.code for each in found if each.code != "CL303"]
    assert (circuit is None) == bool(told)
    return told


@pytest.mark.parametrize("name", ["logit_diff", "prob_diff"])
def test_every_pair_of_arguments_is_right_or_refused(tmp_path, name):
    found = {
        (a, b): diagnostics(tmp_path, f"{name}({a}, {b})") for a, b in product(ARGUMENTS, repeat=2)
    }
    assert any(found.values())
    assert not all(found.values())


@pytest.mark.parametrize(
    ("metric", "codes"),
    [
        ("logit_diff(A, max A != A)", []),
        ("logit_diff(A, max A)", ["CL332"]),
        ('logit_diff("31", max N)', ["CL332"]),
        ('logit_diff("x", max A != B)', []),
        ("prob_diff(N != Y, Y)", []),
        ("prob_diff(N >= Y, Y)", ["CL332"]),
        ("prob_diff(N < Y, N > Y)", []),
    ],
)
def test_what_is_shared_in_every_pair_is_told(tmp_path, metric, codes):
    assert diagnostics(tmp_path, metric) == codes
