/* The stage of the viewer: one canvas with one or two panes, zoom, pan, and the marks around it. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const NICE_MM = [5, 10, 20, 50, 100, 200];
  const LEVELS = [0.25, 0.5, 0.75]; // contour lines, as parts of the full scale

  class Stage {
    constructor(root, state) {
      this.root = root;
      this.state = state;
      this.find = (selector) => root.querySelector(selector);
      this.box = this.find(".v-stage");
      this.canvas = this.find(".v-canvas");
      this.context = this.canvas.getContext("2d");
      this.layers = { base: null, mixed: null };
      this.fields = new Map();
      this.waiting = false;
      new ResizeObserver(() => this.redraw()).observe(this.box);
    }

    /** A new picture or new evidence: forget what was computed from the old one. */
    forget() {
      this.fields.clear();
    }

    redraw() {
      if (this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        this.paint();
      });
    }

    paint() {
      const { state, canvas, box } = this;
      const ratio = window.devicePixelRatio || 1;
      const width = Math.max(1, Math.round(box.clientWidth * ratio));
      const height = Math.max(1, Math.round(box.clientHeight * ratio));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      this.context.setTransform(1, 0, 0, 1, 0, 0);
      this.context.clearRect(0, 0, width, height);
      if (state.picture) {
        this.compose();
        this.panes().forEach((pane) => this.draw(pane, ratio));
      }
      this.marks();
    }

    /** Grey and grey-with-heat at the picture's own pixels. */
    compose() {
      const { state } = this;
      const [height, width] = state.shape;
      const [low, high] = state.range();
      const base = ns.pixels.grey(state.picture, width, height, low, high);
      this.layers.base = toCanvas(base, this.layers.base);
      this.layers.mixed = this.layers.base;
      const heat = state.glowing();
      if (!heat || state.mode === "slice" || state.style === "contour") return;
      const mixed = ns.pixels.blend(base, this.field(), heat.full_scale, ns.luts[state.colours], state.opacity * state.strength());
      this.layers.mixed = toCanvas(mixed, this.layers.mixed === this.layers.base ? null : this.layers.mixed);
    }

    field() {
      const { state } = this;
      const cells = state.style === "grid";
      const key = `${state.index}/${state.encoder}/${cells}`;
      if (!this.fields.has(key)) {
        if (this.fields.size > 8) this.fields.clear();
        this.fields.set(key, ns.pixels.field(state.heat(), state.encoder, state.shape[1], state.shape[0], cells));
      }
      return this.fields.get(key);
    }

    /** Rectangles on the stage in CSS pixels, and what each shows. */
    panes() {
      const { state, box } = this;
      const [w, h] = [box.clientWidth, box.clientHeight];
      const whole = { x: 0, y: 0, w, h, clip: [0, w] };
      if (state.mode === "slice" || !(state.glowing() || state.marks())) return [{ ...whole, evidence: false }];
      if (state.mode === "overlay") return [{ ...whole, evidence: true }];
      if (state.mode === "side") {
        return [
          { x: 0, y: 0, w: w / 2, h, clip: [0, w / 2 - 1], evidence: false },
          { x: w / 2, y: 0, w: w / 2, h, clip: [w / 2 + 1, w], evidence: true },
        ];
      }
      const at = w * state.swipe;
      return [{ ...whole, clip: [0, at], evidence: false }, { ...whole, clip: [at, w], evidence: true }];
    }

    /** CSS pixels per picture pixel, horizontally and vertically (pixels need not be square). */
    scale(pane) {
      const { state } = this;
      const [height, width] = state.shape;
      const [sy, sx] = state.spacing || [1, 1];
      const unit = Math.min(sx, sy);
      const [ax, ay] = [sx / unit, sy / unit];
      const fit = Math.min(pane.w / (width * ax), pane.h / (height * ay)) * state.zoom;
      return [fit * ax, fit * ay];
    }

    /** Where the picture's corner lies in a pane, CSS pixels. */
    corner(pane) {
      const [kx, ky] = this.scale(pane);
      const [height, width] = this.state.shape;
      return [
        pane.x + pane.w / 2 + this.state.pan[0] * pane.w - (width * kx) / 2,
        pane.y + pane.h / 2 + this.state.pan[1] * pane.h - (height * ky) / 2,
      ];
    }

    draw(pane, ratio) {
      const { context, state } = this;
      const [kx, ky] = this.scale(pane);
      const [x, y] = this.corner(pane);
      const [height, width] = state.shape;
      context.save();
      context.scale(ratio, ratio);
      context.beginPath();
      context.rect(pane.clip[0], pane.y, Math.max(0, pane.clip[1] - pane.clip[0]), pane.h);
      context.clip();
      context.imageSmoothingEnabled = kx * ratio < 4; // from 4x up, show the pixels themselves
      context.imageSmoothingQuality = "high";
      context.drawImage(pane.evidence ? this.layers.mixed : this.layers.base, x, y, width * kx, height * ky);
      if (pane.evidence && state.glowing() && state.style === "contour") this.lines(x, y, kx, ky);
      if (pane.evidence && state.marking && state.marks()) this.regions(x, y, kx, ky);
      if (state.probe) this.cross(x + (state.probe[0] + 0.5) * kx, y + (state.probe[1] + 0.5) * ky);
      context.restore();
    }

    lines(x, y, kx, ky) {
      const { context, state } = this;
      const heat = state.heat();
      const lut = ns.luts[state.colours];
      const [height, width] = state.shape;
      const step = Math.max(1, Math.round(Math.max(width, height) / 256));
      for (const level of LEVELS) {
        const path = ns.pixels.contour(this.field(), width, height, level * heat.full_scale, step);
        context.beginPath();
        for (let i = 0; i < path.length; i += 4) {
          context.moveTo(x + (path[i] + 0.5) * kx, y + (path[i + 1] + 0.5) * ky);
          context.lineTo(x + (path[i + 2] + 0.5) * kx, y + (path[i + 3] + 0.5) * ky);
        }
        const k = 3 * Math.round((0.4 + 0.6 * level) * 255);
        context.globalAlpha = Math.min(1, 2 * state.opacity * state.strength());
        context.lineWidth = 3.5;
        context.strokeStyle = "#000";
        context.stroke();
        context.lineWidth = 1.75;
        context.strokeStyle = `rgb(${lut[k]}, ${lut[k + 1]}, ${lut[k + 2]})`;
        context.stroke();
      }
      context.globalAlpha = 1;
    }

    /** What the segmentation model marks: each region's closed lines in its colour, lightly filled. */
    regions(x, y, kx, ky) {
      const { context } = this;
      for (const region of this.state.marks().regions) {
        context.beginPath();
        for (const line of region.outlines) {
          for (let i = 0; i < line.length; i += 2) context[i ? "lineTo" : "moveTo"](x + line[i] * kx, y + line[i + 1] * ky);
          context.closePath();
        }
        context.fillStyle = context.strokeStyle = region.color;
        context.globalAlpha = 0.16;
        context.fill("evenodd");
        context.globalAlpha = 1;
        context.lineWidth = 1.5;
        context.stroke();
      }
    }

    cross(x, y) {
      const { context } = this;
      context.strokeStyle = "#7fd1ff";
      context.lineWidth = 1;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + dx * 4, y + dy * 4);
        context.lineTo(x + dx * 14, y + dy * 14);
      }
      context.stroke();
    }

    /** Picture pixel (x, y) under a point of the stage in CSS pixels, or null outside the picture. */
    pixelAt(px, py) {
      const panes = this.panes();
      const pane = panes.find((p) => px >= p.clip[0] && px < p.clip[1]) || panes[0];
      const [kx, ky] = this.scale(pane);
      const [cx, cy] = this.corner(pane);
      const [x, y] = [Math.floor((px - cx) / kx), Math.floor((py - cy) / ky)];
      const [height, width] = this.state.shape;
      return x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null;
    }

    /** Letters, scale bar, legend and divider: only what the file and the answer support. */
    marks() {
      const { state } = this;
      const open = Boolean(state.picture);
      ["left", "right", "top", "bottom"].forEach((side, i) => {
        this.find(`.v-${side}`).textContent = (open && state.edges && state.edges[i]) || "";
      });
      this.scaleBar(open);
      this.root.classList.toggle("has-evidence", open && Boolean(state.heat()));
      const evidence = open && state.mode !== "slice" && Boolean(state.glowing());
      this.legend(evidence);
      this.key(open && state.mode !== "slice" && state.marking);
      const divider = this.find(".v-divider");
      divider.hidden = !(evidence && state.mode === "swipe");
      divider.style.left = `${state.swipe * 100}%`;
      divider.setAttribute("aria-valuenow", Math.round(state.swipe * 100));
    }

    scaleBar(open) {
      const bar = this.find(".v-scale");
      bar.hidden = !(open && this.state.spacing);
      if (bar.hidden) return;
      const pane = this.panes()[0];
      const perMm = this.scale(pane)[0] / this.state.spacing[1];
      const mm = [...NICE_MM].reverse().find((n) => n * perMm <= pane.w * 0.28) || NICE_MM[0];
      this.find(".v-scale-line").style.width = `${mm * perMm}px`;
      this.find(".v-scale-text").textContent = mm >= 10 ? `${mm / 10} cm` : `${mm} mm`;
    }

    /** The colours of the marks with their names and sizes. */
    key(shown) {
      const marks = shown ? this.state.marks() : null;
      const list = this.find(".v-marks-key");
      list.hidden = !marks;
      if (!marks) return;
      list.replaceChildren(...marks.regions.map((region) => {
        const row = Object.assign(document.createElement("li"), { title: region.says });
        row.append(Object.assign(document.createElement("i"), { style: `background: ${region.color}` }), `${region.name}: ${region.size}`);
        return row;
      }));
    }

    legend(shown) {
      const legend = this.find(".v-legend");
      legend.hidden = !shown;
      if (!shown) return;
      const { state } = this;
      const heat = state.heat();
      const bar = this.find(".v-legend-bar");
      const image = new ImageData(12, 256);
      const lut = ns.luts[state.colours];
      for (let y = 0; y < 256; y += 1) {
        for (let x = 0; x < 12; x += 1) image.data.set([lut[3 * (255 - y)], lut[3 * (255 - y) + 1], lut[3 * (255 - y) + 2], 255], 4 * (12 * y + x));
      }
      bar.getContext("2d").putImageData(image, 0, 0);
      bar.setAttribute("aria-label", heat.absolute ? "Colour bar, 0 to 100 % of a scale that is the same for every picture" : "Colour bar, 0 to 100 % of this picture alone");
      const ticks = [0, 0.25, 0.5, 0.75, 1].map((t) => `<span style="bottom:${t * 100}%">${100 * t} %</span>`);
      this.find(".v-legend-title").textContent = heat.absolute ? "Evidence" : "Evidence, this image";
      this.find(".v-scale-says").textContent = heat.absolute
        ? `100 % is ${heat.full_scale.toPrecision(2)} logits; this slice reaches ${state.peak().toPrecision(2)}.`
        : "This method has no unit: 100 % is the highest value of this picture.";
      const peak = Math.min(state.peak() / heat.full_scale, 1);
      this.find(".v-legend-ticks").innerHTML = `${ticks.join("")}<b style="bottom:${peak * 100}%" title="Highest on this slice"></b>`;
    }
  }

  function toCanvas(image, reuse) {
    const canvas = reuse || document.createElement("canvas");
    Object.assign(canvas, { width: image.width, height: image.height });
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  ns.Stage = Stage;
})();
