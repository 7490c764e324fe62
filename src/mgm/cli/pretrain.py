"""``mgm pretrain``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import tyro

from mgm.cli.parsing import check_resumes_alone, parse, says_how_to_go_on
from mgm.config import Experiment, ImageSize
from mgm.data.files import as_file_name
from mgm.errors import ConfigError
from mgm.method.recipes import make_experiment
from mgm.types import Aspect


@dataclass(frozen=True)
class PretrainOptions:
    """Pre-train an encoder with SimCLR on photographs without labels; use it with `mgm train --encoder-run DIR`.

    Example: mgm pretrain holiday --preset small --out runs/encoder
    """

    photographs: tyro.conf.Positional[str] = ""
    """Folder or zip of photographs, searched recursively; or a data set (as for --data), whose training images are used."""
    preset: str = "small"
    """Preset that sets encoder, image size and optimiser; train with the same one afterwards."""
    out: Path | None = None
    """The run's folder; default: runs/pretrain-NAME-sSEED."""
    resume: Path | None = None
    """Continue the pre-training in this folder, with its own settings."""
    exclude: str = ""
    """Data set that the encoder is meant for; photographs that are among its validation or test images are not used."""
    split: str = "random"
    """Split of the data set, and of the one to exclude."""
    split_seed: int = 0
    """Seed of the split; give `mgm train` the same."""
    steps: int = 2000
    """Training steps."""
    batch_size: int = 64
    """Photographs per step; each gives two views."""
    image_size: ImageSize = ""
    """Image size in pixels: the side of a square, or HEIGHTxWIDTH; empty: the preset's."""
    aspect: Aspect = "squeeze"
    """How images of another shape are fitted; give `mgm train` the same."""
    learning_rate: float = 0.0
    """Learning rate; 0: the preset's."""
    encoder: str = ""
    """Encoder, as for `mgm train`; empty: the preset's."""
    seed: int = 0
    """Random seed of weights, batches and views."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log: tuple[str, ...] = ()
    """Loggers, as for `mgm train`: tensorboard, wandb, mlflow."""
    cache: str = ""
    """Folder for converted photographs; empty: $MGM_CACHE or ~/.cache/mgm."""
    skip_bad: bool = False
    """Skip unreadable photographs instead of stopping."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""


def pretrain(arguments: list[str]) -> None:
    """``mgm pretrain``."""
    options = parse(PretrainOptions, "pretrain", arguments)
    if bool(options.photographs) == bool(options.resume):
        raise ConfigError("give a folder of photographs, or --resume and the folder of a pre-training, and not both")
    from mgm.runs.devices import is_first_process
    from mgm.runs.folder import RunFolder
    from mgm.runs.self_supervised import pretrain as run

    if options.resume:
        check_resumes_alone(arguments)
        out = options.resume
        carry_out = partial(run, RunFolder(out).experiment(), out, resume=True)
    else:
        name = as_file_name(Path(options.photographs).stem, "photographs")
        out = options.out or Path("runs") / f"pretrain-{name}-s{options.seed}"
        carry_out = partial(run, _experiment(options), out, exclude=options.exclude)
    with says_how_to_go_on("pretrain", out):
        result = carry_out()
    if is_first_process():
        print(
            f"encoder of {result['steps']} steps on {result['num_photographs']} photographs, {result['seconds']:.0f} s: {out}"
        )
        flags = f"--preset {options.preset} " if not options.resume else ""
        flags += f"--image-size {options.image_size} " if options.image_size else ""
        flags += f"--aspect {options.aspect} " if options.aspect != "squeeze" else ""
        print(f"train with it: mgm train mt {flags}--encoder-run {out} --data ...")


def _experiment(options: PretrainOptions) -> Experiment:
    from mgm.runs.self_supervised import without_tasks

    start = make_experiment("mgm", options.preset)
    data = replace(
        start.data,
        data=options.photographs,
        split=options.split,
        split_seed=options.split_seed,
        image_size=options.image_size or start.data.image_size,
        aspect=options.aspect,
        cache=options.cache,
        skip_bad=options.skip_bad,
    )
    training = replace(
        start.training,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or start.training.learning_rate,
        checkpoint_every=options.checkpoint_every,
        device=options.device,
        log=options.log,
    )
    model = replace(start.model, encoder=options.encoder or start.model.encoder)
    return without_tasks(replace(start, seed=options.seed, data=data, model=model, training=training))
