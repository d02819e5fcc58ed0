"""The HTML standard's event stream interpretation, word for word and slow.

Written from the text of "Parsing an event stream" and "Interpreting an event stream" (9.2.5, 9.2.6)
and of the Encoding standard's UTF-8 decoder, without a look at `recorder.sse`: whole body in, no
chunks, no raw bytes, one character at a time.
"""

from __future__ import annotations

from typing import NamedTuple


class ReferenceEvent(NamedTuple):
    data: str
    event: str
    id: str
    retry: int | None


class Interpreted(NamedTuple):
    """What a body comes to: its events, and the two values that outlive them."""

    events: list[ReferenceEvent]
    last_event_id: str
    reconnection_time_ms: int | None


def interpret(body: bytes) -> Interpreted:
    interpreter = _Interpreter()
    for line in _lines(utf_8_decode(body)):
        interpreter.process(line)
    return Interpreted(
        interpreter.events, interpreter.last_event_id_string, interpreter.reconnection_time
    )


class _Interpreter:
    def __init__(self) -> None:
        self.events: list[ReferenceEvent] = []
        self.data_buffer = ""
        self.event_type_buffer = ""
        self.last_event_id_buffer = ""
        self.last_event_id_string = ""
        self.reconnection_time: int | None = None
        self.retry_of_block: int | None = None  # ours: which event's block set it

    def process(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line[0] == ":":
            pass
        elif ":" in line:
            field, value = line.split(":", 1)
            if value != "" and value[0] == " ":
                value = value[1:]
            self.process_field(field, value)
        else:
            self.process_field(line, "")

    def process_field(self, field: str, value: str) -> None:
        if field == "event":
            self.event_type_buffer = value
        elif field == "data":
            self.data_buffer += value + "\n"
        elif field == "id":
            if "\0" not in value:
                self.last_event_id_buffer = value
        elif field == "retry" and value != "" and all(c in "0123456789" for c in value):
            self.reconnection_time = self.retry_of_block = int(value)

    def dispatch(self) -> None:
        self.last_event_id_string = self.last_event_id_buffer
        if self.data_buffer != "":
            data = self.data_buffer
            if data[-1] == "\n":
                data = data[:-1]
            self.events.append(
                ReferenceEvent(
                    data,
                    self.event_type_buffer or "message",
                    self.last_event_id_string,
                    self.retry_of_block,
                )
            )
        self.data_buffer = ""
        self.event_type_buffer = ""
        self.retry_of_block = None


def _lines(text: str) -> list[str]:
    """Every line that has its end; the rest of the text is discarded."""
    lines = []
    line = ""
    position = 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\r":
            if position < len(text) and text[position] == "\n":
                position += 1
            lines.append(line)
            line = ""
        elif character == "\n":
            lines.append(line)
            line = ""
        else:
            line += character
    return lines


def utf_8_decode(body: bytes) -> str:
    """The Encoding standard's "UTF-8 decode": one leading byte order mark goes."""
    if body[:3] == b"\xef\xbb\xbf":
        body = body[3:]
    text = ""
    code_point = needed = seen = 0
    lower, upper = 0x80, 0xBF
    position = 0
    while position < len(body):
        byte = body[position]
        position += 1
        if needed == 0:
            if byte <= 0x7F:
                text += chr(byte)
            elif 0xC2 <= byte <= 0xDF:
                needed, code_point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower = 0xA0 if byte == 0xE0 else 0x80
                upper = 0x9F if byte == 0xED else 0xBF
                needed, code_point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower = 0x90 if byte == 0xF0 else 0x80
                upper = 0x8F if byte == 0xF4 else 0xBF
                needed, code_point = 3, byte & 0x7
            else:
                text += "\ufffd"
            continue
        if not lower <= byte <= upper:
            code_point = needed = seen = 0
            lower, upper = 0x80, 0xBF
            position -= 1  # "restore byte to ioQueue"
            text += "\ufffd"
            continue
        lower, upper = 0x80, 0xBF
        code_point = code_point << 6 | byte & 0x3F
        seen += 1
        if seen == needed:
            text += chr(code_point)
            code_point = needed = seen = 0
    return text if needed == 0 else text + "\ufffd"
