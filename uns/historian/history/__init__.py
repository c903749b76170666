"""The questions that people ask of the past, each a function over a Reader with a typed answer.

Owns what a question means (how long a value holds, what a gap is, how KPIs add up) and how much an
answer may hold. Reads the public views only; knows no command, no web server and no clock: every
question names its period, whose end is no later than plant time now.

    period           PURE  the span of time asked for, pages, the base of all answers
    sampling         PURE  samples -> values held over time; lttb: points worth drawing
    production_days  PURE  a period by shift, day, week, month or year of a site
    charts           PURE  what a control chart draws
    tag_samples            a tag's samples in their order, summed up by steps
    summed                 a tag over a period, from roll-ups where these tell it right
    drawn                  which values of a tag are worth drawing
    values                 newest values, raw and down-sampled history, the tree at an instant
    coverage               where in a period a tag is not known: unknown is never idle
    states                 what each cell was doing
    downtime               stops by reason, cell, order
    oee                    OEE by sums at any level and calendar, with the minutes lost
    energy                 what meters counted, and of it for each good piece
    orders                 orders, and the story of one
    spc                    characteristics with limits
    yields                 first-pass and rolled-throughput yield, by sums
    defects                what is wrong with pieces, the most frequent first
    genealogy              what a lot contains, and where it went
"""
