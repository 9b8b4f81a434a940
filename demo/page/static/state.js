/* The state of the page, owned here and nowhere else in the browser.

   A case is one opening, numbered by `generation`; a question about it (a slice, a threshold, a method, a verdict) is
   numbered by `sequence`. Whatever the server sends names both. What is not the case and the question on the screen is
   dropped in `receive`, the only way in. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const REST = 220; // ms that a reader rests on a slice before its answer is asked for
  const LOOK = 200; // ms between two looks while the server works for this page
  const IDLE = 15000; // ms between two signs of life
  const PATIENCE = { pixels: 120000, other: 30000 }; // ms for one call, then it counts as lost and is made again
  const PAUSES = [300, 600, 1200, 2500, 4000]; // ms between two tries of one call
  const BUSY = ["opening", "judging"];
  const NEW_OPTIONS = { threshold: null, method: "gradcam", force: false, verdict: null, whole: false };
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  /** Where a file lies below what was chosen or dropped: "folder/part/name", or its name alone. */
  const place = (file) => file.webkitRelativePath || file.below || file.name;
  /** The folder that all of these files come from, null where there is none. */
  const folder = (files) => {
    const tops = new Set(files.map((file) => place(file).split("/").slice(0, -1)[0]));
    return tops.size === 1 ? [...tops][0] || null : null;
  };

  class Page {
    constructor() {
      this.parts = {};
      this.says = {};
      this.tab = null;
      this.generation = 0;
      this.unsaved = new ns.Unsaved();
      this.blank("empty");
      addEventListener("online", () => this.look());
      addEventListener("visibilitychange", () => document.hidden || this.look());
    }

    /** A part of the page is there; with the last of them the page says hello. */
    join(part, element, link) {
      const kinds = { viewer: [ns.Viewer, ".snx-viewer"], rail: [ns.Rail, null], side: [ns.Side, null], takeaway: [ns.Takeaway, ".snx-takeaway"] };
      const [Kind, selector] = kinds[part];
      this.parts[part] = new Kind(selector ? element.querySelector(selector) : element, this, link);
      if (part === "viewer") {
        this.link = link;
        this.says = { ...link.message().says, stage: link.message().empty };
        this.parts.viewer.state.presets = link.message().presets;
        ns.viewer = this.parts.viewer; // for tests and the curious
      }
      if (Object.keys(this.parts).length === Object.keys(kinds).length) this.start();
    }

    start() {
      this.clear(this.says.empty_answer, "empty");
      document.body.dataset.wired = "yes";
      this.hello();
    }

    /** Ask for this page's key until it is there. */
    async hello() {
      this.tab = null;
      for (let tries = 0; !this.tab; tries += 1) {
        this.link.hello();
        await pause(PAUSES[Math.min(tries + 2, PAUSES.length - 1)]);
      }
    }

    greeted(message) {
      if (!message?.tab || message.tab === this.tab) return;
      this.tab = message.tab;
      this.known = -1;
      this.schedule();
    }

    // --- what the reader does ---

    /** Another picture: {files} or {example}, and which series of it; a judgement that would be lost is asked about first. */
    open(source) {
      this.unsaved.ask(() => this.leaveFor(source));
    }

    /** What was on the screen goes before anything is sent. `sent` says for which opening the server was sent these files;
        they go again only where it has them no longer. */
    leaveFor({ files, ...source }) {
      this.begin("opening", this.says.reading);
      this.offered({ files, ...source });
      const { generation } = this;
      const request = { generation, reader_first: this.parts.rail.readerFirst, ...source };
      if (files && !source.sent) this.deliver(files, request);
      else this.command("open", request, () => this.generation === generation, () => this.deliver(files, request));
    }

    /** Send the files of what is being opened, then have them opened. */
    async deliver(files, request) {
      const { generation } = request;
      this.upload = new AbortController();
      const names = await this.arrive(files, generation).catch((error) => error);
      if (generation !== this.generation) return;
      this.upload = null;
      if (names instanceof Error) {
        const { upload_refused, upload_failed } = this.says;
        this.fail(names.message || (names.status ? upload_refused.replace("{status}", names.status) : upload_failed));
        return;
      }
      this.source.sent = generation;
      this.parts.viewer.sign(this.says.reading, true);
      this.command("open", { ...request, ...names, sent: null }, () => this.generation === generation);
    }

    /** What a request says of files once they came to the server; `files` may be a promise. Rejects with a sentence or none. */
    async arrive(files, generation) {
      const found = await Promise.resolve(files).catch(() => []);
      if (generation !== this.generation) return null;
      if (!found.length) throw new Error(this.says.nothing_dropped);
      const names = await ns.upload(found, this.tab, this.upload.signal, (share) => this.sending(generation, share));
      return { files: names, places: found.map(place), folder: folder(found) };
    }

    /** Another series of what was opened last: what was open is left as for any other picture, the list stays. */
    choose(series) {
      if (this.source) this.open({ ...this.source, series });
    }

    /** What is opened, to open another series of it; its list goes, unless one of its series was chosen. */
    offered(source) {
      this.source = source;
      if (source?.series) this.parts.rail.mark(source.series);
      else this.parts.rail.list(null);
    }

    /** Nothing is to be open; asks as `open`. */
    close() {
      this.unsaved.ask(() => this.shut(this.says.empty_answer, "empty"));
    }

    shut(sentence, kind, keep = false) {
      if (!this.closable) return;
      this.begin("empty", sentence, kind);
      if (keep) this.parts.rail.mark(null);
      else this.offered(null);
      this.draw();
      const { generation } = this;
      this.command("close", { generation, keep }, () => this.generation === generation);
    }

    /** An opening is as if never begun, but for the list its series was chosen from; a judgement ends, the picture stays. */
    cancel() {
      if (this.phase === "opening") this.shut(this.says.cancelled, "wait", Boolean(this.source?.series));
      if (this.phase !== "judging") return;
      this.next();
      this.progress = null;
      this.fail(this.says.cancelled, "wait");
      const asked = this.named();
      this.command("stop", asked, () => this.isNamed(asked));
    }

    /** The reader goes to another slice: what was said of the last one goes at once, the answer follows at rest. */
    moved(index) {
      this.index = index;
      this.options.force = false;
      this.next();
      if (this.progress) this.parts.side.progress(this.progress);
      else this.parts.side.note(this.says.slice_pending.replace("{slice}", index + 1), "wait", false);
      this.parts.side.forms({ commit: this.committing });
      const asked = this.named();
      this.rest = setTimeout(() => this.isNamed(asked) && this.send(), REST);
    }

    /** Another question about the slice on the screen. */
    ask(change) {
      if (!this.case) return;
      Object.assign(this.options, change);
      this.next();
      this.parts.side.busy(true);
      this.send();
    }

    // --- names ---

    /** The case and the question that are on the screen. */
    named() {
      return { case: this.case, generation: this.generation, sequence: this.sequence, index: this.index };
    }

    isNamed(asked) {
      return asked.case === this.case && asked.generation === this.generation && asked.sequence === this.sequence;
    }

    /** Another case: the number grows, and nothing of the last one is left, here or on the screen. */
    begin(phase, sentence, kind = "wait") {
      this.upload?.abort();
      this.upload = null;
      this.generation += 1;
      this.blank(phase);
      this.clear(sentence, kind);
    }

    blank(phase) {
      clearTimeout(this.rest);
      this.unsaved.forget();
      Object.assign(this, { phase, case: null, count: 0, index: 0, sequence: 0, answered: false, committing: false, progress: null });
      this.known = -1;
      this.options = { ...NEW_OPTIONS };
    }

    clear(sentence, kind) {
      this.parts.viewer.clear(this.phase === "opening" ? sentence : null);
      this.parts.side.clear(sentence, kind);
      this.draw();
    }

    /** Another question: answers to the last one count no longer. */
    next() {
      clearTimeout(this.rest);
      this.sequence += 1;
      this.answered = false;
      this.phase = "judging";
      this.draw();
    }

    // --- calls ---

    send() {
      const asked = this.named();
      this.command("ask", { ...asked, ...this.options }, () => this.isNamed(asked));
    }

    /** Make a call until it is answered, while it is wanted; `gone` is done where it asks for files that are not there. */
    async command(name, request, wanted, gone = null) {
      for (let tries = 0; wanted(); tries += 1) {
        const reply = await this.call(name, request);
        if (!wanted()) return;
        if (reply) {
          if (reply.gone && gone) gone();
          else this.accept(reply);
          return;
        }
        await pause(PAUSES[Math.min(tries, PAUSES.length - 1)]);
      }
    }

    /** One call; null where the line failed. */
    async call(name, request) {
      if (!this.tab) return null;
      const late = new Promise((done) => setTimeout(done, PATIENCE[name] ?? PATIENCE.other, null));
      const made = this.link.server[`page_${name}`]({ tab: this.tab, known: this.known, ...request }).catch(() => null);
      const reply = await Promise.race([made, late]);
      this.parts.viewer.line(reply ? null : this.says.line_lost);
      return reply ?? null;
    }

    pixels(request) {
      return this.call("pixels", request);
    }

    /** See what is on the page on the server; again soon while it works for this page, else as a sign of life. */
    async look() {
      clearTimeout(this.timer);
      if (this.looking || !this.tab) return;
      this.looking = true;
      const reply = await this.call("look", {});
      this.looking = false;
      if (reply) this.accept(reply);
      this.schedule();
    }

    schedule() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.look(), BUSY.includes(this.phase) && !this.upload ? LOOK : IDLE);
    }

    // --- what comes in ---

    accept(reply) {
      if (reply.error && reply.expired) {
        this.begin("failed", reply.error, "error");
        this.hello();
      } else if (reply.error) this.fail(reply.error);
      else this.receive(reply);
      this.schedule();
    }

    /** A snapshot of the server; whether it was let in. */
    receive(snapshot) {
      if (snapshot.generation !== this.generation || snapshot.sequence !== this.sequence) return false;
      if (this.case && snapshot.case && snapshot.case !== this.case) return false;
      if (snapshot.version <= this.known) return false;
      this.known = snapshot.version;
      Object.assign(this, { phase: snapshot.phase, progress: snapshot.progress });
      if (snapshot.listed) this.parts.rail.list(snapshot.listed);
      if (snapshot.screen) this.show(snapshot);
      else if (this.phase === "judging" && this.progress) this.parts.side.progress(this.progress);
      this.draw();
      return true;
    }

    show(snapshot) {
      const { viewer, side } = this.parts;
      const { screen } = snapshot;
      const done = ["shown", "refused"].includes(snapshot.phase);
      if (!screen.viewer) {
        const choosing = snapshot.phase === "choosing";
        viewer.clear(choosing ? this.says.choose_first : snapshot.phase === "opening" ? this.says.reading : null, !choosing);
        side.clear("");
      } else if (snapshot.case !== this.case) this.adopt(snapshot);
      else if (snapshot.index !== this.index) this.turn(snapshot.index);
      this.case = snapshot.case;
      if (done) {
        viewer.evidence(screen.viewer);
        side.answer(screen.answer);
      } else if (snapshot.phase === "judging" && side.isBusy) return; // the same slice by another rule: a moment's wait
      else {
        if (this.case) viewer.evidence(screen.viewer);
        side.instead(screen.answer, snapshot.phase !== "judging");
      }
      this.answered = done && screen.ready;
      this.committing = screen.commit;
      side.forms(screen);
    }

    /** The case that was being opened is there. */
    adopt({ case: key, index, screen }) {
      Object.assign(this, { case: key, index, count: screen.viewer.count });
      this.parts.viewer.open(screen.viewer, index);
    }

    /** The server turned to the slice with the highest probability, which it does only for a reader who has not gone to any. */
    turn(index) {
      this.index = index;
      this.parts.viewer.go(index);
    }

    /** A sentence in place of the answer, with which the evidence for that answer goes too. */
    fail(sentence, kind = "error") {
      this.phase = "failed";
      this.parts.viewer.sign(null);
      if (this.case) this.parts.viewer.evidence(null);
      this.parts.side.note(sentence, kind);
      this.parts.side.forms({ commit: this.committing, again: Boolean(this.case) });
      this.draw();
    }

    sending(generation, share) {
      if (generation !== this.generation) return;
      this.parts.viewer.sign(this.says.sending.replace("{share}", Math.round(100 * share)), true);
    }

    /** Whether there is something to close: a case, what is on its way, or the list that a cancelled choice left. */
    get closable() {
      return this.phase !== "empty" || Boolean(this.source);
    }

    /** What depends on the phase. */
    draw() {
      document.body.dataset.phase = this.phase;
      this.parts.rail?.draw(this.closable);
      this.parts.takeaway?.draw(this.answered ? this.named() : null);
      this.parts.side?.stoppable(BUSY.includes(this.phase));
    }
  }

  ns.page = new Page();
  ns.join = (part, element, link) => ns.page.join(part, element, link);
})();
