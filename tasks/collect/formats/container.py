"""
What a container wrote, line by line, as the runtimes keep it.

Source: https://docs.docker.com/engine/logging/drivers/json-file/,
https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

import re

import orjson

_RUNTIME = re.compile(
    rb"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) [FP](?::\S*)? "
)
_DOCKER = b'{"log":"'


def unwrap_line(line: bytes) -> bytes | None:
    """The line that a container wrote; None when no runtime wrote *line*."""
    if line.startswith(_DOCKER):
        return _unwrap_docker(line)
    match = _RUNTIME.match(line)
    return None if match is None else line[match.end() :]


def _unwrap_docker(line: bytes) -> bytes | None:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    is_docker = record.get("stream") in ("stdout", "stderr") and "time" in record
    text = record["log"]
    return text.removesuffix("\n").encode() if is_docker and isinstance(text, str) else None
