/* What stands on the right: the answer, and what can be asked of it. What is said of a slice goes when the slice goes. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const SETTLE = 250; // ms that a threshold must rest before it is asked for

  /** The cards of a part of the panel in one line: what was asked, the number, the decision or why there is none. */
  function spoken(part) {
    if (!part) return "";
    const text = (card, selector) => {
      const found = card.querySelector(selector);
      const parts = [...(found?.children || [])].map((part) => part.textContent.trim());
      return parts.length && selector !== "h2" ? parts.join(selector === ".a-pair" ? ", " : " ") : found?.textContent.trim() || "";
    };
    const cards = [...part.querySelectorAll(".a-card[data-decision]")].map((card) => {
      const found = [".a-number", ".a-pair", ".a-decision", ".a-big", ".a-reason"].map((selector) => text(card, selector)).filter(Boolean);
      return `${text(card, "h2")}: ${found.join(". ")}`.replace(/[.\s]*$/, ".");
    });
    const cautions = part.querySelectorAll(".a-cautions li").length;
    return [...cards, ...(cautions ? [`Cautions: ${cautions}.`] : [])].join(" ");
  }

  class Side {
    /** `page` = {says, unsaved, ask(change), cancel(), named(), isNamed(asked)}. */
    constructor(root, page) {
      this.root = root;
      this.page = page;
      this.told = {}; // what was said aloud of the case and of the slice
      this.find = (selector) => root.querySelector(selector);
      this.find("#cancel").addEventListener("click", () => page.cancel());
      this.find("#again").addEventListener("click", () => page.ask({ whole: true }));
      this.find("#force").addEventListener("click", () => page.ask({ force: true }));
      this.find("#stored").addEventListener("click", () => page.ask({ threshold: null }));
      this.find("#method").addEventListener("change", (event) => page.ask({ method: event.target.value }));
      page.unsaved.join(this.find("#unsaved"));
      this.find("#verdict").addEventListener("change", (event) => page.unsaved.note("reading", event.target.value));
      for (const input of root.querySelectorAll("#threshold input")) input.addEventListener("input", () => this.threshold(input));
      this.find("#commit-form").addEventListener("submit", (event) => {
        event.preventDefault();
        const verdict = this.find("#verdict input:checked")?.value;
        if (verdict) page.ask({ verdict });
        else this.note(`${page.says.commit_missing} ${page.says.hidden}`, "hidden");
      });
    }

    threshold(input) {
      const value = input.valueAsNumber;
      if (!(value > 0 && value < 1)) return;
      for (const other of this.root.querySelectorAll("#threshold input")) if (other !== input) other.value = value;
      const asked = this.page.named();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.page.isNamed(asked) && this.page.ask({ threshold: value }), SETTLE);
    }

    /** Another case, or none: nothing that was said, chosen or set for the last one stays. */
    clear(sentence, kind = "wait") {
      clearTimeout(this.timer);
      this.told = {};
      this.find("#answer").replaceChildren();
      this.find("#verdict").querySelectorAll("input").forEach((input) => (input.checked = false));
      this.find("#method").value = "gradcam";
      this.forms({});
      this.note(sentence, kind);
    }

    /** The answer, as the server wrote it. */
    answer(html) {
      this.find("#answer").innerHTML = html;
      this.busy(false);
      this.tell();
    }

    /** A sentence of the server in place of what was said of a slice; what it said of the case stays. */
    instead(html, aloud = true) {
      const kept = this.find('#answer [data-of="case"]');
      const box = Object.assign(document.createElement("div"), { className: "snx-pending" });
      box.innerHTML = html;
      if (kept) box.prepend(kept);
      this.find("#answer").replaceChildren(box);
      this.busy(false);
      if (aloud) this.tell();
      else delete this.told.slice; // what comes next is news, even where it reads the same
    }

    /** A sentence of the page's own, in the same place. */
    note(sentence, kind = "wait", aloud = kind !== "empty") {
      const note = Object.assign(document.createElement("div"), { className: `a-note a-${kind}`, textContent: sentence });
      this.instead(note.outerHTML, aloud);
    }

    /** Say aloud, once, what has come to stand in the panel: of the case, and of the slice. */
    tell() {
      const news = { case: spoken(this.find('#answer [data-of="case"]')), slice: spoken(this.find('#answer [data-of="slice"]')) };
      const note = this.find("#answer .a-note");
      if (note) news.slice = note.textContent;
      const sentences = Object.keys(news).filter((of) => news[of] && news[of] !== this.told[of]).map((of) => news[of]);
      Object.assign(this.told, news);
      if (sentences.length) this.find(note?.matches(".a-error") ? "#alarm" : "#said").textContent = sentences.join(" ");
    }

    /** How far the judging of a series is. */
    progress([done, total]) {
      this.note(this.page.says.slice_progress.replace("{done}", done).replace("{total}", total), "wait", false);
      const bar = Object.assign(document.createElement("div"), { className: "a-progress" });
      bar.append(Object.assign(document.createElement("i"), { style: `width: ${(100 * done) / Math.max(total, 1)}%` }));
      this.find(".a-note").append(bar);
    }

    /** The same slice is judged by another rule: what stands there is about it still, and marked as on its way out. */
    busy(on) {
      this.find("#answer").setAttribute("aria-busy", String(on));
    }

    get isBusy() {
      return this.find("#answer").getAttribute("aria-busy") === "true";
    }

    /** Whether there is work to cancel. */
    stoppable(on) {
      this.find("#cancel").hidden = !on;
    }

    forms({ commit = false, force = false, tuning = false, again = false, threshold = null }) {
      this.find("#commit-form").hidden = !commit;
      this.find("#force").hidden = !force;
      this.find("#tuning").hidden = !tuning;
      this.find("#again").hidden = !again;
      if (threshold === null) return;
      const said = threshold.toFixed(2); // as the answer says it
      for (const input of this.root.querySelectorAll("#threshold input")) if (input !== document.activeElement) input.value = said;
    }
  }

  ns.Side = Side;
})();
