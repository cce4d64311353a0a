"""Pushes of one socket that wait for their reply; used by `sessions.socket`."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

from livegate.phoenix.frames import Frame
from livegate.phoenix.model import Outcome, Push, SocketInfo, View
from livegate.phoenix.sessions.membership import Membership
from livegate.phoenix.sessions.store import SessionStore
from livegate.phoenix.topics import LIVE_TOPIC, UPLOAD_TOPIC

_UNCOUNTED = frozenset({"heartbeat", "leave"})
"""Kinds of pushes whose missing reply no user notices."""
type Key = tuple[str, str | None]
"""Topic and ref. Replies of serializer V1 have no join_ref; phoenix.js counts refs per socket (`Socket.makeRef`)."""


class PendingPushes:
    """Table of pushes by topic and ref, in the order in which they were sent."""

    def __init__(self, store: SessionStore, membership: Membership, info: SocketInfo) -> None:
        self._store = store
        self._membership = membership
        self._info = info
        self._pushes: OrderedDict[Key, Push] = OrderedDict()
        self._behind_join: set[int] = set()
        """`id()` of heartbeats sent while a join was pending. The app may reply to them only after the join."""

    def __iter__(self) -> Iterator[Push]:
        return iter(self._pushes.values())

    def add(self, push: Push) -> None:
        """Remember a push; beyond `SessionLimits.pending` the oldest becomes `forgotten`.

        A push that the gateway sends itself must take its ref from a `reserve_ref()` of the `SocketTracker` (not yet
        written): with a ref that phoenix.js uses as well, its reply would be paired with the browser's push.
        """
        if push.kind == "heartbeat" and any(each.kind == "join" for each in self):
            self._behind_join.add(id(push))
        if push.ref is None:
            return
        self._pushes[(push.topic, push.ref)] = push
        if len(self._pushes) > self._store.limits.pending:
            _, oldest = self._pushes.popitem(last=False)
            oldest.outcome = "forgotten"
            self._behind_join.discard(id(oldest))

    def pop(self, topic: str, ref: str | None) -> Push | None:
        """Return the push that a reply is for, and remove it; None if none is pending."""
        return self._pushes.pop((topic, ref), None)

    def of_join(self, frame: Frame) -> list[Push]:
        """Return the pushes of the join that a frame of the server is about."""
        return [push for push in self if is_of_join(push, frame)]

    def fail(self, which: Callable[[Push], bool], outcome: Outcome) -> list[Push]:
        """Remove pushes that will get no reply; return those that needed one."""
        failed = [(key, push) for key, push in self._pushes.items() if which(push)]
        missed = []
        session = self._membership.session
        for key, push in failed:
            del self._pushes[key]
            self._behind_join.discard(id(push))
            handled = outcome != "crash" or push is not failed[-1][1]  # a channel handles one push after the other
            push.outcome = "noreply" if handled and self._needs_no_reply(push) else outcome
            if push.outcome == "noreply":
                continue
            missed.append(push)
            if push.kind not in _UNCOUNTED:
                self._info.unanswered += 1
                if session is not None:
                    session.unanswered += 1
        return missed

    def replied(self, push: Push) -> None:
        """Note that a plain channel replied to a push: earlier pushes that are still pending get no reply.

        A channel handles its pushes in order. LiveView's channels are excepted, because LiveView replies to each push.
        """
        self._store.remember_reply(self._membership.host, push.topic, push.name)
        if push.topic.startswith((LIVE_TOPIC, UPLOAD_TOPIC)):
            return
        earlier = [
            (key, each)
            for key, each in self._pushes.items()
            if each.topic == push.topic and each.sent_at <= push.sent_at and self._needs_no_reply(each)
        ]
        for key, each in earlier:
            del self._pushes[key]
            each.outcome = "noreply"

    def waited_behind_join(self, heartbeat: Push) -> bool:
        """Return whether a heartbeat was sent while a join was pending, and forget it."""
        waited = id(heartbeat) in self._behind_join
        self._behind_join.discard(id(heartbeat))
        return waited

    def _needs_no_reply(self, push: Push) -> bool:
        """Return whether no push of this kind was ever seen to get a reply; LiveView replies to every push."""
        if push.kind != "push" or push.topic.startswith((LIVE_TOPIC, UPLOAD_TOPIC)):
            return False
        return not self._store.is_replied_to(self._membership.host, push.topic, push.name)


def is_of_join(subject: Push | View, frame: Frame) -> bool:
    """Return whether a frame of the server is about the join of a push or view; V1's frames have no join_ref."""
    return subject.topic == frame.topic and frame.join_ref in (subject.join_ref, None)
