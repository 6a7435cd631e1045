"""The look of the status page: one style sheet, light and dark, no fonts or scripts from anywhere."""

STYLE = """
:root{--ink:#16202b;--soft:#5c6b7a;--line:#dde4ea;--paper:#f5f7f9;--card:#fff;--good:#1d9a6c;--bad:#d0453b;--wait:#d99a1b}
@media(prefers-color-scheme:dark){
:root{--ink:#e6edf3;--soft:#93a1af;--line:#2a343e;--paper:#10161c;--card:#18212a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:80rem;padding:1.5rem;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
header{display:flex;justify-content:space-between;align-items:baseline;flex-wrap:wrap}
h1{font-size:1.5rem;margin:0}h2{font-size:1rem;margin:0 0 .6rem}
time,small,.none,th,.card span{color:var(--soft)}
.cards{display:flex;gap:.8rem;flex-wrap:wrap;margin:1rem 0}
.card,section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1.1rem}
.card{flex:1 1 10rem}.card b{display:block;font-size:1.25rem}
section{margin:0 0 1rem;overflow-x:auto}.none{margin:0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;font-size:.85rem;text-align:left}
th,td{padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}td:last-child{white-space:nowrap}
code{font-size:.86rem}small{font-size:.82rem}
i{display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.45rem;background:var(--soft)}
i.good{background:var(--good)}i.bad{background:var(--bad)}i.wait{background:var(--wait)}
meter{width:8rem;margin-right:.5rem;vertical-align:middle}
"""
