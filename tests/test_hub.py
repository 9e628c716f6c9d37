"""The real hub client against a local server: every way in which a download can end."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.commands import Outcome, circuitlang, environment, running
from tests.hub_server import COMMIT, Repository, serve
from tests.tiny_models import circuit_text, tiny_gpt2

FEW_SECONDS = 30.0
"""Generous for a loaded machine; the client alone would retry for minutes."""


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gpt2(tmp_path_factory.mktemp("tiny") / "gpt2", layers=2, d_model=16)


@pytest.fixture
def repo(gpt2: Path, tmp_path: Path) -> Repository:
    """A repository of its own for each test, so that files can be taken out of it."""
    return Repository(Path(shutil.copytree(gpt2, tmp_path / "repo")))


def written(home: Path, model: str) -> Path:
    path = home / "hub.circuit"
    path.write_text(circuit_text(model))
    return path


def refused(home: Path, model: str, **variables: str) -> str:
    """The one line that a run ends with; nothing else may have been printed."""
    outcome = circuitlang("run", "-q", written(home, model), home=home, **variables)
    return one_line(outcome)


def one_line(outcome: Outcome) -> str:
    assert outcome.code == 3, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("circuitlang: ")
    assert len(line) < 400
    assert outcome.seconds < FEW_SECONDS
    return line.removeprefix("circuitlang: ")


def test_a_model_is_downloaded_run_and_then_used_without_the_hub(
    repo: Repository, tmp_path: Path
) -> None:
    (repo.folder / "pytorch_model.bin").write_bytes(b"a pickle that nobody asked for")
    path = written(tmp_path, '"org/tiny"')
    report = tmp_path / "report.json"
    with serve(org__tiny=repo) as hub:
        online = circuitlang(
            "run", "-q", path, "--json", report, home=tmp_path, HF_ENDPOINT=hub.endpoint
        )
        assert not [r for r in hub.requests if "pytorch_model.bin" in r]
    assert online.code == 0, online.err
    first = json.loads(report.read_text())
    assert first["provenance"]["revision"] == COMMIT
    assert first["provenance"]["model"] == "org/tiny"
    report.unlink()

    offline = circuitlang("run", "-q", path, "--json", report, home=tmp_path)
    assert offline.code == 0, offline.err
    second = json.loads(report.read_text())
    assert second["provenance"]["revision"] == COMMIT
    assert [c["estimate"] for c in second["claims"]] == [c["estimate"] for c in first["claims"]]


def test_a_revision_is_resolved_to_its_commit(repo: Repository, tmp_path: Path) -> None:
    other = "f" * 40
    repo.revisions["v2"] = other
    with serve(tiny=repo) as hub:
        found = snapshot(tmp_path, hub.endpoint, "'tiny', 'v2'")
        assert found.out.split() == [other]
        again = snapshot(tmp_path, hub.endpoint, f"'tiny', '{other}'")
        assert again.out.split() == [other]


def snapshot(home: Path, endpoint: str, arguments: str) -> Outcome:
    """`hub_snapshot` in a process of its own: the client reads the endpoint when imported."""
    code = f"from circuitlang.engine.hub import hub_snapshot as s; print(s({arguments})[1])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(home, HF_ENDPOINT=endpoint),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr, 0.0)


def test_unknown_repository(repo: Repository, tmp_path: Path) -> None:
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tinny"', HF_ENDPOINT=hub.endpoint)
    assert line == (
        "the hub has no model `org/tinny` (or it is private), and there is no such folder"
    )


def test_unknown_revision(repo: Repository, tmp_path: Path) -> None:
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny" revision "v9"', HF_ENDPOINT=hub.endpoint)
    assert line == (
        "the hub has no `org/tiny` at revision `v9`: the model is there, the revision is not"
    )


def test_gated(repo: Repository, tmp_path: Path) -> None:
    repo.gated = True
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
    assert line == (
        "`org/tiny` is gated: accept its licence on the hub and sign in with `hf auth login`"
    )


def test_a_hub_in_trouble(repo: Repository, tmp_path: Path) -> None:
    repo.status = 500
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
    assert line == "`org/tiny` is neither a folder nor in the cache, and the hub answered 500"


def test_a_hub_in_trouble_after_a_download(repo: Repository, tmp_path: Path) -> None:
    with serve(org__tiny=repo) as hub:
        snapshot(tmp_path, hub.endpoint, "'org/tiny', None")
        repo.status = 503
        assert snapshot(tmp_path, hub.endpoint, "'org/tiny', None").out.split() == [COMMIT]


def test_half_downloaded_then_repaired(repo: Repository, tmp_path: Path) -> None:
    size = (repo.folder / "model.safetensors").stat().st_size
    repo.breaks_at = size // 2
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
    assert line.startswith("`org/tiny` could not be downloaded: ")
    assert line.endswith("run it again, and the download goes on where it stopped")

    line = refused(tmp_path, '"org/tiny"')
    assert line == "`org/tiny` is only partly in the cache and the hub cannot be reached"

    repo.breaks_at = None
    with serve(org__tiny=repo) as hub:
        outcome = circuitlang(
            "run", "-q", written(tmp_path, '"org/tiny"'), home=tmp_path, HF_ENDPOINT=hub.endpoint
        )
    assert outcome.code == 0, outcome.err


def test_an_interrupt_ends_a_download_at_once(repo: Repository, tmp_path: Path) -> None:
    repo.breaks_at, repo.stalls = 10_000, True
    path = written(tmp_path, '"org/tiny"')
    with (
        serve(org__tiny=repo) as hub,
        running("run", "-q", path, home=tmp_path, HF_ENDPOINT=hub.endpoint) as process,
    ):
        deadline = time.monotonic() + FEW_SECONDS
        while not any(r.startswith("GET") and "model.safetensors" in r for r in hub.requests):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=FEW_SECONDS)
        assert time.monotonic() - started < 10, "the server would stall for a minute"
    assert (process.returncode, out, err) == (130, "", "circuitlang: interrupted\n")


def test_no_network(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=closed)
    assert line == "`org/tiny` is neither a folder nor in the cache, and the hub cannot be reached"


def test_offline_by_choice(repo: Repository, tmp_path: Path) -> None:
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint, HF_HUB_OFFLINE="1")
        assert hub.requests == []
    assert line == "`org/tiny` is neither a folder nor in the cache, and HF_HUB_OFFLINE is set"


def test_a_dead_proxy(repo: Repository, tmp_path: Path) -> None:
    with serve(org__tiny=repo) as hub:
        line = refused(
            tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint, HTTP_PROXY="http://127.0.0.1:9"
        )
    assert line == "`org/tiny` is neither a folder nor in the cache, and the hub cannot be reached"


def test_only_pickled_weights(repo: Repository, tmp_path: Path) -> None:
    (repo.folder / "model.safetensors").rename(repo.folder / "pytorch_model.bin")
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
        assert not [r for r in hub.requests if "pytorch_model.bin" in r]
    assert line == (
        "`org/tiny` has no safetensors weights on the hub; other formats are pickles, which "
        "could run code, and are not loaded"
    )


def test_a_shard_that_the_repository_lacks(repo: Repository, tmp_path: Path) -> None:
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    (repo.folder / "model.safetensors").rename(repo.folder / first)
    weight_map = {"transformer.wte.weight": first, "transformer.wpe.weight": second}
    index = repo.folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
    assert line.startswith(f"`org/tiny` is incomplete: {second} is missing from ")


def test_weights_cut_off_on_the_hub(repo: Repository, tmp_path: Path) -> None:
    weights = repo.folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) - 1000])
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
    assert line.startswith("`org/tiny` is broken: ")
    assert f"has {len(whole) - 1000:,} bytes, its header promises {len(whole):,}" in line


def test_an_architecture_that_is_not_supported(repo: Repository, tmp_path: Path) -> None:
    config = repo.folder / "config.json"
    config.write_text(config.read_text().replace("GPT2LMHeadModel", "AlienForCausalLM"))
    with serve(org__tiny=repo) as hub:
        line = refused(tmp_path, '"org/tiny"', HF_ENDPOINT=hub.endpoint)
    assert line == (
        "`org/tiny` has the architecture AlienForCausalLM, which TransformerLens does not support"
    )


@pytest.mark.parametrize("name", ["a//b", "x" * 200, "a..b"])
def test_a_name_that_the_hub_cannot_have(name: str, tmp_path: Path) -> None:
    line = refused(tmp_path, f'"{name}"')
    assert f"`{name}`" in line
