"""multipart/form-data (RFC 7578), as much of it as files and a field of JSON need.

Python's own parser of mail decodes and copies every file; this one cuts the body at its boundary.
"""

from __future__ import annotations

from email.message import Message

from suder_bench.service.asked import Refusal

MOST_PARTS = 4096
MOST_HEADER = 4096


def parts(body: bytes, content_type: str) -> dict[str, bytes]:
    """Name -> content of each part. Raises `Refusal` for what is not whole, or has two parts of one name."""
    boundary = parameters("content-type", content_type).get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= 70 or not boundary.isascii():
        raise Refusal(400, "invalid_multipart", "the boundary is missing, or no text of 1 to 70 characters")
    delimiter = b"\r\n--" + boundary.encode()
    sections = (b"\r\n" + body).split(delimiter, MOST_PARTS + 2)
    if len(sections) > MOST_PARTS + 2:
        raise Refusal(413, "too_many_items", f"a request has at most {MOST_PARTS:,} parts")
    if len(sections) < 2 or not sections[-1].startswith(b"--"):
        raise Refusal(400, "invalid_multipart", "the request is not whole: its last boundary is missing")
    found: dict[str, bytes] = {}
    for section in sections[1:-1]:
        name, content = _part(section)
        if name in found:
            raise Refusal(400, "invalid_multipart", f"two parts are called '{name[:80]}'")
        found[name] = content
    return found


def parameters(header: str, value: str) -> Message:
    """A header's value, whose parameters `get_param` gives."""
    message = Message()
    message[header] = " ".join(value.split())
    return message


def _part(section: bytes) -> tuple[str, bytes]:
    head, blank, _ = section[:MOST_HEADER].partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n"):
        raise Refusal(400, "invalid_multipart", "a part has no header, or one that does not end")
    for line in head.decode("utf-8", "replace").split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            name = parameters("content-disposition", value).get_param("name", header="content-disposition")
            if isinstance(name, str) and name:
                return name, section[len(head) + len(blank) :]
    raise Refusal(400, "invalid_multipart", "a part has no name")
