"""PURE: how the report looks: its style sheet and the patterns of its drawings.

Owns colours and classes. The hues are those of Okabe and Ito, which readers with any colour vision
tell apart; what matters most has a pattern or an outline, too, so that it survives a black and
white printer.
"""

from typing import Final

CSS: Final = """
:root { --ink: #1b1f24; --soft: #5b6570; --line: #d5dae0; --paper: #fff; --band: #f4f6f8; }
* { box-sizing: border-box; }
html { background: var(--band); }
body { margin: 0 auto; padding: 20px 28px 40px; max-width: 1240px; color: var(--ink);
  background: var(--paper); font: 14px/1.45 "DejaVu Sans", "Segoe UI", Helvetica, sans-serif; }
h1 { margin: 0; font-size: 24px; }
h2 { margin: 30px 0 6px; padding-bottom: 4px; font-size: 17px;
  border-bottom: 2px solid var(--ink); }
h3 { margin: 14px 0 4px; font-size: 14px; }
p { margin: 2px 0 8px; max-width: 90ch; }
.soft, .small { color: var(--soft); }
.facts { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0 0; padding: 0;
  list-style: none; }
.facts li { flex: 1 1 130px; padding: 8px 12px; border: 1px solid var(--line); border-radius: 4px; }
.facts b { display: block; font-size: 21px; line-height: 1.2; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 4px 28px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 4px 0 6px; font-size: 12px; }
.legend span { display: inline-flex; align-items: center; gap: 5px; }
.legend svg { width: 22px; height: 14px; }
svg { display: block; width: 100%; height: auto; }
svg text { dominant-baseline: central; font-size: 12px; fill: var(--ink); }
svg text.small { font-size: 11px; fill: var(--soft); }
svg text.strong { font-weight: bold; }
svg text.inside { font-size: 11px; }
table { width: 100%; margin: 8px 0 4px; border-collapse: collapse; font-size: 12px; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid var(--ink); }
th, td { padding: 3px 8px; vertical-align: top; }
td { overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
th.number { text-align: right; }
td { border-bottom: 1px solid var(--line); }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tbody tr:nth-child(even) { background: var(--band); }
footer { margin-top: 28px; font-size: 12px; color: var(--soft); }

.grid { stroke: var(--line); stroke-width: 1; }
.frame { fill: var(--band); stroke: var(--line); }
.good, .productive, .running { fill: #009e73; }
.quality { fill: url(#rising); }
.speed { fill: #56b4e9; }
.delay { fill: #d55e00; }
.set_up { fill: #e69f00; }
.no_order { fill: #f0e442; }
.planned { fill: #c8cdd3; }
.element.unknown, .state.unknown { fill: url(#dotted); stroke: #5b6570; stroke-width: .5; }
.moving { fill: #56b4e9; }
.idle { fill: #f0e442; }
.held { fill: #e69f00; }
.aborted { fill: #d55e00; }
.stopped { fill: #cc79a7; }
.scrap { fill: url(#rising); stroke: #b3266e; stroke-width: .5; }
.stop { fill: #d55e00; }
.plan { stroke: var(--ink); stroke-width: 3; }
.trace { fill: none; stroke: #0072b2; stroke-width: 1.2; }
.level { stroke-width: 1.4; }
.limit { stroke: #d55e00; }
.control { stroke: #e69f00; stroke-dasharray: 7 4; }
.centre { stroke: #5b6570; stroke-dasharray: 2 3; }
.step { fill: none; }
.zone { stroke: var(--soft); stroke-width: .7; stroke-dasharray: 1 5; }
.paper { fill: var(--paper); }
.mark { fill: #0072b2; }
.breaks-limits { fill: #d55e00; stroke: var(--ink); }
.breaks-control { fill: #fff; stroke: #d55e00; stroke-width: 2; }
.breaks-run { fill: #fff; stroke: #0072b2; stroke-width: 2; }

@page { size: A4 landscape; margin: 12mm; }
@media print {
  html, body { background: #fff; padding: 0; max-width: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  section, table, svg, .pair > div { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
}
@media (max-width: 800px) { .pair { grid-template-columns: minmax(0, 1fr); } }
"""

PATTERNS: Final = """\
<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<pattern id="rising" width="6" height="6" patternUnits="userSpaceOnUse">\
<rect width="6" height="6" fill="#f3c1db"/>\
<path d="M0 6L6 0M-1 1L1 -1M5 7L7 5" stroke="#b3266e" stroke-width="1.6"/></pattern>
<pattern id="dotted" width="5" height="5" patternUnits="userSpaceOnUse">\
<rect width="5" height="5" fill="#fff"/><circle cx="2.5" cy="2.5" r="1" fill="#5b6570"/></pattern>
</defs></svg>"""
