"""The style of the HTML report: light, dark, and on paper."""

from __future__ import annotations

STYLE = """
:root{--ink:#1b2430;--dim:#5b6775;--paper:#fff;--line:#dfe4ea;--soft:#f4f6f8;--good:#14804a;
--bad:#c0362c;--open:#9a6700;--first:#2b6cb0;--second:#b7791f;--third:#6b46c1;--fourth:#718096}
@media (prefers-color-scheme:dark){:root{--ink:#e6eaef;--dim:#9aa7b5;--paper:#14181d;--line:#2c343d;
--soft:#1c2229;--good:#4cc38a;--bad:#ff7b72;--open:#e3b341;--first:#6cb2ff;--second:#e8b25c;
--third:#b794f4;--fourth:#8b98a5}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:900px;margin:0 auto;padding:24px 20px 64px}
header{border-left:6px solid var(--open);background:var(--soft);padding:16px 20px;border-radius:6px}
header.go{border-color:var(--good)}header.no_go{border-color:var(--bad)}
header.go_conditional{border-color:var(--open)}
h1{margin:2px 0 6px;font-size:30px;line-height:1.2}
h2{font-size:19px;margin:34px 0 10px;padding-bottom:4px;border-bottom:1px solid var(--line)}
h3{font-size:14px;margin:18px 0 4px;color:var(--dim);text-transform:uppercase;letter-spacing:.06em}
p{margin:6px 0}.eyebrow,.dim{color:var(--dim);font-size:13px}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--soft);
padding:1px 5px;border-radius:4px;overflow-wrap:anywhere}
header code{background:var(--paper)}
table{border-collapse:collapse;width:100%;margin:8px 0}
.wide{overflow-x:auto}
th{text-align:left;font-size:12.5px;color:var(--dim);font-weight:600}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
.num+td:not(.num),.num+th:not(.num){padding-left:14px}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.checks td:first-child{width:100px}.checks td:nth-child(2){width:44%}
.badge{display:inline-block;white-space:nowrap;min-width:68px;text-align:center;border-radius:10px;padding:1px 8px;
font-size:12.5px;font-weight:600;border:1px solid currentColor}
.pass{color:var(--good)}.fail{color:var(--bad)}.unknown{color:var(--open)}.na{color:var(--dim)}
.human{color:var(--third)}
ul{margin:6px 0;padding-left:20px}li{margin:3px 0}
details{margin:8px 0}summary{cursor:pointer}
svg{display:block;width:100%;height:auto;max-width:760px;margin:6px 0}
svg text{font-size:12px;fill:var(--ink)}
svg .tick{fill:var(--dim);font-size:11px}svg .note{fill:var(--dim);font-size:11px}
svg .mid{text-anchor:middle}svg .end{text-anchor:end}
svg .grid{stroke:var(--line)}svg .zero{stroke:var(--dim);stroke-width:1.5}
svg .limit{stroke:var(--bad);stroke-dasharray:4 3}
svg .wall{stroke:var(--dim);stroke-dasharray:2 3;stroke-width:1.5}
svg .retired{stroke:var(--bad);stroke-width:3}
svg .band{opacity:.14}svg .band.first{fill:var(--first)}
svg .curve{fill:none;stroke-width:2;stroke-linejoin:round}
svg .span{stroke:var(--first);stroke-width:2.5;stroke-linecap:round}
svg .dot{fill:var(--first)}
svg .span.good{stroke:var(--good)}svg .dot.good{fill:var(--good)}
svg .span.bad{stroke:var(--bad)}svg .dot.bad{fill:var(--bad)}
svg .span.beaten{stroke:var(--fourth)}svg .dot.beaten{fill:var(--fourth)}
svg .span.plain{stroke:var(--open)}svg .dot.plain{fill:var(--open)}
svg .curve.first{stroke:var(--first)}svg text.first{fill:var(--first)}
svg .curve.second{stroke:var(--second)}svg text.second{fill:var(--second)}
svg .curve.third{stroke:var(--third)}svg text.third{fill:var(--third)}
svg .curve.good{stroke:var(--good)}svg text.good{fill:var(--good)}
svg .curve.fourth{stroke:var(--fourth)}svg text.fourth{fill:var(--fourth)}
svg .bar.good{fill:var(--good)}svg .bar.bad{fill:var(--bad)}
@media screen and (max-width:640px){main{padding:16px 12px 48px}
.wide td:not(.num),.wide th:not(.num){min-width:8em}.wide .num{white-space:nowrap}
.wide svg{width:600px;max-width:none}
.checks tr{display:block;padding:8px 0;border-bottom:1px solid var(--line)}
.checks td,.checks td:first-child,.checks td:nth-child(2){display:block;width:auto;border:0;padding:1px 0}}
@media print{:root{--ink:#000;--dim:#444;--paper:#fff;--line:#bbb;--soft:#fff;--good:#0b5d35;
--bad:#9d1c14;--open:#6b4800;--first:#1a4f86;--second:#8a5a10;--third:#4b2e91;--fourth:#555}
main{max-width:none;padding:0}section{break-inside:avoid-page}details{display:block}
h2,h3{break-after:avoid}tr,svg{break-inside:avoid}}
"""
