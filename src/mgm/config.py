"""All settings of a run, as frozen dataclasses. Field docstrings are the help of `mgm train`, so nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import tyro
from tyro.constructors import PrimitiveConstructorSpec

from mgm.types import Aspect, Frame, Size, SizeSetting, parse_size, plain_size

RECOMMENDED = "recommended"
"""Entry of `MethodConfig.losses`: tasks without an entry of their own are trained with `Task.recommended_loss`."""
MAX_IMAGE_SIZE = 4096
"""Largest allowed image side in pixels."""
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
"""Image size on the command line: ``64`` or ``96x128``."""


@dataclass(frozen=True)
class DataConfig:
    """The data set, its split, image size and augmentation."""

    data: str = "rooms"
    """Built-in name (`mgm data list`) or path of a data set."""
    split: str = "random"
    """How samples are split into training, validation and test sets: random, scene or official (if the data set has them);
    random:2/5: the second of five folds; all: train on everything, which leaves nothing to score on."""
    split_seed: int = 0
    """Seed for the split and for choosing the labelled images."""
    fraction: float = 1.0
    """Fraction of the training images used with all their labels; the others have scene labels at most."""
    weak_fraction: float = 1.0
    """Number of weakly labelled images (scene labels only) as a fraction of the training images; they are drawn from those that are
    not labelled; 1: all of these."""
    image_size: ImageSize = 64
    """Image size in pixels: the side of a square, or HEIGHTxWIDTH (96x128); sides must be multiples of the encoder's stride."""
    aspect: Aspect = "squeeze"
    """How images of another shape are fitted to that size: squeeze (ignore the aspect ratio); letterbox (scale to fit and pad; the
    padding has no labels); crop (keep the centre)."""
    tasks: tuple[str, ...] = ()
    """Tasks to learn; empty: all tasks of the data set."""
    num_images: int = 0
    """Maximum number of training images, labelled or not (rooms: number of images to render, 0: 2,000); 0: all."""
    augment: bool = True
    """Augment labelled images, and their labels with them; off disables all augmentation settings below, mixing included."""
    flip: bool = True
    """Augmentation: mirror left-right with probability 0.5."""
    vertical_flip: bool = False
    """Augmentation: mirror top-bottom with probability 0.5, for aerial or microscope images."""
    quarter_turns: bool = False
    """Augmentation: rotate by 0, 90, 180 or 270 degrees."""
    zoom: tuple[float, float] = (1.0, 1.5)
    """Augmentation: smallest and largest zoom; below 1 the image shrinks and its surroundings are grey and unlabelled."""
    zoom_share: float = 1.0
    """Fraction of the steps, from the first on, with zoom, in (0, 1]; the others see whole images, as predictions do."""
    colour: float = 0.2
    """Augmentation: largest relative change of brightness, contrast and saturation, in [0, 1)."""
    hue: float = 0.0
    """Augmentation: largest hue rotation as a fraction of the colour circle, in [0, 0.5]."""
    blur: float = 0.0
    """Augmentation: largest standard deviation of the Gaussian blur, in pixels."""
    noise: float = 0.0
    """Augmentation: largest standard deviation of the noise, as a fraction of the colour range."""
    mix: Literal["none", "auto", "cutmix", "classes", "objects"] = "none"
    """What to paste from one labelled image into another, with its labels: a rectangle (cutmix), half of its classes (classes), or
    half of its small classes (objects); auto: classes if there is a segmentation, else cutmix."""
    mix_share: float = 0.5
    """Fraction of the labelled images that are pasted into, in (0, 1]."""
    mix_count: int = 1
    """Number of source images to paste from; like the `mix_*` settings below, applies to extra_images composites too."""
    mix_flip: bool = False
    """Mirror the source images left-right with probability 0.5."""
    mix_scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest zoom of the source images; their depth is divided by the zoom."""
    mix_match: float = 0.0
    """How far to move the colours of the source images towards the mean and contrast of the image pasted into, in [0, 1]."""
    weak_labels: Literal["scene", "objects"] = "scene"
    """scene: the data set's scene labels, or objects if it has none; objects: multi-hot labels of the objects in view (paper G.1),
    taken from the data set (Cityscapes: 30) or else from the classes in the label map."""
    pretrain: str = ""
    """Data set to pre-train the network on with labels (`rooms`); empty: none."""
    pretrain_overlap: float = 0.0
    """Fraction of the steps after pre-training and before joint training in which images of `pretrain` still replace labelled
    ones, from all of them in the first step down to none; 0: pre-training ends at once."""
    num_rooms: int = 10_000
    """Number of rooms to render for `pretrain rooms` and `extra_images rooms`; as with any data set, 70 % are for training."""
    cache: str = ""
    """Folder for converted data; empty: $MGM_CACHE or ~/.cache/mgm."""
    skip_bad: bool = False
    """Skip samples with unreadable files instead of stopping."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", plain_size(self.image_size))  # 64 and "64x64" compare equal

    @property
    def size(self) -> Size:
        """Height and width of the images in pixels."""
        return parse_size(self.image_size)

    @property
    def frame(self) -> Frame:
        """Size and aspect handling that images are converted with."""
        return Frame(self.size, self.aspect)


@dataclass(frozen=True)
class ModelConfig:
    """Architecture and sizes of the networks."""

    architecture: str = "multi_task"
    """How tasks share layers: multi_task, single_task, task_groups, cross_stitch, cross_stitch_channels, adashare."""
    groups: tuple[str, ...] = ()
    """Tasks of each network of task_groups (semantic+depth normal); after a slash auxiliary tasks, which a network learns but does
    not predict (normal/depth)."""
    encoder: str = "resnet"
    """resnet: the paper's, from scratch; lite0: EfficientNet-Lite0 with ImageNet weights (extra: lite); hf:NAME_OR_FOLDER: a
    pre-trained backbone of transformers (docs/encoders.md)."""
    pretrained: bool = True
    """Whether an encoder that has pre-trained weights starts from them."""
    image_channels: Annotated[int, tyro.conf.Suppress] = 3
    """Number of image channels; filled in from the data by training."""
    frozen_stages: int = 0
    """Number of lite0's levels to freeze (weights and batch-norm statistics), starting with the finest: 0 to 5."""
    frozen_statistics: bool = False
    """Let lite0's batch norms use their pre-trained running statistics in training too, and never update them."""
    backbone: Annotated[dict[str, Any], tyro.conf.Suppress] = field(default_factory=dict[str, Any])
    """Configuration of the pre-trained backbone; filled in by training, so that the run loads without the original."""
    encoder_run: str = ""
    """Finished run (`mgm train` or `mgm pretrain`) whose encoder weights to start from; empty: none."""
    pretrained_on: Annotated[str, tyro.conf.Suppress] = ""
    """Unlabelled data that `encoder_run` was pre-trained on; filled in by training, and shown with the run's results."""
    freeze_encoder: bool = False
    """Train the decoders alone; the encoder, batch-norm statistics included, keeps its initial values (paper Table 11)."""
    encoder_stride: int = 16
    """Total stride of the encoder resnet: 16 (paper A) or 32 (the standard ResNet, cheaper to compute)."""
    decoder: str = "paper"
    """paper: one per task, on the coarsest features only; pyramid: shared top-down layers with skip connections (FPN)."""
    decoder_width: int = 64
    """Channels of the decoder pyramid."""
    output_stride: int = 4
    """Stride of the finest feature map of the decoder pyramid, 2 or 4; predictions are upsampled bilinearly from there."""
    flip_average: bool = False
    """Average every prediction with the one for the mirrored image, which takes twice as long: in the final scores and, by default,
    wherever the model is used. Has no effect unless the augmentation mirrors images (`flip`)."""
    loss_stride: int = 1
    """With the decoder pyramid, compute the training losses at every pixel (1) or at every second one along each side (2), which
    makes a step a fifth faster."""
    depth: int = 18
    """Layers of the encoder: 10, 18 or 34 (paper: ResNet-18; ST_l, MT_l: 34)."""
    widths: tuple[int, int, int, int] = (48, 96, 192, 360)
    """Channels of the encoder's four stages (paper A: 48, 96, 192, 360); decoders and refinement network adapt to them."""
    refinement_depth: int = 10
    """Layers of the refinement network's encoders (paper A: ResNet-10)."""
    refinement_hidden: int = 128
    """Units in the hidden layer of the refinement network (paper A)."""
    projection_size: int = 128
    """Dimension of the self-supervised embedding (paper A)."""
    generator: str = "sagan"
    """Generator and discriminator: sagan, dcgan."""
    generator_width: int = 64
    """Base number of channels of the generator."""
    discriminator_width: int = 64
    """Base number of channels of the discriminator."""
    latent_size: int = 128
    """Dimension of the generator's latent vector."""
    identities: Literal["auto", "on", "off"] = "auto"
    """Compute the generator sagan with algebraically rearranged formulas, with the same weights and result: on, off, or auto (where
    they are faster on the device; docs/speed.md)."""


@dataclass(frozen=True)
class MethodConfig:
    """Losses and extra images: the settings in which the paper's models differ."""

    refinement: str = "eml"
    """How to train with the refinement network, which classifies the scene from the predictions (paper 3.2, D.2): eml,
    eml_explicit, peoe, lset, none."""
    self_supervision: str = "simclr"
    """Self-supervised task on the encoder: simclr, reconstruction, none."""
    extra_images: str = "generator"
    """Where extra images come from: generator, frozen_generator, saved_generators, weak, composites, rooms, labelled, none."""
    generator_runs: tuple[str, ...] = ()
    """Runs whose trained generators make the extra images, an equal share each (extra_images saved_generators)."""
    extra_uses: tuple[str, ...] = ("refinement", "self_supervision")
    """Losses on extra images: refinement (classify the scene from the predictions), self_supervision, labels (the task losses, on
    their own labels or those of the annotator), consistency (the task losses against predictions of the network's moving
    average, while the network sees the images recoloured and mixed)."""
    supervised: Annotated[bool, tyro.conf.Suppress] = True
    """Whether any task is learned; false for `mgm pretrain`."""
    annotator: str = ""
    """Finished run whose predictions serve as labels of the extra images (paper Table 1: the oracle annotator); empty: none."""
    extra_ratio: float = 1.0
    """Extra images per labelled image in each step (paper Figure 5)."""
    refinement_weight: float = 1.0
    """Weight of the refinement losses (scene classification from the predictions)."""
    self_supervision_weight: float = 1.0
    """Weight of the self-supervised losses."""
    adversarial_weight: float = 1.0
    """Weight of the generator's adversarial loss."""
    label_weight: float = 1.0
    """Weight of the task losses on extra images that have labels."""
    consistency_weight: float = 1.0
    """Weight of the consistency losses (extra_uses consistency)."""
    confidence: float = 0.8
    """Minimum confidence of the moving average for a pixel to count in the consistency losses: the probability of its class, or for
    other tasks the agreement with its prediction for the mirrored image (0.8: 20 cm of depth, 12 degrees of normals); 0: use
    every pixel."""
    generator_updates: int = 2
    """Adversarial updates per minibatch in joint training (paper B: 2); always one with optimizer_step combined, where a second
    would repeat the first."""
    gradient_into_generator: bool = False
    """Let gradients of the losses on synthesized images reach the generator (in the paper's algorithm they stop at the image)."""
    temperature: float = 0.5
    """Temperature of the NT-Xent loss (eq. 6)."""
    estimation_steps: int = 3
    """Gradient ascent steps of the explicit E-step (refinement eml_explicit)."""
    estimation_rate: float = 0.1
    """Step size of the explicit E-step, in standard deviations of each task's prediction."""
    sparsity_weight: float = 0.001
    """Weight of AdaShare's sparsity loss, which makes tasks skip blocks (architecture adashare)."""
    sharing_weight: float = 0.05
    """Weight of AdaShare's sharing loss, which makes tasks select the same blocks, the early ones above all."""
    balance: str = "sum"
    """How the task losses are balanced: sum, uncertainty, torchjd:NAME (docs/balancing.md)."""
    losses: tuple[str, ...] = ()
    """Losses of single tasks as TASK:LOSS (semantic:lovasz depth:log; docs/losses.md); all other tasks use the paper's loss or, if
    the word recommended is listed too, the loss that was best in validation."""


@dataclass(frozen=True)
class TrainingConfig:
    """Budget, optimisers, validation and hardware."""

    early_sizes: tuple[int, ...] = ()
    """Progressive resizing, which makes early steps cheaper: shorter sides of the labelled images in pixels. The steps before joint
    training are divided equally among these sizes and `image_size`, which comes last."""
    steps: int = 2000
    """Training steps of the network (the paper's M) on labelled batches, over all stages; recipes are compared at equal steps."""
    joint_share: float = 0.5
    """Fraction of `steps` spent in joint training (stage 3); the steps before it train the network alone (stage 1)."""
    generator_steps: int = 1000
    """Training steps of the generator with the network frozen (stage 2)."""
    pretrain_steps: int = 0
    """Training steps of the network on the `pretrain` data set, if one is set; 0: as many as `steps`."""
    batch_size: int = 32
    """Labelled images per step (paper B: 32)."""
    generator_batch_size: int = 128
    """Images per step in stage 2 (paper B: 128)."""
    checkpoint_activations: bool = False
    """Store only the inputs of blocks for the backward pass and recompute the rest: less memory, more time."""
    accumulate: int = 1
    """Number of micro-batches that a batch is split into, to save memory (docs/scaling.md says what stays equal)."""
    learning_rate: float = 1e-3
    """Learning rate of the network, the refinement network and the self-supervised network (paper B)."""
    encoder_rate_factor: float = 1.0
    """Learning rate of the encoder relative to `learning_rate`; 0.2 suits a pre-trained encoder."""
    generator_rate: float = 1e-4
    """Learning rate of the generator and the embedding layer (paper B)."""
    discriminator_rate: float = 4e-4
    """Learning rate of the discriminator (paper B)."""
    policy_rate: float = 1e-2
    """Learning rate of AdaShare's policy."""
    optimizer: Literal["adam", "adamw"] = "adam"
    """Optimiser of all networks: adam (paper), or adamw, whose weight decay is decoupled from the gradient."""
    schedule: str = "constant"
    """Learning-rate schedule of encoder and decoders: constant (paper), one_cycle, linear; other networks have constant rates."""
    warm_up: float = 0.0
    """Fraction of the steps over which the learning rates rise at the start."""
    weight_decay: float = 0.0
    """Weight decay of encoder and decoders; with optimizer_step separate, applied in the task update only."""
    optimizer_step: Literal["separate", "combined"] = "separate"
    """separate: one optimiser per loss, one after another (paper, Algorithm 1); combined: one backward pass for all losses, one
    optimiser per network (docs/speed.md)."""
    statistics: Literal["labelled", "all"] = "labelled"
    """Images that update the batch norms' running means and variances, which predictions use: the labelled ones only, or all that
    pass through the network in training."""
    ema: float = 0.0
    """Decay of the moving average of the network's weights, with warm-up; the average is the model evaluated; 0: no average."""
    max_gradient_norm: float = 0.0
    """Clip the gradient of each update to this norm; 0: no clipping."""
    validate_every: int = 200
    """Steps between evaluations on the validation set, which select the best model."""
    patience: int = 0
    """Early stopping: end a stage after this many validations that do not beat the best of that stage (not in warm-up); 0: off."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    gradients_every: int = 50
    """Joint training: steps between measurements of each loss's gradient at the encoder, its norm and its cosine to the tasks'
    gradient (docs/watching.md); 0: off. Does not affect training."""
    log: tuple[str, ...] = ()
    """Also log losses, scores, settings and pictures to: tensorboard, wandb, mlflow (extras of these names; docs/watching.md)."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the networks; losses are always fp32."""
    channels_last: Literal["auto", "always", "never"] = "auto"
    """Use the channels-last memory format (height, width, channels); auto: on CUDA. On a CPU it is faster but has crashed."""
    compile: Literal["never", "default", "reduce-overhead"] = "never"
    """Mode of torch.compile for the networks: default, or reduce-overhead (CUDA graphs, on a GPU). On a CPU compiling takes minutes
    and seldom pays."""

    @property
    def steps_alone(self) -> int:
        """Steps of the network before joint training."""
        return self.steps - round(self.steps * self.joint_share)


@dataclass(frozen=True)
class Experiment:
    """All settings of a run. Derive one experiment from another with `dataclasses.replace`."""

    recipe: Annotated[str, tyro.conf.Suppress] = "mgm"
    """Name of the recipe it was made from."""
    seed: int = 0
    """Random seed of weights, batches and noise."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    @property
    def flip_average(self) -> bool:
        """Whether to average predictions with those for the mirrored image; never for a model trained without mirrored images."""
        return self.model.flip_average and self.data.augment and self.data.flip

    @property
    def pretrain_steps(self) -> int:
        """Steps of M on the data set of `pretrain`; 0 if there is none."""
        return (self.training.pretrain_steps or self.training.steps) if self.data.pretrain else 0

    def tiny(self) -> Experiment:
        """A scaled-down copy that runs in a few seconds on one core, for tests."""
        return replace(
            self,
            data=replace(self.data, image_size=32, num_images=80, num_rooms=40),
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
