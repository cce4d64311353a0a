"""Makes pages and diffs as LiveView servers do, of each version, from a seed: every construct of rendered trees."""

import random
from dataclasses import dataclass, field
from typing import Any

VERSIONS = ("lv018", "lv020", "lv10", "lv11", "lv12")


@dataclass
class Node:
    statics: list[str]
    values: list[Any]
    root: bool = False


@dataclass
class Loop:
    """A comprehension: entries are lists of texts and nodes."""

    statics: list[str]
    entries: list[list[Any]]


@dataclass
class Stream:
    ref: str
    statics: list[str]
    count: int = 0
    shown: list[str] = field(default_factory=list)


@dataclass
class Component:
    cid: int


class Server:
    """One LiveView on the server's side, of one version of LiveView."""

    def __init__(self, seed: int, version: str) -> None:
        self.random = random.Random(seed)
        self.version = version
        self.keyed = version in ("lv11", "lv12")
        self.components: dict[int, Node] = {}
        self.streams = 0
        self.page = self.node(0)
        self.page.root = False

    # Making

    def word(self) -> str:
        return self.random.choice(["a", "b", "&amp;", "ä", "1", "", "two words", "&lt;x&gt;"]) + str(
            self.random.randrange(99)
        )

    def statics(self, count: int, tag: str = "p") -> list[str]:
        """Texts around `count` dynamics, within one element."""
        inner = [f"<i>{self.word()}</i>" for _ in range(count + 1)]
        inner[0] = f'<{tag} class="{self.random.randrange(9)}">{inner[0]}'
        inner[-1] = f"{inner[-1]}</{tag}>"
        return inner

    def node(self, depth: int, tag: str = "div") -> Node:
        count = self.random.randrange(0 if depth else 3, 5)
        root = self.version != "lv018" and self.random.random() < 0.5
        return Node(self.statics(count, tag), [self.value(depth + 1) for _ in range(count)], root)

    def value(self, depth: int) -> Any:
        kinds = ["text"] * 4 + ["node", "loop", "empty", "component", "stream"]
        match self.random.choice(kinds[: 4 if depth > 3 else len(kinds)]):
            case "text":
                return self.word()
            case "node":
                return self.node(depth)
            case "loop":
                return Loop(self.statics(2, "li"), [self.entry(depth) for _ in range(self.random.randrange(4))])
            case "component" if depth < 3:
                return self.component()
            case "stream" if depth < 2:
                self.streams += 1
                return Stream(str(self.streams), [f'<li id="s{self.streams}-', '">', "</li>"])
            case _:
                return ""

    def entry(self, depth: int) -> list[Any]:
        second = self.node(depth + 2, "b") if depth < 3 and self.random.random() < 0.4 else self.word()
        return [self.word(), second]

    def component(self) -> Component:
        cid = len(self.components) + 1
        self.components[cid] = Node(self.statics(2, "section"), [self.word(), self.word()], self.version != "lv018")
        return Component(cid)

    # Writing

    def full(self, value: Any, table: dict[str, list[str]] | None) -> Any:
        """A value as a whole; statics go into the table of templates where there is one."""
        if isinstance(value, Node):
            found: dict[str, Any] = {str(at): self.full(item, table) for at, item in enumerate(value.values)}
            return found | self.shared(value.statics, table) | ({"r": 1} if value.root else {})
        if isinstance(value, Loop):
            return self.loop(value, table)
        if isinstance(value, Stream):
            return self.inserts(value, self.random.randrange(1, 4), table, fresh=True)
        return value.cid if isinstance(value, Component) else value

    def shared(self, statics: list[str], table: dict[str, list[str]] | None) -> dict[str, Any]:
        if table is None or self.random.random() < 0.3:
            return {"s": statics}
        for number, known in table.items():
            if known == statics:
                return {"s": int(number)}
        table[str(len(table))] = statics
        return {"s": len(table) - 1}

    def loop(self, loop: Loop, table: dict[str, list[str]] | None) -> Any:
        if not loop.entries:
            return ""
        if self.keyed:
            entries = {str(at): self.dynamics(entry, table) for at, entry in enumerate(loop.entries)}
            return {"k": entries | {"kc": len(loop.entries)}} | self.shared(loop.statics, table)
        return {"s": loop.statics} | self.rows(loop.entries)

    def rows(self, entries: list[list[Any]]) -> dict[str, Any]:
        own: dict[str, list[str]] = {}
        rows = [[self.full(item, own) for item in entry] for entry in entries]
        return {"d": rows} | ({"p": own} if own else {})

    def dynamics(self, entry: list[Any], table: dict[str, list[str]] | None) -> dict[str, Any]:
        return {str(at): self.full(item, table) for at, item in enumerate(entry)}

    def inserts(self, stream: Stream, count: int, table: Any, *, fresh: bool = False) -> dict[str, Any]:
        """New items of a stream, and perhaps some that go."""
        ids = [f"{stream.count + at}" for at in range(count)]
        stream.count += count
        at = self.random.choice([-1, 0])
        names = [f"s{stream.ref}-{id_}" for id_ in ids]
        deletes = [stream.shown.pop(0)] if stream.shown and self.random.random() < 0.5 else []
        stream.shown += names
        entries = [[id_, self.word()] for id_ in ids]
        places: Any = [[name, at, -5] for name in names]
        if self.version == "lv018":
            wire: list[Any] = [dict.fromkeys(names, at), deletes]
        elif self.version == "lv020":
            wire = [stream.ref, {name: [at, -5] for name in names}, deletes]
        else:
            wire = [stream.ref, [[*place, False] for place in places] if self.keyed else places, deletes]
        if self.version != "lv018" and not fresh and self.random.random() < 0.2:
            wire.append(True)
        statics = self.shared(stream.statics, table) if self.keyed and fresh else {"s": stream.statics} if fresh else {}
        if self.keyed:
            keyed = {str(number): self.dynamics(entry, None) for number, entry in enumerate(entries)}
            return {"k": keyed | {"kc": len(entries)}, "stream": wire} | statics
        return {"d": entries, "stream": wire} | statics

    def join(self) -> dict[str, Any]:
        table: dict[str, list[str]] | None = {} if self.keyed else None
        found: dict[str, Any] = self.full(self.page, table)
        return self.finished(found, table, list(self.components))

    def finished(self, found: dict[str, Any], table: Any, cids: list[int]) -> dict[str, Any]:
        if table:
            found["p"] = table
        if cids:
            found["c"] = {str(cid): self.full(self.components[cid], None) for cid in cids}
        if self.random.random() < 0.2:
            found["t"] = self.word()
        if self.random.random() < 0.2:
            found["e"] = [["toast", {"text": self.word()}]]
        return found

    # Changing

    def diff(self) -> dict[str, Any]:
        before = set(self.components)
        table: dict[str, list[str]] | None = {} if self.keyed else None
        found = self.changed(self.page, table, 0)
        found = self.finished(found, table, sorted(self.components.keys() - before))
        self.change_components(found, sorted(before))
        return found

    def change_components(self, found: dict[str, Any], cids: list[int]) -> None:
        """Some that are there change; some new ones are made like others, and only what differs is sent."""
        given: dict[str, Any] = found.get("c", {})
        for cid in self.random.sample(cids, min(len(cids), self.random.randrange(3))):
            at = self.random.randrange(2)
            self.components[cid].values[at] = text = self.word()
            given[str(cid)] = {str(at): text}
        whole = [key for key in given if isinstance(given[key].get("s"), list)]
        free = [cid for cid in cids if str(cid) not in given]
        for key, twin in zip(whole[::2], [*whole[1::2], None], strict=False):
            if not free or self.random.random() < 0.4:
                continue
            like = self.random.choice(free)
            self.linked(given, key, -like, self.components[like])
            if twin is not None and self.random.random() < 0.5:
                self.linked(given, twin, int(key), self.components[int(key)])
        if given:
            found["c"] = given

    def linked(self, given: dict[str, Any], key: str, link: int, like: Node) -> None:
        """A new component is made like another one, and only its second text is sent."""
        node = self.components[int(key)]
        node.statics, node.values[0] = like.statics, like.values[0]
        given[key] = {"1": node.values[1], "s": link}

    def changed(self, node: Node, table: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for at, value in enumerate(node.values):
            if self.random.random() < 0.5:
                continue
            if isinstance(value, Node) and self.random.random() < 0.7:
                inner = self.changed(value, table, depth + 1)
                if inner:
                    found[str(at)] = inner
            elif isinstance(value, Loop) and value.entries and self.random.random() < 0.9:
                found[str(at)] = self.changed_loop(value, table, depth)
            elif isinstance(value, Stream):
                found[str(at)] = self.inserts(value, self.random.randrange(3), table)
            elif not isinstance(value, Component) or self.random.random() < 0.3:
                node.values[at] = self.value(depth + 1)
                found[str(at)] = self.full(node.values[at], table)
        return found

    def changed_loop(self, loop: Loop, table: Any, depth: int) -> Any:
        if not self.keyed:
            loop.entries = self.shuffled(loop.entries, depth)
            return self.rows(loop.entries)
        before = loop.entries
        places = [place for place in range(len(before)) if self.random.random() < 0.8]
        if self.random.random() < 0.5:
            self.random.shuffle(places)
        found: dict[str, Any] = {}
        after: list[list[Any]] = []
        moved = False
        for place in places:
            key, entry = str(len(after)), list(before[place])
            change = {}
            if self.random.random() < 0.3:
                entry[0] = change["0"] = self.word()
            if place != len(after):
                moved = True
                found[key] = [place, change] if change else place
            elif change:
                found[key] = change
            after.append(entry)
        while self.random.random() < 0.4:
            entry = self.entry(depth)
            # Whether the client still has an entry at this place, or a whole one is due, is the same to it.
            found[str(len(after))] = self.dynamics(entry, table)
            after.append(entry)
        loop.entries = after
        found["kc"] = len(after)
        if moved and self.version == "lv12":
            found["km"] = True
        return {"k": found}

    def shuffled(self, entries: list[list[Any]], depth: int) -> list[list[Any]]:
        kept = [entry for entry in entries if self.random.random() < 0.8]
        self.random.shuffle(kept)
        return [*kept, *(self.entry(depth) for _ in range(self.random.randrange(3)))]


def sequence(seed: int, version: str, steps: int) -> list[dict[str, Any]]:
    """A join and so many diffs."""
    server = Server(seed, version)
    return [server.join(), *(server.diff() for _ in range(steps))]
