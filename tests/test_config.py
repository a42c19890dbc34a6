"""The configuration: presets, refusals in one sentence, and its identity."""

import dataclasses
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config import PRESETS, READ_BY, RENAMED, WHERE, Config, field_names


def test_quick_preset():
    config = Config.make()
    assert config == Config.make("quick") == Config()
    assert (config.data, config.objective, config.latent_dim, config.style_dim) == ("uci-plain-text", "mmjsd", 20, 0)
    assert (config.batch_size, config.steps, config.learning_rate) == (32, 2000, 1e-3)
    assert (config.beta, config.beta_style) == (5, 3)
    assert (config.content_first, config.content_first_factor) == (0.75, 12)


def test_paper_preset():
    config = Config.make("paper")
    assert (config.data, config.batch_size, config.steps, config.epochs) == ("mnist-svhn-text", 256, 0, 50)
    assert config.content_first == 0 and config.repeats == 20
    assert Config.make("paper", style_dim=4).epochs == 100
    assert Config.make("paper", style_dim=4, epochs=7.0).epochs == 7
    assert Config.make("paper").total_steps(4380) == 50 * 4380
    assert Config.make("quick", style_dim=4).steps == 2000


def test_content_and_style_share_the_latent_dimensions():
    assert Config().content_dim == 20
    assert Config(style_dim=4).content_dim == 16


def test_changes():
    assert Config.make("quick", beta=2.5, objective=None).beta == 2.5
    assert Config.make("quick", objective=None).objective == "mmjsd"
    assert Config.make("quick", epochs=2.0).total_steps(100) == 200
    assert Config.make("quick", epochs=2.0, steps=7).total_steps(100) == 7
    assert Config.make("quick", epochs=0.001).total_steps(100) == 1
    changed = Config().replace(seed=3)
    assert changed.seed == 3 and Config().seed == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.seed = 4


FLOATS = [field.name for field in dataclasses.fields(Config) if field.type not in (str, int)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"betta": 1.0}, "unknown configuration field 'betta': did you mean 'beta'"),
        ({"laerning_rate": 1.0}, "did you mean 'learning_rate'"),
        ({"laerning_rate": None}, "did you mean 'learning_rate'"),
        ({"zzzz": 1}, "the fields are preset, data"),
        ({"style_dim": 20}, "style_dim 20 leaves no content of latent_dim 20: choose 0 to 19"),
        ({"style_dim": 25}, "leaves no content"),
        ({"style_dim": -1}, "style_dim -1"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"dynamic_prior": "harmonic"}, "unknown dynamic_prior 'harmonic': choose one of"),
        (
            {"objective": "mvae", "dynamic_prior": "arithmetic"},
            "dynamic_prior 'arithmetic' is a choice of mmjsd: mvae has no dynamic prior",
        ),
        ({"power": 0.3}, "power 0.3 is the order of dynamic_prior 'power', not of 'geometric'"),
        ({"dynamic_prior": "power", "power": 0.0}, "power 0.0 must lie in (0, 1]"),
        ({"objective": "mmvm", "prior_share": 1.5}, "prior_share 1.5 is a share: choose 0 to 1"),
        ({"prior_share": 0.5}, "prior_share 0.5 is a choice of mmvm: mmjsd has no mixture of posteriors as a prior"),
        ({"prior_weight": 1.0}, "prior_weight 1.0 must lie in"),
        ({"prior_weight": -0.1}, "prior_weight -0.1"),
        ({"content_first": 1.5}, "content_first 1.5 is a fraction"),
        ({"missing_rate": 1.0}, "missing_rate 1.0 is a share that leaves complete items: choose [0, 1)"),
        ({"missing_rate": -0.1}, "missing_rate -0.1 is a share"),
        ({"missing_policy": "drop"}, "unknown missing_policy 'drop'"),
        ({"train_size": -1}, "train_size -1 must not be negative"),
        ({"batch_size": 0}, "batch_size 0 must be positive"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be positive"),
        ({"learning_rate": math.nan}, "learning_rate nan is not finite"),
        *(({name: math.inf}, f"{name} inf is not finite") for name in FLOATS),
        ({"beta": -math.inf}, "beta -inf is not finite"),
        ({"latent_dim": 0}, "latent_dim 0 must be positive"),
        ({"latent_dim": 10**9}, "latent_dim 1000000000 is too much: choose at most 100,000"),
        ({"repeats": 10**30}, "repeats 1000000000000000000000000000000 does not fit 64 bits"),
        ({"seed": 2**64}, "seed 18446744073709551616 does not fit 64 bits"),
        ({"batch_size": 2**63}, "does not fit 64 bits"),
        ({"checkpoint_every": 0}, "checkpoint_every 0 must be positive"),
        ({"beta": -1.0}, "beta -1.0 must not be negative"),
        ({"snapshot_every": -1}, "snapshot_every -1 must not be negative"),
        ({"steps": 0}, "nothing to train"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError) as error:
        Config.make("quick", **changes)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_unknown_names_elsewhere():
    with pytest.raises(ValueError, match="unknown preset 'papper'"):
        Config.make("papper")
    with pytest.raises(ValueError, match="unknown preset"):
        Config(preset="slow")
    with pytest.raises(ValueError, match="did you mean 'objective'"):
        Config().replace(objectiv="mmvae")


def test_content_first_holds_the_style_betas_higher_at_first():
    config = Config(style_dim=4, beta_style=2.0, content_first=0.75, content_first_factor=12.0)
    assert [config.at_step(step, 8).beta_style for step in range(8)] == [24.0] * 6 + [2.0] * 2
    shared = config.replace(style_dim=0)
    assert [shared.at_step(step, 8) for step in range(8)] == [shared] * 8
    off = config.replace(content_first=0.0)
    assert off.at_step(0, 8) is off
    assert config.at_step(0, 8) == config.replace(beta_style=24.0)


def test_the_share_of_the_prior_falls_in_ten_stairs():
    config = Config(objective="mmvm", prior_share=0.2, prior_share_steps=100)
    shares = [config.at_step(step, 1000).prior_share for step in range(120)]
    assert shares[0] == 1 and shares[99] == pytest.approx(0.28) and shares[100:] == [0.2] * 20
    assert len({*shares}) == 11 and shares == sorted(shares, reverse=True)


# ------------------------------------------------------------------------------------------------------ its identity

ELSEWHERE = {"preset": "paper", "data_root": "/elsewhere", "device": "cpu", "compiled": "off", "checkpoint_every": 5}
WORDS = {"data": "mnist-svhn-text", "objective": "mvae", "dynamic_prior": "arithmetic", "posterior": "laplace"}
WORDS |= {"missing_policy": "dropped", "precision": "bfloat16", "self_content": "stopped", "mixed_prior": "mixture"}
WORDS |= {"mvae_unimodal": "authors"}
# Of every other field a value that is not its default; one that fits no rule here has to be given.
OTHER_VALUES = {
    field.name: WORDS[field.name] if field.type is str else field.default + 1 if field.type is int else 0.25
    for field in dataclasses.fields(Config)
    if field.name not in ELSEWHERE
}


def test_every_field_is_either_what_or_where():
    assert {*ELSEWHERE} == {*WHERE} and {*OTHER_VALUES, *WHERE} == {*field_names()}
    assert not any(getattr(Config(), name) == value for name, value in (OTHER_VALUES | ELSEWHERE).items())


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_the_key_changes_with_what_is_computed(name):
    base = Config(objective=READ_BY[name][0][-1]) if name in READ_BY else Config()  # no other objective has a choice
    base = base.replace(dynamic_prior="power") if name == "power" else base
    assert base.replace(**{name: OTHER_VALUES[name]}).key() != base.key()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_the_key_ignores_where_and_how(name):
    assert Config().replace(**{name: ELSEWHERE[name]}).key() == Config().key()


# Keys of runs of the version that had other names for some fields, trained with these settings.
OLD_KEYS = {
    "049209fc51d1": dict(
        objective="mvtcae", mvtcae_alpha=0.7, missing_rate=0.5, missing_policy="dropped", train_size=500, steps=20
    ),
    "7cfc7f3f91d2": dict(objective="mmvae_dreg", posterior="laplace", steps=10, batch_size=16),
    "9a71703aa673": dict(objective="mopoe", steps=400),
    "07ea83f3ff0b": dict(data="faces", steps=4, batch_size=16),
}


@pytest.mark.parametrize("key", OLD_KEYS)
def test_fields_that_were_renamed_are_read_under_their_old_names_and_keep_the_key(key):
    config = Config.make("quick", **OLD_KEYS[key])
    assert config.key() == key
    former = {now: name for name, now in RENAMED.items()}
    assert len(former) == len(RENAMED) and {*former} <= {*field_names()}
    old = {former.get(name, name): value for name, value in config.to_json().items()}
    assert {*RENAMED} <= {*old} and not {*RENAMED.values()} & {*old}
    assert Config.from_json(old) == Config.from_json(config.to_json()) == config


@pytest.mark.parametrize(("name", "now"), RENAMED.items())
def test_an_old_name_is_refused_with_the_new_one_where_somebody_types_it(name, now):
    for choose in (Config.make, Config().replace):
        with pytest.raises(ValueError, match=f"the configuration field '{name}' is called '{now}' now"):
            choose(**{name: 1})


# Type checks at run time would answer before the configuration does: what follows runs in a plain interpreter.
PLAIN = """
import json, sys
from workbench.config import Config
answers = []
for changes in json.load(sys.stdin):
    try:
        answers.append(Config.make("quick", **changes).key())
    except ValueError as error:
        answers.append(str(error))
print(json.dumps(answers))
"""


def in_a_plain_interpreter(*changes: dict) -> list[str]:
    """Key or refusal of each configuration, without the run-time checks of the tests."""
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], input=json.dumps(changes), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_types_and_keys_in_a_plain_interpreter():
    """`-p beta=5` is an int, the default 5.0 a float: one configuration, one run folder."""
    refusals = {
        "steps 'many' is not of type int": {"steps": "many"},
        "steps 2.5 is not of type int": {"steps": 2.5},
        "seed True is not of type int": {"seed": True},
        "beta '5' is not of type float": {"beta": "5"},
        "data 3 is not of type str": {"data": 3},
        "prior_weight 'a' is not of type float | None": {"prior_weight": "a"},
    }
    *answers, floats, integers, styled = in_a_plain_interpreter(
        *refusals.values(),
        {"beta": 4.0, "learning_rate": 1.0},
        {"beta": 4, "learning_rate": 1},
        {"style_dim": 4, "prior_weight": 0.3},
    )
    assert answers == list(refusals)
    assert floats == integers == Config.make(beta=4.0, learning_rate=1.0).key()
    assert styled == Config(style_dim=4, prior_weight=0.3).key()
    assert len(styled) == 12 and int(styled, 16) >= 0


SCALARS = """
import numpy as np
from workbench.config import Config
one = Config.make(seed=np.int64(3), steps=np.uint8(20), beta=np.float32(2.0), learning_rate=np.float64(0.5))
same = Config.make(seed=3, steps=20, beta=2.0, learning_rate=0.5)
print(one.key() == same.key(), {type(x) for x in vars(one).values()})
print(Config(seed=2**64 - 1).seed)
try:
    Config.make(beta=10**400)
except ValueError as error:
    print(error)
"""


def test_scalars_of_numpy_are_the_numbers_that_they_hold():
    done = subprocess.run([sys.executable, "-c", SCALARS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0].startswith("True") and "numpy" not in done.stdout
    assert done.stdout.splitlines()[1:] == [str(2**64 - 1), "beta inf is not finite: choose a number that is"]


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 19), st.floats(0, 1e3), st.none() | st.floats(0, 0.99))
def test_json_round_trip(preset, style_dim, beta, prior_weight):
    config = Config.make(preset, style_dim=style_dim, beta=beta, prior_weight=prior_weight)
    again = Config.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config and again.key() == config.key()
