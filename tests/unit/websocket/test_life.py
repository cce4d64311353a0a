"""The dialogues of docs/topics/life-of-a-websocket.md, run against the relay."""

import re
import shlex
from pathlib import Path

import pytest
from relay_lab import Lab

from livegate.websocket import close_codes, frames

DOCUMENT = Path(__file__).parents[3] / "docs" / "topics" / "life-of-a-websocket.md"
DIALOGUES = re.findall(r"^([^\n]+)\n\n```dialogue\n(.*?)```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
OPCODES = {
    "text": frames.TEXT,
    "binary": frames.BINARY,
    "ping": frames.PING,
    "pong": frames.PONG,
    "close": frames.CLOSE,
}


def wire(words: list[str], *, masked: bool) -> bytes:
    """The bytes of one frame: its kind, then its payload, size in MiB, or close code and reason."""
    kind, *rest = words
    if kind == "unmasked":
        return frames.encode(frames.TEXT, rest[0].encode(), masked=False)
    if kind == "close":
        payload = close_codes.close_payload(int(rest[0]), rest[1] if len(rest) > 1 else "")
    elif rest[0].endswith("MiB"):
        payload = bytes(int(rest[0].removesuffix("MiB")) << 20)
    else:
        payload = rest[0].encode()
    return frames.encode(OPCODES[kind], payload, masked=masked)


class Dialogue:
    """A relay between two recorded transports, spoken to line by line."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.read = {"client": 0, "backend": 0}
        self.done = {"client": 0, "backend": 0}

    def speak(self, line: str) -> None:
        side, verb, *words = shlex.split(line)
        relay = self.lab.relay
        peer, transport = (relay.client, self.lab.client) if side == "client" else (relay.backend, self.lab.backend)
        match verb:
            case ">>" if words == ["end"]:
                peer.eof_received()
            case ">>":
                peer.data_received(wire(words, masked=side == "client"))
            case "<<" if words[0] in ("end", "abort"):
                assert transport.done[self.done[side]] == {"end": "eof"}.get(words[0], words[0]), line
                self.done[side] += 1
            case "<<":
                self.hear(side, transport.sent, words, line)
            case "close":
                relay.close(int(words[0]), words[1])
            case "kill":
                self.lab.flow.kill()

    def hear(self, side: str, sent: bytes, words: list[str], line: str) -> None:
        """Compare the next frame; a masked one is compared by its payload, as its mask is random."""
        expected = wire(words, masked=False)
        start = self.read[side]
        masked = bool(sent[start + 1 : start + 2] and sent[start + 1] & 0x80)
        length = len(expected) + 4 * masked
        frame = sent[start : start + length]
        if masked:
            mask, payload = frame[2:6], frame[6:]
            frame = bytes([frame[0], frame[1] & 0x7F]) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        assert frame == expected, line
        self.read[side] += length

    def ends(self, line: str) -> None:
        """Lose both connections, as transports report it, and compare what the flow says."""
        _, code, reason, by = shlex.split(line)
        self.lab.lose()
        assert self.lab.relay.close_info is not None
        assert (self.lab.relay.close_info.code, self.lab.relay.close_info.reason) == (int(code), reason)
        assert self.lab.relay.close_info.by == by

    def finished(self) -> None:
        assert self.read == {"client": len(self.lab.client.sent), "backend": len(self.lab.backend.sent)}


@pytest.mark.parametrize(("title", "lines"), DIALOGUES, ids=[title[:50] for title, _ in DIALOGUES])
async def test_the_relay_speaks_as_the_document_says(title: str, lines: str) -> None:
    dialogue = Dialogue()
    for line in lines.splitlines():
        if line.startswith("="):
            dialogue.ends(line)
        else:
            dialogue.speak(line)
    dialogue.finished()


def test_the_document_has_its_dialogues() -> None:
    assert len(DIALOGUES) >= 8
