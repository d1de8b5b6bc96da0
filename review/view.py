"""Records as what the page is told: plain data, from which `desk.js` draws. Texts travel as texts, never as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lte_core.inference.examine import CropConfig
from review.desk import to_json
from review.records import Action, Conflict, Content, Counts, Entry, Filter, Order, Person, Reason, State, Task
from review.store import Choices

Shown = dict[str, Any]


def signed_out(message: str = "") -> Shown:
    return {"screen": "signed-out", "notice": message}


def desk(
    person: Person,
    task: Task | None,
    counts: Counts,
    choices: Choices,
    wanted: Filter,
    order: Order,
    upcoming: Task | None = None,
    notice: str = "",
    history: Sequence[Entry] = (),
) -> Shown:
    """The desk of a signed-in person with a sample on it, or with none when nothing is left."""
    return {
        "screen": "task" if task else "empty",
        "notice": notice,
        "person": {"name": person.name, "lead": person.leads},
        "task": None if task is None else shown_task(task),
        "next_image": None if upcoming is None else image_url(upcoming),
        "progress": _progress(counts),
        "filters": {
            "choices": {
                "label": ["real", "generated"],
                "generator": list(choices.generators),
                "source": list(choices.sources),
                "split": list(choices.splits),
                "state": [state.value for state in State],
            },
            "wanted": asdict(wanted),
            "order": order.value,
            "orders": [o.value for o in Order],
        },
        "history": [shown_entry(entry) for entry in history],
        "reasons": [reason.value for reason in Reason],
        "crops": {"pad": CropConfig.pad, "min_side": CropConfig.min_side},
    }


def shown_task(task: Task) -> Shown:
    return {
        "id": task.id,
        "sample": task.sample_id,
        "image": image_url(task),
        "width": task.size.width,
        "height": task.size.height,
        "source": task.source,
        "generator": task.generator,
        "split": task.split,
        "state": task.state.value,
        "version": task.version,
        "before": _content(task.before),
        "content": _content(task.content),
        "figures": _figures(task.annotation),
        "held": task.lease_until is not None,
        "mine": None if task.mine is None else task.mine.value,
        "gold": task.gold,
    }


def conflict(found: Conflict) -> Shown:
    """Both versions, for the person to choose: theirs, and what is still on the page."""
    return {"screen": "conflict", "why": found.why, "theirs": shown_task(found.theirs)}


def image_url(task: Task) -> str:
    return f"review/media/{task.sha256}"


def _content(content: Content) -> Shown:
    return {
        "label": content.label.value,
        "explanation": content.explanation,
        "regions": to_json(content.regions),
    }


def _progress(counts: Counts) -> Shown:
    return {
        "done": counts.done,
        "total": counts.total,
        "today": counts.today,
        "hour": counts.last_hour,
        "states": {state.value: number for state, number in counts.by_state.items()},
    }


def _figures(annotation: Mapping[str, Any]) -> list[str]:
    """The purifier's figures in words; what is no number is passed over."""
    named = (("similarity", "similarity"), ("min_iou", "IoU"))
    found = [(name, annotation.get(key)) for key, name in named]
    words = [f"{name} {value:.2f}" for name, value in found if isinstance(value, int | float) and abs(value) < 1e6]
    dropped = annotation.get("dropped")
    if isinstance(dropped, list) and dropped:
        words.append(f"{len(dropped)} {'box' if len(dropped) == 1 else 'boxes'} dropped")
    return words


def shown_entry(entry: Entry) -> Shown:
    return {
        "at": entry.at.isoformat(),
        "person": entry.person,
        "what": entry.what,
        "revision": entry.revision,
        "seconds": entry.seconds,
        "undone": entry.undone,
    }


SAVED = {
    Action.ACCEPT: "Accepted.",
    Action.FIX: "Your fix is saved.",
    Action.REJECT: "Rejected.",
    Action.SKIP: "Skipped; it comes back later.",
}
