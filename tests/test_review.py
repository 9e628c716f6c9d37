"""Silent mistakes that a review found, each held down by its reproduction."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from circuitlang.circuit import (
    Direction,
    Head,
    Logits,
    ModelReference,
    Receiver,
    Slot,
    expand,
)
from circuitlang.cli.main import app
from circuitlang.engine import load_transformer
from circuitlang.engine.choice import EngineName, choose_engine
from circuitlang.engine.errors import ModelError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.self_checks import self_checks
from circuitlang.engine.tokens import FastTokenizer, tokenize
from circuitlang.models import BUILTIN_FOLDER
from circuitlang.plan import PatchEdge
from tests.engine_models import FAMILIES, VOCABULARY, bench
from tests.front_end import ROOT, circuit_of
from tests.tiny_models import tiny_gpt2

TEXT = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")
SMALL = TEXT.replace("sample  120", "sample  36")


def call(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "x.circuit"
    path.write_text(SMALL, encoding="utf-8")
    return path


class TestPrompts:
    def test_fresh_words_avoid_literals_that_come_later(self):
        text = SMALL.replace("S1 = fresh, S2 = fresh", 'S1 = fresh, S2 = "Paul"')
        circuit = circuit_of(text)
        for pair in expand(circuit.prompts, circuit.metric):
            words = [pair.corrupt.text[a:b] for slot, _, a, b in pair.corrupt.places
                     if slot in ("IO", "S")]  # fmt: skip
            assert len(set(words)) == 3, pair.corrupt.text

    def test_slots_that_change_places_are_not_compared_token_by_token(self):
        """A long word for a short one, made up for later: lengths agree, tokens do not."""
        circuit = circuit_of(
            """model builtin ioi_tiny
            prompts {
              clean   "The {A} saw the {B} when {IO} and {S} met , so {S} spoke to"
              corrupt A = B, B = A, S2 = IO
              A, B  from "zoo", "old park"
              IO, S from "Mary", "John", "Paul"
              sample 8
            }
            metric logit_diff(IO, S)
            claims { ablate L0.H1 >= 1% by resample }"""
        )
        tokenizer = FastTokenizer.from_folder(BUILTIN_FOLDER / "ioi-tiny")
        _, tokens, problems = tokenize(circuit, tokenizer)
        assert not tokens
        assert "CL314" in {problem.code for problem in problems}


class TestModels:
    def test_what_a_file_means_does_not_depend_on_the_working_directory(
        self, file, tmp_path, monkeypatch
    ):
        """A folder called `gpt2` where the command is run is not the model "gpt2"."""
        elsewhere = tmp_path / "elsewhere"
        shutil.copytree(BUILTIN_FOLDER / "ioi-tiny", elsewhere / "gpt2")
        file.write_text(SMALL.replace("builtin ioi_tiny", '"gpt2"'), encoding="utf-8")
        monkeypatch.chdir(elsewhere)
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        result = call("run", file)
        assert result.exit_code == 3
        assert "`gpt2`" in result.stderr

    def test_blocks_with_one_norm(self):
        """GPT-J's attention and MLP share a norm; its MLPs are recomputed with that one."""
        from transformers import GPTJConfig, GPTJForCausalLM

        from tests.engine_models import _random

        def gptj(seed):
            config = GPTJConfig(
                vocab_size=VOCABULARY, n_positions=16, n_embd=16, n_layer=3, n_head=4, rotary_dim=4,
                bos_token_id=VOCABULARY - 1, eos_token_id=VOCABULARY - 1,
            )  # fmt: skip
            return _random(GPTJForCausalLM(config), seed)

        b = bench(gptj, seed=2)
        assert b.model.shape.parallel
        checks = self_checks(b.engine, b.worlds, None)
        assert not [check.name for check in checks if not check.passed]


class TestEvidence:
    def test_evidence_of_another_revision_is_refused(self, file, tmp_path):
        saved = tmp_path / "e.json"
        assert call("run", file, "-q", "--evidence", saved).exit_code == 0
        assert call("judge", file, saved).exit_code == 0
        text = saved.read_text(encoding="utf-8")
        marked = '"plan_id":"'
        compact = text.replace('"plan_id": "', marked)
        start = compact.index(marked) + len(marked)
        saved.write_text(compact[:start] + "0" * 16 + compact[start + 16 :], encoding="utf-8")
        result = call("judge", file, saved)
        assert result.exit_code == 2
        assert "its model, prompts or metric are not this file's" in result.stderr

    def test_a_failed_self_check_stops_the_run(self, monkeypatch, file):
        calls = []
        sound = ReferenceEngine.logits
        monkeypatch.setattr(
            ReferenceEngine, "logits", lambda self, *a: calls.append(a) or sound(self, *a)
        )
        from circuitlang.engine.transformer import Transformer

        right = Transformer.head_write
        monkeypatch.setattr(Transformer, "head_write", lambda self, *a: 1.1 * right(self, *a))
        result = call("run", file, "-q")
        assert result.exit_code == 3
        assert "self-check" in result.stdout
        assert len(calls) <= 2  # the probe of a law, from either world, and no experiment

    def test_half_precision_is_noted(self, file):
        file.write_text(SMALL.replace("ioi_tiny", "ioi_tiny dtype bfloat16"), encoding="utf-8")
        assert "use float32" in " ".join(call("run", file, "-q").stdout.split())


class TestOutputs:
    def test_an_output_is_never_an_input_or_another_output(self, file, tmp_path):
        before = file.read_bytes()
        other = tmp_path / "o.json"
        (tmp_path / "link.circuit").symlink_to(file)
        for arguments in (
            ("run", file, "--json", file),
            ("run", file, "--json", tmp_path / "link.circuit"),
            ("run", file, "--json", other, "--evidence", other),
            ("draw", file, "-f", "dot", "-o", file),
        ):
            result = call(*arguments)
            assert result.exit_code == 2
            assert "reads it or writes it already" in result.stderr
        assert file.read_bytes() == before
        assert not other.exists()

    def test_fmt_keeps_links_and_modes(self, file, tmp_path):
        file.write_text(SMALL + "\n\n\n", encoding="utf-8")
        os.chmod(file, 0o600)
        link = tmp_path / "link.circuit"
        link.symlink_to(file)
        assert call("fmt", link).exit_code == 0
        assert link.is_symlink()
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.read_text(encoding="utf-8") == SMALL

    def test_a_range_is_not_shown_as_a_margin(self, file, tmp_path):
        file.write_text(
            SMALL.replace("ablate NMH    >= 60%", "ablate NMH    in -10%..10%"), encoding="utf-8"
        )
        assert "in -10%..10%" in call("run", file, "-q").stdout
        assert "bound within 10%" not in call("run", file, "-q").stdout


def test_torch_is_seeded_by_nobody_here():
    """The engine draws nothing: two runs from different generator states are equal."""
    from circuitlang.circuit import ModelReference
    from circuitlang.engine import load_transformer, measure
    from circuitlang.plan import compile_plan

    plan = compile_plan(circuit_of(SMALL))
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = load_transformer(ModelReference("builtin", "ioi_tiny"))
        pairs, tokens, _ = tokenize(plan.circuit, model.tokenizer)
        found.append(measure(plan, model, pairs, tokens).patched)
    assert found[0] == found[1]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line(file):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from circuitlang.cli.main import main; main()", "check", file],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 3
    assert done.stderr == "circuitlang: cannot print: No space left on device\n"


# The fast engine


def test_a_bridge_that_is_not_the_model_is_refused(tmp_path):
    """TransformerLens divides by the root of d_head whatever the config says."""
    folder = tiny_gpt2(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"scale_attn_weights": False}))
    with pytest.raises(ModelError, match=r"does not run .* as published"):
        load_transformer(ModelReference("name", str(folder)))


@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_the_fast_engine_takes_every_family(make, dtype):
    """Also where Transformers computes parts of a float64 model in float32."""
    b = bench(make, seed=2, dtype=dtype)
    engine, notes = choose_engine(EngineName.FAST, b.model, b.batch)
    assert (engine.name, notes) == ("fast", ())


def test_a_model_without_the_parts_is_left_to_the_reference_engine(monkeypatch):
    b = bench(FAMILIES[0], seed=2)
    monkeypatch.delattr(b.model.bridge.blocks[0].attn.original_component, "scale_attn_weights")
    engine, notes = choose_engine(EngineName.FAST, b.model, b.batch)
    assert engine.name == "reference"
    assert "does not know this model's parts" in notes[0]


def test_senders_changes_are_not_held_beside_the_cached_runs():
    b = bench(FAMILIES[0], seed=2)
    fast = FastEngine(b.model)
    worlds = fast.worlds(b.batch)
    edge = PatchEdge((Head(0, 1),), (Receiver(Logits()),), (), False, Direction.DENOISING)
    before = worlds.bytes
    fast.answers([edge, replace(edge, direction=Direction.NOISING)], worlds)
    assert not worlds._writes
    fast.answers([PatchEdge((Head(0, 1),), (Receiver(Head(1, 0), Slot.Q),), (), False,
                            Direction.DENOISING)], worlds)  # fmt: skip
    assert worlds.bytes > before  # the corrupt world is a base now, and is counted as one


def test_a_sender_counts_once():
    with pytest.raises(ValueError, match="a sender is named twice"):
        PatchEdge((Head(0, 1),) * 2, (Receiver(Logits()),), (), False, Direction.NOISING)
