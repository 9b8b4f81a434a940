/* The probability of every slice as an inline SVG; slices that were refused are gaps. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const [W, H] = [1000, 100];
  const x = (i, n) => ((i + 0.5) / n) * W;
  const y = (p) => H - 6 - p * (H - 12);

  /** Draw `state.curve` = {points: [{p, reason}], threshold, band} into `box`; a click on it calls `go(index)`. */
  ns.curve = (box, state, go) => {
    const { curve } = state;
    box.hidden = !curve || state.hidden;
    box.replaceChildren();
    if (box.hidden) return;
    const n = curve.points.length;
    const predicted = curve.points.filter((point) => point.p !== null).length;
    const gap = (point, i) => `<rect class="c-gap" x="${(i / n) * W}" y="0" width="${W / n}" height="${H}"/>`;
    const gaps = curve.points.map((point, i) => (point.p === null ? gap(point, i) : "")).join("");
    let line = "";
    curve.points.forEach((point, i) => {
      if (point.p === null) return;
      const joined = i > 0 && curve.points[i - 1].p !== null;
      line += `${joined ? "L" : "M"}${x(i, n).toFixed(1)} ${y(point.p).toFixed(1)}`;
    });
    const bars = curve.points.map((point, i) => {
      if (point.p === null) return "";
      return `<rect class="${point.p >= curve.threshold ? "c-bar c-over" : "c-bar"}" x="${((i + 0.15) / n) * W}" y="${y(point.p)}" width="${(0.7 / n) * W}" height="${H - 6 - y(point.p) + 6}"/>`;
    }).join("");
    const [low, high] = curve.band;
    box.innerHTML = `<svg viewBox="0 0 ${W} ${H}" preserveAspectRatio="none" role="img" aria-label="Probability of stroke by slice: ${predicted} of ${n} slices judged">
      <rect class="c-band" x="0" y="${y(high)}" width="${W}" height="${Math.max(0, y(low) - y(high))}"/>${gaps}${bars}
      <line class="c-threshold" x1="0" x2="${W}" y1="${y(curve.threshold)}" y2="${y(curve.threshold)}"/>
      <path class="c-line" d="${line}"/><rect class="c-cursor" x="0" y="0" width="${W / n}" height="${H}"/></svg>
      <span class="c-scale c-one">1</span><span class="c-scale c-zero">0</span><span class="c-hint"></span>`;
    const at = (event) => {
      const frame = box.querySelector("svg").getBoundingClientRect();
      return Math.min(Math.max(Math.floor(((event.clientX - frame.left) / frame.width) * n), 0), n - 1);
    };
    box.onclick = (event) => go(at(event));
    box.onpointermove = (event) => hint(box, curve, at(event));
    box.onpointerleave = () => ns.curveCursor(box, state);
    ns.curveCursor(box, state);
  };

  function hint(box, curve, i) {
    const point = curve.points[i];
    if (!point) return;
    const text = point.p === null ? `not judged: ${point.reason}` : `${Math.round(point.p * 100)} %`;
    box.querySelector(".c-hint").textContent = `Slice ${i + 1}: ${text}`;
  }

  ns.curveCursor = (box, state) => {
    const cursor = box.querySelector(".c-cursor");
    if (!cursor || !state.curve) return;
    cursor.setAttribute("x", (state.index / state.curve.points.length) * W);
    hint(box, state.curve, state.index);
  };
})();
