"""Every setting of a run, as frozen dataclasses. Imports no torch: `mgm --help` reads this file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from mgm.types import Aspect, Frame, Size, SizeSetting, parse_size, plain_size

RECOMMENDED = "recommended"
"""Among `MethodConfig.losses`: every task that they do not name trains by `Task.recommended_loss`."""
MAX_IMAGE_SIZE = 4096
"""Largest side of images in pixels."""
ImageSize = Annotated[
    SizeSetting,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="N|HxW",
        instance_from_str=lambda texts: plain_size(texts[0]),
        is_instance=lambda value: isinstance(value, int | str | tuple),
        str_from_instance=lambda value: [str(value)],
    ),
]
"""A size on the command line."""


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how many of them carry labels."""

    data: str = "rooms"
    """Built-in name (`mgm data list`) or path of a data set."""
    split: str = "random"
    """How samples are split into train, validation and test: random, scene, official (as the set offers); random:2/5: the second of
    five folds; all: everything for training, so that nothing is scored."""
    split_seed: int = 0
    """Seed of the split and of the choice of labelled images."""
    fraction: float = 1.0
    """Share of the training images that is fully labelled; the rest has scene labels only."""
    weak_fraction: float = 1.0
    """Share of the training images that may serve as weakly labelled, beside the labelled ones; 1: all the others."""
    image_size: ImageSize = 64
    """Size of the images in pixels, multiples of the encoder's stride: the side of a square, or HEIGHTxWIDTH (96x128)."""
    aspect: Aspect = "squeeze"
    """How pictures of another shape get into that size: squeeze; letterbox (scaled to fit, the rest filled and without labels);
    crop (the middle)."""
    tasks: tuple[str, ...] = ()
    """Tasks to learn; empty: all that the data set offers."""
    num_images: int = 0
    """Limit on the number of images (rooms: how many to render); 0: all."""
    augment: bool = True
    """Paired augmentation of labelled images, for every recipe alike; off: none of what follows, mixing included."""
    flip: bool = True
    """The augmentation mirrors half of the images left-right."""
    vertical_flip: bool = False
    """It also turns half of them upside down (mirrored top-bottom): images from above, under a microscope."""
    quarter_turns: bool = False
    """It also turns images by 0, 90, 180 or 270 degrees."""
    zoom: tuple[float, float] = (1.0, 1.5)
    """Smallest and largest zoom of the augmentation; below 1 the image shrinks, and what lies beyond it is grey and unlabelled."""
    colour: float = 0.2
    """Largest relative change of brightness, contrast and saturation by the augmentation, in [0, 1)."""
    hue: float = 0.0
    """Largest turn of the hue by the augmentation, in shares of the colour circle, in [0, 0.5]."""
    blur: float = 0.0
    """Largest standard deviation of the augmentation's blur, in pixels."""
    noise: float = 0.0
    """Largest standard deviation of the augmentation's noise, in shares of the range of colours."""
    mix: Literal["none", "auto", "cutmix", "classes", "objects"] = "none"
    """What labelled images get of one another: nothing, a rectangle (cutmix), half the classes, half the small classes; auto:
    classes where there is a segmentation, else cutmix."""
    mix_share: float = 0.5
    """Share of the labelled images that something is pasted into, in (0, 1]."""
    mix_count: int = 1
    """From how many other images (of `mix` and of extra_images composites, like all that follows here)."""
    mix_flip: bool = False
    """Half of these images are mirrored left-right before."""
    mix_scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom of these images before; depth is divided by it."""
    mix_match: float = 0.0
    """How far the colours of what is pasted go towards mean and contrast of the image that it is pasted into, in [0, 1]."""
    weak_labels: Literal["scene", "objects"] = "scene"
    """scene: the data set's scene labels (where it has none, objects); objects: multi-hot labels of what is in view (paper G.1),
    the data set's own (Cityscapes: 30), else the classes of the label map."""
    pretrain: str = ""
    """Data set to train the network on first (`rooms`); empty: none."""
    num_rooms: int = 2000
    """Rooms that are rendered for `pretrain rooms` and `extra_images rooms`, 70 % of them for training, as of any data set."""
    cache: str = ""
    """Folder for converted data; empty: $MGM_CACHE or ~/.cache/mgm."""
    skip_bad: bool = False
    """Leave out samples with files that cannot be read."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", plain_size(self.image_size))  # equal sizes are equal settings

    @property
    def size(self) -> Size:
        """Height and width of the images in pixels."""
        return parse_size(self.image_size)

    @property
    def frame(self) -> Frame:
        """Size and aspect: what pictures are converted into."""
        return Frame(self.size, self.aspect)


@dataclass(frozen=True)
class ModelConfig:
    """Shapes of the networks."""

    architecture: str = "multi_task"
    """How tasks share layers: multi_task, single_task, task_groups, cross_stitch, cross_stitch_channels, adashare."""
    groups: tuple[str, ...] = ()
    """Tasks of each network of task_groups (semantic+depth normal); behind a slash those that are learned beside (normal/depth)."""
    encoder: str = "resnet"
    """resnet: the paper's, from scratch; lite0: EfficientNet-Lite0 with ImageNet weights (extra: lite); hf:NAME_OR_FOLDER: a
    pre-trained backbone of transformers (docs/encoders.md)."""
    pretrained: bool = True
    """Whether an encoder that has pre-trained weights starts from them."""
    image_channels: Annotated[int, tyro.conf.Suppress] = 3
    """Channels of the images; training fills it in from the data."""
    frozen_stages: int = 0
    """Levels of lite0, from the finest on, that neither learn nor move their batch statistics: 0 to 5."""
    frozen_statistics: bool = False
    """Let the batch norms of lite0 normalise by their pre-trained statistics, which then never move."""
    backbone: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict[str, Any])
    """Shape of the pre-trained backbone; training fills it in, so that the run can be loaded without the original."""
    encoder_run: str = ""
    """Finished run whose encoder this one's starts from: of `mgm train`, or of `mgm pretrain`; empty: its own start."""
    pretrained_on: Annotated[str, tyro.conf.Suppress] = ""
    """What `encoder_run` was pre-trained on without labels; training fills it in, so that the run says so wherever it goes."""
    freeze_encoder: bool = False
    """Train the decoders alone: the encoder, its batch statistics included, stays as it starts (paper Table 11)."""
    encoder_stride: int = 16
    """Total stride of the encoder resnet: 16 (paper A) or 32 (the standard network, less arithmetic)."""
    decoder: str = "paper"
    """paper: one per task, from the coarsest features alone; pyramid: shared top-down layers with skip connections (FPN)."""
    decoder_width: int = 64
    """Channels of the decoder pyramid."""
    output_stride: int = 4
    """Pixels per place of the finest map of the decoder pyramid, 2 or 4; predictions are enlarged bilinearly from there."""
    flip_average: bool = False
    """Predict by the average with the prediction for the mirrored image, which takes twice as long: in the scores of a result,
    and wherever the model is used unless told otherwise. Only if the augmentation mirrors (`flip`)."""
    loss_stride: int = 1
    """Training compares the predictions of the decoder pyramid with the labels of every pixel (1) or every second one (2), which
    takes a fifth off a step."""
    depth: int = 18
    """Layers of the encoder: 10, 18 or 34 (paper: ResNet-18; ST_l, MT_l: 34)."""
    widths: tuple[int, int, int, int] = (48, 96, 192, 360)
    """Channels of the encoder's four stages (paper A: 48, 96, 192, 360); decoders and refinement follow."""
    refinement_depth: int = 10
    """Layers of the refinement network's encoders (paper A: ResNet-10)."""
    refinement_hidden: int = 128
    """Hidden layer of the refinement network (paper A)."""
    projection_size: int = 128
    """Length of the self-supervised embedding (paper A)."""
    generator: str = "sagan"
    """Generator and discriminator: sagan, dcgan."""
    generator_width: int = 64
    """Base number of channels of the generator."""
    discriminator_width: int = 64
    """Base number of channels of the discriminator."""
    latent_size: int = 128
    """Length of the generator's latent vector."""
    identities: Literal["auto", "on", "off"] = "auto"
    """Compute the generator SAGAN by rearranged formulas (algebraic identities) with the same result and weights: on, off, or
    auto, where they are faster on the device (docs/speed.md)."""


@dataclass(frozen=True)
class MethodConfig:
    """What is learned from what: the points that tell the paper's models apart."""

    refinement: str = "eml"
    """How the refinement network, which recognises the scene label from the predictions, trains (paper 3.2, D.2): eml,
    eml_explicit, peoe, lset, none."""
    self_supervision: str = "simclr"
    """Self-supervised task on the encoder: simclr, reconstruction, none."""
    extra_images: str = "generator"
    """Where extra images come from: generator, frozen_generator, saved_generators, weak, composites, rooms, labelled, none."""
    generator_runs: tuple[str, ...] = ()
    """Runs whose generators, as they are, make the extra images in equal shares (extra_images saved_generators)."""
    extra_uses: tuple[str, ...] = ("refinement", "self_supervision")
    """What extra images train: refinement (recognising their scene label from the predictions), self_supervision, labels (those
    that they have, or that the annotator gives them), consistency (with what the network's moving average predicts, while
    the network sees them recoloured and mixed)."""
    supervised: Annotated[bool, tyro.conf.Suppress] = True
    """Whether tasks are learned; `mgm pretrain` learns none."""
    annotator: str = ""
    """Finished run whose predictions label the extra images (paper Table 1: the oracle annotator); empty: none."""
    extra_ratio: float = 1.0
    """Extra images per labelled image and step (paper Figure 5)."""
    refinement_weight: float = 1.0
    """Weight of the losses by which the scene label is recognised from the predictions (refinement)."""
    self_supervision_weight: float = 1.0
    """Weight of the self-supervised losses."""
    adversarial_weight: float = 1.0
    """Weight of the generator's adversarial loss."""
    label_weight: float = 1.0
    """Weight of the task losses on extra images that have labels."""
    consistency_weight: float = 1.0
    """Weight of the task losses of the use consistency."""
    confidence: float = 0.8
    """How sure the moving average has to be of a pixel for the use consistency: the probability of the class, or the agreement
    with its prediction for the mirrored image (0.8: 20 cm of depth, 12 degrees of normals); 0: every pixel."""
    generator_updates: int = 2
    """Adversarial updates per minibatch in joint training (paper B: 2); combined updates make one, a second would be the same."""
    gradient_into_generator: bool = False
    """Let the losses on synthesized images train the generator too (the paper's algorithm stops at the image)."""
    temperature: float = 0.5
    """Temperature of NT-Xent (eq. 6)."""
    estimation_steps: int = 3
    """Ascent steps of the explicit E-step (refinement eml_explicit)."""
    estimation_rate: float = 0.1
    """Step size of the explicit E-step, relative to each prediction's own spread."""
    sparsity_weight: float = 0.001
    """Weight of the loss by which an AdaShare policy skips blocks (architecture adashare)."""
    sharing_weight: float = 0.05
    """Weight of the loss by which the tasks of an AdaShare policy choose alike, above all early blocks."""
    balance: str = "sum"
    """How the task losses share the encoder: sum, uncertainty, torchjd:NAME (docs/balancing.md)."""
    losses: tuple[str, ...] = ()
    """What tasks train by: TASK:LOSS (semantic:lovasz depth:log; docs/losses.md) for single tasks; for all others the paper's loss,
    or, beside the word recommended, the best on validation."""


@dataclass(frozen=True)
class TrainingConfig:
    """Budgets, optimisers, hardware."""

    early_sizes: tuple[int, ...] = ()
    """Shorter sides of the labelled images in pixels at first, in equal parts of the steps before joint training; the last part is
    at `image_size` (progressive resizing: early steps are cheaper)."""
    steps: int = 2000
    """Steps of the network (the paper's M) on labelled batches, over all stages; what recipes are compared at."""
    joint_share: float = 0.5
    """Share of `steps` that is joint training (stage 3); the first part trains the network alone (stage 1)."""
    generator_steps: int = 1000
    """Steps of the generator alone, while the network stays as it is (stage 2)."""
    pretrain_steps: int = 600
    """Steps of the network on the `pretrain` data set, if there is one."""
    batch_size: int = 32
    """Labelled images per step (paper B: 32)."""
    generator_batch_size: int = 128
    """Batch of stage 2 (paper B: 128)."""
    checkpoint_activations: bool = False
    """Keep only the inputs of blocks for the backward pass and compute the rest again: less memory, more time."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after another, to save memory (docs/scaling.md says what stays equal)."""
    learning_rate: float = 1e-3
    """Adam's rate for the network, the refinement and the self-supervised network (paper B)."""
    encoder_rate_factor: float = 1.0
    """Rate of the encoder relative to `learning_rate`; a fifth suits a pre-trained one."""
    generator_rate: float = 1e-4
    """Adam's rate for the generator and the embedding layer (paper B)."""
    discriminator_rate: float = 4e-4
    """Adam's rate for the discriminator (paper B)."""
    policy_rate: float = 1e-2
    """Adam's rate for the policy of AdaShare."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Optimiser of all networks: adam (paper), or adamw, whose weight decay is decoupled from the gradient."""
    schedule: str = "constant"
    """Rates of encoder and decoders over the steps: constant (paper), one_cycle, linear; those of all others are constant."""
    warm_up: float = 0.0
    """Share of the steps in which the rates rise."""
    weight_decay: float = 0.0
    """Weight decay of the network, in its steps on labels alone."""
    optimizer_step: Literal["separate", "combined"] = "separate"
    """separate: one optimiser per loss, one after another (paper, Algorithm 1); combined: one backward pass for all losses, one
    optimiser per network (docs/speed.md)."""
    statistics: Literal["labelled", "all"] = "labelled"
    """Which images the running means and variances of batch norm (used for predictions) are taken from: the labelled ones alone,
    or all that pass through the network."""
    ema: float = 0.0
    """Decay of the moving average of the network's weights that is evaluated, with warm-up; 0: none."""
    max_gradient_norm: float = 0.0
    """Clip each update's gradient to this norm; 0: never."""
    validate_every: int = 200
    """Steps between evaluations on the validation set, where the best model is kept."""
    patience: int = 0
    """End a stage after so many validations without a better score (early stopping; not during warm-up); 0: never."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    gradients_every: int = 50
    """Steps of joint training between looks at what each loss does to the encoder: norm of its gradient, cosine to the tasks'
    (docs/watching.md); 0: never. It changes no number of the training."""
    log: tuple[str, ...] = ()
    """Where losses, scores, settings and pictures go too: tensorboard, wandb, mlflow (extras of these names; docs/watching.md)."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the networks; losses are always fp32."""
    channels_last: Literal["auto", "always", "never"] = "auto"
    """Keep images and convolutions in the order height, width, channels; auto: on CUDA. On a CPU it is faster but has crashed."""
    compile: Literal["never", "default", "reduce-overhead"] = "never"
    """Compile the networks, by the modes of torch.compile: default, or reduce-overhead (CUDA graphs, on a GPU). On a CPU it takes
    minutes and seldom pays."""


@dataclass(frozen=True)
class Experiment:
    """A complete run. `replace` derives one from another."""

    recipe: Annotated[str, tyro.conf.Suppress] = "mgm"
    """Name of the recipe that it derives from."""
    seed: int = 0
    """Seed of weights, batches and noise."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def flip_average(self) -> bool:
        """Whether predictions are averaged with those for the mirrored image: what has never seen one mirrored must not."""
        return self.model.flip_average and self.data.augment and self.data.flip

    def tiny(self) -> Experiment:
        """The same in a few seconds on one core, for tests."""
        return replace(
            self,
            data=replace(self.data, image_size=32, num_images=80),
            model=replace(
                self.model,
                depth=10,
                widths=(8, 8, 16, 16),
                refinement_hidden=16,
                projection_size=16,
                generator_width=4,
                discriminator_width=4,
                latent_size=16,
            ),
            training=replace(
                self.training,
                steps=6,
                generator_steps=3,
                pretrain_steps=2,
                batch_size=4,
                generator_batch_size=4,
                validate_every=3,
                checkpoint_every=2,
            ),
        )
