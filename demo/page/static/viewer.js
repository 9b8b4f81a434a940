/* The viewer: what is open, what the controls say, and the messages from the server. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const KEPT = 96; // decoded slices held by the browser

  class State {
    constructor() {
      Object.assign(this, { mode: "overlay", style: "heat", encoder: "both", colours: "inferno", opacity: 0.6, swipe: 0.5, marking: true });
      this.close();
    }

    close() {
      Object.assign(this, { key: null, count: 0, index: 0, picture: null, shape: [1, 1], unit: "grey", spacing: null, edges: null });
      Object.assign(this, { windows: [], width: 80, level: 40, brightness: 0, contrast: 1, zoom: 1, pan: [0, 0], probe: null });
      Object.assign(this, { heats: new Map(), allMarks: new Map(), pictures: new Map(), curve: null, hidden: false });
    }

    range() {
      if (this.unit === "HU") return [this.level - this.width / 2, this.level + this.width / 2];
      return ns.pixels.greyRange(this.brightness, this.contrast);
    }

    heat() {
      return this.hidden ? null : this.heats.get(this.index) || null;
    }

    /** What the segmentation model marks on this slice, null where it is not known or the reader looks first. */
    marks() {
      return this.hidden ? null : this.allMarks.get(this.index) || null;
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
    constructor(root, link) {
      this.root = root;
      this.link = link; // {trigger, server, message}
      this.state = new State();
      this.stage = new ns.Stage(root, this.state);
      this.controls = new ns.Controls(this);
      this.timer = null;
      this.receive(link.message());
    }

    /** A message of the server: another case, or more evidence about the one that is open. */
    receive(message) {
      if (!message || typeof message !== "object") return;
      const { state } = this;
      if (!message.key) {
        state.close();
        this.root.dataset.ready = "no";
      } else if (message.key !== state.key) {
        state.close();
        Object.assign(state, { key: message.key, count: message.count, shape: message.shape, unit: message.unit, spacing: message.spacing });
        Object.assign(state, { windows: message.windows, presets: message.presets, title: message.title });
        Object.assign(state, { width: message.windows[0]?.width ?? 80, level: message.windows[0]?.level ?? 40 });
      }
      state.hidden = Boolean(message.hidden);
      state.curve = message.curve || null;
      if (message.method !== state.method) state.heats.clear(); // evidence of another method does not mix with this one
      state.method = message.method;
      for (const [known, sent] of [[state.heats, message.heat], [state.allMarks, message.marks]]) {
        if (sent) known.set(sent.index, sent);
        else if (sent === null && Number.isInteger(message.about)) known.delete(message.about);
      }
      this.stage.forget();
      this.controls.rebuild(message);
      if (message.key && Number.isInteger(message.show)) this.show(message.show, false);
      else this.stage.redraw();
      this.flags();
    }

    /** What the slice on the stage has, for style sheets and tests. */
    flags() {
      this.root.dataset.heat = this.state.heat() ? "yes" : "no";
      this.root.dataset.marks = this.state.marks() ? "yes" : "no";
    }

    /** Go to a slice; `ask` tells the server, so that the answer follows once the reader rests there. */
    async show(index, ask = true) {
      const { state } = this;
      if (!state.key) return;
      const key = state.key;
      state.index = Math.min(Math.max(index, 0), state.count - 1);
      const wanted = state.index;
      this.controls.position();
      if (ask && state.count > 1) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.rest(key, state.index), 220);
      }
      const held = state.pictures.get(wanted);
      if (!held) this.busy(true);
      const picture = held || (await this.fetch(key, wanted));
      if (state.key !== key || state.index !== wanted) return;
      this.busy(false);
      if (picture) this.present(picture);
      if (picture) this.ahead(key, wanted);
    }

    /** The reader rests on a slice: ask for its answer. */
    async rest(key, index) {
      const reply = await this.link.server.rest({ key, index }).catch(() => null);
      if (this.state.key !== key) return;
      if (!reply || reply.error) this.failed(reply?.error);
      else this.link.trigger("slice", {});
    }

    present(picture) {
      const { state } = this;
      Object.assign(state, { picture, edges: picture.edges });
      this.root.dataset.ready = "yes";
      this.root.dataset.index = String(state.index);
      this.flags();
      this.controls.position();
      this.stage.redraw();
    }

    async fetch(key, index) {
      const { state } = this;
      const plain = typeof DecompressionStream === "undefined";
      const ask = () => this.link.server.pixels({ key, index, plain }).catch(() => null);
      let reply = await ask();
      if (!reply) {
        // A request that was lost on a busy connection is asked once more before the reader is told.
        await new Promise((done) => setTimeout(done, 500));
        reply = await ask();
      }
      if (!reply || reply.error) {
        this.failed(reply?.error);
        return null;
      }
      const picture = { ...(await ns.pixels.decode(reply)), edges: reply.edges };
      if (state.key !== key) return null;
      state.pictures.set(index, picture);
      if (state.pictures.size > KEPT) state.pictures.delete(state.pictures.keys().next().value);
      return picture;
    }

    /** Read the neighbours while the reader looks at this one. */
    async ahead(key, index) {
      for (const next of [index + 1, index - 1, index + 2, index - 2]) {
        if (next < 0 || next >= this.state.count || this.state.pictures.has(next)) continue;
        if (this.state.key !== key || this.state.index !== index) return;
        await this.fetch(key, next);
      }
    }

    busy(on) {
      const sign = this.root.querySelector(".v-busy");
      sign.hidden = !on;
      sign.textContent = "Reading the slice";
    }

    failed(sentence) {
      const sign = this.root.querySelector(".v-busy");
      sign.hidden = false;
      sign.textContent = sentence || "The slice could not be fetched. Check the connection and open the picture again.";
    }
  }

  ns.mountViewer = (element, link) => {
    const viewer = new Viewer(element.querySelector(".snx-viewer"), link);
    ns.viewer = viewer; // for tests and the curious
    return viewer;
  };
})();
