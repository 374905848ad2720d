"""RunningHub's incoming webhook: which task it names, whatever else it holds."""

import json
import re

# The TASK_END event names the task before its results; a longer body is read no further.
MAX_BODY_BYTES = 64 * 1024
RUNNINGHUB_ID = re.compile(r"[0-9]{1,30}")
TASK_ID_MEMBER = re.compile(rb'"taskId"\s*:\s*"?([0-9]{1,30})"?')


def named_task(body: bytes) -> str | None:
    """RunningHub's `taskId` in a webhook's body; None: it names none.

    Several shapes were seen, and long results may be cut off, so that the text is searched where it is not
    an object that names a task at its top.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        event = None
    if isinstance(event, dict):
        task_id = event.get("taskId")
        if isinstance(task_id, str | int) and RUNNINGHUB_ID.fullmatch(str(task_id)):
            return str(task_id)
        return None
    found = TASK_ID_MEMBER.search(body)
    return found[1].decode() if found else None
