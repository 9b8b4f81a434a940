/* The probability of every slice as an inline SVG; slices that were refused are gaps. It is a slider over the slices. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const [W, H] = [1000, 100];
  const x = (i, n) => ((i + 0.5) / n) * W;
  const y = (p) => H - 6 - p * (H - 12);

  const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -5, PageUp: 5, Home: -Infinity, End: Infinity };

  /** Draw `state.curve` = {points: [{p, reason}], threshold, band} into `box`; a click or a key on it calls `go(index)`. */
  ns.curve = (box, state, go) => {
    const { curve } = state;
    box.hidden = !curve || state.hidden;
    box.replaceChildren();
    if (box.hidden) return;
    box.innerHTML = `${svg(curve)}<span class="c-scale c-one">1</span><span class="c-scale c-zero">0</span><span class="c-hint"></span>`;
    const at = (event) => {
      const n = curve.points.length;
      const frame = box.querySelector("svg").getBoundingClientRect();
      return Math.min(Math.max(Math.floor(((event.clientX - frame.left) / frame.width) * n), 0), n - 1);
    };
    box.onclick = (event) => go(at(event));
    box.onpointermove = (event) => hint(box, curve, at(event));
    box.onpointerleave = () => ns.curveCursor(box, state);
    box.onkeydown = (event) => {
      const step = STEPS[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      go(Math.min(Math.max(state.index + step, 0), curve.points.length - 1));
    };
    box.setAttribute("aria-valuemax", curve.points.length);
    ns.curveCursor(box, state);
  };

  function svg({ points, threshold, band: [low, high] }) {
    const n = points.length;
    const shapes = points.map(({ p }, i) => {
      if (p === null) return `<rect class="c-gap" x="${(i / n) * W}" y="0" width="${W / n}" height="${H}"/>`;
      return `<rect class="${p >= threshold ? "c-bar c-over" : "c-bar"}" x="${((i + 0.15) / n) * W}" y="${y(p)}" width="${(0.7 / n) * W}" height="${H - y(p)}"/>`;
    });
    const line = points.map(({ p }, i) => {
      if (p === null) return "";
      return `${i > 0 && points[i - 1].p !== null ? "L" : "M"}${x(i, n).toFixed(1)} ${y(p).toFixed(1)}`;
    });
    return `<svg viewBox="0 0 ${W} ${H}" preserveAspectRatio="none" aria-hidden="true">
      <rect class="c-band" x="0" y="${y(high)}" width="${W}" height="${Math.max(0, y(low) - y(high))}"/>${shapes.join("")}
      <line class="c-threshold" x1="0" x2="${W}" y1="${y(threshold)}" y2="${y(threshold)}"/>
      <path class="c-line" d="${line.join("")}"/><rect class="c-cursor" x="0" y="0" width="${W / n}" height="${H}"/></svg>`;
  }

  /** The same as `percent` of the library's words: the ends are never rounded to certainty. */
  const percent = (p) => (p < 0.01 ? "< 1 %" : p > 0.99 ? "> 99 %" : `${Math.round(p * 100)} %`);
  const found = (point) => (point.p === null ? `not judged: ${point.reason}` : percent(point.p));

  function hint(box, curve, i) {
    const point = curve.points[i];
    if (point) box.querySelector(".c-hint").textContent = `Slice ${i + 1}: ${found(point)}`;
  }

  ns.curveCursor = (box, state) => {
    const cursor = box.querySelector(".c-cursor");
    const point = state.curve?.points[state.index];
    if (!cursor || !point) return;
    cursor.setAttribute("x", (state.index / state.curve.points.length) * W);
    box.setAttribute("aria-valuenow", state.index + 1);
    box.setAttribute("aria-valuetext", `Slice ${state.index + 1} of ${state.curve.points.length}, ${found(point)}`);
    hint(box, state.curve, state.index);
  };
})();
