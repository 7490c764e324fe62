import pytest
import torch
from torch import nn

from fake_runs import begin_run
from mgm.errors import RunError
from mgm.inference.generate import TrainedGenerator, generate
from mgm.method.recipes import make_experiment
from mgm.runs.folder import RunFolder
from mgm.runs.saved_generators import SavedGenerator
from mgm.types import DatasetInfo


class Recorder(nn.Module):
    """Gives the latent back as an image, with the label's sum in front."""

    def forward(self, latent, labels):
        return torch.cat([labels.sum(1, keepdim=True), latent], dim=1)


def generator(labels, *, multi_hot=False, scenes=("a", "b")) -> TrainedGenerator:
    means = 100 * torch.arange(len(labels)).float()[:, None].expand(-1, 3)
    return TrainedGenerator(
        SavedGenerator(Recorder(), means, labels),  # type: ignore[arg-type]
        DatasetInfo("x", (), (), scenes, multi_hot),
    )


def test_the_latent_comes_from_images_of_the_same_kind():
    labels = torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    images = generator(labels).sample("b", torch.tensor([0.0, 1.0]), 20, 0)
    assert set((images[:, 1:].mean(1) / 100).round().int().tolist()) <= {1, 3}


def test_a_combination_that_never_occurred_draws_from_all_images():
    labels = torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    made = generator(labels, multi_hot=True)
    images = made.sample("a, b", made.label_of(["a", "b"]), 40, 0)
    assert set((images[:, 1:].mean(1) / 100).round().int().tolist()) == {0, 1, 2, 3}
    assert (images[:, 0] == 2).all()


def test_the_same_seed_and_name_give_the_same_noise():
    made = generator(torch.eye(2))
    label = made.label_of(["a"])
    assert torch.equal(made.sample("a", label, 4, 0), made.sample("a", label, 4, 0))
    assert not torch.equal(made.sample("a", label, 4, 0), made.sample("a", label, 4, 1))


@pytest.mark.parametrize(
    "recipe, remedy", [("mgm", "it was stopped before: mgm train --resume"), ("mt", "train one with: mgm train mgm")]
)
def test_a_run_without_a_generator_says_how_to_get_one(tmp_path, recipe, remedy):
    folder = RunFolder(tmp_path / "run")
    begin_run(folder, make_experiment(recipe, "tiny", str(tmp_path / "gone")), DatasetInfo("x", ()))
    with pytest.raises(RunError, match=f"run holds no generator; {remedy}"):
        generate(tmp_path / "run", 2)


def test_labels_by_name():
    made = generator(torch.eye(2))
    assert made.label_of(["b"]).tolist() == [0, 1]
    assert made.label_of([]).tolist() == [0, 0]
    assert generator(torch.ones(1, 1), scenes=()).label_of([]).tolist() == [1]
