# ruff: noqa: INP001 - a script, no package
"""Write mosquitto.conf and the table in README.md anew from uns.mqtt.broker_config.SETTINGS."""

from pathlib import Path

from uns.mqtt.broker_config import CONTAINER, render_config, render_readme_table

HERE = Path(__file__).parent
MARK = "<!-- settings, by render.py -->\n"


def with_table(readme: str) -> str:
    """The README with the table between its two marks renewed."""
    before, _, after = readme.split(MARK)
    return f"{before}{MARK}\n{render_readme_table()}\n{MARK}{after}"


if __name__ == "__main__":
    HERE.joinpath("mosquitto.conf").write_text(render_config(CONTAINER))
    readme = HERE / "README.md"
    readme.write_text(with_table(readme.read_text()))
