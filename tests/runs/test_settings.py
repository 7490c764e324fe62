from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgm.cli.train import parse_train
from mgm.config import Experiment, MethodConfig
from mgm.errors import ConfigError
from mgm.method.algorithm import joint_updates, stages
from mgm.method.checks import check_method
from mgm.method.extra_images import EXTRA_IMAGES
from mgm.method.recipes import PRESETS, RECIPES, baseline_of, make_experiment
from mgm.runs.checks import check_experiment, warnings_of
from mgm.runs.devices import TORCHRUN
from mgm.runs.settings import GROUPS, from_dict, from_yaml, to_dict, to_yaml
from toys import with_runs, with_settings


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_recipe_survives_yaml(tmp_path, recipe, preset):
    experiment = make_experiment(recipe, preset)
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(experiment))
    assert from_yaml(path) == experiment


@pytest.mark.parametrize(
    ("written", "read"), [("64", 64), ("96x128", "96x128"), ("[96, 128]", "96x128"), ("[64, 64]", 64)]
)
def test_sizes_in_yaml(tmp_path, written, read):
    path = tmp_path / "config.yaml"
    path.write_text(f"data: {{image_size: {written}}}")
    experiment = from_yaml(path)
    assert experiment.data.image_size == read
    path.write_text(to_yaml(experiment))
    assert from_yaml(path) == experiment
    assert f"  image_size: {read}\n" in path.read_text()


def test_early_sizes_keep_the_shape():
    fitting = with_settings(make_experiment("mt", "tiny"), image_size=(96, 144), early_sizes=(32, 64))
    check_experiment(fitting)
    for early, message in (
        ((40,), "must be multiples of 16"),
        ((0,), "multiples of 16, up to"),
        ((112,), "up to image_size 96x144"),
        ((16,), "images of 16x24 have"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_experiment(with_settings(fitting, early_sizes=early))


@given(st.floats(0.01, 1.0), st.integers(0, 2**31 - 1), st.lists(st.sampled_from(["semantic", "depth"]), max_size=2))
def test_round_trip_of_any_values(fraction, seed, tasks):
    experiment = with_settings(make_experiment("mgm"), seed=seed, fraction=fraction, tasks=tuple(tasks))
    assert from_dict(to_dict(experiment)) == experiment


@pytest.mark.parametrize(
    "values, message",
    [
        ({"sed": 1}, "unknown field 'sed'. Did you mean 'seed'"),
        ({"data": {"fractoin": 1}}, "Did you mean 'fraction'"),
        ({"data": {"fraction": "much"}}, "data: fraction"),
        ({"data": {"image_size": "wide"}}, "settings, data: image_size is 'wide'; it must be one number"),
        ({"data": {"aspect": "fill"}}, "data: aspect.*'squeeze', 'letterbox' or 'crop'"),
        ({"training": {"precision": "fp8"}}, "precision"),
        ({"model": {"widths": [1, 2, 3]}}, "widths"),
        ({"data": 3}, "must be a mapping"),
    ],
)
def test_wrong_settings_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(values)


def test_files_that_are_no_settings(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        from_yaml(tmp_path / "none.yaml")
    for content, message in (
        ("- 1\n- 2\n", "no settings"),
        ("a: [1, 2\n", "no YAML"),
        ("!!python/object/apply:os.system ['true']\n", "no YAML"),
    ):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(ConfigError, match=message):
            from_yaml(tmp_path / "bad.yaml")


def test_unknown_recipe_and_preset_list_the_choices():
    with pytest.raises(ConfigError, match="Did you mean 'mgm_real'.*Choices: .*mgm_control"):
        make_experiment("mgm_reel")
    with pytest.raises(ConfigError, match="Choices: best, paper, quick, small, tiny"):
        make_experiment("mgm", "huge")


def test_field_names_are_unique_over_groups():
    """The command line has one flat name space."""
    names = [field.name for group in GROUPS.values() for field in fields(group)]
    names += [field.name for field in fields(Experiment) if field.name not in GROUPS]
    assert len(names) == len(set(names))


def test_every_field_is_documented():
    import ast
    import inspect

    import mgm.config

    for node in ast.parse(inspect.getsource(mgm.config)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and node.name != "Experiment":
                assert isinstance(following, ast.Expr), f"{node.name}.{ast.unparse(statement.target)} has no docstring"


def test_recipes_are_the_points_that_the_paper_compares():
    updates = {name: [u.name for u in joint_updates(make_experiment(name, "paper").method)] for name in RECIPES}
    auxiliary = ["task", "refinement", "self_supervision"]
    extra = ["extra_refinement", "extra_self_supervision"]
    baselines = {"mt", "mt_rooms", "st", "mt_large", "st_large", "cross_stitch", "adashare", "task_grouping"}
    assert all((updates[name] == ["task"]) == (name in baselines) for name in RECIPES)
    assert updates["mgm_no_generator"] == auxiliary
    assert updates["mgm_real"] == updates["mgm_not_joint"] == auxiliary + extra
    assert updates["mgm_control"] == auxiliary + extra + extra[::-1]
    assert updates["mgm_combine"] == auxiliary + extra
    assert updates["st_synthesized"] == ["task", "extra_task"]
    assert updates["mgm_task_grouping"] == updates["mgm"]
    assert updates["mgm"] == [*auxiliary, *["discriminator", "generator"] * 2, *extra]
    assert updates["mgm_cross_stitch"] == updates["mgm_adashare"] == updates["mgm_dcgan"] == updates["mgm"]
    assert updates["mgm_reconstruction"] == updates["mgm"]
    assert updates["mgm_no_self"] == updates["st_refine"] == [u for u in updates["mgm"] if "self_super" not in u]
    assert updates["mgm_no_refinement"] == updates["st_self"] == [u for u in updates["mgm"] if "refinement" not in u]
    assert make_experiment("st").model.architecture == "single_task"
    for large, small in (("st_large", "st"), ("mt_large", "mt")):
        base = make_experiment(small, "paper")
        assert replace(base, recipe=large, model=replace(base.model, depth=34)) == make_experiment(large, "paper")


def test_the_architecture_adds_its_updates_to_every_step_of_m():
    experiment = with_settings(make_experiment("mgm"), pretrain="rooms")
    plain, adashare = stages(experiment), stages(with_settings(experiment, architecture="adashare"))
    for before, after in zip(plain, adashare, strict=True):
        names = [update.name for update in after.updates]
        assert ("policy" in names) == (after.name in ("multi_task", "joint"))
        assert [name for name in names if name != "policy"] == [update.name for update in before.updates]
        assert (after.steps, after.data) == (before.steps, before.data)


@pytest.mark.parametrize("recipe", RECIPES)
def test_budgets_are_equal(recipe):
    experiment = with_runs(make_experiment(recipe))
    steps = sum(s.steps for s in stages(experiment) if s.trains_model)
    assert steps == baseline_of(experiment).training.steps
    assert steps == experiment.training.steps * (2 if recipe == "mt_rooms" else 1)  # as many on rooms as on the data


def test_presets_treat_recipes_alike():
    for preset in PRESETS:
        made = {recipe: make_experiment(recipe, preset) for recipe in RECIPES}
        own = made.pop("mt_consistency")  # needs an average to learn from, and time to learn from it
        rooms = made.pop("mt_rooms")
        shared = {(experiment.data, experiment.training) for experiment in made.values()}
        assert len(shared) == 1
        ((data, training),) = shared
        assert own.data == data == replace(rooms.data, pretrain="")
        assert rooms.training == training
        assert replace(own.training, joint_share=training.joint_share, ema=training.ema) == training
        assert training.ema in (0, own.training.ema)
    assert make_experiment("mt", "quick").data.augment
    assert make_experiment("mt", "small").data.augment
    assert not make_experiment("mgm", "paper").data.augment


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"refinement": "em"}, "unknown refinement 'em'"),
        ({"extra_images": "gan"}, "unknown source of extra images"),
        ({"self_supervision": "moco"}, "unknown self-supervision"),
        ({"extra_uses": ("label",)}, "Did you mean 'labels'"),
        ({"extra_uses": ("labels",)}, "have no pixel labels"),
        ({"extra_ratio": 0.0}, "must be positive"),
        ({"extra_images": "saved_generators"}, "--generator-runs RUN"),
        ({"generator_runs": ("a",)}, "extra_images is 'generator'; set it to saved_generators"),
        ({"annotator": "a"}, "--extra-uses labels"),
        ({"annotator": "a", "extra_images": "none", "extra_uses": ("labels",)}, "--extra-images SOURCE"),
    ],
)
def test_impossible_methods_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        stages(with_settings(make_experiment("mgm"), **changes))


def test_every_source_combines_with_every_use():
    method = make_experiment("mgm").method
    for name, source in EXTRA_IMAGES.items():
        uses = ("consistency", "refinement", "self_supervision", *(["labels"] if source.labelled else []))
        for count in range(len(uses) + 1):
            changed = replace(method, extra_images=name, extra_uses=uses[:count])
            extra = [u for u in joint_updates(changed) if u.source != "labelled"]
            assert len({update.name for update in extra}) == (0 if name == "none" else count)


@pytest.mark.parametrize(
    "recipe, baseline",
    [
        ("mgm", "mt"),
        ("mgm_cross_stitch", "cross_stitch"),
        ("mgm_adashare", "adashare"),
        ("mgm_task_grouping", "task_grouping"),
        ("mgm_combine", "mt"),
        ("st_self", "st"),
        ("st_synthesized", "st"),
    ],
)
def test_baseline_is_the_same_architecture_without_the_method(recipe, baseline):
    experiment = baseline_of(with_runs(make_experiment(recipe)))
    assert experiment.recipe == baseline
    assert experiment == with_runs(make_experiment(baseline))
    check_experiment(experiment)


def test_baseline_of_extra_labels_has_none():
    labelled = with_settings(make_experiment("mgm"), extra_images="composites", extra_uses=("labels",))
    assert baseline_of(labelled) == make_experiment("mt")


def test_an_annotator_allows_labels_of_every_source():
    for name in EXTRA_IMAGES:
        if name != "none":
            runs = ("a",) if name == "saved_generators" else ()
            method = MethodConfig(extra_images=name, generator_runs=runs, annotator="b", extra_uses=("labels",))
            check_method(method)


@pytest.mark.parametrize("training", ["quick", "paper"])
def test_synthesized_single_task_training_has_three_stages(training):
    experiment = with_runs(make_experiment("st_synthesized", training))
    first, second, third = stages(experiment)
    assert [update.name for update in third.updates] == ["task", "extra_task"]
    assert [update.trains for update in second.updates] == [("discriminator",), ("generator",)]
    assert first.steps + third.steps == experiment.training.steps
    assert third.steps == round(experiment.training.steps * experiment.training.joint_share)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": ("semantic", "depth")}, "task_grouping"),
        ({"freeze_encoder": True}, "--encoder-run RUN"),
        ({"architecture": "adashare", "encoder_run": "a"}, "AdaShare"),
        ({"zoom": (1.5, 1.0)}, "zoom is 1.5 1; it must be two positive numbers in ascending order"),
        ({"zoom": (0.0, 1.0)}, "zoom is 0 1"),
        ({"zoom": (1.0, float("nan"))}, "zoom is nan; it must be a number"),
        ({"zoom": (1.0, float("inf"))}, "zoom is inf; it must be a number"),
        ({"colour": 1.0}, r"colour is 1; it must lie in \[0, 1\)"),
        ({"hue": 0.7}, r"hue is 0.7; it must lie in \[0, 0.5\]"),
        ({"mix_share": 0.0}, r"mix_share is 0.0; it must lie in \(0, 1\]"),
        ({"zoom_share": 1.5}, r"zoom_share is 1.5; it must lie in \(0, 1\]"),
        ({"mix_count": 0}, "mix_count is 0; it must be above 0"),
        (
            {"encoder": "lite0", "frozen_stages": 5},
            "frozen_stages is 5; it must be 0 to 4 .all stages: --freeze-encoder",
        ),
        ({"mix_match": 1.5}, r"mix_match is 1.5; it must lie in \[0, 1\]"),
        ({"mix_scale": (2.0, 1.0)}, "mix_scale is 2 1; it must be two positive numbers"),
        ({"mix": "mixup"}, "unknown mix .mixup.*auto, classes, cutmix, none, objects"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        check_experiment(with_settings(make_experiment("mt", "tiny"), **changes))


@pytest.mark.parametrize("recipe, updates", [("mgm_not_joint", 2), ("mgm", 0)])
def test_a_generator_that_nothing_trains_is_refused(recipe, updates):
    experiment = with_settings(make_experiment(recipe, "tiny"), generator_steps=0, generator_updates=updates)
    with pytest.raises(ConfigError, match="generator_steps is 0, so nothing would train the generator of mgm"):
        check_experiment(experiment)
    check_experiment(with_settings(experiment, generator_steps=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--losses depth:lag", "unknown loss of depth 'lag'. Did you mean 'log'?"),
        ("--losses depth", "write TASK:LOSS, for example depth:log"),
        ("--losses semantic:dice --tasks depth", "semantic is not learned; the tasks are depth"),
        ("--mix objects --tasks depth normal", "need the task 'semantic'"),
        ("--compile reduce-overhead --device cpu", "needs a CUDA GPU, not cpu"),
        ("--compile default --checkpoint-activations", "leave out one of the two"),
        ("--accumulate 3", "batch_size is 4; it must be a multiple of 3"),
        ("--accumulate 0", "accumulate is 0; it must be above 0"),
        ("--minutes=-1", "minutes is -1"),
        ("--minutes=nan", "minutes is nan"),
        ("--minutes=inf", "minutes is inf"),
        ("--extra-ratio nan", "extra_ratio is nan"),
        ("--extra-ratio -1", "extra_ratio is -1"),
        ("--image-size 99999999999999999999", "image_size"),
        ("--image-size 8192", "image_size is 8192; it must be 4096 at most"),
        ("--widths 8 8 8 999999", "widths is (8, 8, 8, 999999)"),
        ("--latent-size 1000000", "latent_size is 1000000"),
        ("--steps 100000000000000000000", "steps is 100000000000000000000"),
        ("--zoom 1 inf", "zoom is inf"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(mgm, tmp_path, options, message):
    command = ("train", "mt", "--preset", "tiny", "--num-images", 40, "--out", tmp_path / "run", *options.split())
    assert message in mgm.refused(*command)
    assert not [*tmp_path.iterdir()]


def test_losses_of_a_frozen_encoder_that_train_nothing_are_named():
    def frozen(**method):
        return stages(with_settings(make_experiment("mgm", "tiny"), freeze_encoder=True, **method))

    with pytest.raises(ConfigError, match="refinement, self_supervision, extra_refinement, extra_self_supervision;"):
        frozen()
    labels = frozen(extra_images="composites", refinement="none", self_supervision="none", extra_uses=("labels",))
    assert [update.trains for update in labels[-1].updates] == [("decoders",), ("decoders",)]
    plain_end_to_end = frozen(refinement="peoe", self_supervision="none", extra_uses=("refinement",))
    assert not any("encoder" in (*u.trains, *u.statistics) for stage in plain_end_to_end for u in stage.updates)


def test_batches_that_cannot_be_computed_in_equal_parts(monkeypatch):
    experiment = make_experiment("mgm", "tiny")
    with pytest.raises(ConfigError, match="batch_size is 6; it must be a multiple of 4"):
        check_experiment(with_settings(experiment, batch_size=6, accumulate=4))
    fitting = with_settings(experiment, batch_size=8, accumulate=2)
    check_experiment(fitting)
    for name in TORCHRUN:
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"generator_batch_size is 4; it must be a multiple of 8 .*4 processes"):
        check_experiment(fitting)


@pytest.mark.parametrize(
    "changes, cause", [({"batch_size": 1}, "there is one"), ({"accumulate": 4}, "--accumulate 4 leaves one")]
)
def test_a_self_supervised_loss_that_has_no_negatives_is_said(changes, cause):
    experiment = make_experiment("mgm", "tiny")
    assert warnings_of(experiment) == []
    alone = with_settings(experiment, **changes)
    (line,) = warnings_of(alone)
    assert "the self-supervised loss is zero" in line
    assert cause in line
    for other in ({"self_supervision": "reconstruction"}, {"self_supervision_weight": 0.0}):
        assert warnings_of(with_settings(alone, **other)) == []


def test_mixing_within_processes_that_have_one_image_each_is_said(monkeypatch):
    experiment = with_settings(make_experiment("mt", "tiny"), augment=True, mix="cutmix", batch_size=4)
    assert warnings_of(experiment) == []
    monkeypatch.setattr("mgm.runs.checks.started_processes", lambda: 4)
    (line,) = warnings_of(experiment)
    assert "--mix has no effect: images are mixed within a process" in line
    assert warnings_of(with_settings(experiment, batch_size=8)) == []


@pytest.mark.parametrize("preset", PRESETS)
def test_no_preset_is_warned_of_its_own_settings(preset):
    for recipe in RECIPES:
        experiment = make_experiment(recipe, preset)
        assert warnings_of(experiment) == []
        assert warnings_of(baseline_of(experiment)) == []
        for off in ({"augment": False}, {"mix": "none"}, {"zoom": (1.0, 1.0), "augment": True}):
            assert warnings_of(with_settings(experiment, **off)) == []


OVERLAP = {"pretrain_overlap": 0.5}
VARIED = {"zoom": (1.0, 2.0), "zoom_share": 0.1, "hue": 0.1, "mix": "cutmix", "mix_share": 0.3}


@pytest.mark.parametrize(
    "changes, said, remedy",
    [
        (OVERLAP, "--pretrain-overlap has no effect without --pretrain,", {"pretrain": "rooms"}),
        ({"pretrain_steps": 9}, "--pretrain-steps has no effect without --pretrain,", {"pretrain": "rooms"}),
        ({"num_rooms": 9}, "--num-rooms has no effect without --pretrain rooms or", {"pretrain": "rooms"}),
        ({"num_rooms": 9, "pretrain": "other"}, "without --pretrain rooms or", {"extra_images": "rooms"}),
        ({**OVERLAP, "pretrain": "rooms", "joint_share": 1.0}, "-overlap has no effect without steps", {"joint_share": 0.9}),
        ({"mix_flip": True, "mix_scale": (1.0, 2.0)}, "--mix-flip, --mix-scale have no effect", {"mix": "cutmix"}),
        ({"mix_match": 0.5, "mix_count": 2}, "--mix-count, --mix-match have no effect", {"extra_images": "composites"}),
        ({"mix_share": 0.3}, "--mix-share has no effect without --mix", {"mix": "auto"}),
        ({"zoom": (1.0, 1.0), "zoom_share": 0.3}, "--zoom-share has no effect without a --zoom", {"zoom": (1.0, 1.2)}),
        ({"augment": False, "flip": False}, "--no-flip has no effect without --augment", {"augment": True}),
        ({"augment": False, **VARIED}, "--zoom, --zoom-share, --hue, --mix, --mix-share have no effect", {"augment": True}),
    ],
)  # fmt: skip
def test_settings_that_have_no_effect_are_said(changes, said, remedy):
    experiment = with_settings(make_experiment("mt", "tiny"), **changes)
    (line,) = warnings_of(experiment)
    assert line.startswith("warning: ")
    assert said in line
    assert warnings_of(with_settings(experiment, **remedy)) == []


def test_of_all_data_but_the_rooms_everything_is_used():
    rooms, own = make_experiment("mgm", "quick"), make_experiment("mgm", "quick", "photos")
    assert (rooms.data.fraction, own.data.fraction) == (0.5, 1.0)
    assert (own.data.data, own.data.tasks, own.data.num_images) == ("photos", (), 0)
    assert replace(own, data=rooms.data) == rooms
    assert make_experiment("mgm", "tiny", "photos").data.num_images == make_experiment("mgm", "tiny").data.num_images
    options = parse_train(["--preset", "tiny", "--preset=quick", "--data=photos", "--fraction", "0.25"])
    assert (options.experiment.data.fraction, options.experiment.data.tasks) == (0.25, ())
    assert parse_train(["mt", "--data", "photos"]).experiment == make_experiment("mt", "quick", "photos")
