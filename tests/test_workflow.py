"""The hosted CI runs what `.ci/run` runs."""

import re

import yaml

from documents import ROOT


def test_the_workflow_calls_all_that_the_local_run_calls():
    local = (ROOT / ".ci" / "run").read_text()
    targets = {target for line in re.findall(r"^make (.+)$", local, re.MULTILINE) for target in line.split()}
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    commands = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    hosted = {target for line in commands if line.startswith("make ") for target in line.split()[1:]}
    assert targets == hosted
    assert [line for line in local.splitlines() if "pytest" in line] == [line for line in commands if "-m slow" in line]


def test_the_workflow_covers_the_versions_of_python_that_the_package_names():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', (ROOT / "pyproject.toml").read_text())
    assert workflow["jobs"]["fast"]["strategy"]["matrix"]["python"] == named
