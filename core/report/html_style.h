// SPDX-License-Identifier: Apache-2.0
// The page's style sheet and its table-sorting script. Internal to core/report.
#pragma once

namespace eosin::core {

inline constexpr const char* kPageStyle = R"css(
:root{color-scheme:light dark;
--bg:#fbfafc;--card:#ffffff;--ink:#1d1a24;--soft:#5d5768;--rule:#dcd7e3;--tint:#f3eff7;
--accent:#8a2d6b;--good:#006b4f;--unsure:#8a5a00;--bad:#a83200;--on-color:#ffffff;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#b8a900;--c7:#777777}
@media (prefers-color-scheme:dark){:root{
--bg:#15131a;--card:#1e1b25;--ink:#ebe7f0;--soft:#aaa3b6;--rule:#3a3544;--tint:#28242f;
--accent:#e58cc2;--good:#3fd0a4;--unsure:#f2b632;--bad:#ff8a5c;--on-color:#10101a;
--c0:#5ab4f0;--c1:#ff8a3d;--c2:#2cc79a;--c3:#e59bc4;--c4:#f2b632;--c5:#a5dcff;--c6:#f0e442;--c7:#b5b5b5}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);line-height:1.55;font-size:15.5px;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
header,main,footer{max-width:1240px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1{font-size:1.95rem;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
.subtitle{color:var(--soft);margin:0 0 16px}
h2{font-size:1.35rem;margin:44px 0 12px;padding-top:14px;border-top:1px solid var(--rule)}
h3{font-size:1.08rem;margin:26px 0 8px}
h4{font-size:.95rem;margin:20px 0 6px;color:var(--soft)}
p{margin:8px 0 12px;max-width:78ch}
ul{padding-left:22px;max-width:78ch}
li{margin:3px 0}
code{font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:.88em;
background:var(--tint);padding:.1em .35em;border-radius:4px;overflow-wrap:anywhere}
nav{position:sticky;top:0;z-index:2;background:var(--bg);border-bottom:1px solid var(--rule)}
nav div{max-width:1240px;margin:0 auto;padding:8px 24px;display:flex;flex-wrap:wrap;gap:4px 18px}
nav a{color:var(--accent);text-decoration:none;font-size:.9rem}
nav a:hover{text-decoration:underline}
h2,h3{scroll-margin-top:56px}
.callout{background:var(--card);border:1px solid var(--rule);border-left:6px solid var(--tone);
border-radius:8px;padding:14px 18px;margin:16px 0}
.callout b{display:block;color:var(--tone);font-size:1.06rem;margin-bottom:2px}
.callout p{margin:0}
.neutral{--tone:var(--c7)}.good{--tone:var(--good)}.unsure{--tone:var(--unsure)}.bad{--tone:var(--bad)}
figure{margin:16px 0 22px}
figure.card{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:16px 18px;
overflow-x:auto}
figure svg{display:block;max-width:100%;height:auto}
figure img{display:block;max-width:100%;height:auto;border-radius:4px}
figcaption,caption{color:var(--soft);font-size:.88rem;text-align:left}
figcaption{margin-top:8px;max-width:90ch}
caption{caption-side:bottom;padding-top:8px}
.scroll{overflow-x:auto;margin:14px 0 22px}
table{border-collapse:collapse;font-size:.92rem;background:var(--card);border:1px solid var(--rule)}
th,td{padding:6px 11px;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}
thead th{background:var(--tint);font-weight:600}
.n{text-align:right;font-variant-numeric:tabular-nums}
td.n{white-space:nowrap}
tr.hot td{font-weight:700}
tbody tr:hover td{background:var(--tint)}
.js th.sort{cursor:pointer}
.js th.sort::after{content:"\2195";opacity:.35;margin-left:.4em;font-size:.85em}
.js th.up::after{content:"\2191";opacity:1}.js th.down::after{content:"\2193";opacity:1}
table.facts th{background:none;font-weight:600;color:var(--soft);white-space:nowrap}
table.facts td{overflow-wrap:anywhere}
.gallery{table-layout:auto}
.gallery td{padding:8px;vertical-align:top}
.gallery th[scope=row]{width:120px;min-width:90px;max-width:150px;overflow-wrap:break-word;font-weight:600;font-size:.88rem}
.gallery img{display:block;width:100%;min-width:110px;max-width:164px;height:auto;border-radius:4px}
.gallery small{display:block;color:var(--soft);margin-top:3px;font-variant-numeric:tabular-nums}
.wall{display:flex;flex-wrap:wrap;gap:3px}
.wall img{border-radius:2px}
details{margin:14px 0;background:var(--card);border:1px solid var(--rule);border-radius:8px;
padding:10px 16px}
summary{cursor:pointer;font-weight:600}
pre{overflow-x:auto;font-family:ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;
font-size:.82rem;line-height:1.45;margin:10px 0 4px}
footer{color:var(--soft);font-size:.85rem;padding-top:30px;padding-bottom:40px}
@media print{
:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#bbb;--tint:#f2f2f2;
--accent:#8a2d6b;--good:#006b4f;--unsure:#8a5a00;--bad:#a83200;--on-color:#fff;
--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#e69f00;--c5:#56b4e9;--c6:#b8a900;--c7:#777}
body{font-size:10.5pt}
nav{display:none}
header,main,footer{max-width:none;padding:0}
h2,h3,h4{break-after:avoid}
figure,tr,.callout{break-inside:avoid}
.scroll,figure.card{overflow:visible}
.gallery img{width:26mm}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
}
)css";

inline constexpr const char* kSortScript = R"js(
document.documentElement.classList.add("js");
document.querySelectorAll("th.sort").forEach(function(th){
th.tabIndex=0;
function go(){
var t=th.closest("table"),b=t.tBodies[0],c=th.cellIndex,down=th.classList.contains("up"),
rows=Array.prototype.slice.call(b.rows);
t.querySelectorAll("th.sort").forEach(function(o){o.classList.remove("up","down")});
th.classList.add(down?"down":"up");
rows.sort(function(p,q){
var x=p.cells[c],y=q.cells[c],r;
if(th.classList.contains("n")){
var u=x.dataset.v,v=y.dataset.v;
if(u===undefined||v===undefined)return (u===undefined)-(v===undefined);
r=u-v;
}else r=x.textContent.localeCompare(y.textContent,undefined,{numeric:true});
return down?-r:r;});
rows.forEach(function(o){b.appendChild(o)});
}
th.addEventListener("click",go);
th.addEventListener("keydown",function(e){if(e.key==="Enter")go()});
});
window.addEventListener("beforeprint",function(){
document.querySelectorAll("details").forEach(function(d){d.open=true})});
)js";

}  // namespace eosin::core
