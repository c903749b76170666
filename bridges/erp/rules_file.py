"""The mapping file: refused with the line and column of each fault.

Owns the file. What its rules mean is mapping.py.
"""

from pathlib import Path
from typing import Final

from bridges.erp.errors import BadMapping, FolderLost
from bridges.erp.mapping import MappingRules
from uns.model.namespace import NamespaceError, parse_yaml

FAULTS_SAID_MAX: Final = 3


def read_rules(path: Path) -> MappingRules:
    """The rules of a file. Raises BadMapping, or FolderLost where it cannot be read."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), path.name, MappingRules)
    except NamespaceError as error:
        said = "; ".join(map(str, error.faults[:FAULTS_SAID_MAX]))
        more = len(error.faults) - FAULTS_SAID_MAX
        raise BadMapping(f"{said}; and {more} more" if more > 0 else said) from None
    except UnicodeDecodeError as error:
        raise BadMapping(f"{path.name}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise FolderLost(f"{error.strerror}: {path}") from None
