"""Shapes of lines are read as `shapes` says."""

import numpy as np
import pytest

from tasks.collect.formats import rewriting_kernel as kernel
from tasks.collect.formats import shapes
from tasks.collect.kernel import PADDING

SLOTS = {"CLIENT": kernel.CLIENT, "STATUS": kernel.STATUS, "AGENT": kernel.AGENT}


def read(shape: str, line: bytes) -> dict[str, bytes] | None:
    """What is in the slots after *line* was read; None when it does not have the shape."""
    data = np.frombuffer(line + b"\n" + bytes(PADDING), np.uint8)
    spans = np.zeros((kernel.SLOTS, 3), np.int64)
    table = shapes.make_table(kernel, shape + "{=OF_PATH}")
    if kernel._read_fields(data, 0, len(line), table, spans) == kernel.NO_MODE:
        return None
    found = {name: spans[slot] for name, slot in SLOTS.items()}
    return {
        n: line[span[kernel.START] : span[kernel.END]]
        for n, span in found.items()
        if span[kernel.KIND]
    }


@pytest.mark.parametrize(
    ("shape", "line", "said"),
    [
        ("{STATUS:digits} {AGENT:any}$", b"404 x y", {"STATUS": b"404", "AGENT": b"x y"}),
        ("{STATUS:digits} {AGENT:any }$", b"404 x y", None),
        ("{STATUS:digits} {AGENT:any }$", b"404 -", {"STATUS": b"404"}),
        ("{STATUS:digits} {AGENT:any }$", b"404", None),
        ("[##/^~~] {STATUS:###}$", b"[22/Feb] 404", {"STATUS": b"404"}),
        ("[##/^~~] {STATUS:###}$", b"[22/FEB] 404", None),
        ("[##/^~~] {STATUS:###}$", b"[22/Feb] 4045", None),
        ("(GET|GO|) {STATUS:digits}$", b"GO 404", {"STATUS": b"404"}),
        ("(GET|GO|) {STATUS:digits}$", b" 404", {"STATUS": b"404"}),
        ("(GET|GO|) {STATUS:digits}$", b"G 404", None),
        ("((a|b)c|d{STATUS:digits})$", b"bc", {}),
        ("((a|b)c|d{STATUS:digits})$", b"d7", {"STATUS": b"7"}),
        # the first one that begins as the line does is the only one
        ("(ab|a{STATUS:digits}c|a{STATUS:digits})$", b"a7", None),
        (r"\({STATUS:digits}\)(#|)$", b"(7)", {"STATUS": b"7"}),
        ('"{AGENT:text}" {CLIENT:address}$', b'"x\xc3\xa9 y" ::1', {"AGENT": b"x\xc3\xa9 y", "CLIENT": b"::1"}),
        ('"{AGENT:text}" {CLIENT:address}$', b'"x\\" y" ::1', None),
        ('"{AGENT:text}" {CLIENT:address}$', b'"x\ty" ::1', None),
    ],
)  # fmt: skip
def test_shapes(shape, line, said):
    """A line has a shape from its start to its end, and fields are what is in their places."""
    assert read(shape, line) == said


def test_no_line_goes_on_in_the_next_one():
    """What a line lacks at its end is not taken from the line after it."""
    line = b'404 "x'
    data = np.frombuffer(line + b'\n" 404\n' + bytes(PADDING), np.uint8)
    spans = np.zeros((kernel.SLOTS, 3), np.int64)
    table = shapes.make_table(kernel, '{STATUS:digits} "{AGENT:text}" {=OF_PATH}')

    assert kernel._read_fields(data, 0, len(line), table, spans) == kernel.NO_MODE


def test_every_shape_has_its_table():
    """No shape names a field, a slot or a mode that there is not, and pictures fit."""
    for shape in (
        shapes.TIME, shapes.lines(is_utc=True), shapes.lines(is_utc=False),
        shapes.words(("CLIENT", None, "REFERRER", "AGENT")),
    ):  # fmt: skip
        table = shapes.make_table(kernel, shape)
        assert table.start == len(table.rows) - 1
