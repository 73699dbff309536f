"""How a report looks: light and dark as the reader has it, and light on paper."""

LIGHT = """--paper: #ffffff; --card: #f6f8fa; --ink: #1f2328; --faint: #59636e; --rule: #d1d9e0; --base: #a8b1bb;
  --live: #0969da; --hot: #bc4c00; --calm: #dae1e7; --ok: #1a7f37; --bad: #cf222e;"""
DARK = """--paper: #0d1117; --card: #161b22; --ink: #e6edf3; --faint: #9198a1; --rule: #3d444d; --base: #656c76;
  --live: #4493f8; --hot: #f0883e; --calm: #262c36; --ok: #3fb950; --bad: #f85149;"""
# What is drawn of live traffic, wherever it stands.
FINDINGS = """
.verdict { border-left: 6px solid var(--faint); background: var(--card); padding: 12px 16px; margin: 16px 0;
  font-size: 18px; }
.verdict.ok { border-color: var(--ok); } .verdict.warn { border-color: var(--hot); }
.verdict.bad { border-color: var(--bad); }
.word { white-space: nowrap; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 16px; }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: 12px; margin: 0;
  break-inside: avoid; }
.card.hot { border-color: var(--hot); }
svg.plot { display: block; width: 100%; max-width: 340px; height: auto; font: 11px system-ui, sans-serif; }
svg.plot.wide { max-width: 720px; }
.plot text { fill: var(--faint); } rect.base { fill: var(--base); } rect.live, circle.live { fill: var(--live); }
rect.hot, circle.hot { fill: var(--hot); } rect.calm { fill: var(--calm); }
.axis { stroke: var(--faint); } .mark { stroke: var(--faint); stroke-dasharray: 3 3; }
.stroke { fill: none; stroke-width: 1.5; } .hot-line { stroke: var(--hot); } .live-line { stroke: var(--live); }
.swatch { display: inline-block; width: 10px; height: 10px; margin: 0 4px 0 12px; }
.swatch.base { background: var(--base); } .swatch.live { background: var(--live); }
.swatch.hot { background: var(--hot); }
.true { color: var(--hot); font-weight: 600; }
"""
CSS = f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 1100px; padding: 24px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif; overflow-wrap: anywhere; }}
h1 {{ font-size: 24px; margin: 0 0 4px; }} h2 {{ font-size: 18px; margin: 32px 0 8px; }}
h3 {{ font-size: 15px; margin: 0; }}
p {{ margin: 6px 0; }} .faint, figcaption {{ color: var(--faint); font-size: 13px; }}
table {{ border-collapse: collapse; width: 100%; font-size: 14px; }}
th, td {{ text-align: left; vertical-align: top; padding: 6px 10px 6px 0; border-bottom: 1px solid var(--rule); }}
th {{ color: var(--faint); font-weight: 600; white-space: nowrap; }} tbody th {{ width: 16em; }}
{FINDINGS}
.problem {{ border-left: 6px solid var(--hot); padding: 4px 12px; }}
@media screen and (max-width: 760px) {{ .word, th {{ white-space: normal; }} tbody th {{ width: auto; }} }}
@media print {{ :root {{ color-scheme: light; }} body {{ max-width: none; padding: 0; font-size: 11pt; }}
  .grid {{ grid-template-columns: 1fr 1fr; }} rect, circle, .swatch, .verdict, .card {{
  print-color-adjust: exact; -webkit-print-color-adjust: exact; }} h2 {{ break-after: avoid; }}
  tr {{ break-inside: avoid; }} }}
"""
