"""Merging is adding: whatever was counted where, and in whatever order it is put together."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from slotel.runtime.metrics.store.family import OVERFLOW, ProcessSnapshot, Shape, merge
from slotel.runtime.metrics.store.ring import merge_ring
from slotel.runtime.metrics.workers.compaction import add_up

HISTOGRAM = Shape("spans", "histogram", "Spans.", "seconds", ("route",), (1.0, 2.0), "calls")
COUNTER = Shape("events", "counter", "Events.", "", ("outcome",))
routes = st.sampled_from("abcdefgh")
counts = st.lists(st.integers(0, 9), min_size=3, max_size=3)


def part(histogram, counter, created=1.0) -> ProcessSnapshot:
    cells, tables = array("d"), []
    for shape, rows in ((HISTOGRAM, histogram), (COUNTER, counter)):
        slots = {OVERFLOW: len(cells)}
        cells.extend([0.0] * shape.width)
        for name, row in rows.items():
            slots[name,] = len(cells)
            cells.extend(row)
        tables.append((shape, slots))
    return ProcessSnapshot(created, tuple(tables), cells, {})


rows = st.dictionaries(routes, counts.map(lambda row: [*row, 1.5 * sum(row), sum(row)]))
parts = st.lists(
    st.builds(part, rows, st.dictionaries(routes, st.tuples(st.integers(0, 9))), st.floats(1, 9)), min_size=1
)


def shown(families):
    return {
        family.name: ({values: list(row) for values, row in family.series.items()}, family.created)
        for family in families
    }


def folded(found, max_series=100) -> ProcessSnapshot:
    cells, tables = array("d"), []
    for shape, standing in add_up(found, max_series):
        slots = {}
        for values, row in standing.items():
            slots[values] = len(cells)
            cells.extend(row)
        tables.append((shape, slots))
    return ProcessSnapshot(min(one.created for one in found), tuple(tables), cells, {})


@given(found=parts)
def test_a_merge_is_the_sum_of_all_parts_in_any_order(found) -> None:
    families = merge(found)
    assert shown(families) == shown(merge(found[::-1]))
    spans = next(family for family in families if family.name == "spans")
    assert sum(sum(row[:-1]) for row in spans.series.values()) == sum(
        sum(one.cells[slot : slot + 3]) for one in found for slot in one.tables[0][1].values()
    )


@given(found=parts, at=st.integers(0, 5))
def test_folding_some_parts_first_changes_nothing(found, at) -> None:
    some = found[: at + 1]
    assert shown(merge([folded(some), *found[at + 1 :]])) == shown(merge(found))


@given(found=parts, bound=st.integers(1, 5))
def test_folding_into_a_bounded_base_keeps_every_total(found, bound) -> None:
    bounded = merge([folded(found, bound)])
    for small, whole in zip(bounded, merge(found), strict=True):
        assert len(small.series) <= bound + 1
        assert [sum(column) for column in zip(*small.series.values(), strict=True)] == [
            sum(column) for column in zip(*whole.series.values(), strict=True)
        ] or not any(sum(row) for row in whole.series.values())


def test_a_table_of_another_shape_is_refused_and_the_first_stands() -> None:
    other = Shape("events", "counter", "Events.", "", ("outcome", "more"))
    mine = part({}, {"good": (1.0,)})
    refused: list[str] = []
    theirs = ProcessSnapshot(1.0, ((other, {("good", "x"): 0}),), array("d", [5.0]), {})
    families = shown(merge([mine, theirs], refused.append))
    assert refused == ["events"]
    assert families["events"][0] == {("good",): [1.0]}


cells = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=4, max_size=4)


@given(one=cells, other=cells)
def test_rings_add_the_same_epoch_and_keep_the_newer(one, other) -> None:
    def ring(buckets):
        return array("d", [float(value) for bucket in buckets for value in bucket])

    expected = [
        (a[0], a[1] + b[1]) if a[0] == b[0] else max(a, b, key=lambda bucket: bucket[0])
        for a, b in zip(one, other, strict=True)
    ]
    into = ring(one)
    merge_ring(into, ring(other), 1)
    assert into == ring(expected)
    back = ring(other)
    merge_ring(back, ring(one), 1)
    assert back == ring(expected)


seconds = st.lists(st.floats(0, 1e6), min_size=2, max_size=9)


@given(seconds=seconds, at=st.data())
def test_no_death_of_a_process_lets_a_sum_of_seconds_fall_or_rise_by_its_last_bit(seconds, at) -> None:
    found = [part({"a": [1, 0, 0, value, 1]}, {}) for value in seconds]
    before = shown(merge(found))["spans"]
    order, number = at.draw(st.permutations(found)), at.draw(st.integers(1, len(found)))
    assert shown(merge([*order[number:], folded(order[:number])]))["spans"] == before
    assert abs(before[0]["a",][-1] - sum(seconds)) < 1e-5


def test_a_sum_never_falls_when_a_second_process_begins_to_count():
    alone = shown(merge([part({"a": [1, 0, 0, 0.1, 1]}, {})]))["spans"][0]["a",]
    both = [part({"a": [1, 0, 0, 0.1, 1]}, {}), part({"a": [0, 0, 0, 0.0, 0]}, {})]
    assert alone[-1] == 0.1
    assert 0.1 <= shown(merge(both))["spans"][0]["a",][-1] < 0.1 + 1e-6


def test_an_infinity_that_a_broken_file_holds_raises_nothing():
    both = [part({"a": [1, 0, 0, value, 1]}, {}) for value in (float("inf"), 0.1)]
    assert shown(merge(both))["spans"][0]["a",][:3] == [2, 0, 0]
