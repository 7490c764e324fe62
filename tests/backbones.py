"""Tiny pre-trained models of four families, saved as the transformers library saves them; random weights."""

import json
from importlib import import_module
from pathlib import Path

import torch

FAMILIES = ("resnet", "convnext", "swin", "dinov2")
NORMALISATION = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.5]}


def tiny_model(family: str):
    hf = import_module("transformers")  # whose types take pyright half a minute
    stages = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 1, 1]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family == "resnet":
            return hf.ResNetForImageClassification(hf.ResNetConfig(embedding_size=8, layer_type="basic", **stages))
        if family == "convnext":
            return hf.ConvNextForImageClassification(hf.ConvNextConfig(drop_path_rate=0.3, **stages))
        if family == "swin":
            heads = {"num_heads": [1, 2, 2, 2], "window_size": 4, "image_size": 32}
            return hf.SwinForImageClassification(hf.SwinConfig(embed_dim=8, depths=[1, 1, 1, 1], **heads))
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 14}
        return hf.Dinov2Model(hf.Dinov2Config(image_size=56, **sizes))


def write_backbone(folder: Path, family: str) -> Path:
    """A model folder with weights, shape and normalisation."""
    import_module("transformers").logging.disable_progress_bar()
    tiny_model(family).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(NORMALISATION))
    return folder
