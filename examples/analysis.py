"""A look into an export, cell by cell as in a notebook: `python examples/analysis.py EXPORT`.

Make the export first: `uns export parquet EXPORT`. Needs `pip install 'uns-mes[analytics]' pandas`.
"""

# %%
import sys

import uns.historian

EXPORT = sys.argv[1]


def ask(sql: str, **bounds: float) -> "uns.historian.Answer":
    """Ask the export."""
    return uns.historian.query(sql, over=EXPORT, **bounds)


# %% Where the time went: minutes by line, day and element of time (ISO 22400-2), from sums
times = ask("""
    SELECT line, CAST(at_utc(start_ms) AS DATE) AS day, element,
        sum(end_ms - start_ms) / 60000 AS minutes
    FROM oee_intervals GROUP BY ALL ORDER BY ALL
""").df()
print(times.pivot_table(index=["line", "day"], columns="element", values="minutes"))

# %% The longest stops, with the share they add up to
stops = ask("""
    SELECT cell, reason, count(*) AS stops, sum(duration_ms) / 60000 AS minutes
    FROM stops WHERE duration_ms IS NOT NULL GROUP BY ALL ORDER BY minutes DESC
""").df()
stops["share"] = stops["minutes"].cumsum() / stops["minutes"].sum()
print(stops.head(10))

# %% Every good sample of every tag, by minute: bounded, so that no notebook dies of it
samples = ask(
    """
    SELECT topic, date_trunc('minute', "at") AS minute, avg(value) AS mean, count(*) AS n
    FROM tags WHERE quality = 'good' AND value IS NOT NULL GROUP BY ALL ORDER BY ALL
    """,
    rows=100_000,
    memory_mb=256,
    timeout_s=60,
)
print(samples.df().groupby("topic")["mean"].describe())

# %% The same as Arrow, for Polars, scikit-learn or another DuckDB
print(samples.arrow().schema)
