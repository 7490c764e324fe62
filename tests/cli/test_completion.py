"""Shell completion, tried in bash itself."""

import shutil
import subprocess

import pytest

from mgm.cli.main import VERBS
from mgm.method.recipes import PRESETS


@pytest.fixture
def complete(mgm, tmp_path):
    if not shutil.which("bash"):
        pytest.skip("no bash here")
    out = mgm.done("completion", "bash")
    (tmp_path / "mgm.bash").write_text(out)
    (tmp_path / "photos").mkdir()

    def run(*words):
        array = " ".join(f"'{word}'" for word in ("mgm", *words))
        command = f'source mgm.bash; COMP_WORDS=({array}); COMP_CWORD={len(words)}; _tyro_mgm; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=True)
        assert not done.stderr
        return set(done.stdout.split())

    return run


def test_completion_in_bash(complete):
    assert set(VERBS) <= complete("")
    assert complete("tra") == {"train"}
    assert complete("train", "mgm", "--fract") == {"--fraction"}
    assert complete("train", "mgm", "--preset", "") >= set(PRESETS)
    assert complete("train", "--data", "pho") == {"photos"}
    assert complete("report", "pho") == {"photos"}
    assert {"inspect", "prepare"} <= complete("data", "")
    assert complete("data", "prepare", "--skip") == {"--skip-bad"}


@pytest.mark.parametrize(
    ("shell", "mark"), [("zsh", "#compdef mgm\n"), ("fish", "complete --no-files --command 'mgm'")]
)
def test_scripts_of_other_shells(mgm, shell, mark):
    out = mgm.done("completion", shell)
    assert mark in out
    assert "--fraction" in out
    assert " or ['__TYRO_COMPLETE_FILES__']" in out


def test_unknown_shell(mgm):
    assert "Choices: bash, fish, zsh" in mgm.refused("completion", "elvish")
