/* Every control of the viewer. Keys (keys.js) and gestures (gestures.js) do the same. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  class Controls {
    constructor(viewer) {
      this.viewer = viewer;
      this.state = viewer.state;
      this.root = viewer.root;
      this.pointer = null; // where the mouse is on the stage, CSS pixels
      this.find = (selector) => this.root.querySelector(selector);
      this.redraw = () => viewer.stage.redraw();
      this.fields();
      this.segments();
      this.buttons();
      ns.gestures(this, this.find(".v-stage"), this.find(".v-divider"));
      ns.keys(this);
    }

    /** After a change of what is open: the windows, the curve and the texts. */
    rebuild() {
      const { state } = this;
      const hu = state.unit === "HU";
      const open = Boolean(state.key);
      this.root.classList.toggle("is-open", open);
      this.find(".v-empty").textContent = this.viewer.page.says.stage || "";
      this.find(".v-empty").hidden = open || state.opening;
      this.find(".v-drop").textContent = this.viewer.page.says.drop_here || "";
      const group = this.find(".v-windows");
      const files = open && hu ? state.windows.slice(0, state.windows.length - state.presets.length) : [];
      const choices = [...files.map((w) => [w, ""]), ...state.presets.map((w, i) => [w, String(i + 1)])];
      const drawn = `${state.key} ${choices.length}`;
      if (group.dataset.key !== drawn) {
        // only for another case: a button that holds the focus must not be replaced under the reader's fingers
        group.dataset.key = drawn;
        group.replaceChildren(...choices.map(([w, key]) => this.windowButton(w, key, !(open && hu))));
      }
      this.enable(open);
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

    /** Tools that have nothing to work on cannot be used; what holds the focus, or only waits for an answer, stays as it is. */
    enable(open) {
      const { state } = this;
      for (const group of this.root.querySelectorAll(".v-window, .v-zoom")) group.disabled = !open;
      for (const group of this.root.querySelectorAll("fieldset.v-evidence")) {
        if (!open) group.disabled = true;
        else if (state.heat() || state.marks()) group.disabled = false;
        else if (state.evidence && !group.contains(document.activeElement)) group.disabled = true;
      }
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
      const place = state.count > 1 ? `Slice ${state.index + 1} / ${state.count}` : state.title;
      this.find(".v-tl").textContent = open ? `${place}\n${state.label}` : "";
      this.find(".v-tr").textContent = open ? window : "";
      this.lit();
      const evidence = state.glowing() ? ", with the model's evidence" : "";
      const label = open ? `${state.label}, ${state.title}, slice ${state.index + 1} of ${state.count}, ${window}${evidence}` : "No slice open";
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
      click(".v-heat-on", () => this.light());
      click(".v-marks-on", () => this.marks(!this.state.marking));
      click(".v-probe-on", () => this.probe(!this.state.probe));
    }

    /** Zoom so that the point `at` of the stage, in CSS pixels, stays where it is; by default the middle of the picture's pane. */
    zoom(factor, at = null) {
      const { state } = this;
      const before = state.zoom;
      state.zoom = Math.min(Math.max(state.zoom * factor, 0.5), 20);
      const pane = this.pane(at);
      const grown = state.zoom / before;
      const [x, y] = at ? [at[0] - pane.x, at[1] - pane.y] : [pane.w / 2, pane.h / 2];
      const moved = (pan, size, point) => (point + ((0.5 + pan) * size - point) * grown) / size - 0.5;
      this.place([moved(state.pan[0], pane.w, x), moved(state.pan[1], pane.h, y)]);
    }

    fit() {
      Object.assign(this.state, { zoom: 1, pan: [0, 0] });
      this.redraw();
    }

    /** Move the picture by CSS pixels. */
    pan(dx, dy) {
      const pane = this.pane(null);
      this.place([this.state.pan[0] + dx / pane.w, this.state.pan[1] + dy / pane.h]);
    }

    /** The pane at a point of the stage, or the first. */
    pane(at) {
      const panes = this.viewer.stage.panes();
      return (at && panes.find((pane) => at[0] >= pane.clip[0] && at[0] < pane.clip[1])) || panes[0];
    }

    /** Where the picture's middle is put, in parts of its pane from the pane's own middle. */
    place(pan) {
      this.state.pan = pan.map((p) => Math.min(Math.max(p, -10), 10));
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

    /** Evidence on where it is off, off where it is on, for this case. */
    light() {
      const { state } = this;
      if (!state.heat()) return;
      state.lit = !(state.strength() > 0);
      this.texts();
      this.viewer.flags();
      this.redraw();
    }

    /** Whether the evidence is drawn, and why it is not, or faintly. */
    lit() {
      const { state } = this;
      const strength = state.strength();
      const { evidence_off: off, evidence_faint: faint } = this.viewer.page.says;
      this.find(".v-heat-on").setAttribute("aria-pressed", String(!state.heat() || strength > 0));
      this.find(".v-heat-says").textContent = !state.heat() || state.lit === false || strength === 1 ? "" : strength ? faint : off;
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

    /** To another slice by a key. */
    turn(index) {
      this.viewer.show(index);
      this.say(`Slice ${this.state.index + 1} of ${this.state.count}`);
    }

    moveProbe([dx, dy], step) {
      const { state } = this;
      const limit = (v, top) => Math.min(Math.max(v, 0), top - 1);
      state.probe = [limit(state.probe[0] + dx * step, state.shape[1]), limit(state.probe[1] + dy * step, state.shape[0])];
      this.readout(state.probe);
      this.say(this.find(".v-probe").textContent);
      this.redraw();
    }

    /** What a reader who does not see the picture is told of a step just made. */
    say(sentence) {
      this.find(".v-said").textContent = sentence;
    }
  }

  ns.Controls = Controls;
})();
