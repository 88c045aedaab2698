"""The look of the report as HTML: one style sheet, for light, dark and paper; its hash is in the
page's policy."""

STYLE = """
:root { color-scheme: light dark; --text: #1d2330; --dim: #5b6472; --paper: #fff; --line: #d9dde4;
  --box: #f6f7f9; --good: #13734a; --left: #2f9e6e; --past: #c3d9ce; --bad: #b3261e;
  --after: #e3b7b1; --warn: #8a5300; --code: #eef1f6; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ef; --dim: #a0a9b8; --paper: #14171d;
  --line: #333a46; --box: #1b1f27; --good: #5fd39f; --left: #35a473; --past: #2c4a3d;
  --bad: #ff8a80; --after: #6b3531; --warn: #f2bf6c; --code: #262c37; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper);
  margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.2rem 3rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.2rem; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: .85rem; margin: 1.2rem 0 .3rem; color: var(--dim); font-weight: 600; }
p { margin: .3rem 0; } .dim { color: var(--dim); } a { color: inherit; }
article { border-top: 2px solid var(--line); margin-top: 2rem; padding-top: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .92em; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { color: var(--dim); font-weight: 600; font-size: .88em; }
td.number { font-variant-numeric: tabular-nums; }
.verdict { font-weight: 600; } td .verdict, .client { white-space: nowrap; }
.good { color: var(--good); }
.warning { color: var(--warn); }
.bad, .unreachable, .fault, .fatal { color: var(--bad); }
.not-applicable, .note { color: var(--dim); }
ol { list-style: none; margin: 0; padding: 0; }
li.finding { border-left: 4px solid currentColor; padding: .1rem 0 .1rem .8rem; margin: .7rem 0; }
li.finding > * { color: var(--text); }
li.finding .severity { color: inherit; font-weight: 600; }
li.finding .hint { background: var(--box); padding: .3rem .6rem; border-radius: .3rem; }
pre { background: var(--code); padding: .5rem .7rem; border-radius: .3rem;
  overflow-x: auto; margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
code { background: var(--code); border-radius: .2rem; padding: 0 .25rem; overflow-wrap: anywhere; }
svg { display: block; width: 100%; max-width: 40rem; height: auto; }
rect.past { fill: var(--past); } rect.left { fill: var(--left); } rect.after { fill: var(--after); }
path.end { stroke: var(--dim); } path.now { stroke: var(--text); stroke-width: 2; }
path.over { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 3 3; }
circle.now { fill: var(--text); }
.ends { display: flex; justify-content: space-between; max-width: 40rem; font-size: .82em; }
footer { margin-top: 2.5rem; font-size: .85em; }
@media screen and (max-width: 42rem) { thead { position: absolute; left: -99rem; }
  tr, td { display: block; border: 0; padding: .1rem 0; }
  tr { border-bottom: 1px solid var(--line); padding: .4rem 0; } }
@page { margin: 16mm 14mm; }
@media print { :root { color-scheme: light; --text: #000; --dim: #444; --paper: #fff; --line: #bbb;
  --box: #f4f4f4; --good: #0b5c3a; --left: #2f9e6e; --past: #c3d9ce; --bad: #9c1c15;
  --after: #e3b7b1; --warn: #714400; --code: #f0f0f0; }
  body { font-size: 10.5pt; max-width: none; padding: 0; }
  * { print-color-adjust: exact; }
  article { break-before: page; border-top: 0; margin-top: 0; padding-top: 0; }
  article.only { break-before: auto; margin-top: 1rem; }
  h2, h3 { break-after: avoid; } li.finding, tr, figure { break-inside: avoid; }
  thead { display: table-header-group; } a { text-decoration: none; } }
figure { margin: .4rem 0 .8rem; }
"""
