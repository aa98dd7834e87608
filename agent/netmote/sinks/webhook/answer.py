"""What a webhook's receiver may answer beside plain HTTP: that it refuses some rows for ever and accepts the others. Pure.

207 (RFC 4918) with `{"rejected": [{"id": EVENT ID, "reason": TEXT}]}` says so; the rest stands in `sinks.http_answer`.
"""

import json
from collections.abc import Mapping, Sequence

from netmote.errors import NetmoteError, PartialDelivery, Retryable
from netmote.sinks.http_answer import excerpt, judge_status, printable

_MULTI_STATUS = 207


def judge(status: int, headers: Mapping[str, str], body: bytes, *, ids: Sequence[str], now_ns: int) -> NetmoteError | None:
    """The error to raise for this answer to a batch of events with these ids, None when all are accepted."""
    return _partial(body, ids) if status == _MULTI_STATUS else judge_status(status, headers, body, now_ns=now_ns)


def _partial(body: bytes, ids: Sequence[str]) -> NetmoteError:
    """The rows a 207 names. One that cannot be understood accepts nothing: the batch comes again."""
    position = {event_id: index for index, event_id in enumerate(ids)}
    try:
        rejected = {
            position[row["id"]]: printable(str(row.get("reason", "no reason given"))) for row in json.loads(body)["rejected"]
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Retryable(f"207 without a list of rejected events of this batch ({type(error).__name__}){excerpt(body)}")
    if not rejected:
        return Retryable("207 that rejects nothing: accepted batches are answered with 200 or 204")
    return PartialDelivery(rejected)
