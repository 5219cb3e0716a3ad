"""Writes the page and the figure of results on phones again, and their schema: ``python devices.py [FOLDER]``.

``larq-melius benchmark --device adb --results FOLDER`` writes the page itself; this is for files that were put there
otherwise, such as by Git.
"""

import json
from pathlib import Path

import click

from larq_melius.files import write_atomically
from larq_melius.zoo.devices.page import write_page
from larq_melius.zoo.devices.results import schema


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path(__file__).with_name("devices"))
def main(folder: Path) -> None:
    """Write README.md, latency.png and schema.json in FOLDER, by default devices/ beside this file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "schema.json", f"{json.dumps(schema(), indent=2, ensure_ascii=False)}\n".encode())
    click.echo(f"Wrote {write_page(folder)}.")


if __name__ == "__main__":
    main()
