"""Loading folders: what is recorded of a good one, and the one line that each bad one gets."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformer_lens.model_bridge import TransformerBridge

from circuitlang.circuit import ModelReference
from circuitlang.engine.errors import MissingExtraError, ModelError
from circuitlang.engine.loading import LoadedModel, load_transformer
from circuitlang.engine.locating import locate_model
from circuitlang.models import shape
from tests.tiny_models import tiny_gpt2, tiny_llama, tiny_neox

MAKERS: dict[str, Callable[[Path], Path]] = {
    "gpt2": tiny_gpt2,
    "llama": tiny_llama,
    "neox": tiny_neox,
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {name: make(base / name) for name, make in MAKERS.items()}


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the tiny GPT-2 that a test may break."""
    return Path(shutil.copytree(folders["gpt2"], tmp_path / "model"))


def load(folder: Path, **options: str) -> LoadedModel:
    return load_transformer(ModelReference("name", str(folder), **options))


def refusal(folder: Path, **options: str) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    return line.replace(str(folder), "FOLDER")


def logits(model: LoadedModel) -> torch.Tensor:
    """At the last position of a few prompts, minus their mean: what folding must keep."""
    tokens = torch.arange(2, 38).reshape(4, 9)
    found: torch.Tensor = model.transformer.run(tokens).logits
    return found - found.mean(dim=-1, keepdim=True)


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_is_loaded_as_transformers_loads_it(name: str, folders: dict[str, Path]) -> None:
    from transformers import AutoModelForCausalLM

    model = load(folders[name])
    plain = AutoModelForCausalLM.from_pretrained(folders[name]).eval()
    tokens = torch.arange(2, 38).reshape(4, 9)
    with torch.no_grad():
        expected = plain(tokens).logits[:, -1]
    assert torch.allclose(model.transformer.run(tokens).logits, expected, atol=1e-4)
    assert expected.std() > 0.5, "the weights are too small to show a mistake"


@pytest.mark.parametrize(
    "name, expected",
    [
        ("gpt2", ("GPT2LMHeadModel", shape.ModelShape(3, 4, 4))),
        ("llama", ("LlamaForCausalLM", shape.ModelShape(2, 9, 3))),
        ("neox", ("GPTNeoXForCausalLM", shape.ModelShape(2, 4, 4, parallel=True))),
    ],
)
def test_what_is_recorded(
    name: str, expected: tuple[str, shape.ModelShape], folders: dict[str, Path]
) -> None:
    model = load(folders[name])
    assert (model.architecture, model.transformer.shape) == expected
    assert model.transformer.shape == shape.shape_of_folder(folders[name])
    assert model.name == str(folders[name])
    assert model.revision is None
    assert model.weights == "plain"
    assert set(model.versions) == {
        "circuitlang", "torch", "transformers", "transformer-lens", "numpy"
    }  # fmt: skip
    assert model.transformer.passes == 0, "trying the model out must not count as measuring"


@pytest.mark.parametrize(
    "config, expected",
    [
        ({"n_layer": 2, "n_head": 4}, shape.ModelShape(2, 4, 4)),
        ({"n_layer": 2, "n_head": 4, "model_type": "gptj"}, shape.ModelShape(2, 4, 4, True)),
        (
            {"num_hidden_layers": 2, "num_attention_heads": 4, "model_type": "gpt_neox"},
            shape.ModelShape(2, 4, 4, parallel=True),
        ),
        (
            {
                "num_hidden_layers": 2, "num_attention_heads": 4, "model_type": "gpt_neox",
                "use_parallel_residual": False,
            },
            shape.ModelShape(2, 4, 4),
        ),
        (
            {"num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 2},
            shape.ModelShape(2, 6, 2),
        ),
        ({"num_hidden_layers": 2, "num_attention_heads": 6, "num_key_value_heads": 4}, None),
        ({"n_layer": 0, "n_head": 4}, None),
        ({"n_layer": "2", "n_head": 4}, None),
        ([], None),
    ],
)  # fmt: skip
def test_the_shape_that_a_config_tells(
    config: object, expected: shape.ModelShape | None, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert shape.shape_of_folder(tmp_path) == expected


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_dtype(dtype: str, folders: dict[str, Path]) -> None:
    model = load(folders["gpt2"], dtype=dtype)
    assert str(model.transformer.dtype) == f"torch.{dtype}"
    assert model.transformer.run(torch.tensor([[3, 4]])).logits.dtype == model.transformer.dtype


@pytest.mark.parametrize("name", MAKERS)
def test_folded_weights_give_the_same_logit_differences(
    name: str, folders: dict[str, Path]
) -> None:
    plain, folded = load(folders[name]), load(folders[name], weights="folded")
    assert folded.weights == "folded"
    assert torch.allclose(logits(plain), logits(folded), atol=1e-4)
    before, after = plain.transformer.fingerprint(), folded.transformer.fingerprint()
    assert before != after, "nothing was folded"


@pytest.mark.parametrize("name", MAKERS)
def test_weights_in_float64_fold_as_exactly_as_float32(
    name: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TransformerLens folds in float32; what is no model's own rounding is refused as ever."""
    options = {"weights": "folded", "dtype": "float64"}
    plain, folded = load(folders[name]), load(folders[name], **options)
    unfolded = load(folders[name], dtype="float64")
    assert folded.transformer.dtype == unfolded.transformer.dtype == torch.float64
    for exact in (folded, unfolded):
        assert torch.allclose(logits(plain).double(), logits(exact), atol=1e-4)

    def spoilt(self: TransformerBridge) -> None:
        with torch.no_grad():
            next(self.parameters()).mul_(1.5)

    monkeypatch.setattr(TransformerBridge, "enable_compatibility_mode", spoilt)
    assert "does not run `FOLDER` as published" in refusal(folders[name], **options)


def test_folding_that_fails_names_the_way_out(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise NotImplementedError("no folding\nfor this one")

    monkeypatch.setattr(TransformerBridge, "enable_compatibility_mode", fail)
    line = refusal(folders["gpt2"], weights="folded")
    assert line == (
        "the weights of `FOLDER` (GPT2LMHeadModel) cannot be folded: no folding for this one; "
        "write `weights plain`"
    )


def test_the_hash_follows_the_weights_and_nothing_else(folder: Path) -> None:
    first = load(folder).weights_sha256
    (folder / "generation_config.json").unlink()
    assert load(folder).weights_sha256 == first
    weights = load_file(folder / "model.safetensors")
    weights["transformer.h.0.ln_1.bias"][0] += 1e-3
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder).weights_sha256 != first


def test_shards_are_one_model(folder: Path) -> None:
    whole = logits(load(folder))
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: weights[key] for key in keys}, folder / file, metadata={"format": "pt"})
    weight_map = {key: file for file, keys in parts.items() for key in keys}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert torch.equal(logits(load(folder)), whole)

    (folder / "b.safetensors").unlink()
    assert refusal(folder) == "`FOLDER` is incomplete: b.safetensors is missing from FOLDER"
    for broken in ("{", "[]", '{"weight_map": {}}', '{"weight_map": {"w": "../x.safetensors"}}'):
        index.write_text(broken)
        assert refusal(folder).startswith("`FOLDER` is broken: ")


def test_missing_folders_and_files(tmp_path: Path, folder: Path) -> None:
    assert refusal(tmp_path / "absent") == "there is no folder `FOLDER`"
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == (
        "`FOLDER` is incomplete: there is no config.json in FOLDER"
    )
    assert refusal(folder / "config.json") == "`FOLDER` is a file, not a model folder"
    (folder / "m.gguf").write_bytes(b"GGUF")
    assert refusal(folder / "m.gguf").endswith("is a file, not a model folder; write `model gguf`")
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == "`FOLDER` is incomplete: model.safetensors is missing from FOLDER"


@pytest.mark.parametrize("content", ["{", "", "\0", "[" * 100_000])
def test_config_is_not_json(content: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    assert refusal(folder) == "`FOLDER` is broken: FOLDER/config.json is not JSON"


@pytest.mark.parametrize("architectures", [None, [], "GPT2LMHeadModel", 5, [5]])
def test_config_without_an_architecture(architectures: object, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = architectures
    (folder / "config.json").write_text(json.dumps(config))
    assert refusal(folder) == "`FOLDER`: config.json names no architecture"


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert refusal(folder) == "`FOLDER` is incomplete: there is no tokenizer.json in FOLDER"


def test_a_broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"model": 1}')
    assert refusal(folder).startswith("`FOLDER` could not be loaded: ")


@pytest.mark.parametrize("keep", [0, 4, 100, -1000])
def test_weights_cut_off(keep: int, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    line = refusal(folder)
    assert line.startswith("`FOLDER` is broken: FOLDER/model.safetensors ")


def test_weights_that_are_not_all_there(folder: Path) -> None:
    """transformers draws missing weights at random and only logs it."""
    weights = load_file(folder / "model.safetensors")
    for name in ("transformer.h.1.mlp.c_fc.weight", "transformer.ln_f.bias"):
        del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert refusal(folder) == (
        "`FOLDER` is incomplete: its weight files lack transformer.h.1.mlp.c_fc.weight and 1 more"
    )


def test_weights_of_other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["n_positions"] = 16
    (folder / "config.json").write_text(json.dumps(config))
    assert refusal(folder).startswith("`FOLDER` could not be loaded: ")


def test_an_unknown_architecture(folder: Path) -> None:
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("GPT2LMHeadModel", "AlienForCausalLM"))
    assert refusal(folder) == (
        "`FOLDER` has the architecture AlienForCausalLM, which TransformerLens does not support"
    )


def test_an_encoder_is_no_decoder(tmp_path: Path, folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=16,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "bert")
    shutil.copy(folder / "tokenizer.json", tmp_path / "bert")
    line = refusal(tmp_path / "bert")
    assert line == (
        "`FOLDER` is a BertForMaskedLM; only decoders that predict the next token are supported"
    )


def test_a_folder_has_no_revision(folder: Path) -> None:
    line = refusal(folder, revision="main")
    assert line == "`FOLDER` is a folder on this machine, which has no revisions"


def test_an_unknown_device(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^cannot use the device `abacus`: "):
        load_transformer(ModelReference("name", str(folder)), "abacus")


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (open, (str(self.mark), "w"))


def test_pickles_are_never_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    trap = pickle.dumps(Trap(mark))
    pickle.loads(trap).close()
    assert mark.exists(), "the trap works"
    mark.unlink()

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr(torch, "load", forbidden)
    for name in ("pytorch_model.bin", "training_args.bin", "model.pt"):
        (folder / name).write_bytes(trap)
    load(folder)
    (folder / "model.safetensors").unlink()
    assert refusal(folder) == (
        "`FOLDER` has pickled weights only; loading them could run code, so safetensors are "
        "required"
    )
    assert not mark.exists()


def test_code_of_a_repository_is_never_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (folder / "modeling_evil.py").write_text(f"open({str(mark)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "evil"
    config["auto_map"] = {
        "AutoConfig": "modeling_evil.Config",
        "AutoModelForCausalLM": "modeling_evil.Model",
    }
    (folder / "config.json").write_text(json.dumps(config))
    assert refusal(folder).startswith("`FOLDER` could not be loaded: ")
    assert not mark.exists()


def test_builtin(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(folders["gpt2"], tmp_path / "ioi-tiny")
    monkeypatch.setattr(shape, "BUILTIN_FOLDER", tmp_path)
    model = load_transformer(ModelReference("builtin", "ioi_tiny"))
    assert model.name == "builtin ioi_tiny"
    assert model.transformer.shape.layers == 3
    with pytest.raises(ModelError, match="there is no built-in model `other`"):
        load_transformer(ModelReference("builtin", "other"))


def test_an_obtainable_model_that_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        locate_model(ModelReference("name", "smollm2-135m"))
    assert str(caught.value) == (
        "`smollm2-135m` is not here yet: run `circuitlang models get smollm2-135m` (about 93 MB)"
    )


def test_the_missing_extra(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "transformer" in name else find(name)
    )
    with pytest.raises(MissingExtraError) as caught:
        load(folder)
    assert str(caught.value) == (
        "running experiments needs transformers, transformer_lens: install the extra with "
        "`pip install 'circuitclaims[run]'` (in a checkout: `pip install '.[run]'`)"
    )
