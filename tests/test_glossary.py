"""The glossary has every word of the help that not everybody knows."""

import ast
import re

import pytest

import mgm.config
from documents import ROOT
from mgm.data.composites import PIECES
from mgm.method.algorithm import REFINEMENT
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.method.selfsup import SELF_SUPERVISION
from mgm.models import MODELS
from mgm.report.history import STAGE_TITLES
from mgm.training.optimizer_steps import OPTIMIZER_STEPS

GLOSSARY = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
CHOICES = {
    "--extra-images": EXTRA_IMAGES,
    "--refinement": REFINEMENT,
    "--self-supervision": SELF_SUPERVISION,
    "--architecture": MODELS,
    "--mix": PIECES,
    "--optimizer-step": OPTIMIZER_STEPS,
    "--extra-uses": ("refinement", "self_supervision", "labels"),
    "--statistics": ("labelled", "all"),
    "--balance": ("sum", "uncertainty"),
    "--identities": (),
}
ORDINARY = {
    "CPU",
    "CUDA",
    "GPU",
    "YAML",
    "NAME",
    "LOSS",
    "TASK",
    "MGM",
    "MGM_CACHE",
    "NAME_OR_FOLDER",
    "ConfigError",
    "HxW",
    "HEIGHTxWIDTH",
    "SizeSetting",
    "MethodConfig",
}
"""Abbreviations that everybody knows, placeholders, and names in the code."""


@pytest.mark.parametrize("setting", CHOICES)
def test_every_choice_of_a_setting_is_explained_in_its_row(setting):
    (row,) = [line for line in GLOSSARY.splitlines() if line.startswith(f"| `{setting}` |")]
    missing = [choice for choice in CHOICES[setting] if f"`{choice}`" not in row]
    assert not missing


def test_stages_are_explained():
    assert [stage for stage in STAGE_TITLES if stage != "pretrain" and f"`{stage}`" not in GLOSSARY] == []


def test_names_and_abbreviations_of_the_settings_are_explained():
    texts = [
        node.value
        for node in ast.walk(ast.parse((ROOT / "src/mgm/config.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert mgm.config.__file__.endswith("config.py")
    words = {word for text in texts for word in re.findall(r"\b[A-Za-z_-]*[A-Z][A-Za-z_-]*[A-Z][A-Za-z0-9_-]*", text)}
    assert "NT-Xent" in words
    assert sorted(word for word in words - ORDINARY if re.sub(r"-\d+$", "", word) not in GLOSSARY) == []


@pytest.mark.parametrize(
    "term", ["`score`", "(M)", "(R)", "updates of M", "paper's angle", "what the generator adds", "scene"]
)
def test_words_of_the_paper_have_plain_ones_beside_them(term):
    assert term in GLOSSARY
