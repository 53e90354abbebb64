"""The record as a static site: pages, feeds, a badge and files for machines, from the entries of a ledger alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from predictdyn import __version__
from predictdyn.ledger import feeds
from predictdyn.ledger.chain import SHORT, TIME, ChainEntry
from predictdyn.ledger.metadata import a_report, citation, dataset, json_ld
from predictdyn.ledger.record import calibration, counted
from predictdyn.ledger.sections import QUESTION_HEAD, headline, question_cells, sections
from predictdyn.ledger.standing import QUANTILES, Standing, records, standing
from predictdyn.ledger.strips import strip
from predictdyn.report.render import NOT_TEXT
from predictdyn.report.style import variables
from predictdyn.report.words import UNKNOWN, between, count, percent, value

MARK = "record.json"  # the file by which a folder is known as a record
PER_PAGE = 250  # questions of a list
STATES = {
    "open": "open: the logs have not answered yet",
    "due": "due: the date has passed, and no log was read since",
    "resolved": "resolved",
    "censored": "censored: the run stopped, or the question closed, before it could be answered",
    "void": "void: by a rule that was fixed beforehand, nobody was right or wrong",
}


class Site(NamedTuple):
    """What all pages share."""

    title: str
    address: str  # where the site will be, with a slash at its end; "" where nobody has said
    ledger: str  # its own name, from its first entry
    found: Standing
    authors: list[str]
    updated: str

    def common(self, page: str, **more: Any) -> dict[str, Any]:
        """What the frame of every page asks for."""
        up = "../" * page.count("/")
        return {
            "site": self.title,
            "address": self.address,
            "page": page,
            "up": up,
            "updated": self.updated,
            "head": self.found.head,
            "count": self.found.size,
            "version": __version__,
            **more,
        }


def write_site(entries: list[ChainEntry], folder: Path, *, title: str, address: str, now: datetime) -> Standing:
    """Write all files of the site into a folder that is there and empty; the tables they were made from."""
    found = standing(entries, now)
    authors = [str(name) for name in dict.fromkeys(found.forecasts["author"]) if name]
    begun = entries[0].content if entries else {}
    updated = str(entries[-1].content["time"]) if entries else now.strftime(TIME)
    site = Site(
        title, f"{address.rstrip('/')}/" if address else "", str(begun.get("name", "")), found, authors, updated
    )
    pages = _templates()
    rows = counted(found.forecasts)
    said, told = headline(found, rows)
    _write(folder / "style.css", _style())
    description = " ".join([said + ".", *told])
    _write(
        folder / "index.html",
        pages.get_template("record.html").render(
            site.common(
                "index.html",
                title=title,
                description=description,
                heading=said,
                proof=told,
                kind="website",
                sections=sections(found, rows),
                metadata=json_ld(_about(site, description)),
            )
        ),
    )
    _questions(site, entries, pages, folder)
    _lists(site, pages, folder)
    news = list(_news(found))
    author = ", ".join(authors) or "predictdyn"
    _write(
        folder / "feed.atom", feeds.atom(title, site.ledger, news, address=site.address, updated=updated, author=author)
    )
    _write(folder / "feed.json", feeds.json_feed(title, site.ledger, news, address=site.address, author=author))
    _write(folder / "badge.svg", _badge(rows))
    allowed = f"\nSitemap: {site.address}sitemap.xml" if site.address else ""
    _write(folder / "robots.txt", f"User-agent: *\nAllow: /{allowed}\n")
    if site.address:
        _write(folder / "sitemap.xml", _sitemap(site))
    _write(folder / "CITATION.cff", citation(title, authors=authors, released=updated, address=site.address))
    _write(folder / MARK, _summary(site, rows, said))
    return found


def _about(site: Site, description: str) -> dict[str, Any]:
    created = str(site.found.questions["asked"].min()) if len(site.found.questions) else site.updated
    return dataset(
        site.title,
        description,
        created=created,
        modified=site.updated,
        authors=site.authors,
        files={"record.json": "application/json", "feed.json": "application/feed+json"},
        measured=[str(name) for name in dict.fromkeys(site.found.questions["metric"])][:50],
        identifier=feeds.identity(site.ledger, "record"),
    )


def _questions(site: Site, entries: list[ChainEntry], pages: Environment, folder: Path) -> None:
    """A page and a JSON file of each question."""
    (folder / "q").mkdir()
    frame = pages.get_template("question.html")
    of: dict[str, list[ChainEntry]] = {}
    for entry in entries:
        name = entry.content.get("id")
        if name:
            of.setdefault(name, []).append(entry)
    forecasts = {name: records(own) for name, own in site.found.forecasts.groupby("question", sort=False)}
    for question in records(site.found.questions):
        name, own = question["question"], forecasts[question["question"]]
        contents = [entry.content for entry in of[name]]
        asked = contents[0]
        known = isinstance(question["truth"], float) and math.isfinite(question["truth"])
        metric = question["what"] == "metric"
        described = _described(question, own[-1], known)
        _write(
            folder / "q" / f"{name}.html",
            frame.render(
                site.common(
                    f"q/{name}.html",
                    title=question["text"],
                    description=described,
                    heading=question["text"],
                    proof=[described],
                    kind="article",
                    answered=known,
                    drawing=strip(own, question["truth"]) if metric else "",
                    head_row=["registered", "forecaster", "author", "seen", *(_METRIC_HEAD if metric else _EVENT_HEAD)],
                    rows=[_row(one, metric) for one in own],
                    rule=_rule(asked, question),
                    json=f"{name}.json",
                    hashes=[f"{entry.number}: {entry.hash}" for entry in of[name]],
                    metadata=json_ld(
                        a_report(
                            question["text"],
                            described,
                            created=str(question["asked"]),
                            authors=list(dict.fromkeys(str(one["author"]) for one in own)),
                            identifier=feeds.identity(site.ledger, name),
                            about=[str(question["metric"]), str(question["run"])],
                        )
                    ),
                )
            ),
        )
        _write(folder / "q" / f"{name}.json", _as_json(question, own, of[name]))


_METRIC_HEAD = ["median", "90 % range", "CRPS", "best baseline's CRPS", "PIT"]
_EVENT_HEAD = ["probability", "Brier score"]


def _described(question: dict[str, Any], newest: dict[str, Any], known: bool) -> str:
    state = STATES[question["state"]]
    said = (
        f"{between(newest['q0.05'], newest['q0.95'])} with 90{chr(160)}% probability"
        if question["what"] == "metric"
        else f"probability {percent(newest['probability'])}"
    )
    outcome = ""
    if known:
        outcome = (
            f" Ruling: {value(question['truth'])}."
            if question["what"] == "metric"
            else (" It happened." if question["truth"] else " It did not happen.")
        )
    why = f" ({question['reason']})" if question["reason"] else ""
    return f"Forecast: {said}. State: {state}{why}.{outcome}"


def _row(one: dict[str, Any], metric: bool) -> list[str]:
    seen = f"{percent(one['progress'])}{' (replay)' if one['replay'] else ''}"
    head = [one["time"].replace("T", " ").rstrip("Z"), one["forecaster"], one["author"] or UNKNOWN, seen]
    if not metric:
        return [*head, percent(one["probability"]), value(one["brier"])]
    best = (
        min(one["baselines"].items(), key=lambda pair: pair[1], default=None)
        if isinstance(one["baselines"], dict)
        else None
    )
    return [
        *head,
        value(one["q0.5"], one["q0.95"] - one["q0.05"]),
        between(one["q0.05"], one["q0.95"]),
        value(one["crps"]),
        UNKNOWN if best is None else f"{value(best[1])} ({best[0]})",
        UNKNOWN if math.isnan(one["pit"]) else f"{one['pit']:.2f}",
    ]


def _rule(content: dict[str, Any], question: dict[str, Any]) -> list[str]:
    asked, rule = content["question"], content["question"]["rule"]
    n = rule["last_n"]
    what = (
        f"{asked['metric']} of {asked['run']} at step {asked['step']:g}: "
        + ("the last value" if n == 1 else f"the mean of the last {n} values")
        + " logged up to there, the last of them at 98 % of the step or later."
        if question["what"] == "metric"
        else f"Whether {asked['event']} for {asked['run']}, each metric at its step."
    )
    lines = [what]
    if rule["evaluation"]:
        lines.append(f"Version of the evaluation: {rule['evaluation']}.")
    if rule["resolve_by"] is not None:
        by = rule["resolve_by"]
        lines.append(
            f"Closes at {by if isinstance(by, str) else f'step {by:g}'}: without such a value by then it is censored."
        )
    lines.append(f"Void if: {', '.join([*rule['void_if'], 'the answer takes a value that the forecast had seen'])}.")
    made = content["made"]
    lines.append(f"Made with predictdyn {made.get('predictdyn', '')} on data with the hash {made['data'][:SHORT]}.")
    return lines


def _as_json(question: dict[str, Any], own: list[dict[str, Any]], entries: list[ChainEntry]) -> str:
    """For other tools: quantiles as numbers, scores, and the entries as they stand in the ledger, without draws."""
    forecasts = [
        {
            **{
                name: _number(one[name])
                for name in (
                    "entry",
                    "hash",
                    "time",
                    "forecaster",
                    "author",
                    "progress",
                    "replay",
                    "probability",
                    "crps",
                    "log_score",
                    "pit",
                    "brier",
                )
            },
            "quantiles": {name[1:]: one[name] for name in QUANTILES} if question["what"] == "metric" else {},
            "baselines": one["baselines"] if isinstance(one["baselines"], dict) else {},
        }
        for one in own
    ]
    asked = entries[0].content
    data = {
        **{
            name: _number(question[name])
            for name in (
                "question",
                "text",
                "what",
                "run",
                "family",
                "metric",
                "kind",
                "step",
                "state",
                "truth",
                "reason",
                "asked",
                "answered",
            )
        },
        "rule": asked["question"]["rule"],
        "made": asked["made"],
        "forecasts": forecasts,
    }
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _number(one: Any) -> Any:
    """Missing values as JSON has them."""
    if isinstance(one, float):
        return one if math.isfinite(one) else None
    return one.item() if hasattr(one, "item") else one


def _lists(site: Site, pages: Environment, folder: Path) -> None:
    """All questions, the newest first, in pages."""
    frame = pages.get_template("list.html")
    rows = records(site.found.questions.iloc[::-1])
    n = max(1, -(-len(rows) // PER_PAGE))
    for number in range(1, n + 1):
        part = rows[(number - 1) * PER_PAGE : number * PER_PAGE]
        name = f"all-{number}.html"
        links = [{"href": f"all-{i}.html", "text": str(i), "here": i == number} for i in range(1, n + 1)]
        heading = f"All {count(len(rows), 'question')}" + (f", page {number} of {n}" if n > 1 else "")
        _write(
            folder / name,
            frame.render(
                site.common(
                    name,
                    title=f"{site.title}: {heading}",
                    description=heading,
                    heading=heading,
                    proof=[],
                    kind="website",
                    pages=links,
                    caption="The newest first.",
                    head_row=QUESTION_HEAD,
                    rows=[question_cells(row) for row in part],
                    metadata=json_ld({"@type": "CollectionPage", "name": heading}),
                )
            ),
        )


def _news(found: Standing) -> Iterator[feeds.FeedItem]:
    """What happened, the newest first: forecasts that were registered, and answers."""
    text = found.questions.set_index("question")["text"]
    told = [
        feeds.FeedItem(
            row["entry"],
            f"q/{row['question']}.html",
            row["time"],
            f"Forecast: {text[row['question']]}",
            f"{row['forecaster']}: "
            + (
                f"{between(row['q0.05'], row['q0.95'])} with 90 % probability"
                if row["what"] == "metric"
                else percent(row["probability"])
            ),
        )
        for row in found.forecasts.tail(feeds.NEWEST).to_dict("records")
    ]
    answered = found.questions[found.questions["answered"].notna()].sort_values("resolution").tail(feeds.NEWEST)
    told += [
        feeds.FeedItem(
            int(row["resolution"]),
            f"q/{row['question']}.html",
            row["answered"],
            f"Answer: {row['text']}",
            f"{row['state']}" + (f": {value(row['truth'])}" if row["state"] == "resolved" else f": {row['reason']}"),
        )
        for row in answered.to_dict("records")
    ]
    yield from sorted(told, key=lambda one: -one.entry)


def _badge(rows: pd.DataFrame) -> str:
    if not len(rows):
        return feeds.badge("forecasts", "none resolved yet", good=None)
    share, low, high = next(one[1:] for one in calibration(rows).coverage if one[0] == 0.9)
    good = None if len(rows) < 20 else low <= 0.9 <= high
    return feeds.badge("90 % intervals held", f"{percent(share)} of {len(rows):,}", good=good)


def _summary(site: Site, rows: pd.DataFrame, said: str) -> str:
    states = {str(name): int(n) for name, n in site.found.questions["state"].value_counts().items()}
    data = {
        "made": "record",
        "predictdyn": __version__,
        "title": site.title,
        "headline": said,
        "updated": site.updated,
        "head": site.found.head,
        "entries": site.found.size,
        "states": states,
        "counted": len(rows),
        "questions": [f"q/{name}.json" for name in site.found.questions["question"]],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _sitemap(site: Site) -> str:
    names = ["index.html", "all-1.html", *(f"q/{name}.html" for name in site.found.questions["question"])]
    places = "".join(f"<url><loc>{site.address}{name}</loc></url>" for name in names)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{places}</urlset>\n'


def _style() -> str:
    own = ".figures{margin-top:1rem}code{overflow-wrap:anywhere;font-size:.9em}figure .drawing{max-width:46rem}"
    css = package_files("predictdyn.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"{variables(':root')}\n{css}\n{own}\n"


def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("predictdyn.ledger", "site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _write(file: Path, text: str) -> None:
    file.write_text(NOT_TEXT.sub("\ufffd", text), encoding="utf-8")
