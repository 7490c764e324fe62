"""Shell completion, tried in bash itself."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess

import pytest

from mgm.cli.completion import words_of
from mgm.cli.main import VERBS
from mgm.config import DataConfig, MethodConfig, ModelConfig, TrainingConfig
from mgm.method.recipes import PRESETS, RECIPES


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    import contextlib
    import io

    from mgm.cli.completion import completion

    path = tmp_path_factory.mktemp("completion") / "mgm.bash"
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        completion(["bash"])
    path.write_text(text.getvalue())
    return path


@pytest.fixture
def complete(script, tmp_path):
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    (tmp_path / "photos").mkdir()

    def run(*words):
        array = " ".join(f"'{word}'" for word in ("mgm", *words))
        command = f"source {script}; COMP_WORDS=({array}); COMP_CWORD={len(words)}; _mgm; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=True)
        assert not done.stderr
        return set(done.stdout.split())

    return run


def test_every_setting_is_an_option_of_train():
    options = set(words_of("train").options)
    for group in (DataConfig, ModelConfig, MethodConfig, TrainingConfig):
        for field in dataclasses.fields(group):
            if field.name != "backbone":
                assert f"--{field.name.replace('_', '-')}" in options, field.name
    assert {"--no-augment", "--help", "--resume", "--config"} <= options
    assert words_of("train").names == tuple(RECIPES)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_words(verb):
    words = words_of(verb)
    assert "--help" in words.options or words.below


def test_environment_is_as_before(monkeypatch):
    monkeypatch.setenv("COLUMNS", "77")
    words_of("evaluate")
    assert os.environ["COLUMNS"] == "77"


def test_completion_in_bash(complete):
    assert set(VERBS) <= complete("")
    assert complete("tra") == {"train"}
    assert {"mgm", "mgm_real", "mgm_control"} <= complete("train", "mgm")
    assert complete("train", "mgm", "--fract") == {"--fraction"}
    assert complete("train", "mgm", "--preset", "") >= set(PRESETS)
    assert complete("train", "--data", "pho") == {"photos"}
    assert {"inspect", "prepare"} <= complete("data", "")
    assert complete("data", "prepare", "--skip") == {"--skip-bad"}


def test_scripts_of_other_shells(mgm):
    code, out, _ = mgm("completion", "zsh")
    assert code == 0
    assert out.startswith("#compdef mgm\n")
    assert "bashcompinit" in out
    code, out, _ = mgm("completion", "fish")
    assert code == 0
    assert "complete -c mgm -n __fish_use_subcommand -a train" in out
    assert "complete -c mgm -n '__fish_seen_subcommand_from train' -l fraction" in out
    assert out.count("'") % 2 == 0


def test_unknown_shell(mgm):
    code, _, err = mgm("completion", "tcsh")
    assert code == 2
    assert "Choices: bash, fish, zsh" in err
