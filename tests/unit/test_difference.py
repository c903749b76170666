"""What differs between two documents, field by field."""

from uns.cli.difference import Change, changes


def test_equal_documents_have_no_changes_whatever_the_order_of_keys() -> None:
    assert changes({"a": 1, "b": [1, {"c": None}]}, {"b": [1, {"c": None}], "a": 1}) == []


def test_each_field_has_a_path_and_both_values() -> None:
    before = {"sums": {"gq": 1, "pq": 2}, "orders": [{"id": "a"}, {"id": "b"}], "gone": 1}
    after = {"sums": {"gq": 3, "pq": 2}, "orders": [{"id": "a"}, {"id": "c"}], "new": None}
    assert changes(before, after) == [
        Change("sums.gq", 1, 3),
        Change("orders[1].id", "b", "c"),
        Change("gone", 1, None),
        Change("new", None, None),
    ]


def test_values_are_equal_as_json_has_them() -> None:
    assert [c.field for c in changes({"a": 1, "b": 1, "c": 0.0}, {"a": 1.0, "b": True, "c": 0.0})]
    assert changes({"a": {}}, {"a": []}) == [Change("a", {}, [])]


def test_what_is_no_object_is_compared_whole() -> None:
    assert changes("old", "old") == []
    assert changes(None, {"value": 1}) == [Change("", None, None), Change("value", None, 1)]
