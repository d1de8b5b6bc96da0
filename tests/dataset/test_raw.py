"""Replies are appended and found again, whatever the moment at which the writer died."""

from __future__ import annotations

import resource
import signal
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lte_core.dataset.raw import Key, RawError, Recorder, Replies, Said, files_of, join, raw_file
from lte_core.schema import Size
from lte_core.vlm.replies import ReplyError

KEY = Key("ab" * 32, "gpt-4o", "0123", 1)
OTHER = KEY._replace(pass_=2)
SAID = Said('{"clues": []}\n"quoted" – ünïcode', "stop", 12, 34, Size(640, 480))


def recorder(folder: Path) -> Recorder:
    return Recorder(Replies(files_of(folder, "explanations")), raw_file(folder, "explanations"))


def test_what_was_said_is_found_again(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.add(KEY, SAID)
    assert first.replies.get(KEY) == SAID
    first.close()
    replies = Replies(files_of(tmp_path, "explanations"))
    assert KEY in replies
    assert OTHER not in replies
    assert (replies.get(KEY), replies.get(OTHER), len(replies)) == (SAID, None, 1)


def test_a_line_that_was_cut_short_is_taken_out(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.add(KEY, SAID)
    first.close()
    path = raw_file(tmp_path, "explanations")
    whole = path.read_bytes()
    for length in (1, 40, len(whole) - 1):
        path.write_bytes(whole + whole[:length])
        again = recorder(tmp_path)
        again.add(OTHER, SAID)
        again.close()
        assert path.read_bytes().startswith(whole)
        assert [Replies([path]).get(key) for key in (KEY, OTHER)] == [SAID, SAID]


def refuse_sorry(said: Said) -> None:
    if said.text == "sorry":
        raise ReplyError("refusal", "The expert would not answer.")


@pytest.mark.parametrize("order", list(permutations(["sorry", "a", "b"])))
def test_of_several_replies_a_readable_one_counts_wherever_it_lies(tmp_path: Path, order: tuple[str, ...]) -> None:
    for number, text in enumerate(order, 1):
        one = Recorder(Replies(), raw_file(tmp_path, "explanations", number, 3))
        one.add(KEY, Said(text))
        one.close()
    assert Replies(files_of(tmp_path, "explanations")).get(KEY, refuse_sorry) == Said("a")
    assert join([tmp_path], tmp_path / "all", "explanations") == 1
    joined = Replies(files_of(tmp_path / "all", "explanations"))
    assert joined.get(KEY, refuse_sorry) == Said("a")
    assert len(list(joined.lines())) == 3, "what was paid for is not thrown away"


def test_two_writers_do_not_share_a_file(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    with pytest.raises(RawError, match="Another run is writing to"):
        recorder(tmp_path)
    first.close()
    recorder(tmp_path).close()


def test_a_line_that_is_no_reply_is_named(tmp_path: Path) -> None:
    path = raw_file(tmp_path, "explanations")
    path.parent.mkdir()
    path.write_text('{"sha256": "a"}\n')
    with pytest.raises(RawError, match=r"explanations.jsonl, line 1 is no reply"):
        Replies([path])


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """The limit on a file's size stands for the end of the disk."""
    one = recorder(tmp_path)
    one.add(KEY, SAID)
    path = raw_file(tmp_path, "explanations")
    whole = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    earlier = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            one.add(OTHER, SAID)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, earlier)
    assert path.read_bytes() == whole
    one.add(OTHER, SAID)
    one.close()
    assert Replies([path]).get(OTHER) == SAID


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.text(max_size=20)), max_size=20))
def test_shards_join_to_what_one_would_have_written(
    tmp_path_factory: pytest.TempPathFactory, asked: list[tuple[int, int, str]]
) -> None:
    base = tmp_path_factory.mktemp("shards")
    expected: dict[Key, set[str]] = {}
    for folder in ("0", "1", "2"):
        (base / folder).mkdir()
        one = recorder(base / folder)
        for image, where, text in asked:
            if str(where) == folder:
                key, said = Key(f"{image:064d}", "m", "p", 1), Said(text.encode("utf-8", "replace").decode())
                one.add(key, said)
                expected.setdefault(key, set()).add(said.text)
        one.close()
    assert join([base / folder for folder in "012"], base / "all", "explanations") == len(expected)
    joined = Replies(files_of(base / "all", "explanations"))
    assert {key: joined.get(key) for key in expected} == {key: Said(min(texts)) for key, texts in expected.items()}
    assert len(list(joined.lines())) == sum(map(len, expected.values()))
