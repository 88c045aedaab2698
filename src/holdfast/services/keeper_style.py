"""The look of the keeper's page: one style sheet, light and dark, whose hash the page's policy
names.
"""

STYLE = """
:root { color-scheme: light dark; --text: #1d2330; --dim: #5b6472; --paper: #fff; --line: #d9dde4;
  --good: #13734a; --left: #2f9e6e; --past: #c3d9ce; --after: #e3b7b1; --bad: #b3261e;
  --warn: #8a5300; --warn-paper: #fdf3e1; --link: #1f5fbf; --tag: #eef1f6; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ef; --dim: #a0a9b8; --paper: #14171d;
  --line: #333a46; --good: #5fd39f; --left: #35a473; --past: #2c4a3d; --after: #6b3531;
  --bad: #ff8a80; --warn: #f2bf6c; --warn-paper: #33291a; --link: #8ab4f8; --tag: #262c37; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper);
  margin: 0 auto; max-width: 84rem; padding: 1.2rem 1.2rem 2rem; }
h1 { font-size: 1.35rem; margin: 0; } p { margin: .3rem 0; } a { color: var(--link); }
.dim { color: var(--dim); } small { display: block; font-weight: 400; font-size: .85em; }
li small { display: inline; } li .trouble small { display: block; }
ul { list-style: none; margin: 0; padding: 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .5rem; margin: .8rem 0; }
nav li a { display: block; padding: .25rem .7rem; border: 1px solid var(--line);
  border-radius: 1rem; text-decoration: none; color: var(--text); }
nav li a[aria-current] { border-color: var(--link); box-shadow: inset 0 0 0 1px var(--link); }
nav .missing b, nav .expired b, nav .revoked b { color: var(--bad); }
nav .good b { color: var(--good); }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-size: .85em; padding: .2rem 0; }
th, td { text-align: left; padding: .6rem .8rem .6rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
thead th { font-size: .85em; color: var(--dim); font-weight: 600; }
tbody th { width: 17rem; } td:nth-child(3) { width: 15rem; } td:nth-child(4) { width: 15rem; }
.state { font-weight: 600; } .good .state { color: var(--good); }
.revoked .state, .expired .state, .missing .state { color: var(--bad); }
.tag, .alarm { font-size: .78em; font-weight: 600; padding: .05rem .45rem; border-radius: .6rem;
  background: var(--tag); white-space: nowrap; }
.alarm { color: var(--warn); background: var(--warn-paper); }
.line { display: block; width: 100%; height: auto; max-width: 40rem; margin-top: .2rem; }
.ends { display: flex; justify-content: space-between; max-width: 40rem; font-size: .8em; }
rect.past { fill: var(--past); } rect.left { fill: var(--left); } rect.after { fill: var(--after); }
.revoked rect.left { fill: var(--bad); } .expired rect.past { fill: var(--after); }
path.rung { stroke: var(--dim); stroke-width: 1; opacity: .6; }
path.withdraw { stroke: var(--bad); stroke-width: 2; }
path.ask { fill: var(--link); }
path.now { stroke: var(--text); stroke-width: 2; } circle.now { fill: var(--text); }
.trouble { color: var(--warn); background: var(--warn-paper); border-radius: .3rem;
  padding: .25rem .5rem; margin-top: .35rem; font-size: .9em; }
.lacks { color: var(--warn); } .not-applicable .lacks { color: var(--dim); }
.key { display: inline-block; width: 1rem; height: .6rem; margin: 0 .2rem 0 .8rem;
  border-radius: .1rem; }
.key.past { background: var(--past); margin-left: 0; } .key.left { background: var(--left); }
.key.after { background: var(--after); } .key.ask { background: var(--link); width: .6rem;
  clip-path: polygon(50% 0, 100% 100%, 0 100%); }
.key.rung { background: var(--dim); width: 1px; } .key.now { background: var(--text); width: 2px; }
footer { margin-top: 1rem; font-size: .85em; }
@media (max-width: 48rem) { thead { position: absolute; left: -99rem; }
  tr, tbody th, td, td:nth-child(3), td:nth-child(4) { display: block; width: auto; border: 0;
  padding: .15rem 0; } tbody tr { border-bottom: 1px solid var(--line); padding: .6rem 0; } }
"""
