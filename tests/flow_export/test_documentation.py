"""The page on flow export: its configuration works, and its table names the elements that templates have."""

import re
from pathlib import Path

from netmote.config.document import check_document, parse_document
from netmote.daemon.config import Config
from netmote.flow_export.ipfix.templates import FlowTemplates

PAGE = (Path(__file__).parents[2] / "docs" / "flow-export.md").read_text()


def test_configuration_on_the_page_is_accepted() -> None:
    """The block can be copied as it stands."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    config = check_document(parse_document(block, "flow-export.md"), Config)
    assert [export.type for export in config.flow_export] == ["ipfix", "eve"]


def test_every_element_is_on_the_page() -> None:
    """Each element of a template stands in the table with its number, and no other does."""
    exported = {
        (each.name, each.number)
        for form in ("uniflow", "biflow")
        for template in FlowTemplates(form).templates
        for each in template.elements
    }
    table = PAGE.partition("| flow record |")[2].partition("\n\n")[0]
    told = {(name, int(number)) for name, number in re.findall(r"([a-z]\w+) (\d+)", table)}
    # Said elsewhere: biflowDirection is always 1, interfaceName is an option.
    assert told - {("interfaceName", 82)} == exported - {("biflowDirection", 239)}
