"""The look of the pages: that of the report, and what only pages with forms need."""

from __future__ import annotations

from orchestrator.reports.style import STYLE as OF_REPORTS

STYLE = (
    OF_REPORTS
    + """
main{max-width:1120px;padding:20px 20px 64px}
header.top{border:0;border-bottom:1px solid var(--line);border-radius:0;padding:0 20px}
header.top>div{max-width:1080px;margin:0 auto;display:flex;flex-wrap:wrap;align-items:center;gap:4px 18px}
.brand{font-weight:700;padding:10px 0;text-decoration:none}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:0 4px;margin:0;padding:0}
nav li{margin:0}
header.top nav a{display:block;padding:10px 8px;text-decoration:none;border-bottom:3px solid transparent}
header.top nav a[aria-current]{border-color:var(--first);font-weight:600}
a{color:var(--first);text-underline-offset:2px}
header.top a{color:var(--ink)}
h1{font-size:26px;margin:6px 0 10px}main{overflow-wrap:anywhere}
:focus-visible{outline:3px solid var(--first);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-9999px}
.skip:focus{left:12px;top:8px;background:var(--paper);padding:6px 10px;z-index:2}
caption{text-align:left;color:var(--dim);font-size:13px;padding:0 0 4px}
.wide table{min-width:520px}.wide th,.wide td{overflow-wrap:break-word}
.wide svg{min-width:520px}
td.tight,th.tight{white-space:nowrap}
form.filter>*,form.fields>*{min-width:0}
form.filter,form.fields{display:flex;flex-wrap:wrap;gap:10px 14px;align-items:end;margin:12px 0}
form.fields{display:grid;align-items:start;grid-template-columns:repeat(auto-fill,minmax(240px,1fr));max-width:1000px}
form.fields .whole{grid-column:1/-1}
label,.label{display:block;font-size:13px;font-weight:600;margin-bottom:3px}
.help{display:block;font-weight:400;color:var(--dim);font-size:12.5px;margin-top:2px}
input,select,button,textarea{font:inherit;color:inherit;border:1px solid var(--fourth);border-radius:5px;
background:var(--paper);padding:6px 9px;max-width:100%}
form.fields input:not([type=checkbox]),form.fields select{width:100%}
label.check{display:flex;gap:8px;align-items:baseline;font-weight:400}
button,a.button{background:var(--soft);cursor:pointer;font-weight:600;padding:7px 14px;border:1px solid
var(--fourth);border-radius:5px;text-decoration:none;color:var(--ink);display:inline-block}
button.main{background:var(--act);border-color:var(--act);color:#fff}
button.danger{border-color:var(--bad);color:var(--bad)}
button:hover,a.button:hover{filter:brightness(.94)}
:root{--act:#1f5fa8}
.actions{display:flex;flex-wrap:wrap;align-items:center;gap:8px 14px;margin:12px 0}
.actions form{margin:0}
.status{display:inline-block;white-space:nowrap;border-radius:10px;padding:0 9px;font-size:12.5px;
font-weight:600;border:1px solid currentColor;color:var(--dim)}
.status.good{color:var(--good)}.status.bad{color:var(--bad)}.status.open{color:var(--open)}
.status.work{color:var(--first)}
dl.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:3px 18px;margin:8px 0}
dl.facts dt{color:var(--dim)}dl.facts dd{margin:0;overflow-wrap:anywhere}
.note{border-left:4px solid var(--open);background:var(--soft);padding:8px 14px;border-radius:4px;
margin:12px 0;overflow-wrap:anywhere}
.note.bad{border-color:var(--bad)}.note.good{border-color:var(--good)}
.pager{display:flex;gap:14px;align-items:center;margin:10px 0;flex-wrap:wrap}
.card{border:1px solid var(--line);border-radius:6px;padding:10px 14px;margin:12px 0}
.card h2,.card h3{margin:0 0 6px;border:0;padding:0;font-size:15px;text-transform:none;letter-spacing:0;
color:var(--ink)}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:10px 18px}
.said{white-space:pre-wrap;overflow-wrap:anywhere;margin:2px 0;padding:6px 9px;background:var(--soft);
border-radius:4px;font:inherit;font-size:14px}
.said.learned{border-left:4px solid var(--good)}
.who{font-size:12.5px;color:var(--dim);font-weight:600;margin:6px 0 0}
.finding{margin:4px 0;font-size:14px}.finding .help{font-size:13px}
@media (prefers-color-scheme:dark){:root{--act:#2b6cb0}button:hover,a.button:hover{filter:brightness(1.2)}}
@media (max-width:640px){main{padding:14px 12px 48px}header.top{padding:0 12px}
form.filter>*{flex:1 1 120px}form.filter input,form.filter select{width:100%}
dl.facts{grid-template-columns:1fr}dl.facts dd{margin-bottom:6px}h1{font-size:22px}}
@media (prefers-reduced-motion:no-preference){a.button,button{transition:filter .1s}}
"""
)

SCRIPT = """\
// Keeps the marked parts of a page current. Without it, the page reloads itself as a whole.
(() => {
  const live = document.querySelector("[data-live]");
  if (!live) return;
  const look = async () => {
    try {
      const answer = await fetch(live.dataset.live, {credentials: "same-origin"});
      if (answer.ok) {
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of live.querySelectorAll("[data-part]")) {
          const now = fresh.querySelector(`[data-part="${part.dataset.part}"]`);
          if (now && now.innerHTML !== part.innerHTML) part.replaceChildren(...now.childNodes);
        }
        if (fresh.querySelector("[data-changed]")) { location.reload(); return; }
      }
    } catch { /* the server is away: look again */ }
    setTimeout(look, 2000);
  };
  setTimeout(look, 2000);
})();
"""
