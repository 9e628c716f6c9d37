"""Everything but running an experiment works without loading torch, and starts at once."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.commands import environment
from tests.front_end import ROOT
from tests.tiny_models import circuit_text, tiny_gpt2

HEAVY = ("torch", "transformers", "transformer_lens", "tokenizers", "huggingface_hub", "gguf")
PROBE = f"""
import sys
def report():
    print("HEAVY", *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
import atexit
atexit.register(report)
"""
RUN = "import circuitlang.cli.main as m; m.main()"


def heavy(code: str, *arguments: object, home: Path) -> tuple[int, list[str]]:
    """Exit status and the heavy libraries that a program has loaded when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE + code, *map(str, arguments)], cwd=home,
        env=environment(home), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("HEAVY"))
    return done.returncode, line.split()[1:]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a file, a picture-worthy circuit, and evidence that fits it."""
    (tmp_path / "model").mkdir()
    (tmp_path / "a.circuit").write_text(circuit_text('"./model"'))
    return tmp_path


def test_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    packages = sorted(p.parent.name for p in (ROOT / "circuitlang").glob("*/__init__.py"))
    assert {"circuit", "cli", "engine", "syntax", "verdict"} <= set(packages)
    code = "\n".join(["import circuitlang", *(f"import circuitlang.{name}" for name in packages)])
    assert heavy(code, home=tmp_path) == (0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["screen", "--help"],
        ["mutate", "--help"],
        ["check", "a.circuit"],
        ["fmt", "--check", "a.circuit"],
        ["plan", "a.circuit"],
        ["draw", "a.circuit"],
        ["models", "list"],
    ],
    ids=" ".join,
)
def test_commands_without_a_model_import_nothing_heavy(arguments: list[str], here: Path) -> None:
    code, loaded = heavy(RUN, *arguments, home=here)
    assert loaded == []
    assert code in (0, 1)  # 1: `fmt --check` may find the file not formatted


def test_running_does_and_judging_does_not(here: Path) -> None:
    """The probe can fail: it sees torch when there is torch."""
    tiny_gpt2(here / "model", layers=2, d_model=16)
    code, loaded = heavy(RUN, "run", "-q", "a.circuit", "--evidence", "e.json", home=here)
    assert code == 0
    assert {"torch", "transformers", "transformer_lens"} <= set(loaded)
    assert heavy(RUN, "judge", "a.circuit", "e.json", home=here) == (0, [])


def test_checking_tokens_needs_the_tokenizer_only(here: Path) -> None:
    tiny_gpt2(here / "model", layers=2, d_model=16)
    code, loaded = heavy(RUN, "check", "--tokens", "a.circuit", home=here)
    assert (code, loaded) == (0, ["tokenizers"])


def test_planning_a_model_at_hand_needs_the_tokenizer_only(here: Path) -> None:
    tiny_gpt2(here / "model", layers=2, d_model=16)
    code, loaded = heavy(RUN, "plan", "a.circuit", home=here)
    assert (code, loaded) == (0, ["tokenizers"])


def test_the_engine_is_where_torch_is(tmp_path: Path) -> None:
    _, loaded = heavy("import circuitlang.engine; circuitlang.engine.measure", home=tmp_path)
    assert "torch" in loaded


def test_the_strata_hold() -> None:
    """`lint-imports` reads the contracts of pyproject.toml; every package has its place in them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = " | ".join(contracts["contracts"][0]["layers"]).split(" | ")
    packages = {path.parent.name for path in (ROOT / "circuitlang").glob("*/__init__.py")}
    assert set(layers) == packages
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert f"Contracts: {len(contracts['contracts'])} kept, 0 broken" in done.stdout
