"""The transformer keeps scikit-learn's contract, and its codes and tables are those of the model inside."""

import tempfile

import numpy as np
import pandas
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from workbench.config import Config
from workbench.data.dataset import MultimodalDataset
from workbench.interop.transformer import MultimodalTransformer
from workbench.objectives import METHODS
from workbench.training.loop import fit

GROUPS = {"a": [0, 1, 2, 3], "b": [5, 4]}


def brief(**changes) -> MultimodalTransformer:
    """A transformer whose training takes no time."""
    return MultimodalTransformer(**{"steps": 3, "latent_dim": 3, "batch_size": 8, "random_state": 0, **changes})


def table(items: int = 120) -> np.ndarray:
    """Six columns in very different units, which two numbers for each item explain almost wholly."""
    rng = np.random.default_rng(0)
    explained = rng.normal(size=(items, 2)) @ rng.normal(size=(2, 6))
    return (explained + 0.1 * rng.normal(size=(items, 6))) * 10.0 ** np.arange(-2, 4) + 1000


# none is expected to fail
@parametrize_with_checks([MultimodalTransformer(steps=3, latent_dim=3, batch_size=8)], expected_failed_checks=None)
def test_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("objective", METHODS)
def test_codes_are_those_of_the_model(objective, tmp_path):
    """Against the same training by hand, for rows with every pattern of missing groups."""
    X, made = table(), brief(groups=GROUPS, objective=objective, style_dim=1).fit(table())

    def arrays():
        return {name: X[:, columns] for name, columns in GROUPS.items()}

    data, _ = MultimodalDataset.from_arrays(arrays(), split=np.zeros(len(X), bool))
    fields = dict(data=data.name, objective=objective, steps=3, latent_dim=3, style_dim=1, batch_size=8, beta=1.0)
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    run = fit(Config(**fields, seed=seed, device="cpu", compiled="off"), tmp_path / "run", data, progress=False)
    assert made.history_["total"] == run.history()["total"]
    X[:5, :4], X[5:9, 4:], X[3, 5] = np.nan, np.nan, np.nan
    posterior = run.model.infer(arrays(), fusion=METHODS[objective].inference[0])
    expected = posterior.mean() if callable(posterior.mean) else posterior.mean
    assert np.allclose(made.transform(X), expected.detach(), atol=1e-4) and expected.shape == (120, 2)


def test_one_modality_of_all_columns():
    """Its posterior is its encoder's."""
    made = brief().fit(table())
    q = made.model_.float().encode({"table": table()}).content[0]
    assert np.allclose(made.model_.double() and made.transform(table()), q.mean.detach(), atol=1e-5)
    assert made.model_.names == ("table",) and made.groups_["table"].tolist() == [0, 1, 2, 3, 4, 5]


def test_tables_come_back_in_their_units_and_a_missing_group_is_made_of_the_other():
    """By a transformer that was trained for long enough to know how the groups hang together."""
    X, lacking = table(), table()
    lacking[:, 4:] = np.nan
    learnt = brief(groups=GROUPS, steps=100, batch_size=32, latent_dim=4, beta=0.01).fit(X)
    back, made = (learnt.inverse_transform(learnt.transform(x)) for x in (X, lacking))
    assert back.shape == X.shape and (((back - X) ** 2).mean(0) < 0.35 * X.var(0)).all()
    assert (((made - X) ** 2).mean(0)[4:] < 0.3 * X.var(0)[4:]).all()


def test_rows_of_nothing_have_the_code_of_the_prior():
    X = table()
    X[7] = np.nan
    made, without = (brief(groups=GROUPS).fit(x) for x in (X, np.delete(X, 7, 0)))
    assert np.array_equal(made.transform(X)[7], np.zeros(3))
    assert np.array_equal(made.transform(X[:5]), without.transform(X[:5])), "and are not trained on"


def test_the_same_random_state_gives_the_same_codes():
    X, state = table(), torch.get_rng_state()
    first = brief(groups=GROUPS).fit(X)
    again, other = clone(first).fit_transform(X), clone(first).set_params(random_state=1).fit_transform(X)
    assert np.array_equal(first.transform(X), again) and not np.allclose(again, other)
    both = [brief(random_state=np.random.RandomState(3)).fit_transform(X) for _ in range(2)]
    assert np.array_equal(*both)
    assert not np.array_equal(*(brief(random_state=None).fit_transform(X) for _ in range(2)))
    assert torch.equal(torch.get_rng_state(), state), "torch's own random numbers are left alone"


def test_nothing_is_shown_or_left(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    made = brief(batch_size=10_000, steps=2).fit(table(20))
    assert capfd.readouterr() == ("", "") and not [*tmp_path.iterdir()]
    assert made.history_["step"] == [2.0]
    assert made.get_feature_names_out().tolist() == [f"multimodaltransformer{k}" for k in range(3)]


def test_codes_are_features_of_a_pipeline():
    """Real measurements: malignancy from the codes of three groups, of which a fifth of the entries is missing."""
    data = load_breast_cancer(as_frame=True)
    X = data.data.mask(np.random.default_rng(0).random(data.data.shape) < 0.2)
    groups = {name: [column for column in X if name in column] for name in ("mean", "error", "worst")}
    train_X, test_X, train_y, test_y = train_test_split(X, data.target, test_size=0.3, random_state=0)
    model = MultimodalTransformer(groups, latent_dim=6, steps=60, batch_size=64, random_state=0)
    line = make_pipeline(model.set_output(transform="pandas"), LogisticRegression(max_iter=1000)).fit(train_X, train_y)
    assert line.score(test_X, test_y) > 0.88
    codes = line[0].transform(test_X)
    assert codes.index.equals(test_X.index) and [*codes] == line[0].get_feature_names_out().tolist()
    assert line[0].feature_names_in_.tolist() == [*X]
    assert line[0].inverse_transform(codes.to_numpy()).shape == test_X.shape


def test_a_grid_search_chooses_among_transformers():
    X = table(60)
    y = X[:, 0] > np.median(X[:, 0])
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    line = make_pipeline(SimpleImputer(), brief(groups=GROUPS), LogisticRegression())
    grid = {"multimodaltransformer__beta": [0.1], "multimodaltransformer__objective": ["mmjsd", "mvae"]}
    search = GridSearchCV(line, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 2 and {*search.best_params_} == {*grid}
    assert search.predict(X).shape == (60,)


NAMED = pandas.DataFrame(table(), columns=list("uvwxyz"))
REFUSED = [
    (table(), {"a": [0, 1, 2], "b": [4, 5]}, "column 3 is in no group: put every column into one"),
    (table(), {"a": [0, 1, 2, 3], "b": [3, 4, 5]}, "column 3 is in several groups: put every column into one"),
    (table(), {"a": [0, 1, 2, 3, 4, 6]}, "the column 6, which X does not have: its columns are 0 to 5, and have no na"),
    (table(), {"a": list("uvwxyz")}, "groups names the column 'u', which X does not have"),
    (NAMED, {"a": list("uvw"), "b": list("xyzz")}, "column 'z' is in several groups"),
    (NAMED, {"a": list("uvw"), "b": list("xyq")}, "the column 'q', which X does not have: its columns are u, v, w"),
    (table(), {"a": [0, 1, 2], "b": np.arange(6) > 2}, "the column np.False_, which X does not have: its columns are"),
    (table(), {"a": [0, 1, 2, 3, 4.0]}, "the column 4.0, which X does not have"),
    (table(), {"a": 0, "b": [1, 2, 3, 4, 5]}, "groups must be lists of columns by name, as in {'blood': "),
    (NAMED, {"a": "uvw", "b": ["x", "y", "z"]}, "groups must be lists of columns by name"),
    (NAMED, {"a": {*"uvw"}, "b": ["x", "y", "z"]}, "groups must be lists of columns by name"),
    (table(), [[0, 1, 2], [3, 4, 5]], "groups must be lists of columns by name"),
    (table(), {"a": [0, 1, 2, 3, 4, 5], "b": []}, "the group 'b' has no columns: leave it out"),
    (NAMED.assign(v=np.nan), None, "column 'v' holds no entry, only NaN: leave it out"),
    (table() * np.inf, None, "infinity"),
]


@pytest.mark.parametrize(("X", "groups", "message"), REFUSED)
def test_bad_input_is_refused_in_one_line(X, groups, message):
    with pytest.raises(ValueError, match=message):
        brief(groups=groups).fit(X)


def test_what_is_masked_is_missing():
    holes = np.random.default_rng(1).random(table().shape) < 0.2
    X = np.where(holes, -9999, table())
    masked, missing = np.ma.masked_array(X, holes), np.where(holes, np.nan, X)
    codes = [brief(groups=GROUPS).fit(x).transform(x) for x in (masked, missing)]
    assert np.array_equal(*codes)


def test_values_far_from_those_of_fit_are_named():
    made = brief(groups=GROUPS).fit(table())
    with pytest.warns(UserWarning, match="standard deviations from the mean of the training part"):
        made.transform(table() * 1e5)


SETTINGS = {
    "unknown objective 'mmsjd'": {"objective": "mmsjd"},
    "batch_size 0 must be positive": {"batch_size": 0},
    "style_dim 3 leaves no content": {"latent_dim": 3, "style_dim": 3},
}


@pytest.mark.parametrize("message", SETTINGS)
def test_settings_are_judged_by_fit(message):
    with pytest.raises(ValueError, match=message):
        brief(**SETTINGS[message]).fit(table())


def test_groups_may_name_columns_and_count_from_the_end_and_numbers_of_numpy_are_numbers():
    made = brief(groups={"a": ["z", "u"], "b": [1, 2, 3, -2]}, steps=np.int64(2), beta=np.float64(0.5)).fit(NAMED)
    assert made.history_["step"] == [2.0]
    assert [places.tolist() for places in made.groups_.values()] == [[5, 0], [1, 2, 3, 4]]
    back = made.inverse_transform(made.transform(NAMED))
    assert np.allclose(back.mean(0), NAMED.mean(), rtol=0.5), "each in its own place"
    with pytest.raises(ValueError, match="codes have 2 dimensions where the content has 3"):
        made.inverse_transform(np.zeros((4, 2)))
