"""The data set in memory: order of ids, tables, filters, refusals, and the split of users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metarl_rec.atomic import bundled_ml_100k, read_atomic
from metarl_rec.dataset import Dataset, id_fault, sorted_ids, split_users
from metarl_rec.errors import DataError

ML_1M_COLD = Path(__file__).parents[3] / "shared" / "data" / "ml-1m-cold"


def _dataset() -> Dataset:
    """Users 2, 9, 10; items a, b, c, d; user 10 has one rating, item d none."""
    return Dataset.from_records(
        "tiny",
        ["10", "2", "2", "9", "9"],
        ["b", "a", "b", "c", "a"],
        [3.0, 4.0, 5.0, 4.5, 1.0],
        [50.0, 40.0, 30.0, 20.0, 10.0],
        {"2": {"age": 31.0}},
        {"d": {"genres": ["Drama"]}},
    )


def test_from_records_integer_ids_are_ordered_by_value() -> None:
    assert _dataset().user_ids == ("2", "9", "10")


def test_sorted_ids_one_id_not_an_integer_orders_by_code_point() -> None:
    assert sorted_ids(["9", "10", "x", "9"]) == ("10", "9", "x")
    assert sorted_ids(["7", "-3", "007"]) == ("-3", "007", "7")
    assert sorted_ids(["²", "10", "9"]) == ("10", "9", "²")


def test_from_records_rows_keep_their_order_and_their_ids() -> None:
    data = _dataset()
    np.testing.assert_array_equal(data.user_index, [2, 0, 0, 1, 1])
    np.testing.assert_array_equal(data.item_index, [1, 0, 1, 2, 0])
    assert data.item_ids == ("a", "b", "c", "d")
    assert data.user_attributes == ({"age": 31.0}, {}, {})


def test_reward_table_threshold_four_counts_four_and_above() -> None:
    np.testing.assert_array_equal(_dataset().reward_table(), [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(_dataset().reward_table(5.0), [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert _dataset().reward_table().dtype == np.uint8


def test_rated_table_marks_low_ratings_too() -> None:
    np.testing.assert_array_equal(_dataset().rated_table(), [[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0]])


def test_filter_min_ratings_drops_users_and_the_items_nobody_left_rated() -> None:
    kept = _dataset().filter(min_ratings=2)
    assert kept.user_ids == ("2", "9")
    assert kept.item_ids == ("a", "b", "c")
    np.testing.assert_array_equal(kept.user_index, [0, 0, 1, 1])
    np.testing.assert_array_equal(kept.item_index, [0, 1, 2, 0])
    np.testing.assert_array_equal(kept.timestamp, [40.0, 30.0, 20.0, 10.0])
    assert kept.user_attributes == ({"age": 31.0}, {})


def test_filter_min_positives_counts_positives_only() -> None:
    kept = _dataset().filter(min_positives=2)
    assert kept.user_ids == ("2",)
    assert kept.item_ids == ("a", "b")


def test_filter_only_integers_left_orders_ids_by_value() -> None:
    data = Dataset.from_records("t", ["100", "2", "x"], ["a", "b", "a"], [5.0, 4.0, 1.0], None, {}, {})
    kept = data.filter(min_positives=1)
    assert kept.user_ids == ("2", "100")
    np.testing.assert_array_equal(kept.reward_table(), [[0, 1], [1, 0]])


def test_filter_nobody_left_says_what_the_data_holds() -> None:
    with pytest.raises(DataError, match=r"no user of tiny has 3 ratings >= 4 .* most are 2 and 2"):
        _dataset().filter(min_positives=3)


def test_digest_depends_on_content_and_not_on_the_name() -> None:
    data = _dataset()
    assert replace(data, name="other").digest == data.digest
    assert replace(data, rating=data.rating[::-1].copy()).digest != data.digest
    assert replace(data, timestamp=None).digest != data.digest
    assert replace(data, item_attributes=({}, {}, {}, {})).digest != data.digest
    assert data.digest == "ff966289a491106668501accb7c313e12d6885bcba8ae0d1c87d0c90c3329790"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"name": "../x"}, "data set name"),
        ({"user_ids": ("9", "10", "2")}, "ascending"),
        ({"user_ids": ("2", "2", "9")}, "distinct"),
        ({"item_ids": ("a", "b", "c", "d\n")}, "control character"),
        ({"user_index": np.array([3, 0, 0, 1, 1], np.int32)}, r"0\.\.2"),
        ({"user_index": np.array([2, 0, 0, 1, 1], np.int64)}, "int32"),
        ({"item_index": np.array([1, 0, 0, 2, 0], np.int32)}, "rated twice"),
        ({"rating": np.array([1, 2, np.nan, 4, 5], np.float32)}, "finite float32"),
        ({"timestamp": np.array([1, 2, np.inf, 4, 5])}, "timestamp"),
        ({"user_attributes": ({}, {})}, "2 rows of user attributes for 3"),
        ({"user_attributes": ({"age": 3.0}, {"age": "3"}, {})}, "elsewhere"),
        ({"user_attributes": ({"age": 3}, {}, {})}, "attribute age of user 2"),
        ({"user_attributes": ({"age": np.float64(3)}, {}, {})}, "attribute age of user 2"),
        ({"user_attributes": ({"tags": []}, {}, {})}, "attribute tags"),
        ({"user_attributes": ({"tags": [""]}, {}, {})}, "attribute tags"),
        ({"user_attributes": ({"job": "\ud800"}, {}, {})}, "attribute job"),
        ({"user_attributes": ({"user_id": "7"}, {}, {})}, "reserved"),
    ],
)
def test_dataset_inconsistent_content_is_refused(change: dict[str, object], text: str) -> None:
    with pytest.raises(DataError, match=text):
        replace(_dataset(), **change)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "missing id"),
        ("  ", "missing id"),
        ("x" * 257, "id of 257 characters, at most 256 are allowed"),
        ("a\tb", "control character in id"),
        ("a\x85", "control character in id"),
        ("a\udcff", "id is not valid UTF-8"),
        ("x" * 256, None),
        ("naïve id/1:ü 東", None),
    ],
)
def test_id_fault_names_the_first_fault(value: str, fault: str | None) -> None:
    assert id_fault(value) == fault


def test_split_users_first_split_of_twenty_is_the_documented_permutation() -> None:
    order = np.random.default_rng(0).permutation(20)
    split = split_users(20, 0)
    np.testing.assert_array_equal(split.train, order[:17])
    np.testing.assert_array_equal(split.validation, order[17:18])
    np.testing.assert_array_equal(split.test, order[18:])
    assert split.train.dtype == np.int64


def test_split_users_370_users_gives_314_19_37() -> None:
    split = split_users(370, 3)
    assert [len(split.train), len(split.validation), len(split.test)] == [314, 19, 37]
    assert sorted(np.concatenate([split.train, split.validation, split.test]).tolist()) == list(range(370))


def test_bundled_ml_100k_users_with_fifty_positives_are_the_published_environment() -> None:
    data = bundled_ml_100k()
    assert [len(data.user_ids), len(data.item_ids), len(data.rating)] == [943, 1682, 100_000]
    kept = data.filter(min_positives=50)
    assert [len(kept.user_ids), len(kept.item_ids), len(kept.rating)] == [370, 1626, 72_538]


def test_bundled_ml_100k_attributes_have_one_meaning() -> None:
    data = bundled_ml_100k()
    assert data.item_attributes[0] == {
        "title": "Toy Story",
        "year": 1995.0,
        "genres": ["Animation", "Children's", "Comedy"],
    }
    assert "year" not in data.item_attributes[data.item_ids.index("267")]
    assert data.user_attributes[0] == {"age": 24.0, "gender": "M", "occupation": "technician"}
    assert data.timestamp is not None
    assert data.timestamp[0] == 881250949.0


@pytest.mark.skipif(not ML_1M_COLD.is_dir(), reason="ml-1m-cold does not lie beside the project")
def test_read_atomic_ml_1m_cold_users_with_fifty_positives_are_670() -> None:
    data = read_atomic(ML_1M_COLD)
    assert [len(data.user_ids), len(data.rating)] == [1208, 202_305]
    assert data.timestamp is None
    assert data.user_attributes[0] == {"age": 45.0, "gender": "M", "occupation": "7"}
    kept = data.filter(min_positives=50)
    assert [len(kept.user_ids), len(kept.item_ids)] == [670, 3424]
