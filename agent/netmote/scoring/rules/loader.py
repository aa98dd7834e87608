"""Rule files to bound rules: every problem of every file at once, each with file, line, key, and what is allowed."""

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from netmote.config.builtin import builtin_path
from netmote.config.document import Document, Location, check_document, load_document
from netmote.errors import ConfigError, Problem
from netmote.scoring.known_assets import KnownAsset
from netmote.scoring.rules.binding import BoundRule, bind_rule
from netmote.scoring.rules.document import Rule, RuleFile

BUILTIN = "builtin"
_SUFFIXES = (".yaml", ".yml")


def load_rules(
    paths: Sequence[str], *, disabled: Collection[str] = (), known_assets: Sequence[KnownAsset] = ()
) -> tuple[BoundRule, ...]:
    """Read rule files and directories (of a directory every `.yaml` and `.yml`, by name); `builtin` stands for the shipped ones.

    Returns the rules that are not disabled, in the order of files, each without the known assets exempt from it. Raises ConfigError
    with every problem.
    """
    problems: list[Problem] = []
    rules: list[BoundRule] = []
    defined: dict[str, str] = {}
    for file in _files(paths, problems):
        try:
            document = load_document(file)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        rules.extend(_rules_of(document, defined, problems))
    if not problems:
        # Of files that could not be read the ids are not known.
        problems.extend(_unknown_ids("scoring.disabled_rules", disabled, defined))
        for asset in known_assets:
            key = f"scoring.known_assets ({asset.name})"
            problems.extend(_unknown_ids(f"{key}.exempt_from", asset.exempt_from, defined))
            problems.extend(_unknown_ids(f"{key}.watched_by", asset.watched_by, defined))
    if problems:
        raise ConfigError(problems)
    return tuple(_without(bound, known_assets) for bound in rules if bound.rule.id not in disabled)


def _unknown_ids(key: str, written: Collection[str], defined: Collection[str]) -> Iterator[Problem]:
    for rule_id in written:
        if rule_id not in defined:
            near = difflib.get_close_matches(rule_id, defined, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            message = f"{rule_id!r} is not the id of a rule; {hint}allowed: {', '.join(sorted(defined))}"
            yield Problem("configuration", None, key, message)


def _without(bound: BoundRule, known_assets: Sequence[KnownAsset]) -> BoundRule:
    networks = tuple(network for asset in known_assets if bound.rule.id in asset.rules for network in asset.addresses)
    if not networks:
        return bound
    exemptions = replace(bound.exemptions, networks=(*bound.exemptions.networks, *networks))
    return replace(bound, exemptions=exemptions)


def _files(paths: Sequence[str], problems: list[Problem]) -> list[Path]:
    files: list[Path] = []
    for written in paths:
        path = builtin_path("rules") if written == BUILTIN else Path(written)
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
            if not found:
                problems.append(Problem(str(path), None, "", f"holds no rule file ({' or '.join(_SUFFIXES)})"))
            files.extend(found)
        elif path.exists():
            files.append(path)
        else:
            problems.append(Problem(str(path), None, "", "is not there; write a file, a directory or the word 'builtin'"))
    return list(dict.fromkeys(files))


def _rules_of(document: Document, defined: dict[str, str], problems: list[Problem]) -> list[BoundRule]:
    try:
        checked = check_document(document, RuleFile).rules
        places = list(enumerate(checked))
    except ConfigError as error:
        problems.extend(error.problems)
        places = _valid_rules(document)
    bound_rules: list[BoundRule] = []
    for place, rule in places:
        at: Location = ("rules", place)

        def report(location: Location, message: str, at: Location = at) -> None:
            problems.append(document.problem((*at, *location), message))

        here = f"{document.name}:{document.line((*at, 'id'))}"
        if rule.id in defined:
            report(("id",), f"{rule.id!r} is defined already, at {defined[rule.id]}; ids are unique over all files")
        defined.setdefault(rule.id, here)
        bound = bind_rule(rule, report)
        if bound is not None:
            bound_rules.append(bound)
    return bound_rules


def _valid_rules(document: Document) -> list[tuple[int, Rule]]:
    """Of a document with problems those rules that have none of shape, so that their names and units are checked as well."""
    written = document.data.get("rules") if isinstance(document.data, dict) else None
    rules: list[tuple[int, Rule]] = []
    for place, item in enumerate(written if isinstance(written, list) else []):
        try:
            rules.append((place, Rule.model_validate(item)))
        except ValidationError:
            continue  # reported above, with all its problems
    return rules
