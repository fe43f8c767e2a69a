"""The style sheet of the report. The page's policy allows it by its hash, and nothing else."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --soft: #50575f;
  --line: #c9ced4; --track: #e8ebee; --bar: #2b6cb0; --dot: #17456f; --mark: #a33c00;
  --box: #f4f6f8; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --text: #e8eaed; --soft: #a9b1ba;
  --line: #3d444c; --track: #2a3037; --bar: #5aa2e6; --dot: #a8d2fb; --mark: #ffab70;
  --box: #1d2226; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.25rem 1rem 3rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, "DejaVu Sans", Verdana, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.25rem 0 .25rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.soft, figcaption, caption { color: var(--soft); }
.key { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem;
  margin: 1rem 0; padding: 0; list-style: none; }
.key li { background: var(--box); border: 1px solid var(--line); border-radius: .5rem;
  padding: .6rem .8rem; }
.key strong { display: block; font-size: 1.45rem; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.key span { color: var(--soft); font-size: .875rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; margin: .5rem 0 1rem; }
caption { text-align: left; padding: .25rem 0; font-size: .875rem; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: middle; }
th { font-weight: 600; }
tbody th { font-weight: 400; min-width: 9rem; max-width: 22rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg.bar { width: 10rem; height: .9rem; display: block; }
svg.plot { width: 100%; max-width: 22rem; height: auto; display: block; }
figure { margin: .5rem 0; }
figcaption { font-size: .875rem; max-width: 40rem; }
.track { fill: var(--track); } .bar rect.bar, rect.bar { fill: var(--bar); }
.dot { fill: var(--dot); }
.whisker { stroke: var(--dot); stroke-width: 2; }
.mark { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 3 2; }
.axis, .grid { stroke: var(--line); stroke-width: 1; }
.tick { fill: var(--soft); font-size: 11px; } .middle { text-anchor: middle; }
.end { text-anchor: end; dominant-baseline: middle; }
@media (max-width: 34rem) { svg.bar { width: 6rem; } tbody th { min-width: 7rem; }
  body { padding: 1rem .75rem 2rem; } h1 { font-size: 1.35rem; } }
@media print { :root { color-scheme: light; --page: #fff; --text: #000; --soft: #333;
  --line: #999; --track: #e8ebee; --bar: #2b6cb0; --dot: #000; --mark: #a33c00; --box: #fff; }
  @page { margin: 14mm 14mm 16mm;
    @bottom-left { content: "Service report; research software, not a medical device";
      font: 8pt sans-serif; }
    @bottom-right { content: counter(page) " of " counter(pages); font: 8pt sans-serif; } }
  html { font-size: 9pt; } body { max-width: none; padding: 0; }
  .key { grid-template-columns: repeat(6, 1fr); gap: 2mm; padding-right: 1px; }
  .key li { padding: 2mm; }
  .key strong { font-size: 1.15rem; }
  h2, h3, h2 + p, h3 + p, caption, thead { break-after: avoid; }
  p { max-width: none; }
  p, tr, figure, .key li, table:not(:has(tr:nth-child(9))) { break-inside: avoid; }
  thead { display: table-header-group; }
  h2 { margin-top: 1.25rem; } th, td { padding: .2rem .5rem .2rem 0; }
  .scroll { overflow: visible; } rect { print-color-adjust: exact; } }
"""
