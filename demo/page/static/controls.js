/* Every control of the viewer, and the keys and gestures that do the same. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const SIDE_STEP = 0.04;

  class Controls {
    constructor(viewer) {
      this.viewer = viewer;
      this.state = viewer.state;
      this.root = viewer.root;
      this.find = (selector) => this.root.querySelector(selector);
      this.redraw = () => viewer.stage.redraw();
      this.fields();
      this.segments();
      this.buttons();
      this.stageEvents();
    }

    /** After a change of what is open: the windows, the curve and the texts. */
    rebuild() {
      const { state } = this;
      const hu = state.unit === "HU";
      const open = Boolean(state.key);
      this.root.classList.toggle("is-open", open);
      this.find(".v-empty").textContent = this.viewer.page.says.stage || "";
      this.find(".v-empty").hidden = open || state.opening;
      const group = this.find(".v-windows");
      const files = open && hu ? state.windows.slice(0, state.windows.length - state.presets.length) : [];
      const choices = [...files.map((w) => [w, ""]), ...state.presets.map((w, i) => [w, String(i + 1)])];
      const drawn = `${state.key} ${choices.length}`;
      if (group.dataset.key !== drawn) {
        // only for another case: a button that holds the focus must not be replaced under the reader's fingers
        group.dataset.key = drawn;
        group.replaceChildren(...choices.map(([w, key]) => this.windowButton(w, key, !(open && hu))));
      }
      this.find(".v-hu").hidden = open && !hu;
      this.find(".v-grey").hidden = !open || hu;
      const why = this.find(".v-why");
      why.hidden = !state.why;
      why.textContent = state.why || "";
      this.find(".v-series").hidden = state.count < 2;
      const marks = this.find(".v-marks-on");
      marks.hidden = !open || !state.marks();
      marks.title = state.marks() ? `${state.marks().note} (key M)` : marks.title;
      ns.curve(this.find(".v-curve"), state, (index) => this.viewer.show(index));
      this.windowFields();
      this.position();
    }

    windowButton(w, key, disabled) {
      const button = document.createElement("button");
      button.type = "button";
      button.disabled = disabled;
      button.dataset.width = w.width;
      button.dataset.level = w.level;
      button.title = `${w.name}: width ${w.width}, level ${w.level} HU${key ? ` (key ${key})` : ", stated by the file"}`;
      button.classList.toggle("from-file", !key);
      if (key) button.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      button.append(Object.assign(document.createElement("span"), { textContent: w.name }));
      button.append(Object.assign(document.createElement("small"), { textContent: `${w.width}/${w.level}` }));
      button.addEventListener("click", () => this.window(w.width, w.level));
      return button;
    }

    window(width, level) {
      if (this.state.unit !== "HU" || !Number.isFinite(width) || !Number.isFinite(level)) return;
      this.state.width = Math.min(Math.max(width, 1), 20000);
      this.state.level = Math.min(Math.max(level, -10000), 10000);
      this.windowFields();
      this.redraw();
    }

    windowFields() {
      const { state } = this;
      this.find(".v-width").value = Math.round(state.width);
      this.find(".v-level").value = Math.round(state.level);
      this.find(".v-brightness").value = state.brightness;
      this.find(".v-contrast").value = state.contrast;
      for (const button of this.root.querySelectorAll(".v-windows button")) {
        const on = state.unit === "HU" && Number(button.dataset.width) === state.width && Number(button.dataset.level) === state.level;
        button.setAttribute("aria-pressed", String(on));
      }
      this.texts();
    }

    /** Slice counter, corner texts and the text alternative of the picture. */
    position() {
      const { state } = this;
      const place = `${state.index + 1} / ${state.count}`;
      const slider = this.find(".v-slice");
      slider.max = Math.max(state.count, 1);
      slider.value = state.index + 1;
      slider.setAttribute("aria-valuetext", `Slice ${state.index + 1} of ${state.count}`);
      this.find(".v-counter").textContent = place;
      ns.curveCursor(this.find(".v-curve"), state);
      this.texts();
      this.readout(state.probe);
    }

    texts() {
      const { state } = this;
      const window = state.unit === "HU" ? `W ${Math.round(state.width)}  L ${Math.round(state.level)}` : "no HU";
      const open = Boolean(state.key);
      this.find(".v-tl").textContent = open ? (state.count > 1 ? `Slice ${state.index + 1} / ${state.count}` : state.title) : "";
      this.find(".v-tr").textContent = open ? window : "";
      const evidence = state.heat() ? ", with the model's evidence" : "";
      const label = open ? `${state.title}, slice ${state.index + 1} of ${state.count}, ${window}${evidence}` : "No slice open";
      this.find(".v-canvas").setAttribute("aria-label", label);
      this.find(".v-stage").setAttribute("aria-label", label);
    }

    readout(pixel) {
      const { state } = this;
      const text = this.find(".v-probe");
      if (!pixel || !state.picture) {
        text.textContent = "";
        return;
      }
      const value = Math.round(state.value(...pixel));
      text.textContent = `x ${pixel[0]}  y ${pixel[1]}   ${state.unit === "HU" ? `${value} HU` : `grey ${value}`}`;
    }

    fields() {
      const { state } = this;
      const number = (selector, use) => this.find(selector).addEventListener("input", (event) => use(event.target.valueAsNumber ?? Number(event.target.value)));
      this.find(".v-width").addEventListener("change", (e) => this.window(e.target.valueAsNumber, state.level));
      this.find(".v-level").addEventListener("change", (e) => this.window(state.width, e.target.valueAsNumber));
      number(".v-brightness", (v) => { state.brightness = v; this.redraw(); });
      number(".v-contrast", (v) => { state.contrast = v; this.redraw(); });
      number(".v-opacity", (v) => { state.opacity = v; this.redraw(); });
      number(".v-slice", (v) => this.viewer.show(v - 1));
      this.find(".v-colours").addEventListener("change", (e) => { state.colours = e.target.value; this.redraw(); });
    }

    segments() {
      for (const group of this.root.querySelectorAll(".v-seg")) {
        const buttons = [...group.querySelectorAll("button")];
        buttons.forEach((button, i) => {
          button.tabIndex = button.getAttribute("aria-checked") === "true" ? 0 : -1;
          button.addEventListener("click", () => this.pick(group.dataset.name, button.dataset.value));
          button.addEventListener("keydown", (event) => {
            const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
            if (!step) return;
            event.preventDefault();
            event.stopPropagation();
            const next = buttons[(i + step + buttons.length) % buttons.length];
            this.pick(group.dataset.name, next.dataset.value);
            next.focus();
          });
        });
      }
    }

    pick(name, value) {
      this.state[name] = value;
      for (const button of this.find(`.v-seg[data-name="${name}"]`).children) {
        const on = button.dataset.value === value;
        button.setAttribute("aria-checked", String(on));
        button.tabIndex = on ? 0 : -1;
      }
      this.redraw();
    }

    buttons() {
      const click = (selector, use) => this.find(selector).addEventListener("click", use);
      click(".v-prev", () => this.viewer.show(this.state.index - 1));
      click(".v-next", () => this.viewer.show(this.state.index + 1));
      click(".v-in", () => this.zoom(1.25));
      click(".v-out", () => this.zoom(0.8));
      click(".v-fit", () => this.fit());
      click(".v-marks-on", () => this.marks(!this.state.marking));
      click(".v-probe-on", () => this.probe(!this.state.probe));
    }

    zoom(factor) {
      const { state } = this;
      const before = state.zoom;
      state.zoom = Math.min(Math.max(state.zoom * factor, 0.5), 20);
      state.pan = state.pan.map((p) => (p * state.zoom) / before);
      this.find(".v-stage").classList.toggle("is-zoomed", state.zoom > 1);
      this.redraw();
    }

    fit() {
      Object.assign(this.state, { zoom: 1, pan: [0, 0] });
      this.find(".v-stage").classList.remove("is-zoomed");
      this.redraw();
    }

    pan(dx, dy) {
      this.state.pan = [this.state.pan[0] + dx, this.state.pan[1] + dy].map((p) => Math.min(Math.max(p, -10), 10));
      this.redraw();
    }

    probe(on) {
      const { state } = this;
      state.probe = on && state.picture ? [Math.floor(state.shape[1] / 2), Math.floor(state.shape[0] / 2)] : null;
      this.find(".v-probe-on").setAttribute("aria-pressed", String(Boolean(state.probe)));
      this.readout(state.probe);
      if (state.probe) this.find(".v-stage").focus();
      this.redraw();
    }

    marks(on) {
      this.state.marking = on;
      this.find(".v-marks-on").setAttribute("aria-pressed", String(on));
      this.redraw();
    }

    swipe(share) {
      this.state.swipe = Math.min(Math.max(share, 0), 1);
      this.redraw();
    }

    /** One key on the stage; returns whether it meant something. */
    key(event) {
      const { state } = this;
      const preset = (state.presets || [])[Number(event.key) - 1];
      if (preset) return this.window(preset.width, preset.level) ?? true;
      const arrow = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
      if (arrow && event.shiftKey && !state.probe) return this.pan(-arrow[0] * SIDE_STEP, -arrow[1] * SIDE_STEP) ?? true;
      if (arrow && state.probe) return this.moveProbe(arrow, event.shiftKey ? 10 : 1) ?? true;
      if (arrow && state.count > 1) return (this.viewer.show(state.index + (arrow[0] || arrow[1])), true);
      const encoders = { both: "A", A: "B", B: "both" };
      const styles = { heat: "grid", grid: "contour", contour: "heat" };
      const actions = {
        "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => this.fit(),
        o: () => this.pick("mode", state.mode === "overlay" ? "slice" : "overlay"), d: () => this.pick("mode", "side"),
        w: () => this.pick("mode", "swipe"), c: () => this.pick("style", styles[state.style]),
        e: () => this.pick("encoder", encoders[state.encoder]), p: () => this.probe(!state.probe), m: () => this.marks(!state.marking),
        PageUp: () => this.viewer.show(state.index - 5), PageDown: () => this.viewer.show(state.index + 5),
        Home: () => this.viewer.show(0), End: () => this.viewer.show(state.count - 1),
      };
      const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (action) action();
      return Boolean(action);
    }

    moveProbe([dx, dy], step) {
      const { state } = this;
      const limit = (v, top) => Math.min(Math.max(v, 0), top - 1);
      state.probe = [limit(state.probe[0] + dx * step, state.shape[1]), limit(state.probe[1] + dy * step, state.shape[0])];
      this.readout(state.probe);
      this.redraw();
    }

    stageEvents() {
      const stage = this.find(".v-stage");
      const viewerKeys = (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || !this.state.key) return;
        if (event.target.matches("input, select, textarea")) return;
        if (this.key(event)) event.preventDefault();
      };
      stage.addEventListener("keydown", viewerKeys);
      document.addEventListener("keydown", (event) => {
        // The number keys work wherever the focus is, as in any viewer, unless somebody is typing.
        const typing = event.target.closest("input, select, textarea, [contenteditable], .v-stage");
        if (!typing && /^[1-6]$/.test(event.key)) viewerKeys(event);
      });
      stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
      ns.gestures(this, stage, this.find(".v-divider"));
    }

    wheel(event) {
      const { state } = this;
      if (!state.key) return;
      if (event.ctrlKey || event.metaKey) this.zoom(event.deltaY < 0 ? 1.15 : 0.87);
      else if (state.count > 1) this.viewer.show(state.index + Math.sign(event.deltaY));
      else return;
      event.preventDefault();
    }
  }

  ns.Controls = Controls;
})();
