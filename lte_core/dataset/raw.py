"""What experts said, word for word: every reply that was paid for, one line of JSON, only ever appended.

A reply is found again by the image's hash, the model, the prompt's hash and the pass, so that a stage goes on where it
was killed, and purification can be run again with other thresholds and no model. Reads no reply (`annotate.py`,
`ground.py`).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from lte_core.files import whole
from lte_core.schema import Size
from lte_core.vlm.replies import ReplyError

Stage = Literal["explanations", "groundings"]
Read = Callable[["Said"], object]
"""Reads a reply; raises ReplyError for one that is of no use."""


class RawError(Exception):
    """The replies cannot be kept or read; the message says why and what to do."""


class Key(NamedTuple):
    """What one reply is about. `prompt` is a hash of all that was asked besides the image; `pass_` counts from 1."""

    sha256: str
    model: str
    prompt: str
    pass_: int


@dataclass(frozen=True, slots=True)
class Said:
    """A reply as it came. `finish` is "refusal" where the model or its filter would not answer, and "length" where the
    reply was cut at the token limit. Token counts are the server's, 0 where it gives none. `frame_wh` is the frame in
    which the reply states boxes."""

    text: str
    finish: Literal["stop", "length", "refusal"] = "stop"
    tokens_in: int = 0
    tokens_out: int = 0
    frame_wh: Size | None = None


class Place(NamedTuple):
    """Where a line is: its file and the byte at which it begins."""

    file: Path
    offset: int


class Replies:
    """The replies of one stage, whichever shards wrote them. Holds their places, not their texts.

    A question that was asked again has several. Which of them counts does not depend on where they lie.
    """

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._places: dict[Key, list[Place]] = {}
        self._open: dict[Path, IO[bytes]] = {}
        self.tokens_in = self.tokens_out = 0
        for path in files:
            self.read_in(path)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def experts(self) -> set[str]:
        """The models whose replies are here."""
        return {key.model for key in self._places}

    def get(self, key: Key, read: Read | None = None) -> Said | None:
        """What was said, or None when nobody was asked yet; of several replies one that `read` does not refuse."""
        places = self._places.get(key)
        if places is None:
            return None
        said = sorted((_said(json.loads(self._line(place))) for place in places), key=lambda one: one.text)
        if len(said) == 1:
            return said[0]
        return next((one for one in said if read is None or _readable(one, read)), said[0])

    def lines(self) -> Iterator[bytes]:
        """Every reply, in the order in which the questions were first asked."""
        for places in self._places.values():
            yield from dict.fromkeys(map(self._line, places))

    def _line(self, place: Place) -> bytes:
        if place.file not in self._open:
            self._open[place.file] = place.file.open("rb")
        file = self._open[place.file]
        file.seek(place.offset)
        return file.readline()

    def read_in(self, path: Path) -> None:
        """Take in the whole lines of a file."""
        offset = 0
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # killed while it was written: the reply is asked for again
                try:
                    record = json.loads(line)
                    self.keep(_key(record), Place(path, offset), _said(record))
                except (ValueError, KeyError, TypeError, RecursionError) as problem:
                    raise RawError(
                        f"{path}, line {number} is no reply of an expert ({problem!r}). The file is only ever appended "
                        "to: put it back as it was, or take that line out."
                    ) from problem
                offset += len(line)

    def keep(self, key: Key, place: Place, said: Said) -> None:
        places = self._places.setdefault(key, [])
        if place not in places:
            places.append(place)
            self.tokens_in += said.tokens_in
            self.tokens_out += said.tokens_out

    def close(self) -> None:
        for file in self._open.values():
            file.close()


def _readable(said: Said, read: Read) -> bool:
    try:
        read(said)
    except ReplyError:
        return False
    return True


class Recorder:
    """Appends replies to one file, which nobody else may append to at the same time."""

    def __init__(self, replies: Replies, path: Path) -> None:
        """Raises RawError when another run is writing here."""
        self.replies, self._path = replies, path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)  # a buffer would hold what a full disk refused
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            self._file.close()
            raise RawError(f"Another run is writing to {path}. Wait until it has ended.") from problem
        self._end = whole_length(path)
        os.ftruncate(self._file.fileno(), self._end)
        replies.read_in(path)  # what was appended since they were read

    def add(self, key: Key, said: Said) -> None:
        """On disk when this returns: it was paid for. Raises OSError on a full disk; the file stays whole."""
        about = {"sha256": key.sha256, "model": key.model, "prompt": key.prompt, "pass": key.pass_}
        line = json.dumps(about | asdict(said), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError:
            # Whatever part of the line was written would make the next line unreadable.
            os.ftruncate(self._file.fileno(), self._end)
            raise
        self.replies.keep(key, Place(self._path, self._end), said)
        self._end += len(line)

    def close(self) -> None:
        self._file.close()


def raw_file(folder: Path, stage: Stage, index: int = 1, count: int = 1) -> Path:
    """Where a run writes: shards that share a folder each have a file of their own."""
    return folder / "raw" / (f"{stage}.jsonl" if count == 1 else f"{stage}-{index}-of-{count}.jsonl")


def files_of(folder: Path, stage: Stage) -> list[Path]:
    """All files of a stage's replies, in order of their names."""
    return sorted((folder / "raw").glob(f"{stage}*.jsonl"))


def prompt_hash(*parts: str) -> str:
    """16 hex digits over everything that was asked besides the image."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def join(folders: Iterable[Path], out: Path, stage: Stage) -> int:
    """Write the replies of all folders to one file, each once; gives how many questions they answer."""
    replies = Replies(file for folder in folders for file in files_of(folder, stage))
    path = raw_file(out, stage)
    with whole(path, "wb") as joined:
        joined.writelines(replies.lines())
    return len(replies)


def whole_length(path: Path) -> int:
    """The length of a file of lines without a last one that was cut short."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _key(record: dict[str, Any]) -> Key:
    return Key(record["sha256"], record["model"], record["prompt"], record["pass"])


def _said(record: dict[str, Any]) -> Said:
    text, finish, frame = record["text"], record.get("finish", "stop"), record.get("frame_wh")
    if not isinstance(text, str):
        raise TypeError(f"expected a text, got {text!r}")
    return Said(text, finish, record.get("tokens_in", 0), record.get("tokens_out", 0), Size(*frame) if frame else None)
