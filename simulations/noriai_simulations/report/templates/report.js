"use strict";
(async function () {
  const D = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const lang = () => root.dataset.lang;
  const W = (k) => D.words[k][lang() === "ja" ? 1 : 0];
  async function unpack(text, Type) {
    const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Type(await new Response(stream).arrayBuffer());
  }
  const M = D.map, I = Int32Array;
  const [lon, lat, first, cls, flow, route, routeFirst, req, depot, stop, seg] = await Promise.all([
    unpack(M.lon, I), unpack(M.lat, I), unpack(M.first, I), unpack(M.cls, Int8Array), unpack(M.flow, I),
    unpack(M.route, I), unpack(M.routeFirst, I), unpack(M.req, I), unpack(M.depot, I), unpack(M.stop, I), unpack(D.timeline.segments, I)]);
  const R = D.requests;
  const listeners = [];
  document.querySelectorAll("[data-set-lang]").forEach((button) => button.addEventListener("click", () => {
    root.dataset.lang = root.lang = button.dataset.setLang;
    document.querySelectorAll("[data-set-lang]").forEach((x) => x.setAttribute("aria-pressed", x === button));
    listeners.forEach((f) => f());
  }));
  const tip = document.getElementById("tip");
  function showTip(event, text) {
    tip.style.display = text ? "block" : "none";
    if (!text) return;
    tip.textContent = text;
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = event.clientY + 14 + "px";
  }

  // --- map: plain canvas, Mercator-like by the middle latitude -------------------------------------------------
  const canvas = document.getElementById("map"), box = canvas.parentElement, g = canvas.getContext("2d");
  let w0 = Infinity, w1 = -Infinity, s0 = Infinity, s1 = -Infinity;
  const shown = new Uint8Array(lon.length);
  for (let k = 0; k < cls.length; k++) if (flow[k]) shown.fill(1, first[k], first[k + 1]);
  const any = shown.some((x) => x);
  for (let k = 0; k < lon.length; k++) if (shown[k] || !any) {
    w0 = Math.min(w0, lon[k]); w1 = Math.max(w1, lon[k]); s0 = Math.min(s0, lat[k]); s1 = Math.max(s1, lat[k]);
  }
  const squeeze = Math.cos((s0 + s1) / 2e5 * Math.PI / 180);
  const view = { x: (w0 + w1) / 2, y: (s0 + s1) / 2, scale: 1 };
  let width = 0, height = 0;
  function fit() {
    const ratio = window.devicePixelRatio || 1;
    width = box.clientWidth; height = Math.max(420, Math.min(680, Math.round(width * 0.62)));
    canvas.style.height = height + "px"; canvas.width = width * ratio; canvas.height = height * ratio;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
  }
  function whole() { view.x = (w0 + w1) / 2; view.y = (s0 + s1) / 2;
    view.scale = 0.94 * Math.min(width / ((w1 - w0) * squeeze), height / (s1 - s0)); }
  const X = (v) => (v - view.x) * squeeze * view.scale + width / 2, Y = (v) => height / 2 - (v - view.y) * view.scale;
  const on = (id) => document.getElementById(id).checked;
  const most = flow.reduce((m, x) => Math.max(m, x), 1);
  const FLOW = ["#9fcbd9", "#5fa9c0", "#2b87a5", "#0b6e8f", "#064a61"];
  const refusedCount = R.reduce((n, r) => n + (r[3] >= 0), 0);
  let chosen = -1;
  const REASON_COLOURS = ["#b3261e", "#7b3fa0", "#8a6d00", "#00695c", "#444", "#ad1457", "#3949ab", "#5d4037"];
  function street(k) {
    g.moveTo(X(lon[first[k]]), Y(lat[first[k]]));
    for (let p = first[k] + 1; p < first[k + 1]; p++) g.lineTo(X(lon[p]), Y(lat[p]));
  }
  function line(from, to, test, style, wide) {
    g.beginPath();
    for (let k = from; k < to; k++) if (test(k)) street(k);
    g.strokeStyle = style; g.lineWidth = wide; g.stroke();
  }
  function mark(x, y, shape, colour, size) {
    g.beginPath(); g.fillStyle = colour; g.strokeStyle = colour;
    if (shape === "dot") { g.arc(x, y, size, 0, 7); g.fill(); }
    else if (shape === "ring") { g.arc(x, y, size, 0, 7); g.lineWidth = 1.4; g.stroke(); }
    else if (shape === "diamond") { g.moveTo(x, y - size); g.lineTo(x + size, y); g.lineTo(x, y + size); g.lineTo(x - size, y); g.fill(); }
    else if (shape === "square") g.fillRect(x - size, y - size, 2 * size, 2 * size);
    else { g.lineWidth = 2; g.moveTo(x - size, y - size); g.lineTo(x + size, y + size); g.moveTo(x - size, y + size); g.lineTo(x + size, y - size); g.stroke(); }
  }
  function draw() {
    g.fillStyle = "#fbfcfc"; g.fillRect(0, 0, width, height);
    line(0, cls.length, (k) => cls[k] > 4, "#d8dfe3", 0.7);
    line(0, cls.length, (k) => cls[k] <= 4, "#b5c1c8", 1.3);
    if (on("l-flow") && chosen < 0) for (let step = 1; step <= 5; step++) {
      const low = most * (step - 1) / 5 * (step - 1) / 5, high = most * step / 5 * step / 5;
      line(0, cls.length, (k) => flow[k] > low && flow[k] <= high, FLOW[step - 1], 0.5 + step * 0.75);
    }
    if (chosen >= 0 && chosen < M.routesDrawn) {
      g.beginPath();
      for (let k = routeFirst[chosen]; k < routeFirst[chosen + 1]; k++) street(route[k]);
      g.strokeStyle = "#0b6e8f"; g.lineWidth = 2.4; g.lineJoin = "round"; g.globalAlpha = 0.75; g.stroke(); g.globalAlpha = 1;
    }
    const size = Math.max(1.5, Math.min(5, 2.2 * view.scale * 400));
    for (let k = 0; k < R.length; k++) {
      if (chosen >= 0 && R[k][4] !== chosen) continue;
      if (R[k][3] < 0) {
        if (on("l-origin")) mark(X(req[4 * k]), Y(req[4 * k + 1]), "dot", "#1d7a3e", size);
        if (on("l-dest")) mark(X(req[4 * k + 2]), Y(req[4 * k + 3]), "ring", "#1d4f91", size);
      }
    }
    if (on("l-unserved") && chosen < 0) for (let k = 0; k < R.length; k++) if (R[k][3] >= 0)
      mark(X(req[4 * k]), Y(req[4 * k + 1]), "cross", REASON_COLOURS[R[k][3] % 8], refusedCount > 800 ? 1.8 : 3.2);
    if (on("l-stop")) for (let k = 0; k < stop.length / 2; k++) mark(X(stop[2 * k]), Y(stop[2 * k + 1]), "diamond", "#8a6d00", 4);
    if (on("l-depot")) for (let k = 0; k < depot.length / 2; k++) if (chosen < 0 || k === chosen)
      mark(X(depot[2 * k]), Y(depot[2 * k + 1]), "square", "#1b2730", 3.4);
    scaleBar();
  }
  function scaleBar() {
    const perMetre = view.scale / 1.11195; let metres = 100;
    while (metres * perMetre < 70) metres *= metres.toString()[0] === "2" ? 2.5 : 2;
    g.fillStyle = "#1b2730"; g.fillRect(12, height - 14, metres * perMetre, 3); g.font = "12px sans-serif";
    g.fillText(metres >= 1000 ? metres / 1000 + " km" : metres + " m", 12, height - 19);
  }
  function zoom(factor, cx, cy) {
    const x = cx === undefined ? width / 2 : cx, y = cy === undefined ? height / 2 : cy;
    const px = view.x + (x - width / 2) / squeeze / view.scale, py = view.y - (y - height / 2) / view.scale;
    view.scale *= factor;
    view.x = px - (x - width / 2) / squeeze / view.scale; view.y = py + (y - height / 2) / view.scale; draw();
  }
  canvas.addEventListener("wheel", (e) => { if (!e.ctrlKey && !e.shiftKey && document.activeElement !== canvas) return;
    e.preventDefault(); zoom(e.deltaY < 0 ? 1.25 : 0.8, e.offsetX, e.offsetY); }, { passive: false });
  let grip = null;
  canvas.addEventListener("pointerdown", (e) => { grip = [e.clientX, e.clientY]; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointerup", () => { grip = null; });
  canvas.addEventListener("pointermove", (e) => {
    if (!grip) return;
    view.x -= (e.clientX - grip[0]) / squeeze / view.scale; view.y += (e.clientY - grip[1]) / view.scale;
    grip = [e.clientX, e.clientY]; draw();
  });
  canvas.addEventListener("keydown", (e) => {
    const step = 60 / view.scale, keys = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (keys[e.key]) { view.x += keys[e.key][0]; view.y += keys[e.key][1]; draw(); e.preventDefault(); }
    if (e.key === "+" || e.key === "=") zoom(1.25); if (e.key === "-") zoom(0.8);
  });
  document.getElementById("zin").onclick = () => zoom(1.5);
  document.getElementById("zout").onclick = () => zoom(1 / 1.5);
  document.getElementById("zall").onclick = () => { whole(); draw(); };
  ["l-flow", "l-origin", "l-dest", "l-unserved", "l-depot", "l-stop"].forEach((id) => document.getElementById(id).addEventListener("change", draw));
  const pick = document.getElementById("pick");
  pick.addEventListener("change", () => { chosen = Number(pick.value); page = 0; if (chosen >= 0) document.getElementById("t-refused").checked = false; draw(); table(); });

  // --- the map's table ------------------------------------------------------------------------------------------
  const body = document.getElementById("rows"), where = document.getElementById("where"); let page = 0; const SIZE = 25;
  const minutes = (s) => (s === null ? "" : (s / 60).toFixed(1));
  const spot = (k, at) => (req[4 * k + at] / 1e5).toFixed(4) + ", " + (req[4 * k + at + 1] / 1e5).toFixed(4);
  function table() {
    const refused = on("t-refused");
    const rows = R.map((_, k) => k).filter((k) => (!refused || R[k][3] >= 0) && (chosen < 0 || R[k][4] === chosen));
    const pages = Math.max(1, Math.ceil(rows.length / SIZE)); page = Math.max(0, Math.min(page, pages - 1));
    body.textContent = "";
    for (const k of rows.slice(page * SIZE, page * SIZE + SIZE)) {
      const r = R[k], tr = document.createElement("tr");
      const what = r[3] >= 0 ? W("refused") + ": " + D.reasons[r[3]][lang() === "ja" ? 1 : 0] : W(r[9]) + " (" + D.vehicles[r[4]] + ")";
      [r[0], r[1] + " " + W(r[2] ? "arrive_by" : "depart_at"), spot(k, 0), spot(k, 2), what, minutes(r[5]), minutes(r[6]), minutes(r[7]), r[8]].forEach((v, c) => {
        const td = document.createElement("td"); td.textContent = v; if (c > 4) td.className = "n"; tr.appendChild(td);
      });
      body.appendChild(tr);
    }
    where.textContent = (rows.length ? page * SIZE + 1 : 0) + "-" + Math.min(rows.length, page * SIZE + SIZE) + " / " + rows.length;
  }
  document.getElementById("t-refused").addEventListener("change", () => { page = 0; table(); });
  document.getElementById("prev").onclick = () => { page--; table(); };
  document.getElementById("next").onclick = () => { page++; table(); };

  // --- timeline -------------------------------------------------------------------------------------------------
  const tl = document.getElementById("timeline"), t = tl.getContext("2d"), n = D.vehicles.length;
  const rowH = n > 300 ? 10 : n > 80 ? 14 : 20, label = 150, span = D.timeline.span;
  const RIDERS = ["#c9d3d9", "#8cc6d7", "#3f9fbd", "#0b6e8f", "#064a61", "#032c3b"];
  let tw = 0;
  const TX = (s) => label + (s - span[0]) / (span[1] - span[0]) * (tw - label - 10);
  function times() {
    const ratio = Math.min(window.devicePixelRatio || 1, 30000 / (n * rowH + 30));
    tw = Math.max(700, tl.parentElement.clientWidth); const h = n * rowH + 30;
    tl.style.height = h + "px"; tl.style.width = tw + "px"; tl.width = tw * ratio; tl.height = h * ratio;
    t.setTransform(ratio, 0, 0, ratio, 0, 0); t.fillStyle = "#fff"; t.fillRect(0, 0, tw, h);
    t.font = "11px sans-serif";
    for (let hour = Math.ceil(span[0] / 3600); hour * 3600 <= span[1]; hour++) {
      const x = TX(hour * 3600); t.fillStyle = "#e4eaed"; t.fillRect(x, 22, 1, h - 22);
      t.fillStyle = "#51606b"; t.textAlign = "center"; t.fillText(hour + ":00", x, 14);
    }
    t.textAlign = "left";
    const order = [4, 3, 0, 1, 2];
    for (const kind of order) for (let k = 0; k < seg.length; k += 5) {
      if (seg[k + 3] !== kind) continue;
      const y = 24 + seg[k] * rowH, x = TX(seg[k + 1]), wide = Math.max(0.7, TX(seg[k + 2]) - x), high = rowH - 3;
      if (kind === 4) { t.fillStyle = "#eef2f4"; t.fillRect(x, y, wide, high); }
      else if (kind === 3) { t.fillStyle = "#e9c46a"; t.fillRect(x, y, wide, high); }
      else if (kind === 0) { const r = Math.min(5, seg[k + 4]), part = r ? 0.45 + 0.55 * r / 5 : 0.3;
        t.fillStyle = RIDERS[r]; t.fillRect(x, y + high * (1 - part), wide, high * part); }
      else { t.fillStyle = kind === 1 ? "#1d7a3e" : "#1d4f91"; t.fillRect(x, y, Math.max(1, wide), high); }
    }
    t.fillStyle = "#1b2730"; for (let v = 0; v < n; v += rowH > 10 ? 1 : 5) t.fillText(D.vehicles[v].slice(0, 24), 4, 24 + v * rowH + rowH - 7);
  }
  const clock = (s) => String(Math.floor(s / 3600)).padStart(2, "0") + ":" + String(Math.floor(s / 60) % 60).padStart(2, "0");
  tl.addEventListener("pointermove", (e) => {
    const v = Math.floor((e.offsetY - 24) / rowH); let text = "";
    for (let k = 0; k < seg.length; k += 5) {
      if (seg[k] !== v || e.offsetX < TX(seg[k + 1]) - 1 || e.offsetX > TX(seg[k + 2]) + 1) continue;
      const what = [seg[k + 4] ? seg[k + 4] + " " + W("riders_aboard") : W("empty"), W("boarding"), W("boarding"), W("break"), W("on_duty")][seg[k + 3]];
      if (!text || seg[k + 3] !== 4) text = D.vehicles[v] + "  " + clock(seg[k + 1]) + "-" + clock(seg[k + 2]) + "  " + what;
    }
    showTip(e, text);
  });
  tl.addEventListener("pointerleave", (e) => showTip(e, ""));
  function all() { fit(); draw(); times(); table(); }
  fit(); whole(); all();
  addEventListener("resize", all);
  listeners.push(table);
  root.dataset.ready = "1";
})();
