"""Models in TransformerLens's own format, as its attention-only toy models are published."""

import json
import pickle
from pathlib import Path

import pytest
import torch

from circuitlang.circuit import ModelReference
from circuitlang.engine.errors import ModelError
from circuitlang.engine.fast.anatomy import read_anatomy
from circuitlang.engine.fast.descent import Descent
from circuitlang.engine.fast.jobs import Job, Phase
from circuitlang.engine.fast.worlds import FastWorld
from circuitlang.engine.loading import load_transformer
from circuitlang.models import shape_with_neurons, size_of_folder, size_of_name
from tests.commands import circuitlang
from tests.hub_server import COMMIT, Repository, serve
from tests.test_loading import Trap
from tests.tiny_models import circuit_text, vocabulary, write_tokenizer
from tests.tl_checkpoints import logits, write_checkpoint

VOCABULARY = len(vocabulary())
PATH = "A -> B.V -> logits in -900 logits..900 logits\n  B -> logits in -900 logits..900 logits"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with its tokenizer beside the weights."""
    write_checkpoint(tmp_path / "model", VOCABULARY)
    write_tokenizer(tmp_path / "model")
    return tmp_path / "model"


def load(folder: Path, **options: str):
    return load_transformer(ModelReference("name", str(folder), **options))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as refused:
        load(folder)
    return str(refused.value).replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    "changes",
    [{}, {"attn_only": False}, {"normalization": "LNPre"}, {"n_layers": 1, "attn_only": False}],
    ids=["attention only", "with MLPs", "folded norms", "one layer"],
)
def test_computes_what_the_format_means(tmp_path, changes):
    weights = write_checkpoint(tmp_path, VOCABULARY, **changes)
    write_tokenizer(tmp_path)
    loaded = load(tmp_path, dtype="float64")
    tokens = torch.tensor([7, 3, 20, 3, 9])
    expected = logits(weights, tokens, changes.get("n_layers", 2))[-1]
    found = loaded.transformer.run(tokens[None]).logits[0]
    assert (found - expected).abs().max() < 1e-9
    assert loaded.transformer.shape.mlps == (not changes.get("attn_only", True))
    assert loaded.architecture == "TransformerLens"


@pytest.mark.parametrize(
    "changes",
    [{"normalization": "LNPre"}, {"attn_only": False}, {"attn_only": False, "act_fn": "relu"}],
    ids=["folded norms", "with MLPs", "ReLU"],
)
def test_the_fast_engine_computes_the_same(tmp_path, changes):
    write_checkpoint(tmp_path, VOCABULARY, **changes)
    write_tokenizer(tmp_path)
    transformer = load(tmp_path).transformer
    anatomy, tokens = read_anatomy(transformer), torch.tensor([[7, 3, 20, 3, 9]])
    whole = Job(0, FastWorld(transformer, anatomy, tokens, base=True), 0, (0, Phase.BEFORE))
    with torch.no_grad():
        own = anatomy.read_out(Descent([whole], anatomy).run()[0])
    assert (own - transformer.run(tokens).logits).abs().max() < 1e-4


def test_a_bias_of_the_unembedding_is_kept(tmp_path):
    weights = write_checkpoint(tmp_path, VOCABULARY)
    write_tokenizer(tmp_path)
    weights["unembed.b_U"] = torch.linspace(-3, 3, VOCABULARY)
    torch.save(weights, tmp_path / "model_final.pth")
    tokens = torch.tensor([7, 3, 20])
    found = load(tmp_path, dtype="float64").transformer.run(tokens[None]).logits[0]
    assert (found - logits(weights, tokens)[-1]).abs().max() < 1e-9


def test_folded_weights_say_the_same(folder):
    weights = torch.load(folder / "model_final.pth", weights_only=True)
    tokens = torch.tensor([7, 3, 20, 3, 9])
    found = load(folder, weights="folded").transformer.run(tokens[None]).logits[0]
    expected = logits(weights, tokens)[-1]
    assert (found.log_softmax(-1) - expected.log_softmax(-1)).abs().max() < 1e-4


def test_sizes_are_read_from_the_config(folder, tmp_path):
    size = size_of_folder(folder)
    weights = torch.load(folder / "model_final.pth", weights_only=True)
    matrices = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_U")
    assert size.parameters == sum(w.numel() for k, w in weights.items() if k.endswith(matrices))
    known = size_of_name("NeelNanda/Attn_Only_2L512W_C4_Code")
    write_checkpoint(
        tmp_path / "real", known.vocabulary, d_model=512, n_heads=8, d_head=64, d_mlp=2048,
        n_ctx=1024,
    )  # fmt: skip
    assert size_of_folder(tmp_path / "real") == known
    assert shape_with_neurons("NeelNanda/Attn_Only_2L512W_C4_Code").neurons is None


def test_both_engines_measure_the_same_on_one_from_the_hub(tmp_path):
    """Its tokenizer lies in a repository of its own; the second run needs no hub."""
    write_checkpoint(tmp_path / "repo", VOCABULARY)
    (tmp_path / "repo" / "other.bin").write_bytes(b"what nobody asked for")
    write_tokenizer(tmp_path / "digits")
    file = tmp_path / "toy.circuit"
    claim = "ablate A in -900 logits..900 logits by mean"
    file.write_text(circuit_text('"me/toy"', edges=PATH, claims=claim))
    reports = []
    with serve(
        me__toy=Repository(tmp_path / "repo"), someone__digits=Repository(tmp_path / "digits")
    ) as hub:
        checked = circuitlang("check", "--tokens", file, home=tmp_path, HF_ENDPOINT=hub.endpoint)
        assert checked.code == 0, checked.err
        assert not [r for r in hub.requests if r.endswith(".pth")]
        for engine in ("fast", "reference"):
            report = tmp_path / f"{engine}.json"
            run = circuitlang(
                "run", "-q", "--engine", engine, file, "--json", report,
                home=tmp_path, HF_ENDPOINT=hub.endpoint,
            )  # fmt: skip
            assert run.code == 0, run.err
            reports.append(json.loads(report.read_text()))
        assert not [r for r in hub.requests if r.endswith(".bin")]
    assert reports[0]["provenance"]["revision"] == COMMIT
    assert [report["provenance"]["engine"] for report in reports] == ["fast", "reference"]
    for fast, slow in zip(reports[0]["claims"], reports[1]["claims"], strict=True):
        assert fast["estimate"]["value"] == pytest.approx(slow["estimate"]["value"], abs=1e-4)
        assert fast["estimate"]["value"]
    offline = circuitlang("run", "-q", file, home=tmp_path)
    assert offline.code == 0, offline.err


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shortformer_pos": True}, "positions are added to queries and keys alone (shortformer)"),
        ({"architecture": "neel-solu-old"}, "weights are in an older layout (`neel-solu-old`)"),
    ],
)
def test_what_the_bridge_does_not_do_is_refused(folder, changes, why):
    write_checkpoint(folder, VOCABULARY, **changes)
    assert refusal(folder) == (
        f"`FOLDER` cannot be run: {why}, which TransformerLens's bridge does not do"
    )


def test_what_is_missing_or_broken_is_told(folder):
    final = folder / "model_final.pth"
    (folder / "old_final.pth").write_bytes(final.read_bytes())
    assert "2 files *final.pth in FOLDER" in refusal(folder)
    (folder / "old_final.pth").unlink()
    weights = torch.load(final, weights_only=True)
    torch.save({k: v for k, v in weights.items() if k != "blocks.1.attn.W_Q"}, final)
    assert "Missing key(s)" in refusal(folder)
    torch.save(weights | {"blocks.1.attn.W_Q": weights["blocks.1.attn.W_Q"][:2]}, final)
    assert "shape" in refusal(folder)
    final.write_bytes(b"cut off")
    assert refusal(folder).startswith("`FOLDER` could not be loaded: ")
    final.unlink()
    assert "no file *final.pth in FOLDER" in refusal(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_heads": "4"}))
    assert refusal(folder) == "`FOLDER` is broken: config.json has no number for n_heads"


def test_code_in_the_weights_is_not_run(folder, tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Trap(mark))).close()
    assert mark.exists(), "the trap works"
    mark.unlink()
    torch.save({"embed.W_E": Trap(mark)}, folder / "model_final.pth")
    assert refusal(folder).startswith("`FOLDER` could not be loaded: ")
    assert not mark.exists()
