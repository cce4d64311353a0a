"""Description of changed header fields for the log."""

from livegate.pipeline.fields.diff import describe


def test_only_values_of_host_origin_and_x_forwarded_are_shown() -> None:
    before = [(b"Host", b"a.test"), (b"Cookie", b"CANARY"), (b"TE", b"CANARY"), (b"Accept", b"1"), (b"Accept", b"2")]
    after = [
        (b"host", b"b:1"),
        (b"Cookie", b"CANARY2"),
        (b"Accept", b"1"),
        (b"X-Forwarded-For", b"::1"),
        (b"X-Key", b"CANARY"),
    ]
    text = describe(before, after)
    assert text == "removed te; added x-forwarded-for: ::1, x-key; changed host: b:1, cookie, accept"
    assert describe(before, before) == ""


def test_names_and_values_from_outside_are_printable_and_bounded() -> None:
    text = describe([(b"\x1b[2J\xff", b"")], [(b"Origin", b"x\n" + b"y" * 1000)])
    assert text.startswith("removed \\x1b[2jÿ; added origin: x\\n")
    assert len(text) < 400
    many = describe([(b"n%d" % index, b"") for index in range(1000)], [])
    assert many.count(",") == 99
