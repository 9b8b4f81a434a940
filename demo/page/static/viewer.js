/* The viewer: what is open, what the controls say, and the pictures. Which case and slice that is, the page owns. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const KEPT = 96; // decoded slices held by the browser
  const PAUSES = [400, 800, 1600, 3000]; // ms between two tries to fetch a slice, the last one repeated

  class State {
    constructor() {
      Object.assign(this, { mode: "overlay", style: "heat", encoder: "both", colours: "inferno", opacity: 0.6, swipe: 0.5, marking: true });
      this.presets = [];
      this.close();
    }

    close() {
      Object.assign(this, { key: null, count: 0, index: 0, title: "", label: "", picture: null, shape: [1, 1], unit: "grey", spacing: null, edges: null });
      Object.assign(this, { windows: [], width: 80, level: 40, brightness: 0, contrast: 1, zoom: 1, pan: [0, 0], probe: null });
      Object.assign(this, { evidence: null, pictures: new Map(), curve: null, lit: null, hidden: false, why: null, opening: false });
    }

    range() {
      if (this.unit === "HU") return [this.level - this.width / 2, this.level + this.width / 2];
      return ns.pixels.greyRange(this.brightness, this.contrast);
    }

    /** The model's evidence on this slice, null where it is not known or the reader looks first. */
    heat() {
      return this.about("heat");
    }

    /** How strongly the evidence is drawn, 0..1: as the answer says, unless the reader asked for it or asked it away. */
    strength() {
      const heat = this.heat();
      if (!heat || this.lit === false) return 0;
      return this.lit ? heat.asked : heat.strength;
    }

    /** The evidence that is drawn, null for none. */
    glowing() {
      return this.strength() > 0 ? this.heat() : null;
    }

    /** What the segmentation model marks on this slice, null as `heat`. */
    marks() {
      return this.about("marks");
    }

    about(what) {
      const found = this.hidden ? null : this.evidence?.[what];
      return found && found.index === this.index ? found : null;
    }

    peak() {
      const heat = this.heat();
      if (!heat) return 0;
      const total = heat.maps[0].map((_, i) => heat.maps.reduce((sum, map, e) => (this.encoder === "both" || heat.encoders[e] === this.encoder ? sum + map[i] : sum), 0));
      return Math.max(...total);
    }

    value(x, y) {
      return this.picture.values[y * this.shape[1] + x] * this.picture.scale;
    }
  }

  class Viewer {
    /** `page` = {says, moved(index), pixels(request), cancel()}. */
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.state = new State();
      this.stage = new ns.Stage(root, this.state);
      this.controls = new ns.Controls(this);
      root.querySelector(".v-cancel").addEventListener("click", () => page.cancel());
    }

    /** Nothing is open any more: pictures, evidence, curve and texts of the last case go now. `opening` says of what follows. */
    clear(opening = null, cancel = true) {
      this.state.close();
      this.state.opening = Boolean(opening);
      this.root.dataset.ready = "no";
      delete this.root.dataset.index;
      this.sign(opening, cancel);
      this.rebuild();
    }

    /** Another case; its first picture is `index`. */
    open(message, index) {
      const { state } = this;
      state.close();
      Object.assign(state, { key: message.key, count: message.count, shape: message.shape, unit: message.unit, spacing: message.spacing });
      Object.assign(state, { windows: message.windows, title: message.title, label: message.label, why: message.why, hidden: Boolean(message.hidden), index });
      Object.assign(state, { width: message.windows[0]?.width ?? 80, level: message.windows[0]?.level ?? 40 });
      this.rebuild();
      this.go(index);
    }

    /** What the model sees on the slice that is shown: heat, marks, and the curve of the series; null for nothing. */
    evidence(message) {
      const { state } = this;
      state.evidence = message && message.about === state.index ? { heat: message.heat, marks: message.marks } : null;
      if (message) Object.assign(state, { hidden: Boolean(message.hidden), curve: message.curve || state.curve });
      this.rebuild();
    }

    rebuild() {
      this.stage.forget();
      this.controls.rebuild();
      this.stage.redraw();
      this.flags();
    }

    /** What the slice on the stage has, for style sheets and tests. */
    flags() {
      this.root.dataset.heat = this.state.heat() ? "yes" : "no";
      this.root.dataset.lit = String(this.state.strength());
      this.root.dataset.marks = this.state.marks() ? "yes" : "no";
    }

    /** The reader goes to a slice. */
    show(index) {
      const { state } = this;
      const wanted = Math.min(Math.max(index, 0), state.count - 1);
      if (!state.key || wanted === state.index) return;
      state.evidence = null;
      state.index = wanted;
      this.page.moved(wanted);
      this.go(wanted);
    }

    /** Put a slice on the stage; until its picture is here the stage is empty. */
    async go(index) {
      const { state } = this;
      const key = state.key;
      state.index = index;
      state.picture = state.pictures.get(index) || null;
      this.root.dataset.ready = "no";
      this.root.dataset.index = String(index);
      this.flags();
      this.controls.position();
      if (!state.picture) {
        this.stage.redraw();
        this.sign(this.page.says.slice_reading.replace("{slice}", index + 1));
        const picture = await this.insist(key, index);
        if (!picture) return; // the reader is elsewhere by now
        state.picture = picture;
      }
      this.sign(null);
      this.present();
      this.ahead(key, index);
    }

    present() {
      const { state } = this;
      state.edges = state.picture.edges;
      this.root.dataset.ready = "yes";
      this.flags();
      this.controls.position();
      this.stage.redraw();
    }

    current(key, index) {
      return this.state.key === key && this.state.index === index;
    }

    /** The picture of a slice, asked for until it comes or the reader is elsewhere, which gives null. */
    async insist(key, index) {
      for (let tries = 0; this.current(key, index); tries += 1) {
        const picture = await this.fetch(key, index);
        if (!this.current(key, index)) return null;
        if (picture) return picture;
        this.sign(this.refusal || this.page.says.slice_lost.replace("{slice}", index + 1));
        await new Promise((done) => setTimeout(done, PAUSES[Math.min(tries, PAUSES.length - 1)]));
      }
      return null;
    }

    /** One try; null where it failed, or where what came is of another case or slice. */
    async fetch(key, index) {
      const { state } = this;
      const plain = typeof DecompressionStream === "undefined";
      const reply = await this.page.pixels({ case: key, index, plain });
      this.refusal = reply?.error || null;
      if (!reply || reply.error || reply.case !== key || reply.index !== index) return null;
      const picture = { ...(await ns.pixels.decode(reply)), edges: reply.edges, case: key, index };
      if (state.key !== key) return null;
      state.pictures.set(index, picture);
      if (state.pictures.size > KEPT) state.pictures.delete(state.pictures.keys().next().value);
      return picture;
    }

    /** Read the neighbours while the reader looks at this one. */
    async ahead(key, index) {
      for (const next of [index + 1, index - 1, index + 2, index - 2]) {
        if (next < 0 || next >= this.state.count || this.state.pictures.has(next)) continue;
        if (!this.current(key, index)) return;
        await this.fetch(key, next);
      }
    }

    /** A sentence on the stage, with a button to cancel where there is something to cancel; null for none. */
    sign(sentence, cancel = false) {
      const box = this.root.querySelector(".v-busy");
      box.hidden = !sentence;
      box.querySelector(".v-busy-text").textContent = sentence || "";
      box.querySelector(".v-cancel").hidden = !cancel;
    }

    /** The line to the server is down, or up again. */
    line(sentence) {
      const box = this.root.querySelector(".v-line");
      box.hidden = !sentence;
      box.textContent = sentence || "";
    }
  }

  ns.Viewer = Viewer;
})();
