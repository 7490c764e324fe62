"""Pre-trained encoders, offline: tiny models of the four families with random weights."""

import json
import sys

import pytest
import torch
from safetensors.torch import save
from torch import nn

from backbones import FAMILIES, NORMALISATION, tiny_model, write_backbone
from mgm.errors import ConfigError
from mgm.networks.normalization import BatchNorm2d, frozen_buffers
from mgm.networks.pretrained import IMAGENET, PretrainedEncoder, load_weights, read_structure, with_own_batch_norm

transformers = pytest.importorskip("transformers")
CHANNELS = {"resnet": (8, 12, 16, 20), "convnext": (8, 12, 16, 20), "swin": (8, 16, 32, 64), "dinov2": (16, 16)}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def saved(family, tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("backbones") / family, family)


@pytest.fixture
def encoder(saved):
    encoder = PretrainedEncoder(read_structure(str(saved)))
    load_weights(encoder, str(saved))
    return encoder.eval()


@pytest.mark.parametrize("height, width", [(32, 32), (64, 64), (32, 96)])
def test_levels_have_the_strides_and_channels_that_the_encoder_says(encoder, family, height, width):
    assert encoder.strides == ((16, 16) if family == "dinov2" else (4, 8, 16, 32))
    assert encoder.channels == CHANNELS[family]
    features = encoder(torch.rand(2, 3, height, width) * 2 - 1)
    for level, channels, stride in zip(features, encoder.channels, encoder.strides, strict=True):
        assert level.shape == (2, channels, height // stride, width // stride)
        assert torch.isfinite(level).all()


def test_sides_must_be_multiples_of_the_coarsest_stride(encoder, family):
    stride = max(encoder.strides)
    assert stride == (16 if family == "dinov2" else 32)
    with pytest.raises(ConfigError, match=f"multiples of {stride}"):
        encoder(torch.zeros(1, 3, stride * 5 // 2, 32))


@pytest.mark.parametrize(
    "layers, levels", [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 3, 4]), (6, [1, 3, 4, 6]), (12, [3, 6, 9, 12])]
)
def test_a_transformer_gives_up_to_four_layers_at_even_distances(tmp_path, layers, levels):
    shape = {"hidden_size": 16, "num_attention_heads": 2, "patch_size": 14, "image_size": 56}
    transformers.Dinov2Config(num_hidden_layers=layers, **shape).save_pretrained(tmp_path)
    encoder = PretrainedEncoder(read_structure(str(tmp_path)))
    assert encoder.backbone.out_features == [f"stage{level}" for level in levels]
    assert encoder.strides == (16,) * len(levels)
    assert len(encoder(torch.zeros(1, 3, 32, 32))) == len(levels)


def test_features_are_those_of_the_saved_model(encoder, family):
    """Of the whole classifier, from which they were saved: its hidden states, images normalised as the folder says."""
    original = tiny_model(family).eval()
    images = torch.rand(2, 3, 128, 128) * 2 - 1
    mean, std = (torch.tensor(NORMALISATION[key])[:, None, None] for key in ("image_mean", "image_std"))
    pixels = ((images + 1) / 2 - mean) / std
    before_downsampling = []
    if family == "swin":
        for stage in original.swin.encoder.layers:
            stage.blocks[-1].register_forward_hook(lambda module, inputs, output: before_downsampling.append(output))
    with torch.no_grad():
        features = encoder(images)
        if family == "dinov2":
            pixels = nn.functional.interpolate(pixels, (112, 112), mode="bilinear", antialias=True)
        states = original(pixels, output_hidden_states=True).hidden_states
        if family == "dinov2":
            patches = [original.layernorm(state)[:, 1:] for state in states[1:]]
            expected = [values.transpose(1, 2).reshape(2, 16, 8, 8) for values in patches]
        elif family == "swin":
            patches = [output[0] if isinstance(output, tuple) else output for output in before_downsampling]
            sides = [round(values.shape[1] ** 0.5) for values in patches]
            expected = [v.transpose(1, 2).unflatten(2, (side, side)) for v, side in zip(patches, sides, strict=True)]
        else:
            expected = list(states[-4:])
        if family in ("convnext", "swin"):  # the backbone ends every level in a layer norm over the channels
            epsilon = {"convnext": 1e-6, "swin": 1e-5}[family]
            expected = [
                nn.functional.layer_norm(level.permute(0, 2, 3, 1), level.shape[1:2], eps=epsilon).permute(0, 3, 1, 2)
                for level in expected
            ]
    for level, other in zip(features, expected, strict=True):
        torch.testing.assert_close(level, other, atol=1e-3, rtol=1e-3)


def test_structure_alone_rebuilds_it(encoder, saved):
    """From plain values, as they stand in settings; weights from a state dict."""
    values = json.loads(json.dumps(read_structure(str(saved))))
    rebuilt = PretrainedEncoder(values)
    rebuilt.load_state_dict(encoder.state_dict())
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    assert all(map(torch.equal, rebuilt.eval()(images), encoder(images)))


def test_every_pass_in_training_is_the_same(encoder):
    """No dropout: it would draw from the global stream."""
    encoder.train()
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    with frozen_buffers(encoder):
        assert all(map(torch.equal, encoder(images), encoder(images)))


def test_gradients_reach_images_and_weights(encoder):
    images = (torch.rand(2, 3, 64, 64) * 2 - 1).requires_grad_()
    encoder(images)[-1].square().sum().backward()
    assert images.grad.any()
    assert sum(bool(p.grad is not None and p.grad.any()) for p in encoder.parameters()) > 10


def test_batch_norm_can_be_held_still(tmp_path):
    folder = write_backbone(tmp_path, "resnet")
    encoder = PretrainedEncoder(read_structure(str(folder))).train()
    norms = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert all(isinstance(layer, BatchNorm2d) for layer in norms)
    mean = norms[0].get_buffer("running_mean")
    before = mean.clone()
    with frozen_buffers(encoder):
        encoder(torch.rand(2, 3, 32, 32))
    assert torch.equal(mean, before)
    encoder(torch.rand(2, 3, 32, 32))
    assert not torch.equal(mean, before)


def test_replaced_batch_norm_keeps_weights_and_statistics():
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    plain(torch.randn(8, 3, 4, 4))
    images = torch.randn(2, 3, 4, 4)
    expected = plain.eval()(images)
    own = with_own_batch_norm(plain)
    torch.testing.assert_close(own.eval()(images), expected)


def test_imagenet_normalisation_where_nothing_is_said(tmp_path):
    folder = write_backbone(tmp_path, "resnet")
    (folder / "preprocessor_config.json").unlink()
    structure = read_structure(str(folder))
    assert {key: structure[key] for key in IMAGENET} == IMAGENET


def test_missing_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"no encoder .*/nothing.*neither a folder"):
        read_structure(str(tmp_path / "nothing"))


def test_name_on_the_hub_without_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match="nor reachable on the Hub"):
        read_structure("facebook/no-such-model-for-tests")


def test_other_kinds_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigError, match="unknown kind of encoder 'bert'.*Choices: .*dinov2"):
        read_structure(str(tmp_path))


@pytest.mark.parametrize(
    "content, message",
    [
        (None, r"model\.safetensors is needed"),
        (save({"a": torch.zeros(1)}, metadata={"format": "pt"}), "do not fit its config.json"),
        (b"junk", "cannot read the weights"),
    ],
    ids=["pickled", "of another model", "damaged"],
)
def test_other_weights_are_refused(tmp_path, content, message):
    folder = write_backbone(tmp_path, "resnet")
    encoder = PretrainedEncoder(read_structure(str(folder)))
    (folder / "model.safetensors").unlink()
    if content is None:
        torch.save(encoder.backbone.state_dict(), folder / "pytorch_model.bin")
    else:
        (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_weights(encoder, str(folder))


def test_structure_that_is_none():
    with pytest.raises(ConfigError, match=r"model\.backbone does not describe"):
        PretrainedEncoder({"backbone": {"model_type": "resnet", "hidden_sizes": "many"}, **IMAGENET})


def test_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'mgm\[encoders\]'"):
        read_structure("anything")


@pytest.mark.parametrize(
    "family, absurd",
    [
        ("dinov2", {"num_hidden_layers": 10**9}),
        ("dinov2", {"hidden_size": 1 << 20}),
        ("resnet", {"depths": [1, 1, 10**9, 1]}),
        ("swin", {"window_size": 1 << 12}),
    ],
)
def test_absurd_sizes_are_refused_before_they_take_memory(tmp_path, family, absurd):
    config = write_backbone(tmp_path, family) / "config.json"
    good = read_structure(str(tmp_path))
    with pytest.raises(ConfigError, match=r"model\.backbone.*more than"):
        PretrainedEncoder({**good, "backbone": good["backbone"] | absurd})
    config.write_text(json.dumps(json.loads(config.read_text()) | absurd))
    with pytest.raises(ConfigError, match="more than"):
        PretrainedEncoder(read_structure(str(tmp_path)))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_pre_trained_weights_are_fitted_to_other_channels(saved, encoder, channels):
    other = PretrainedEncoder(read_structure(str(saved)), channels)
    load_weights(other, str(saved))
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    image = image[:, :1].expand(-1, 3, -1, -1) if channels == 1 else image
    repeated = image[:, torch.arange(channels) % 3]
    assert repeated.shape[1] == channels
    for ours, theirs in zip(other.eval()(repeated), encoder(image), strict=True):
        assert ours.shape == theirs.shape
        if channels in (1, 6):  # in which red, green and blue count alike
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
