"""Kill tests for a translator from labels to photographs: would M learn more from its images than from what they are made of?

    python benchmarks/translator.py --photos PATH --seeds 3 --out runs/translator --results results/synthesis

A generator G(y, style) is trained on the labelled training photographs (y: classes, depth, normals), with the style of any training
photograph. Its images then serve as training data, and M is trained by ordinary `mgm train` commands at the preset ``small``:

a) G has seen all labelled pairs (of which M may use a quarter). M is first trained on G's images of its own labels in the styles of
   other photographs; the control is first trained on these photographs themselves, for as many steps.
b) M is trained on rooms alone, as rendered or as translated by G, and is scored on real photographs.

All scores are from the validation set. Resumes where it was stopped. Writes translator.json and translator.md; beside G, a picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from base import PHOTOS, SCORES, carry_out
from mgm.data.base import DataSource, Splits
from mgm.data.rooms import RoomsSource
from mgm.data.splits import random_split
from mgm.data.store import build_store, cached_store
from mgm.data.vocabulary import namesakes
from mgm.functional.adversarial import discriminator_hinge_loss, generator_hinge_loss
from mgm.method.recipes import make_experiment
from mgm.runs.data import ExperimentData, load_data
from mgm.runs.provenance import current_commit
from mgm.training.checkpoint import load_checkpoint, save_checkpoint
from mgm.types import IGNORE_INDEX, DatasetInfo, FrameLike, Sample, Targets

SIZE = 64
BATCH = 8
STYLE = 32
TASKS = ("semantic", "depth", "normal")
STYLES_PER_PHOTOGRAPH = 8


def planes(targets: Targets, num_classes: int) -> Tensor:
    """G's input ``[B, num_classes + 6, H, W]``: classes and "unlabelled" one-hot, log-depth, normals, validity of the depth."""
    classes = targets["semantic"].clamp(max=num_classes)
    one_hot = F.one_hot(torch.where(targets["semantic"] == IGNORE_INDEX, num_classes, classes), num_classes + 1)
    depth = targets["depth"]
    valid = torch.isfinite(depth) & (depth > 0)
    log_depth = torch.where(valid, depth.clamp(0.3, 15).log() - 1, 0)
    return torch.cat([one_hot.movedim(3, 1).float(), log_depth, targets["normal"].nan_to_num(0), valid.float()], 1)


class Styled(nn.Module):
    """Convolution, instance norm, and scale and shift by the style (Huang and Belongie, 2017)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.style = nn.Linear(STYLE, 2 * outputs)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features ``[B, outputs, H / stride, W / stride]``."""
        scale, shift = self.style(style)[..., None, None].chunk(2, 1)
        return F.leaky_relu(F.instance_norm(self.convolution(x)) * (1 + scale) + shift, 0.2)


class Translator(nn.Module):
    """U-Net from label planes and a style to an image in (-1, 1)."""

    def __init__(self, inputs: int, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, widths[0], 1)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList([Styled(a, b, 2) for a, b in pairs])
        self.up = nn.ModuleList([Styled(a + b, a) for a, b in reversed(pairs)])
        self.last = Styled(2 * widths[0], widths[0])
        self.rgb = nn.Conv2d(widths[0], 3, 3, 1, 1)

    def forward(self, labels: Tensor, style: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]`` for the planes of `planes` and styles ``[B, STYLE]``."""
        features = self.first(labels)
        skips = [features]
        for block in self.down:
            skips.append(block(skips[-1], style))
        x = skips.pop()
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skips.pop()], 1), style)
        return self.rgb(self.last(torch.cat([x, features], 1), style)).tanh()


class Judge(nn.Module):
    """PatchGAN with spectral norm, of images, or of images and their label planes; scores ``[B, 1, H / 8, W / 8]``."""

    def __init__(self, planes: int = 0, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Conv2d(planes, 8, 1) if planes else None
        channels = (3 + 8 * bool(planes), width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for a, b in pairwise(channels):
            layers += [nn.utils.parametrizations.spectral_norm(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(
            *layers, nn.utils.parametrizations.spectral_norm(nn.Conv2d(channels[-1], 1, 3, 1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scores of ``x`` ``[B, 3 + planes, H, W]``."""
        return self.layers(torch.cat([x[:, :3], self.embed(x[:, 3:])], 1) if self.embed else x)


def style_encoder() -> nn.Module:
    """Image -> style ``[B, STYLE]``."""
    layers: list[nn.Module] = []
    for a, b in ((3, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, STYLE), nn.Tanh())


def jittered(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness, contrast, shift and cut-out, the same for real and synthesized images (DiffAugment; Zhao et al., 2020)."""
    count, _, height, width = images.shape
    bright, contrast = torch.rand(2, count, 1, 1, 1, generator=generator)
    colour = images[:, :3] + bright - 0.5
    mean = colour.mean((1, 2, 3), keepdim=True)
    images = torch.cat([(colour - mean) * (0.5 + contrast) + mean, images[:, 3:]], 1)
    limit = height // 8
    moves = torch.randint(-limit, limit + 1, (count, 2), generator=generator).numpy()
    corners = torch.randint(0, height // 2, (count, 2), generator=generator).numpy()
    moved: list[Tensor] = []
    keep = torch.ones(count, 1, height, width)
    for image, mask, move, corner in zip(images, keep, moves, corners, strict=True):
        moved.append(image.roll((int(move[0]), int(move[1])), (1, 2)))
        top, left = int(corner[0]), int(corner[1])
        mask[:, top : top + height // 2, left : left + width // 2] = 0
    images = torch.stack(moved)
    return images * keep


def train_translator(data: ExperimentData, folder: Path, steps: int, seed: int) -> tuple[Translator, nn.Module]:
    """Train G and the style encoder on the training pairs; saves and resumes."""
    torch.manual_seed(seed)
    inputs = len(data.info.classes) + 6
    networks = nn.ModuleDict(
        {
            "translator": Translator(inputs),
            "style": style_encoder(),
            "pair_judge": Judge(inputs),
            "image_judge": Judge(),
        }
    )
    made = [*networks["translator"].parameters(), *networks["style"].parameters()]
    judges = [*networks["pair_judge"].parameters(), *networks["image_judge"].parameters()]
    optimizers = [torch.optim.Adam(made, 2e-4, (0.5, 0.99)), torch.optim.Adam(judges, 4e-4, (0.5, 0.99))]
    path, begin = folder / "translator.pt", 0
    if path.exists():
        saved = load_checkpoint(path)
        networks.load_state_dict(saved["networks"])
        for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        begin = saved["step"]
    for step in range(begin, steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        pick = torch.randint(len(data.labelled), (2, BATCH), generator=generator).numpy()
        batch = data.reader.batch(data.labelled[pick[0]])
        other = data.reader.batch(data.splits.train[pick[1] % len(data.splits.train)], targets=False).images
        if torch.rand(1, generator=generator) < 0.5:  # mirrored: normals change the sign of x
            flipped = {task: target.flip(-1) for task, target in batch.targets.items()}
            flipped["normal"] = flipped["normal"] * torch.tensor([-1.0, 1, 1]).view(1, 3, 1, 1)
            batch = replace(batch, images=batch.images.flip(-1), targets=flipped)
        labels = planes(batch.targets, len(data.info.classes))
        with torch.autocast("cpu", torch.bfloat16):
            own, foreign = networks["style"](batch.images), networks["style"](other)
            same, new = (networks["translator"](labels, style).float() for style in (own, foreign))

        def judged(
            name: str, images: Tensor, labels: Tensor = labels, generator: torch.Generator = generator
        ) -> Tensor:
            x = torch.cat([images, labels], 1) if name == "pair_judge" else images
            with torch.autocast("cpu", torch.bfloat16):
                return networks[name](jittered(x, generator)).float()

        loss = torch.zeros(())
        for name, real, fake in (("pair_judge", batch.images, same), ("image_judge", other, new)):
            loss = loss + discriminator_hinge_loss(judged(name, real), judged(name, fake.detach()))
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        fooled = sum(generator_hinge_loss(judged(name, x)) for name, x in (("pair_judge", new), ("image_judge", new)))
        with torch.autocast("cpu", torch.bfloat16):
            again = (networks["style"](new) - foreign.detach()).float().abs().mean()
        loss = (
            fooled + generator_hinge_loss(judged("pair_judge", same)) + 10 * (same - batch.images).abs().mean() + again
        )
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        if (step + 1) % 250 == 0 or step + 1 == steps:
            states = [optimizer.state_dict() for optimizer in optimizers]
            save_checkpoint(path, {"networks": networks.state_dict(), "optimizers": states, "step": step + 1})
            print(f"step {step + 1}/{steps}: L1 {(same - batch.images).abs().mean():.3f}", flush=True)
    return networks["translator"].eval(), networks["style"].eval()  # type: ignore[return-value]


class Made(DataSource):
    """Images that exist already, with the labels they were made from."""

    def __init__(self, info: DatasetInfo, samples: list[Sample], name: str) -> None:
        self.info_, self.samples, self.name = info, samples, name

    @property
    def info(self) -> DatasetInfo:
        """Tasks, classes and scenes."""
        return self.info_

    @property
    def fingerprint(self) -> dict[str, object]:
        """The name."""
        return {"name": self.name}

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    def read(self, index: int, size: FrameLike) -> Sample:
        """A sample; its size is `SIZE`."""
        return self.samples[index]

    def splits(self, kind: str, seed: int) -> Splits:
        """90 % for training."""
        held_out = max(1, len(self) // 20)
        return random_split(len(self), held_out, held_out, seed)


def translated(
    source: list[Sample], data: ExperimentData, networks: tuple[Translator, nn.Module], seed: int
) -> Iterator[Sample]:
    """The samples with images by G in the styles of random training photographs."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(source), 64):
        part = source[start : start + 64]
        targets = {task: torch.from_numpy(np.stack([s.targets[task] for s in part])) for task in TASKS}
        targets["semantic"] = targets["semantic"].long()
        rows = torch.randint(len(data.splits.train), (len(part),), generator=generator).numpy()
        photographs = data.reader.batch(data.splits.train[rows], targets=False).images
        with torch.no_grad():
            images = networks[0](planes(targets, len(data.info.classes)), networks[1](photographs))
        levels = ((images + 1) * 127.5).round().clamp(0, 255).byte().numpy()
        yield from (replace(sample, image=image) for sample, image in zip(part, levels, strict=True))


def rooms_with_their_classes(info: DatasetInfo, count: int) -> list[Sample]:
    """Rendered rooms with the classes and scenes of the photographs; classes that these do not have are unlabelled."""
    rooms = RoomsSource(count, seed=1)
    store = cached_store(rooms, SIZE)
    table = np.full(256, IGNORE_INDEX, np.uint8)
    for theirs, ours in namesakes(rooms.info.classes, info.classes).items():
        table[theirs] = ours
    samples = (store.sample(index) for index in range(len(store)))
    unknown = np.full(len(info.scenes), np.nan, np.float32)
    return [
        replace(
            sample,
            targets={t: table[sample.targets[t]] if t == "semantic" else sample.targets[t] for t in TASKS},
            scene=unknown,
        )
        for sample in samples
    ]


def make_stores(options: argparse.Namespace, folder: Path, seed: int) -> dict[str, Path]:
    """Train G and write the data sets of a seed."""
    paths = {name: folder / name for name in ("rooms", "rooms_translated", "photographs", "photographs_translated")}
    if all((path / "manifest.json").exists() for path in paths.values()):
        return paths
    experiment = make_experiment("mt", "small", options.photos)
    settings = replace(experiment.data, tasks=TASKS, split_seed=seed, cache=str(options.out / "cache"))
    everything = load_data(replace(experiment, data=settings), torch.device("cpu"))
    few = load_data(replace(experiment, data=replace(settings, fraction=0.25)), torch.device("cpu"))
    folder.mkdir(parents=True, exist_ok=True)
    networks = train_translator(everything, folder, options.steps, seed)
    info = replace(everything.info, tasks=TASKS)
    store = few.reader.store
    own = [store.sample(index) for index in few.labelled]
    own = [replace(sample, targets={task: sample.targets[task] for task in TASKS}) for sample in own]
    rooms = rooms_with_their_classes(info, options.rooms)
    samples = {
        "rooms": rooms,
        "rooms_translated": list(translated(rooms, everything, networks, seed)),
        "photographs": own,
        "photographs_translated": list(translated(own * STYLES_PER_PHOTOGRAPH, everything, networks, seed)),
    }
    rows = [[s.image for s in samples[name][:12]] for name in ("rooms", "rooms_translated", "photographs")]
    rows += [[s.image for s in samples["photographs_translated"][k * len(own) :][:12]] for k in range(3)]
    sheet = np.concatenate([np.concatenate([image.transpose(1, 2, 0) for image in row], 1) for row in rows], 0)
    size = (sheet.shape[1] * 2, sheet.shape[0] * 2)
    Image.fromarray(sheet).resize(size, Image.Resampling.NEAREST).save(folder / "translator.png")
    for name, path in paths.items():
        build_store(Made(info, samples[name], f"{name}-{seed}-{options.steps}"), SIZE, path, workers=1)
    return paths


def run(options: argparse.Namespace, seed: int) -> dict[str, dict[str, float]]:
    """All rows of a seed: title -> column -> validation score."""
    folder = options.out / str(seed)
    stores = make_stores(options, folder, seed)
    seeds = ("--seed", str(seed), "--split-seed", str(seed))
    common = ("train", "mt", "--preset", "small", "--no-baseline", *seeds)
    rows: dict[str, dict[str, float]] = {}
    for title, name in (("a) photographs first", "photographs"), ("a) G's images first", "photographs_translated")):
        out = folder / f"run_{name}"
        flags = ("--data", options.photos, *PHOTOS, "--pretrain", str(stores[name]), "--pretrain-steps", "2800")
        carry_out((*common, *flags, "--out", str(out)), out, 1)
        rows[title] = scores(json.loads((out / "result.json").read_text())["validation"])
    for title, name in (("b) rooms as rendered", "rooms"), ("b) rooms translated by G", "rooms_translated")):
        out = folder / f"run_{name}"
        flags = ("--data", str(stores[name]), "--tasks", *TASKS)
        carry_out((*common, *flags, "--out", str(out)), out, 1)
        file = folder / f"{name}.json"
        words = (
            sys.executable,
            "-m",
            "mgm",
            "evaluate",
            str(out),
            "--data",
            options.photos,
            "--split",
            "validation",
            "--json",
        )
        if not file.exists():
            file.write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        rows[title] = scores(json.loads(file.read_text())["scores"])
    return rows


def scores(found: dict[str, Any]) -> dict[str, float]:
    """Column -> score."""
    return {column: found[task][metric] for column, (task, metric, _) in SCORES.items()}


def main() -> None:
    """Run the tests named in the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="NYUv2 in a layout that mgm reads")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4000, help="training steps of G")
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("runs/translator"))
    parser.add_argument("--results", type=Path, default=Path("results/synthesis"))
    options = parser.parse_args()
    found = [run(options, seed) for seed in range(options.seeds)]
    lines = [
        "# Translator from labels to photographs",
        "",
        f"Validation set; seeds and splits 0 to {options.seeds - 1}; one thread; commit {current_commit()}. Mean ± standard "
        f"deviation over seeds. Made by `python benchmarks/translator.py --seeds {options.seeds} --steps {options.steps} "
        f"--rooms {options.rooms}`.",
        "",
        "| | " + " | ".join(SCORES) + " |",
        "| --- |" + " --- |" * len(SCORES),
    ]
    for title in found[0]:
        values = {column: [rows[title][column] for rows in found] for column in SCORES}
        cells = [
            f"{statistics.mean(v):.3f}" + (f" ± {statistics.stdev(v):.3f}" if len(v) > 1 else "")
            for v in values.values()
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "translator.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.results / "translator.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
