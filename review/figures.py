"""How the review goes, as tables that are drawn: by state, by hour, by person. Pure; pandas does the arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from review.records import Action, Activity, State
from review.standing import VOTES
from review.stats import Stats

if TYPE_CHECKING:
    import pandas as pd

HOURS = 48


def states_frame(by_state: Mapping[State, int]) -> pd.DataFrame:
    """Samples by state: columns `state` and `samples`, every state in its order."""
    import pandas as pd

    return pd.DataFrame({"state": [s.value for s in State], "samples": [by_state.get(s, 0) for s in State]})


def hours_frame(activity: Iterable[Activity], now: datetime) -> pd.DataFrame:
    """Decisions in each of the last `HOURS` hours, those with none too: columns `hour` (UTC) and `decisions`."""
    import pandas as pd

    last = now.replace(minute=0, second=0, microsecond=0)
    hours = pd.date_range(last - timedelta(hours=HOURS - 1), last, freq="h")
    counted = pd.Series([pd.Timestamp(a.at).floor("h") for a in activity], dtype="datetime64[ns, UTC]").value_counts()
    return pd.DataFrame({"hour": hours, "decisions": counted.reindex(hours, fill_value=0).to_numpy()})


def people_frame(tally: Mapping[tuple[str, Action], int], activity: Iterable[Activity], now: datetime) -> pd.DataFrame:
    """One row a person, the most busy first; "last hour" are the decisions of the 60 minutes before `now`."""
    import pandas as pd

    recent = [a for a in activity if a.at > now - timedelta(hours=1)]
    rows = [
        {
            "person": name,
            "decisions": sum(tally.get((name, action), 0) for action in VOTES),
            **{action.value: tally.get((name, action), 0) for action in VOTES},
            "last hour": sum(a.person == name for a in recent),
        }
        for name in {name for name, _ in tally}
    ]
    columns = ["person", "decisions", *(action.value for action in VOTES), "last hour"]
    return pd.DataFrame(rows, columns=columns).sort_values(["decisions", "person"], ascending=[False, True])


def gold_frame(found: Stats) -> pd.DataFrame:
    """How often each person was right on gold items, with the interval of that share."""
    import pandas as pd

    rows = [
        {"person": s.person, "answers": s.right.n, "right": round(s.right.value, 3), "from": round(s.right.low, 3),
         "to": round(s.right.high, 3)}
        for s in found.gold
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["person", "answers", "right", "from", "to"])


def thresholds_frame(found: Stats) -> pd.DataFrame:
    """For each figure of the purifier and each threshold: the share of samples it would keep that people kept too."""
    import pandas as pd

    rows = [
        {"figure": figure, "threshold": point.threshold, "precision": point.precision.value, "kept": point.kept}
        for figure, points in found.thresholds.items()
        for point in points
        if point.precision is not None
    ]
    return pd.DataFrame(rows, columns=["figure", "threshold", "precision", "kept"])
