"""The statements of `*queries.py` for PostgreSQL.

They are written once, for SQLite. Where PostgreSQL needs something else, it stands beside it in a comment
that SQLite ignores:

    /*sqlite*/max/*postgres greatest*/(a, b)            PostgreSQL: greatest(a, b)
    SELECT … LIMIT :limit /*postgres FOR UPDATE*/       PostgreSQL: SELECT … LIMIT $1 FOR UPDATE

`json_each(:names)`, a list as a JSON array, is a list of texts in both.
"""

import re
from functools import cache

# Around a subquery of rows to change: those that another transaction changes are left to it, and it is
# evaluated once, so that its LIMIT counts.
FREE_ROWS = "/*postgres WITH free AS MATERIALIZED (*/"
LOCKED = "/*postgres FOR UPDATE SKIP LOCKED) SELECT * FROM free*/"

VARIANT = re.compile(r"(?:/\*sqlite\*/.*?)?/\*postgres\s(.*?)\*/", re.DOTALL)
LIST = re.compile(r"\bjson_each\(:(\w+)\)")
PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")


@cache
def translated(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1`, `$2`, …, and the names of these parameters in their order."""
    sql = VARIANT.sub(r"\1", sql)
    sql = LIST.sub(r"json_array_elements_text(CAST(:\1 AS json)) AS value", sql)
    names = tuple(dict.fromkeys(PARAMETER.findall(sql)))
    places = {name: f"${place}" for place, name in enumerate(names, 1)}
    return PARAMETER.sub(lambda match: places[match[1]], sql), names
