"""Issues on GitHub, GitLab and Gitee.

A report has its marker in a comment of Markdown, which readers do not see. Whether it has arrived is found out from the
list of the newest issues, which is current at once; the search of these sites is not.

    GitHub    https://docs.github.com/en/rest/issues/issues
    GitLab    https://docs.gitlab.com/api/issues/
    Gitee     https://gitee.com/api/v5/swagger
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.wire.foreign import quoted
from moonpalace_addons.wire.json_value import mapping, parse
from moonpalace_cli.export.markdown import shortened
from moonpalace_cli.outgoing.http import Request, Response, send
from moonpalace_cli.reporting.outcome import InDoubt, Outcome, Sent
from moonpalace_cli.reporting.receivers.receiver import json_request, posted, words_of

if TYPE_CHECKING:
    from moonpalace_cli.reporting.message import Message

PAGE_SIZE = 100
MAX_PAGES = 20
"""Maximum pages of issues that are searched for a report."""
MAX_TEXT = 60_000
"""Characters of an issue's text: GitHub takes 65,536."""


@dataclass(frozen=True, slots=True)
class Issues:
    """The issues of one project; each site has a subclass."""

    project: str
    token: str = field(repr=False)
    url: str
    labels: tuple[str, ...] = ()

    can_find = True
    site = ""
    text_member = "body"
    address_member = "html_url"

    @property
    def place(self) -> str:
        """Return its name for people."""
        return f"an issue in {self.project} on {self.site}"

    @property
    def posts_to(self) -> str:
        """Return the URL for new issues."""
        raise NotImplementedError

    @property
    def lists_at(self) -> str:
        """Return the URL of the list of issues."""
        return self.posts_to

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers of every request."""
        return {"Authorization": f"Bearer {self.token}"}

    def fields(self, title: str, text: str) -> dict[str, object]:
        """Return the members of a new issue."""
        return {"title": title, self.text_member: text, **({"labels": ",".join(self.labels)} if self.labels else {})}

    def order(self, since: datetime) -> dict[str, str]:
        """Return the query for the issues since this time, newest first."""
        return {"state": "all", "sort": "created", "direction": "desc", "since": since.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def send(self, message: Message) -> Outcome:
        """Create an issue."""
        text = f"{shortened(message.text, MAX_TEXT)}\n\n{hidden(message.marker)}\n"
        request = json_request(self.posts_to, self.fields(message.title, text), self.headers)
        return posted(request, self._created, [self.token])

    def find(self, marker: str, since: datetime) -> str | None:
        """Return the URL of the issue with this marker."""
        for issue in self._newest(since):
            text = issue.get(self.text_member)
            if isinstance(text, str) and hidden(marker) in text:
                return quoted(str(issue.get(self.address_member) or self.place))
        return None

    def _created(self, response: Response) -> Outcome:
        address = mapping(parse(response.body)).get(self.address_member)
        if not isinstance(address, str):
            return InDoubt(f"{self.site} answers {response.status} without the address of an issue")
        return Sent(quoted(address))

    def _newest(self, since: datetime) -> Iterator[Mapping[str, object]]:
        for page in range(1, MAX_PAGES + 1):
            query = urlencode(self.order(since) | {"per_page": str(PAGE_SIZE), "page": str(page)})
            response = send(Request("GET", f"{self.lists_at}?{query}", self.headers))
            listed = parse(response.body)
            if response.status != 200 or not isinstance(listed, list):
                words = words_of(response.body, [self.token])
                raise MoonPalaceError(f"{self.site} does not list its issues: {response.status} {words}".rstrip())
            yield from (issue for issue in listed if isinstance(issue, dict))
            if len(listed) < PAGE_SIZE:
                return
        raise MoonPalaceError(f"{self.site} has more than {MAX_PAGES * PAGE_SIZE} issues since then")


class GitHub(Issues):
    """Issues on GitHub, or on an Enterprise server."""

    __slots__ = ()
    site = "GitHub"

    @property
    def posts_to(self) -> str:
        """Return the URL for new issues."""
        return f"{self.url}/repos/{self.project}/issues"

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers of every request."""
        accepted = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return {"Authorization": f"Bearer {self.token}", **accepted}

    def fields(self, title: str, text: str) -> dict[str, object]:
        """Return the members of a new issue."""
        return {"title": title, "body": text, **({"labels": list(self.labels)} if self.labels else {})}


class GitLab(Issues):
    """Issues on GitLab, or on a self-hosted server."""

    __slots__ = ()
    site = "GitLab"
    text_member = "description"
    address_member = "web_url"

    @property
    def posts_to(self) -> str:
        """Return the URL for new issues."""
        return f"{self.url}/api/v4/projects/{quote(self.project, safe='')}/issues"

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers of every request."""
        return {"PRIVATE-TOKEN": self.token}

    def order(self, since: datetime) -> dict[str, str]:
        """Return the query for the issues since then, newest first."""
        after = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"state": "all", "order_by": "created_at", "sort": "desc", "created_after": after}


class Gitee(Issues):
    """Issues on Gitee."""

    __slots__ = ()
    site = "Gitee"

    @property
    def posts_to(self) -> str:
        """Return the URL for new issues, which only names the owner."""
        return f"{self.url}/repos/{self.project.partition('/')[0]}/issues"

    @property
    def lists_at(self) -> str:
        """Return the URL of the list of issues."""
        return f"{self.url}/repos/{self.project}/issues"

    def fields(self, title: str, text: str) -> dict[str, object]:
        """Return the members of a new issue."""
        named = {"access_token": self.token, "repo": self.project.partition("/")[2]}
        return named | super().fields(title, text)


def hidden(marker: str) -> str:
    """Return the comment that marks a report."""
    return f"<!-- moonpalace-report: {marker} -->"
