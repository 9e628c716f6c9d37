"""The command as a user meets it: what it prints where, and what it tells the shell."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from circuitlang.evidence import load_evidence
from tests.commands import Outcome, called, circuitlang, environment, running
from tests.tiny_models import PASSING_EDGES, circuit_text, tiny_gpt2, tiny_llama

HUGE = "B -> logits >= 800 logits"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("models")
    tiny_gpt2(base / "gpt2", layers=2, d_model=16)
    tiny_llama(base / "llama")
    return base


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with both models in it."""
    for name in ("gpt2", "llama"):
        (tmp_path / name).symlink_to(models / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(
    here: Path,
    edges: str = PASSING_EDGES,
    *,
    name: str = "a",
    model: str = '"./gpt2"',
    claims: str = "",
    sample: int = 8,
) -> Path:
    path = here / f"{name}.circuit"
    text = circuit_text(model, edges=edges, claims=claims, sample=sample)
    path.write_text(text, encoding="utf-8")
    return Path(path.name)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    outcome = called(capsys, "run", "-q", "--threads", 1, *arguments)
    assert "Traceback" not in outcome.err
    return outcome


# Exit codes


def test_0_every_claim_passed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, written(here))
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == (
        "2 claims: 2 PASS, 0 FAIL, 0 INCONCLUSIVE, 0 ERROR; exit code 0: every claim passed"
    )
    assert outcome.err == ""


def test_1_a_claim_failed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, written(here, f"A ~> B.V in -900 logits..900 logits\n  {HUGE}"))
    assert outcome.code == 1
    assert "2 claims: 1 PASS, 1 FAIL" in outcome.out


def test_2_the_file_is_wrong(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, written(here, "C -> logits >= 5%"))
    assert (outcome.code, outcome.out) == (2, "")
    assert "a.circuit:23:3: error[CL201]: " in outcome.err


def test_2_the_prompts_do_not_fit_the_tokenizer(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(here)
    words = 'from "Mary", "Paul", "Mark", "Amy", "Eric", "Xerxes"'
    path.write_text(path.read_text().replace("from names", words))
    outcome = run(capsys, path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "error[CL315]: `Xerxes` is unknown to this tokenizer" in outcome.err


def test_2_a_head_that_the_loaded_model_lacks(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(here)
    path.write_text(path.read_text().replace("L1.H3", "L1.H7"))
    outcome = run(capsys, path)
    assert outcome.code == 2
    assert "error[CL206]" in outcome.err


@pytest.mark.parametrize("arguments", [["run"], ["no-such-command"], ["run", "a", "--batch", "0"]])
def test_2_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    outcome = called(capsys, *arguments)
    assert outcome.code == 2
    assert "Usage: circuitlang" in outcome.err


def test_3_the_model_is_missing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, written(here, model=f'"{here}/absent"'))
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == f"circuitlang: there is no folder `{here}/absent`\n"


def test_3_a_claim_that_could_not_be_measured(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A random model does not do the task, so there is nothing to take a percentage of."""
    outcome = run(capsys, written(here, "B -> logits >= 5%"))
    assert outcome.code == 3
    assert "1 ERROR; exit code 3" in outcome.out


def test_3_prompts_longer_than_the_context(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    path.write_text(path.read_text().replace('"When', '"' + "to " * 60 + "When"))
    outcome = run(capsys, path)
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == ("circuitlang: a prompt has 74 tokens, and the model reads at most 64\n")


def test_3_a_tokenizer_of_another_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(here / "gpt2", here / "other"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["When"] = len(vocabulary) + 100
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    outcome = run(capsys, written(here, model='"./other"'))
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == (
        "circuitlang: the tokenizer of `./other` has tokens that the model does not have\n"
    )


def test_3_an_unknown_device(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(capsys, written(here), "--device", "abacus")
    assert outcome.code == 3
    assert outcome.err.startswith("circuitlang: cannot use the device `abacus`: ")
    assert len(outcome.err.splitlines()) == 1


def test_4_a_claim_is_inconclusive(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bound at the estimate itself can be neither shown nor refuted."""
    first = here / "first.json"
    assert run(capsys, written(here, HUGE), "--json", first).code == 1
    estimate = json.loads(first.read_text())["claims"][0]["estimate"]["value"]
    outcome = run(capsys, written(here, f"B -> logits >= {estimate:.4f} logits"))
    assert outcome.code == 4, outcome.out
    assert "1 INCONCLUSIVE" in outcome.out


def test_an_internal_error_is_no_failed_claim(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitlang.engine import measurement

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(measurement, "measure", broken)
    outcome = run(capsys, written(here))
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == (
        "circuitlang: internal error: ZeroDivisionError: by zero "
        "(set CIRCUITLANG_TRACEBACK=1 to see where)\n"
    )


# Interruption


def interrupted(here: Path, *arguments: object, when: str) -> Outcome:
    """Send SIGINT as soon as stderr holds ``when``."""
    with running(*arguments, home=here) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        seen = ""
        while when not in seen and (line := process.stderr.readline()):
            seen += line
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), seen + process.stderr.read()
        return Outcome(process.wait(timeout=60), out, err, 0.0)


def test_130_what_was_measured_is_shown(here: Path) -> None:
    path = written(here, sample=400)
    outcome = interrupted(
        here, "run", path, "--batch", 1, "--evidence", "e.json", "--json", "r.json",
        when="measuring: 10%",
    )  # fmt: skip
    assert outcome.code == 130, outcome
    assert "Traceback" not in outcome.err
    assert "interrupted" in outcome.out
    evidence = load_evidence(here / "e.json")
    assert not evidence.complete
    known = [value for value in evidence.clean if value is not None]
    assert 0 < len(known) < len(evidence.clean)
    assert json.loads((here / "r.json").read_text())["complete"] is False


def test_130_while_loading(here: Path) -> None:
    """A command that is stopped before there is anything to show says so in one line."""
    code = (
        "import os, signal, sys; from circuitlang.engine import loading\n"
        "loading.load_transformer = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "from circuitlang.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", written(here)], cwd=here, env=environment(here),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "circuitlang: interrupted\n"


def test_a_reader_that_goes_away_changes_nothing(here: Path) -> None:
    """As in `circuitlang run a.circuit | head -1`."""
    written(here, f"A ~> B.V in -900 logits..900 logits\n  {HUGE}")
    with running("run", "-q", "a.circuit", "--json", "r.json", home=here) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(timeout=60) == 1
    assert err == ""
    assert json.loads((here / "r.json").read_text())["complete"] is True


# What a run writes


def test_judging_again_needs_no_torch_and_gives_the_same_report(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(here, model='"./llama" dtype float64')
    first = run(capsys, path, "--json", "r.json", "--evidence", "e.json")
    assert first.code == 0, first.err
    probe = "import sys; import circuitlang.cli.main as m\ntry: m.main()\nfinally: print("
    probe += "[n for n in ('torch', 'transformers', 'transformer_lens') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", probe, "judge", path, "e.json", "--json", "again.json"],
        cwd=here, env=environment(here), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == first.out + "[]\n"
    assert (here / "again.json").read_text() == (here / "r.json").read_text()


def test_judging_with_other_bounds(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, written(here, "B -> logits <= 800 logits"), "--evidence", "e.json").code == 0
    assert called(capsys, "judge", written(here, HUGE), "e.json").code == 1


@pytest.mark.parametrize(
    "change, reason",
    [
        (("circuit tiny", "circuit other"), "it is about the circuit `tiny`"),
        (("./gpt2", "./llama"), "it is about the model `./gpt2`"),
        (('"./gpt2"', '"./gpt2" dtype float64'), "its model had plain weights in float32"),
        (("seed 0", "seed 1"), "it was measured on other prompts"),
        (("B -> logits", "B ~> logits"), "it has no measurement for 1 of "),
    ],
)
def test_evidence_of_another_hypothesis(
    change: tuple[str, str], reason: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(here)
    assert run(capsys, path, "--evidence", "e.json").code == 0
    assert path.read_text().count(change[0]) == 1
    path.write_text(path.read_text().replace(*change))
    outcome = called(capsys, "judge", path, "e.json")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"e.json belongs to another hypothesis: {reason}" in outcome.err


def test_what_is_no_evidence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    outcome = called(capsys, "judge", path, "absent.json")
    assert (outcome.code, outcome.err) == (
        2, "circuitlang: cannot read absent.json: No such file or directory\n"
    )  # fmt: skip
    for content in (b"", b"{}", b"[" * 5000, b"\xff\xfe"):
        (here / "bad.json").write_bytes(content)
        outcome = called(capsys, "judge", path, "bad.json")
        assert outcome.code == 2
        assert outcome.err == (
            "circuitlang: bad.json is not evidence that `circuitlang run --evidence` saved\n"
        )


@pytest.mark.parametrize("option", ["--json", "--evidence"])
def test_unwritable_outputs_are_refused_before_the_run(
    option: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from circuitlang.engine import loading

    monkeypatch.setattr(loading, "load_transformer", lambda *_: pytest.fail("the model is loaded"))
    outcome = run(capsys, written(here), option, "no/such/r.json")
    assert outcome.code == 2
    assert outcome.err == (
        "circuitlang: cannot write no/such/r.json: the folder no/such is missing or not writable\n"
    )
    outcome = run(capsys, written(here), option, here)
    assert outcome.code == 2
    assert outcome.err == f"circuitlang: cannot write {here}: it is a folder\n"


def test_outputs_that_fail_after_the_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is still shown; the shell is told that not everything was written."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    for option in ("--json", "--evidence"):
        outcome = run(capsys, written(here), option, "r.json")
        assert outcome.code == 3
        assert "2 PASS" in outcome.out
        assert outcome.err == "circuitlang: cannot write r.json: No space left on device\n"


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_folded_weights_and_other_precisions(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Path patching does not depend on where the norms' weights are kept."""
    found: dict[str, list[float]] = {}
    for options in ("", " weights folded", " dtype float64"):
        path = written(here, model=f'"./{name}"{options}', claims="ablate B >= -800 logits")
        outcome = run(capsys, path, "--json", "r.json")
        assert outcome.code == 0, outcome.out + outcome.err
        report = json.loads((here / "r.json").read_text())
        found[options] = [claim["estimate"]["value"] for claim in report["claims"]]
        made = report["provenance"]
        assert made["weights"] == ("folded" if "folded" in options else "plain")
        assert made["dtype"] == ("float64" if "float64" in options else "float32")
    for options in (" weights folded", " dtype float64"):
        assert found[options] == pytest.approx(found[""], abs=2e-4)


# The other commands


def test_plan_needs_no_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = called(capsys, "plan", written(here, model='"./absent"'))
    assert outcome.code == 0
    assert outcome.out.startswith("tiny: 2 claims, 2 experiments, 8 prompts of 2 templates\n")
    assert PASSING_EDGES.splitlines()[0] in outcome.out


def test_fmt(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    path.write_text(path.read_text().replace("  A  L0", "  A       L0"))
    before = path.read_text()
    outcome = called(capsys, "fmt", "--check", path)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "circuitlang: a.circuit is not formatted\n"
    outcome = called(capsys, "fmt", "--diff", path)
    assert outcome.code == 1
    assert outcome.out.startswith("--- a.circuit\n+++ a.circuit (formatted)\n")
    assert path.read_text() == before
    assert called(capsys, "fmt", path).code == 0
    assert path.read_text() != before
    for options in (["--check"], ["--diff"], []):
        outcome = called(capsys, "fmt", *options, path)
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_fmt_leaves_wrong_files_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    path.write_text("circuit {{{\n")
    outcome = called(capsys, "fmt", path, "absent.circuit")
    assert outcome.code == 2
    assert "a.circuit:1:" in outcome.err
    assert "absent.circuit" in outcome.err
    assert path.read_text() == "circuit {{{\n"


def test_check(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(here), written(here, "C -> logits >= 5%", name="b")
    outcome = called(capsys, "check", good)
    assert (outcome.code, outcome.out, outcome.err) == (
        0, "a.circuit: ok (2 edges, 0 claims)\n", ""
    )  # fmt: skip
    outcome = called(capsys, "check", bad, good, "absent.circuit")
    assert outcome.code == 2
    assert outcome.out == "a.circuit: ok (2 edges, 0 claims)\n"
    assert "b.circuit:23:3: error[CL201]" in outcome.err
    assert "absent.circuit" in outcome.err


def test_check_tokens(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    assert called(capsys, "check", "--tokens", path).code == 0
    path.write_text(path.read_text().replace("gave a", "gave a marvellous"))
    outcome = called(capsys, "check", "--tokens", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert "error[CL315]: `marvellous` is unknown to this tokenizer" in outcome.err
    assert called(capsys, "check", path).code == 0

    outcome = called(capsys, "check", "--tokens", written(here, model=f'"{here}/absent"'))
    assert outcome.code == 2
    assert f"error[CL401]: there is no folder `{here}/absent`\n" in outcome.err

    (here / "broken").mkdir()
    for content, reason in ((None, "broken has no tokenizer.json"), ("{", "is not a tokenizer: ")):
        if content:
            (here / "broken" / "tokenizer.json").write_text(content)
        outcome = called(capsys, "check", "--tokens", written(here, model='"./broken"'))
        assert outcome.code == 3
        assert reason in outcome.err
        assert outcome.err.count("\n") == 1


def test_draw(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    outcome = called(capsys, "draw", path)
    assert outcome.code == 0
    assert outcome.out.startswith("digraph")
    assert called(capsys, "draw", path, "-o", "a.dot").code == 0
    assert (here / "a.dot").read_text() == outcome.out
    outcome = called(capsys, "draw", path, "-o", "a.pdf")
    assert outcome.code == 2
    assert outcome.err == "circuitlang: cannot draw `pdf`: the formats are dot, svg, png, mermaid\n"
    outcome = called(capsys, "draw", path, "-o", "no/such/a.dot")
    assert outcome.code == 2
    assert "cannot write no/such/a.dot" in outcome.err


def test_draw_with_a_report(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here)
    assert run(capsys, path, "--json", "r.json").code == 0
    plain = called(capsys, "draw", path).out
    outcome = called(capsys, "draw", path, "--report", "r.json")
    assert outcome.code == 0
    assert outcome.out != plain
    (here / "r.json").write_text("{}")
    outcome = called(capsys, "draw", path, "--report", "r.json")
    assert outcome.code == 2
    assert outcome.err == "circuitlang: r.json is no report of `circuitlang run --json`\n"
    assert called(capsys, "draw", path, "--report", "absent.json").code == 2


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    from circuitlang import __version__

    assert called(capsys, "--version").out == f"circuitlang {__version__}\n"
    out = called(capsys, "--help").out
    for command in ("check", "fmt", "plan", "run", "judge", "mutate", "screen", "draw", "models"):
        assert f"\n  {command} " in out


# Without the `run` extra


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.split('.')[0])
sys.meta_path.insert(0, Blocker())
from circuitlang.cli.main import main
main()
"""


def without(here: Path, blocked: tuple[str, ...], *arguments: object) -> Outcome:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(blocked=blocked), *map(str, arguments)],
        cwd=here, env=environment(here), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr, time.perf_counter() - started)


EXTRA = (
    "torch", "transformers", "transformer_lens", "tokenizers", "huggingface_hub", "safetensors",
    "gguf",
)  # fmt: skip


def test_run_without_the_extra(here: Path) -> None:
    outcome = without(here, EXTRA, "run", written(here))
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == (
        "circuitlang: running experiments needs torch, transformers, transformer_lens: install "
        "the extra with `pip install 'circuitclaims[run]'` (in a checkout: "
        "`pip install '.[run]'`)\n"
    )


def test_get_without_the_extra(here: Path) -> None:
    outcome = without(here, EXTRA, "models", "get", "smollm2-135m")
    assert outcome.code == 3
    assert outcome.err.startswith("circuitlang: running experiments needs torch")


def test_check_tokens_without_the_extra(here: Path) -> None:
    outcome = without(here, EXTRA, "check", "--tokens", written(here))
    assert outcome.code == 3
    assert outcome.err == (
        "circuitlang: --tokens needs the package `tokenizers`: `pip install 'circuitclaims[run]'`\n"
    )


def test_the_rest_works_without_the_extra(here: Path) -> None:
    path = written(here)
    for arguments in (["check", path], ["fmt", path], ["plan", path], ["draw", path],
                      ["models", "list"], ["--help"]):  # fmt: skip
        outcome = without(here, EXTRA, *arguments)
        assert outcome.code == 0, outcome


# Odd circumstances


def test_a_terminal_that_knows_ascii_only(here: Path) -> None:
    path = written(here)
    path.write_text(path.read_text().replace("A tiny model", "Ein köstliches Modell"))
    outcome = circuitlang("plan", path, home=here, PYTHONIOENCODING="ascii")
    assert outcome.code == 0
    assert outcome.out.isascii()


def test_file_names_with_spaces_and_accents(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(shutil.copy(written(here), here / "ein schönes [b]Modell[b].circuit"))
    outcome = called(capsys, "check", path.name)
    assert outcome.code == 0
    assert outcome.out.startswith("ein schönes [b]Modell[b].circuit: ok")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_fmt_of_a_folder_that_cannot_be_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = here / "locked"
    folder.mkdir()
    path = Path(shutil.copy(written(here), folder / "a.circuit"))
    path.write_text(path.read_text().replace("  A  L0", "  A       L0"))
    folder.chmod(0o500)
    outcome = called(capsys, "fmt", path)
    folder.chmod(0o700)
    assert outcome.code == 3
    assert "cannot write" in outcome.err
