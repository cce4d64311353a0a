"""The watch on the settings file and the files that it names."""

import asyncio
from pathlib import Path

import pytest

from certificates import Authority
from livegate.settings import load_settings, watch


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_files_that_the_settings_name_are_watched_and_relative_to_them(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "sub").mkdir()
    authority.write(tmp_path / "sub" / "a.pem", "a.test")
    (tmp_path / "sub" / "ca.pem").write_bytes(authority.pem)
    file = tmp_path / "sub" / "gateway.yaml"
    file.write_text(
        "services: {a.test: {backend: 'https://x', tls: {ca_file: ca.pem}}}\ntls: {certificates: {A.test: a.pem}}\n"
    )
    settings = load_settings(file, {})
    assert {path.name for path in settings.watched} == {"gateway.yaml", "a.pem", "ca.pem"}
    file.write_text(file.read_text().replace("A.test: a.pem", "A.test: a.pem, a.test.: a.pem"))
    with pytest.raises(Exception, match="each host once"):
        load_settings(file, {})


async def test_the_watch_reports_changes_and_only_changes(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    main, named, late = tmp_path / "gateway.yaml", tmp_path / "certs" / "a.pem", tmp_path / "late"
    main.write_text("1")
    named.write_text("1")
    seen: asyncio.Queue[int] = asyncio.Queue()
    watched = {named}
    stop = asyncio.Event()
    task = asyncio.create_task(watch(main, lambda: watched, lambda: seen.put_nowait(1), stop))

    async def until_seen(change) -> None:
        """Repeat a change until it is reported, because the watch needs a moment to begin."""
        for number in range(100):
            change(str(number))
            try:
                await asyncio.wait_for(seen.get(), 0.5)
            except TimeoutError:
                continue
            else:
                return
        raise AssertionError("the change was not seen")

    try:
        await until_seen(main.write_text)
        await until_seen(named.write_text)
        late.mkdir()
        watched.add(late / "b.pem")
        await until_seen(main.write_text)
        await until_seen((late / "b.pem").write_text)
        named.unlink()
        await asyncio.wait_for(seen.get(), 10)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)
    await asyncio.wait_for(watch(main, lambda: watched, lambda: None, stop), 10)
