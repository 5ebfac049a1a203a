"""Does every link of the site lead somewhere? ``python docs/builder/check.py out/docs/html``.

Links to pages, files and anchors within the site are followed; those to other places are only listed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = ("href", "src", "poster", "data")
CANDIDATE = re.compile(r"[\s,]*(\S*[^\s,])[^,]*")  # of a srcset: an address, and perhaps for which width or density


class Page(HTMLParser):
    """The links and the anchors of a page.

    >>> page = Page('<h1 id="top">x</h1><a href="y.html#z">y</a>')
    >>> page.links, page.anchors
    (['y.html#z'], {'', 'top'})
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Read one element."""
        for name, value in attributes:
            if value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)
            elif name in LINKS and value is not None:
                self.links.append(value)
            elif name in ("srcset", "imagesrcset") and value:
                self.links += CANDIDATE.findall(value)


class Site:
    """The pages in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        paths = [path for path in sorted(self.folder.rglob("*.html")) if "_static" not in path.parts]  # templates
        self.pages = {path: Page(path.read_text(encoding="utf-8")) for path in paths}

    def outside(self) -> set[str]:
        """The links to other places."""
        links = {link for page in self.pages.values() for link in page.links}
        return {link for link in links if urlsplit(link).scheme in ("http", "https")}

    def broken(self) -> Iterator[str]:
        """The links within the site that lead nowhere, with the page each is on."""
        for path, page in self.pages.items():
            for link in dict.fromkeys(page.links):
                if why := self.wrong(path, link):
                    yield f"{path.relative_to(self.folder)}: {link}: {why}"

    def wrong(self, path: Path, link: str) -> str:
        """What is wrong with a link of a page; nothing if it leads somewhere."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return ""
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.is_relative_to(self.folder):
            return "leads out of the site"
        if not target.is_file():
            return "no such file"
        if target in self.pages and unquote(parts.fragment) not in self.pages[target].anchors:
            return "no such anchor"
        return ""


def main(folder: Path) -> int:
    """Print what is wrong; 1 if anything is, or if there are no pages."""
    site = Site(folder)
    if not site.pages:
        print(f"{folder}: no pages", file=sys.stderr)
        return 1
    broken = list(site.broken())
    links = sum(len(page.links) for page in site.pages.values())
    print(f"{len(site.pages)} pages, {links} links, {len(broken)} broken. To other places, not followed:",
          *sorted(site.outside()), sep="\n  ")
    print(*broken, sep="\n", end="\n" * bool(broken), file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
