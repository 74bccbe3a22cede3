"""One self-contained HTML page: prose, figures, tables and plain warnings, with nothing loaded from outside."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from medssl.atomic import make_folder, write_text
from medssl.errors import UsageError
from medssl.reporting.palette import line_colours

Cell = str | int | float | None
"""What a table holds: text stands left, numbers right; None and NaN are shown as a dash."""

Item = TypeVar("Item")

_PNG = b"\x89PNG\r\n\x1a\n"
_SAFE = "!*();@=+$,/?~-._ "
"""Characters that may stand unescaped both in a data URI and in a quoted attribute."""


@dataclass(frozen=True)
class Picture:
    """One image of a figure.

    Args:
        image: bytes of a PNG, or the text of an SVG.
        alt: what the picture shows, for those who cannot see it.
        title: its name, under the picture or over a plot.
        detail: more words after the title.
        width: width relative to the other pictures of its row; equal scales need widths in millimetres.
    """

    image: bytes | str
    alt: str
    title: str = ""
    detail: str = ""
    width: float = 1.0

    @property
    def uri(self) -> str:
        """The image as a data URI, safe inside a quoted attribute.

        Raises:
            UsageError: the image is neither a PNG nor an SVG.
        """
        if isinstance(self.image, bytes) and self.image.startswith(_PNG):
            return "data:image/png;base64," + base64.b64encode(self.image).decode("ascii")
        if isinstance(self.image, str) and self.image.startswith("<svg"):
            return "data:image/svg+xml," + quote(self.image, safe=_SAFE)
        raise UsageError("a picture must be the bytes of a PNG or the text of an SVG that starts with <svg")


@dataclass(frozen=True)
class Key:
    """An entry of a figure's legend.

    Args:
        name: what it stands for.
        colour: a CSS colour.
        dashed: a dashed line instead of a solid one.
        on_scan: whether it lies on a scan, so that the legend shows it on the same dark ground.
    """

    name: str
    colour: str
    dashed: bool = False
    on_scan: bool = True


@dataclass(frozen=True)
class Figure:
    """A picture, or a row of pictures, with its caption.

    Args:
        image: bytes of a PNG, the text of an SVG, or several ``Picture``.
        caption: what one sees, in a sentence or two.
        alt: the text for those who cannot see it.
        legend: what the colours stand for.
        layout: ``row`` keeps the relative widths of the pictures; ``grid``, ``wide``, ``strip`` and ``plots`` set
            them in equal columns, small, large, tiny or for plots; ``stack`` sets one under the other.
    """

    image: bytes | str | tuple[Picture, ...]
    caption: str
    alt: str
    legend: tuple[Key, ...] = ()
    layout: str = "row"

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise UsageError("a figure needs an alt text")

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """The pictures, one or several."""
        return self.image if isinstance(self.image, tuple) else (Picture(self.image, self.alt),)


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Args:
        columns: the heads.
        rows: cells, as many as there are columns; the first cell names the row.
        caption: what the table holds.

    Raises:
        UsageError: a row has another number of cells than there are columns.

    Example:
        >>> Table(("method", "Dice"), [("voco", 0.5)], "Results").text_rows
        [[('voco', False), ('0.500', True)]]
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise UsageError(f"row {number} must have {len(self.columns)} cells, got {len(row)}")

    @property
    def text_rows(self) -> list[list[tuple[str, bool]]]:
        """Every cell as text, and whether it is a number."""
        decimals = [column_decimals(row[place] for row in self.rows) for place in range(len(self.columns))]
        return [
            [(cell_text(cell, count), not isinstance(cell, str)) for cell, count in zip(row, decimals, strict=True)]
            for row in self.rows
        ]

    @property
    def numeric(self) -> list[bool]:
        """For each column whether it holds numbers only."""
        places = range(len(self.columns))
        return [bool(self.rows) and all(not isinstance(row[place], str) for row in self.rows) for place in places]


@dataclass(frozen=True)
class Notice:
    """A plain warning that stands out."""

    text: str


@dataclass(frozen=True)
class Section:
    """A part of the page; see ``Page.section``."""

    title: str
    paragraphs: tuple[str, ...]
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    notices: tuple[Notice, ...]
    commands: tuple[str, ...]


@dataclass
class Page:
    """A report that is written as one file.

    Args:
        title: the head of the page.
        subtitle: a sentence under it.
        facts: names and values that stand at the top.
        notices: warnings that stand before everything else.
        footer: the last line.

    Example:
        >>> page = Page("Report", "What one run did")
        >>> html = page.section("Loss", "It falls.").html()
        >>> "<h2" in html, "http://" in html
        (True, False)
    """

    title: str
    subtitle: str = ""
    facts: Sequence[tuple[str, str]] = ()
    notices: Sequence[Notice] = ()
    footer: str = ""
    sections: list[Section] = field(default_factory=list)

    def section(
        self,
        title: str,
        text: str = "",
        figures: Iterable[Figure | None] = (),
        tables: Iterable[Table | None] = (),
        note: str | Notice | Sequence[Notice] | None = None,
        commands: Sequence[str] = (),
    ) -> Page:
        """Add a section and return the page.

        Args:
            title: its head; it also stands in the table of contents.
            text: prose; an empty line begins a new paragraph.
            figures: figures in order; None is left out.
            tables: tables in order, after the figures; None is left out.
            note: a plain warning under the prose, or several.
            commands: command lines, shown as they are typed.
        """
        paragraphs = tuple(" ".join(part.split()) for part in text.split("\n\n") if part.strip())
        notices: tuple[Notice, ...] = ()
        if isinstance(note, str | Notice):
            notices = (Notice(note) if isinstance(note, str) else note,) if note else ()
        elif note:
            notices = tuple(note)
        self.sections.append(Section(title, paragraphs, _present(figures), _present(tables), notices, tuple(commands)))
        return self

    def html(self) -> str:
        """The page as text."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        here = Path(__file__).parent
        engine = Environment(
            loader=FileSystemLoader(here),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # the style sheet is the project's own and the only text that is not escaped
        style = Markup(line_colours() + (here / "page.css").read_text(encoding="utf-8"))  # noqa: S704
        return engine.get_template("page.html.jinja").render(page=self, style=style)

    def write(self, path: str | Path) -> Path:
        """Write the page whole or not at all.

        Raises:
            MedsslError: the folder cannot be written, or the disk is full.
        """
        target = Path(path)
        content = self.html()
        make_folder(target.parent)
        write_text(target, content)
        return target


def cell_text(cell: Cell, decimals: int = 3) -> str:
    r"""A table's cell as text, thousands parted by a thin space.

    Example:
        >>> cell_text(0.12345), cell_text(1234.5, 1), cell_text(None), cell_text(7), cell_text(float("nan"))
        ('0.123', '1\u2009234.5', '–', '7', '–')
    """
    if isinstance(cell, np.generic):
        cell = cell.item()
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, str | bool) or not math.isfinite(cell):
        return str(cell)
    text = f"{cell:,}" if isinstance(cell, int) else f"{cell:,.{decimals}f}"
    return text.replace(",", "\u2009")


def column_decimals(cells: Iterable[Cell]) -> int:
    """Decimals that suit every number of a column: 3 where all are below 10, else 1.

    Example:
        >>> column_decimals([0.5, 0.25]), column_decimals([0.5, 72.0, None])
        (3, 1)
    """
    sizes = [abs(float(cell)) for cell in cells if cell is not None and not isinstance(cell, str)]
    return 1 if any(10 <= size < math.inf for size in sizes) else 3


def _present(items: Iterable[Item | None]) -> tuple[Item, ...]:
    return tuple(item for item in items if item is not None)
