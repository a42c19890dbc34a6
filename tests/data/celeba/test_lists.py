"""CelebA's lists: what is tolerated, what is refused and with which words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from source_files import attribute_list, attributes_of, partition_list

from workbench.data.celeba.attributes import ATTRIBUTES
from workbench.data.celeba.lists import ATTRIBUTE_LIST, PARTITION_LIST, list_in, read_attributes, read_partition
from workbench.data.images import DataError

blanks = st.text(" \t", min_size=1, max_size=3)
ends = st.sampled_from(["\n", "\r\n", " \n", "\t\r\n", "\n\n", "\r\n  \r\n"])


def refusal(read, path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as error:
        read(path)
    message = str(error.value)
    assert "\n" not in message and str(path) in message and "workbench data fetch celeba" in message
    return message


@given(data=st.data(), count=st.integers(0, 6))
def test_attributes_read_back_whatever_the_blanks(tmp_path_factory, data, count):
    table = data.draw(hnp.arrays(bool, (count, 40)))
    rows = [(f"{n}.jpg", *("1" if value else "-1" for value in row)) for n, row in enumerate(table)]
    lines = [(str(count),), ATTRIBUTES, *rows]
    indents = st.sampled_from(["", " "])
    text = "".join(data.draw(indents) + data.draw(blanks).join(fields) + data.draw(ends) for fields in lines)
    path = tmp_path_factory.mktemp("lists") / ATTRIBUTE_LIST
    path.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode())
    read = read_attributes(path)
    assert list(read.rows.items()) == [(f"{n}.jpg", n) for n in range(count)]
    assert read.values.dtype == bool and np.array_equal(read.values, table)
    assert read.announced == len(read) == count


@given(parts=st.lists(st.integers(0, 2), max_size=8), data=st.data())
def test_partition_reads_back_whatever_the_blanks(tmp_path_factory, parts, data):
    path = tmp_path_factory.mktemp("lists") / PARTITION_LIST
    rows = [f"{n}.jpg{data.draw(blanks)}{part}{data.draw(ends)}" for n, part in enumerate(parts)]
    path.write_bytes("".join(rows).encode())
    assert read_partition(path) == {f"{n}.jpg": part for n, part in enumerate(parts)}


def test_no_cut_of_the_attributes_goes_unnoticed(tmp_path):
    path, whole = tmp_path / ATTRIBUTE_LIST, attribute_list(attributes_of(2)).encode()
    for cut in range(len(whole) - 2):
        path.write_bytes(whole[:cut])
        try:
            read = read_attributes(path)
        except DataError:
            continue
        assert len(read) < read.announced == 2  # cut between two rows, which loading says


def test_no_cut_of_the_partition_changes_a_row(tmp_path):
    path, whole = tmp_path / PARTITION_LIST, partition_list([0, 1, 2])
    path.write_text(whole)
    rows, noticed = read_partition(path), 0
    for cut in range(len(whole)):
        path.write_text(whole[:cut])
        try:
            assert read_partition(path).items() <= rows.items()
        except DataError:
            noticed += 1
    assert noticed >= 3 * len("000001.jpg")


GOOD = attribute_list(attributes_of(3)).replace("\r", "").splitlines()


@pytest.mark.parametrize(
    ("line", "content", "message"),
    [
        (1, GOOD[1], "is not the number of rows"),
        (1, "three", "is not the number of rows"),
        (2, GOOD[2], "is not the header with the 40 names"),
        (2, GOOD[1].replace("Male", "Female"), "is not the header with the 40 names"),
        (2, " ".join(reversed(GOOD[1].split())), "is not the header with the 40 names"),
        (3, GOOD[2].rpartition(" ")[0], "is not a file name and 40 times 1 or -1: '000001.jpg"),
        (4, GOOD[3] + " 1", "is not a file name and 40 times 1 or -1: '000002.jpg"),
        (5, GOOD[4].replace("-1", "0"), "is not a file name and 40 times 1 or -1: '000003.jpg"),
        (5, GOOD[4][:-1] + "x", "is not a file name and 40 times 1 or -1"),
        (5, GOOD[4].replace(" ", ","), "is not a file name and 40 times 1 or -1"),
        (4, "000001.jpg" + " -1" * 40, "contradicts an earlier row of '000001.jpg'"),
    ],
)
def test_attributes_are_refused_with_their_line_number(tmp_path, line, content, message):
    lines = [*GOOD[: line - 1], content, *GOOD[line:]]
    assert f"line {line}, {message}" in refusal(read_attributes, tmp_path / ATTRIBUTE_LIST, "\n".join(lines))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("000001.jpg 0\n000002.jpg\n", "line 2, is not a file name and 0, 1 or 2: '000002.jpg'"),
        ("000001.jpg 0\n000002.jpg 3\n", "line 2, is not a file name and 0, 1 or 2: '000002.jpg 3'"),
        ("000001.jpg 0\n000002.jpg -1\n", "line 2, is not a file name"),
        ("000001.jpg 0\n000002.jpg 0 0\n", "line 2, is not a file name"),
        ("000001.jpg 0\n000002.jpg 1\n000001.jpg 2", "line 3, contradicts an earlier row of '000001.jpg'"),
        ("\n000001.jpg 0\n\n000002.jpg x\n", "line 4, "),  # blank lines count as lines
    ],
)
def test_partition_is_refused_with_its_line_number(tmp_path, content, message):
    assert message in refusal(read_partition, tmp_path / PARTITION_LIST, content)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0" + bytes(range(256)), b"<html>\nquota</html>\n"])
def test_other_files_are_no_list_of_attributes(tmp_path, content):
    assert "line 1, is not the number of rows" in refusal(read_attributes, tmp_path / ATTRIBUTE_LIST, content)


def kaggles(text: str, *header: str) -> str:
    """A list as Kaggle's table has it."""
    return "\n".join([",".join(header), *(",".join(line.split()) for line in text.splitlines()[-3:])])


def test_kaggles_tables_say_the_same(tmp_path):
    (tmp_path / ATTRIBUTE_LIST).write_text("\n".join(GOOD))
    (tmp_path / PARTITION_LIST).write_text(partition_list([0, 2, 1]))
    lists = [list_in(tmp_path, name) for name in (ATTRIBUTE_LIST, PARTITION_LIST)]
    expected = read_attributes(lists[0]), read_partition(lists[1])
    for path, header in zip(lists, [("image_id", *ATTRIBUTES), ("image_id", "partition")], strict=True):
        path.with_suffix(".csv").write_text(kaggles(path.read_text(), *header))
        assert list_in(tmp_path, path.name) == path, "the original comes first"
        path.unlink()
        assert list_in(tmp_path, path.name) == path.with_suffix(".csv")
    read = read_attributes(tmp_path / "list_attr_celeba.csv")
    assert read.rows == expected[0].rows and np.array_equal(read.values, expected[0].values) and read.announced == 3
    assert read_partition(tmp_path / "list_eval_partition.csv") == expected[1]


@pytest.mark.parametrize(
    ("read", "stem"), [(read_attributes, "list_attr_celeba"), (read_partition, "list_eval_partition")]
)
def test_other_tables_are_refused_with_their_line(tmp_path, read, stem):
    path = tmp_path / f"{stem}.csv"
    for content in ("", "a,b\n000001.jpg,0", "000001.jpg,0\n"):
        assert "line 1, is not the header" in refusal(read, path, content)
    header = ("image_id", *(ATTRIBUTES if read is read_attributes else ["partition"]))
    assert "line 2, is not a file name and " in refusal(read, path, ",".join(header) + "\n000001.jpg,7\n")


def test_the_same_row_twice_is_tolerated(tmp_path):
    (tmp_path / ATTRIBUTE_LIST).write_text("\n".join([*GOOD, GOOD[2]]))
    read = read_attributes(tmp_path / ATTRIBUTE_LIST)
    assert len(read) == 3 and np.array_equal(read.values, attributes_of(3))
    (tmp_path / PARTITION_LIST).write_text(partition_list([0, 2]) * 2)
    assert read_partition(tmp_path / PARTITION_LIST) == {"000001.jpg": 0, "000002.jpg": 2}


@pytest.mark.parametrize(("read", "name"), [(read_attributes, ATTRIBUTE_LIST), (read_partition, PARTITION_LIST)])
def test_missing_lists(tmp_path, read, name):
    path = tmp_path / name
    with pytest.raises(DataError, match=r"\.txt is missing: get the original with `workbench data fetch celeba`"):
        read(path)
    path.with_suffix(".csv").write_text("image_id,5_o_Clock_Shadow\n")
    with pytest.raises(DataError, match=r"\.txt is missing \(list_\w+\.csv is there, but is another format\)"):
        read(path)
    path.mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        read(path)


def test_the_original_lists(real_data):
    pandas = pytest.importorskip("pandas")
    folder = real_data / "celeba"
    if not (folder / ATTRIBUTE_LIST).is_file():
        pytest.skip("no CelebA under WORKBENCH_DATA")
    read, partition = read_attributes(folder / ATTRIBUTE_LIST), read_partition(folder / PARTITION_LIST)
    theirs = pandas.read_csv(folder / ATTRIBUTE_LIST, sep=r"\s+", skiprows=1)
    assert read.announced == len(read) == len(theirs) == len(partition)
    assert list(read.rows) == theirs.index.to_list() and tuple(theirs.columns) == ATTRIBUTES
    assert np.array_equal(read.values, theirs.to_numpy() == 1)
    official = pandas.read_csv(folder / PARTITION_LIST, sep=r"\s+", header=None)
    assert partition == dict(zip(official[0], official[1], strict=True))
