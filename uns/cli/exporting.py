"""What `uns export` does: the store of a data folder into files of the user's."""

from pathlib import Path

from uns.cli.errors import UsageError
from uns.cli.folder import find_folder
from uns.cli.options import instant_ms
from uns.cli.output import note, print_json, print_table
from uns.cli.reading import plant_time


def parquet(
    root: Path,
    period: tuple[str | None, str | None],
    tables: str | None,
    data: Path | None,
    *,
    as_json: bool,
) -> None:
    """Bring a folder of Parquet files up to date, and print what was written."""
    from uns.historian.datasets import DATASETS, Window  # noqa: PLC0415 - DuckDB takes long to load
    from uns.historian.parquet import Job, export  # noqa: PLC0415 - as above
    from uns.historian.parquet_folder import ExportFolder  # noqa: PLC0415 - as above

    source = find_folder(data)
    now_ms = plant_time(source)
    from_ms, to_ms = (instant_ms(text, now_ms, now_ms) if text else None for text in period)
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise UsageError("--from lies behind --to")
    chosen = tuple(DATASETS) if tables is None else tuple(tables.split(","))
    job = Job(source.load_connection()["store"], ExportFolder(root), Window(from_ms, to_ms), chosen)
    done = export(job)
    if as_json:
        print_json({name: one._asdict() for name, one in done.items()})
        return
    print_table(
        ("read model", "days", "rows"), [(n, one.days, one.rows) for n, one in done.items()]
    )
    if kept := sum(one.kept for one in done.values()):
        note(f"{kept} days stay as they were exported: the store has let go of rows of them")
