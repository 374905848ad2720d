"""Requests that are not valid, by the family of attacks that they belong to."""

from simulator.apps import TEXT_TO_IMAGE
from tests.faults.calls import BIG, nested, raw

ODD_BODIES = [
    *(
        b"",
        b"null",
        b"true",
        b"7",
        b"[]",
        b"{}",
        b'"text"',
        b"{",
        b"nonsense",
        b"\x00",
        b"\xff\xfe",
        b"[[",
        b"1e",
    ),
    *(b'\xef\xbb\xbf{"webappId":"1"}', '{"webappId":"1"}'.encode("utf-16"), b'{"webappId":"\xff"}'),
    *(f"{nested(depth)}".encode() for depth in (1_000, 10_000, 100_000)),
    *(b'{"webappId":' * depth for depth in (1_000, 100_000)),
    *(
        f'{{"{name}":{value}}}'.encode()
        for name in ("webappId", "taskId", "runninghub_task_id", "nodeInfoList")
        for value in (
            "null",
            "true",
            "1.5",
            "1e999",
            "NaN",
            BIG,
            "-1",
            "[]",
            "{}",
            '""',
            '"\\ud800"',
            '"\\u0000"',
        )
    ),
    *(
        f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":{nodes}}}'.encode()
        for nodes in (
            *("null", '"x"', "{}", "[null]", "[[]]", "[{}]", "[1]", f"[{'{},' * 1000}{{}}]", nested(1000)),
            '[{"nodeId":null,"fieldName":"a","fieldValue":1}]',
            '[{"nodeId":"15","fieldName":"text","fieldValue":1e999}]',
            '[{"nodeId":"15","fieldName":"text","fieldValue":NaN}]',
            f'[{{"nodeId":"15","fieldName":"text","fieldValue":{BIG}}}]',
            f'[{{"nodeId":"15","fieldName":"text","fieldValue":{nested(900)}}}]',
            f'[{{"nodeId":"15","fieldName":"text","fieldValue":"{"x" * 200_001}"}}]',
            '[{"nodeId":"15","fieldName":"text","fieldValue":"\\ud800"}]',
            '[{"nodeId":"15","fieldName":"text","fieldType":{},"fieldValue":"a"}]',
            '[{"nodeId":"\\u0000","fieldName":"\\ud800","fieldValue":"a"}]',
        )
    ),
    f'{{"webappId":"{TEXT_TO_IMAGE}","webappId":"2","nodeInfoList":[],"nodeInfoList":null}}'.encode(),
    f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":[],"instanceType":"\\ud800"}}'.encode(),
    f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":[],"accessPassword":"\\ud800\\u0000"}}'.encode(),
    f'{{"webappId":"{TEXT_TO_IMAGE}","nodeInfoList":[],"accessPassword":{nested(500)}}}'.encode(),
    b'{"resubmit":true,"runninghub_task_id":"1"}',
    b'{"resubmit":"perhaps"}',
]
ODD_IDS = [
    *(
        "0",
        "-1",
        "%00",
        "%ff",
        "%ED%A0%80",
        "%F0%9F%98%80",
        "%2e%2e",
        "..%2f..",
        "%0d%0a",
        "a" * 64,
        "a" * 65,
    ),
    *("a" * 10_000, "1" * 64, "%25", "%", "%zz", "'%20OR%201=1--", "*", ";", "%5c", "null", "\u00e9", "+"),
]
ODD_QUERIES = [
    *(
        "limit=0",
        "limit=201",
        "limit=1e3",
        "limit=NaN",
        "limit=%00",
        f"limit={BIG}",
        "limit=",
        "limit=1&limit=x",
    ),
    *("cursor=", "cursor=-1", f"cursor={'9' * 18}", f"cursor={'9' * 19}", "cursor=%00", "cursor=\u0663"),
    *("status=", "status=running", "status=RUNNING&status=x", "status=%00", f"status={'x' * 10_000}"),
    *("webapp_id=%00", "webapp_id=%ff", f"webapp_id={'1' * 65}", "webapp_id=%ED%A0%80", "a[]=1&&&==", "%"),
]
ODD_HEADERS = [
    ("/submit_task", header)
    for header in (
        *(
            "Idempotency-Key:",
            f"Idempotency-Key: {'k' * 256}",
            "Idempotency-Key: \u00ff\u0100",
            "Cookie: =;=;;",
        ),
        *(
            "Content-Type: text/plain",
            "Content-Type: application/json; charset=unheard-of",
            "Content-Type: x",
        ),
        *(
            "Content-Encoding: gzip",
            "Transfer-Encoding: identity",
            f"X-Request-ID: {'x' * 65}",
            "X-Request-ID: {}",
        ),
        *("Origin: null", "Origin: http://evil.example", "Origin: \u00ff", "Sec-Fetch-Site: cross-site"),
        *("Authorization: Bearer", "Authorization: \u00ff", "Accept: nothing/at-all", "Range: bytes=0-1"),
        *(
            "Expect: 100-continue",
            "Expect: nothing",
            "Upgrade: websocket",
            'Forwarded: for="',
            "X-Giant: " + "a" * 60_000,
        ),
    )
]
MULTIPART = "Content-Type: multipart/form-data; boundary=x"
ODD_UPLOADS = [
    *(
        raw("POST", "/upload", "Content-Type: " + kind, json_body=False)
        for kind in ("multipart/form-data", "x", "")
    ),
    *(
        raw("POST", "/upload", MULTIPART, body=body, json_body=False)
        for body in (
            *(
                b"",
                b"--x--",
                b"--x\r\n\r\n--x--",
                b"--y\r\n",
                b"\x00" * 1000,
                b"--x\r\nA" * 1000,
                b"-" * 100_000,
            ),
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--',
            b'--x\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--x--',
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nhalf',
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff\x00/../a.exe"\r\n\r\nMZ',
            b"--x\r\nContent-Disposition: " + b"a" * 100_000 + b"\r\n\r\nx\r\n--x--",
        )
    ),
]
BODY_PATHS = (
    *("/get_node_info", "/submit_task", "/task/query_task_status", "/tasks/1/settle"),
    f"/webhooks/runninghub/1/{'0' * 64}",
)


def bare(request: str) -> bytes:
    """Bytes as they are written here, with line ends of HTTP."""
    return request.replace("\n", "\r\n").encode("latin-1")


def chunked(*chunks: str) -> bytes:
    return bare("\n".join(["POST /submit_task HTTP/1.1", "Host: localhost", *chunks]))


# Two readers of such a request could disagree on where it ends: it must never be taken for two.
SMUGGLING = [
    bare(
        "POST /submit_task HTTP/1.1\nHost: localhost\nContent-Length: 4\nTransfer-Encoding: chunked\n\n"
        "0\n\nGET /tasks HTTP/1.1\nHost: localhost\n\n"
    ),
    *(
        bare(
            f"POST /submit_task HTTP/1.1\nHost: localhost\n{headers}\nConnection: close\n\n"
            "0\n\nGET /tasks HTTP/1.1\nHost: localhost\n\n"
        )
        for headers in (
            "Content-Length: 5\nContent-Length: 6",
            "Content-Length: 5, 6",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: -5",
            "Content-Length: 5 5",
            "Content-Length:\x0b5",
            "Content-Length: 99999999999999999999999999",
            "Content-Length : 5",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: identity, chunked\nContent-Length: 5",
            "Transfer-Encoding:\x0bchunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
            "X: y\n Transfer-Encoding: chunked",
            "Transfer-Encoding\x00: chunked",
        )
    ),
    *(
        chunked("Transfer-Encoding: chunked", "Connection: close", "", *lines, "")
        for lines in (
            ("zz", "abc"),
            ("-1", "abc"),
            ("5;ext=" + "x" * 100_000, "abcde", "0", ""),
            ("ffffffffffffffffff", "abc"),
            ("0x5", "abcde", "0", ""),
            ("5", "abcdefgh", "0", ""),
            ("0", "Trailer: x", ""),
        )
    ),
    b"POST /submit_task HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n",
    b"GET /health HTTP/1.1\rHost: localhost\r\r",
]
PARSERS = [
    *SMUGGLING,
    b"GET /health\r\n",
    b"GET /health HTTP/0.9\r\n\r\n",
    b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    b"\x00" * 1000 + b"\r\n\r\n",
    b"\r\n" * 1000 + b"GARBAGE\r\n\r\n",
    b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 10_000 + b"Connection: close\r\n\r\n",
    b"G" * 100_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\nConnection: close\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\nb\r\nConnection: close\r\n\r\n",
    b"GET\t/health\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://localhost/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    b"GET *  HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    *(raw("GET", f"/tasks/{odd}") for odd in ODD_IDS),
    *(raw("POST", f"/tasks/{odd}/cancel") for odd in ODD_IDS),
    *(raw("POST", f"/webhooks/runninghub/{odd}/{odd}") for odd in ODD_IDS),
    *(raw("GET", f"/tasks/{odd}/events", "Last-Event-ID: \u0663") for odd in ODD_IDS),
    *(
        raw("GET", f"/web/{odd}")
        for odd in (*ODD_IDS, "../config.py", "%2e%2e/config.py", "..%5cconfig.py", "//")
    ),
    *(raw("GET", f"/tasks?{query}") for query in ODD_QUERIES),
    *(raw("GET", f"/tasks/1?wait={wait}") for wait in ("-1", "61", "NaN", "inf", "1e999", "", "%00")),
    *(
        raw("GET", path)
        for path in ("//", "/\u00e9", "/tasks/", "/.env", "/tasks.db", "/docs/", "http://x/health", "/?%")
    ),
    *(
        raw(method, path)
        for method in ("PUT", "DELETE", "PATCH", "TRACE", "FOO")
        for path in ("/", "/tasks", "/x")
    ),
    *(
        raw("POST", path, header, body=b"{}", json_body="Content-Type" not in header)
        for path, header in ODD_HEADERS
    ),
]
# Not all of them have an end that every reader would see.
UNFINISHED = frozenset(PARSERS[: PARSERS.index(raw("GET", f"/tasks/{ODD_IDS[0]}"))])
# As much as a body may have, of what costs a parser most for its size.
HEAVY = 4_000_000
HEAVY_BODIES = [
    b"[" + b"[]," * (HEAVY // 3) + b"[]]",
    b"[" + b"{}," * (HEAVY // 3) + b"{}]",
    b'{"webappId":"1","nodeInfoList":[' + b"{}," * (HEAVY // 3) + b"{}]}",
    b'{"webappId":"1","nodeInfoList":[],"metadata":{' + b'"a":0,' * (HEAVY // 7) + b'"a":0}}',
    b'{"webappId":"1","nodeInfoList":[],"values":{"a":"' + b"\\u0000" * (HEAVY // 6) + b'"}}',
    b'{"webappId":"1","nodeInfoList":[' + b"1," * (HEAVY // 2) + b"1]}",
    b'{"tasks":[' + b"{}," * (HEAVY // 3) + b"{}]}",
    b"1" * HEAVY,
    b'"' + b"x" * HEAVY + b'"',
    b'{"webappId":"' + "\u00e9".encode() * (HEAVY // 2) + b'"}',
]
BODIES = [
    *(raw("POST", path, body=body) for path in BODY_PATHS for body in ODD_BODIES),
    *(
        raw("POST", path, body=body)
        for path in (*BODY_PATHS, "/submit_tasks", "/users", "/task/openapi/ai-app/run")
        for body in HEAVY_BODIES
    ),
    raw("POST", "/submit_task").replace(b"Length: 0", b"Length: 9999999999999"),
]


def part(disposition: bytes, content: bytes = b"x", *headers: bytes) -> bytes:
    lines = [b"--x", b"Content-Disposition: " + disposition, *headers, b"", content, b""]
    return b"\r\n".join(lines)


FILE = b'form-data; name="file"; filename="a.png"'
ODD_PARTS = [
    part(FILE) * 2 + b"--x--",
    part(FILE) * 20_000 + b"--x--",
    part(b'form-data; name="other"') * 20_000 + part(FILE) + b"--x--",
    part(b'form-data; name="apiKey"', b"k" * 100_000) + part(FILE) + b"--x--",
    part(FILE, b"x", *(b"X-%d: y" % number for number in range(10_000))) + b"--x--",
    part(FILE, b"x", b"X: " + b"y" * 1_000_000) + b"--x--",
    part(FILE, b"x", b"Content-Type: " + b"a" * 10_000) + b"--x--",
    part(FILE, b"x", b"Content-Type: a\x00b\xff") + b"--x--",
    part(FILE, b"x", b"Content-Transfer-Encoding: base64") + b"--x--",
    part(FILE, b"--x") + b"--x--",
    part(FILE, b"\r\n--x" * 10_000) + b"--x--",
    part(FILE, b"\r\n--" * 100_000) + b"--x--",
    part(FILE, b"\r" * 500_000) + b"--x--",
    part(b"attachment; filename=a.png") + b"--x--",
    part(b'form-data; filename="a.png"') + b"--x--",
    part(b'form-data; name="file"; filename="' + b"a" * 10_000 + b'.png"') + b"--x--",
    part(b'form-data; name="file"; filename="a\\".png"') + b"--x--",
    part(b"form-data; name=\"file\"; filename*=UTF-8''%ff%00.png") + b"--x--",
    part(b'form-data; name="file"; filename="..\\..\\a.png"') + b"--x--",
    part(b'form-data; name="file"; filename="a.png"; filename="b.exe"') + b"--x--",
    part(b"form-data; name=file; filename=" + b";" * 10_000) + b"--x--",
    b"preamble" * 10_000 + b"\r\n" + part(FILE) + b"--x--",
    part(FILE) + b"--x--" + b"epilogue" * 10_000,
    part(FILE).replace(b"\r\n", b"\n") + b"--x--",
]
ODD_BOUNDARIES = [
    "",
    "x" * 71,
    "x" * 10_000,
    '"',
    "\u00e9",
    "a b",
    "--",
    '"x',
    "x; boundary=y",
    "x;charset=\x00",
]
MULTIPARTS = [
    *ODD_UPLOADS,
    *(raw("POST", "/upload", MULTIPART, body=body, json_body=False) for body in ODD_PARTS),
    *(
        raw(
            "POST",
            "/upload",
            f"Content-Type: multipart/form-data; boundary={boundary}",
            body=part(FILE) + b"--x--",
            json_body=False,
        )
        for boundary in ODD_BOUNDARIES
    ),
    *(
        raw("POST", path, MULTIPART, body=body, json_body=False)
        for path in ("/task/openapi/upload", "/openapi/v2/media/upload/binary")
        for body in ODD_PARTS[:8]
    ),
]
ODD_HOSTS = [
    *("evil.example", "localhost.evil.example", "evil.example#localhost", "localhost@evil.example", "", " "),
    *("127.0.0.1.evil.example", "127.0.0.1:80@evil.example", "[::1].evil.example", "[::ffff:127.0.0.1]"),
    *("LOCALHOST.", "localhost:99999", "localhost:x", "localhost/", "2130706433", "0x7f.1", "0.0.0"),
    *(
        "\u00e9",
        "localhost\u00ad",
        "local\thost",
        "a" * 10_000,
        "[",
        "[::1",
        "::1",
        "*",
        "localhost, evil.example",
    ),
]
HOSTS = [
    *(
        raw(method, path).replace(b"Host: localhost", b"Host: " + host.encode())
        for host in ODD_HOSTS
        for method, path in (("GET", "/tasks"), ("POST", "/submit_task"), ("GET", "/account"))
    ),
    raw("GET", "/tasks").replace(b"Host: localhost\r\n", b""),
    raw("GET", "/tasks", "Host: evil.example"),
    raw("GET", "/tasks", "X-Forwarded-Host: localhost").replace(b"Host: localhost", b"Host: evil.example", 1),
    raw("GET", "/health").replace(b"localhost", b"evil.example"),
    raw("GET", "/health").replace(b"Host: localhost\r\n", b""),
]
ODD_ORIGINS = [
    *("null", "http://evil.example", "https://localhost.evil.example", "http://localhost@evil.example"),
    *(
        "http://evil.example#http://localhost",
        "file://",
        "chrome-extension://x",
        "\u00ff",
        "",
        "http://127.0.0.1.nip.io",
    ),
    *(
        "javascript:alert(1)",
        "http://[::1]x",
        "HTTP://EVIL.EXAMPLE",
        "a" * 10_000,
        "http://localhost, http://evil.example",
    ),
]
ORIGINS = [
    raw(method, path, f"Origin: {origin}", *headers, body=b"{}")
    for origin in ODD_ORIGINS
    for method, path in (("POST", "/submit_task"), ("POST", "/tasks/1/cancel"), ("OPTIONS", "/submit_task"))
    for headers in ((), ("Access-Control-Request-Method: POST", "Sec-Fetch-Site: cross-site"))
]
FAMILIES = {
    "parsers": PARSERS,
    "bodies": BODIES,
    "multiparts": MULTIPARTS,
    "hosts": HOSTS,
    "origins": ORIGINS,
}
