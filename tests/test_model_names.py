"""What may stand after `model`: names that the hub can have, folders and files that are there."""

from pathlib import Path

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitlang.circuit import ModelReference, missing_files
from circuitlang.source import Span
from tests.commands import circuitlang
from tests.front_end import GOLDEN, codes_of

VALID = (GOLDEN / "valid.circuit").read_text(encoding="utf-8")


def with_model(written: str) -> str:
    return VALID.replace('model "gpt2"', f"model {written}")


@given(st.text("ab1-_.  /", min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_what_the_hub_accepts_is_accepted(name: str) -> None:
    """Against the hub's own client; what is written as a path is none of its names."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return
    assert "CL401" not in codes_of(with_model(f'"{name}"'))


@pytest.mark.parametrize("name", ["gpt2 ", " gpt2", "my model", "gpt2.", "a/", "https://x.org/a/b"])
def test_what_no_model_can_be_called_is_refused(name: str) -> None:
    assert codes_of(with_model(f'"{name}"')) == ["CL401"]


@pytest.mark.parametrize(
    "written, said",
    [
        ('"./nothing"', "there is no folder `./nothing`"),
        ('"./mdoel"', "did you mean `model`?"),
        ('"./model.gguf"', 'write `model gguf "model.gguf"`'),
        ('"a/b/c"', "there is no folder `a/b/c`"),
        ('gguf "modle.gguf"', "did you mean `model.gguf`?"),
        ('gguf "model"', 'write `model "./model"`'),
        ('"./model"', ""),
        ('"my folder"', ""),
        ('gguf "model.gguf"', ""),
        ('"somebody/something"', ""),
        ("builtin ioi_tiny", ""),
    ],
)
def test_check_says_that_a_folder_or_file_is_not_there(
    written: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "my folder").mkdir()
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    nodes = VALID.replace("L7.H3, L8.H6", "L2.H0").replace("L9.H6, L9.H9", "L3.H1")
    nodes = nodes.replace("L0.H1, L0.H10", "L1.H2")
    text = nodes.replace('model "gpt2"', f"model {written}")
    (tmp_path / "a.circuit").write_text(text, encoding="utf-8")
    found = circuitlang("check", "a.circuit", home=tmp_path)
    assert found.code == (2 if said else 0), found.err
    assert said in found.err
    assert ("CL401" in found.err) == bool(said)


def test_a_name_too_long_for_a_file_is_no_folder() -> None:
    (found,) = missing_files(ModelReference("name", f"./{'x' * 5000}", span=Span(1, 2)))
    assert (found.code, found.span) == ("CL401", Span(1, 2))


def test_judging_needs_no_folder() -> None:
    assert codes_of(with_model('"./nothing"')) == []
