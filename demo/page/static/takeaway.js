/* Feedback and downloads. The opinion travels with the download and is stored nowhere. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  class Takeaway {
    /** `page` = {says, tab, unsaved, named(), isNamed(asked)}; `link` = {server}. */
    constructor(root, page, link) {
      Object.assign(this, { root, page, link, shown: null, opinions: new Map() });
      this.status = root.querySelector(".t-status");
      for (const button of root.querySelectorAll("button[data-kind]")) button.addEventListener("click", () => this.save(button.dataset.kind));
      for (const control of root.querySelectorAll("input, textarea")) control.addEventListener("input", () => page.unsaved.note(this.slice, this.written()));
      this.draw(null);
    }

    /** Opinion and comment as one text, "" for none. */
    written() {
      return [this.chosen(), this.comment().value.trim()].filter(Boolean).join(": ");
    }

    /** The answer on the screen, {case, generation, sequence, index}, or null; an opinion is about one slice of one case. */
    draw(named) {
      const slice = named && `${named.case} ${named.index}`;
      this.root.hidden = !named;
      for (const control of this.root.querySelectorAll("button, input, textarea")) control.disabled = !named;
      if (named && slice !== this.slice) this.opinion(this.opinions.get(slice));
      if (!named && this.slice) this.keep();
      this.slice = slice;
    }

    keep() {
      this.opinions.set(this.slice, { opinion: this.chosen(), comment: this.comment().value });
      this.status.textContent = "";
    }

    opinion({ opinion = "", comment = "" } = {}) {
      for (const input of this.root.querySelectorAll("input")) input.checked = input.value === opinion;
      this.comment().value = comment;
      this.status.textContent = "";
    }

    chosen() {
      return this.root.querySelector("input:checked")?.value || "";
    }

    comment() {
      return this.root.querySelector("textarea");
    }

    view() {
      const { width, level, brightness, contrast, opacity, colours, encoder, style, marking, lit } = ns.viewer.state;
      return { width, level, brightness, contrast, opacity, colours, encoder, style, marking, evidence: lit };
    }

    async save(kind) {
      const { page } = this;
      const asked = page.named();
      const [slice, written, verdict] = [this.slice, this.written(), page.options.verdict];
      this.status.textContent = page.says.preparing;
      const request = { tab: page.tab, ...asked, kind, opinion: this.chosen(), comment: this.comment().value, view: this.view() };
      const reply = await this.link.server.download(request).catch(() => null);
      if (!page.isNamed(asked)) {
        this.status.textContent = page.says.moved_on;
        return;
      }
      const same = reply && reply.case === asked.case && reply.index === asked.index && reply.sequence === asked.sequence;
      if (!same) {
        this.status.textContent = reply?.error || page.says.download_lost;
        return;
      }
      const bytes = Uint8Array.from(atob(reply.data), (c) => c.charCodeAt(0));
      const url = URL.createObjectURL(new Blob([bytes], { type: reply.type }));
      Object.assign(document.createElement("a"), { href: url, download: reply.name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      if (kind !== "png") {
        page.unsaved.taken(slice, written);
        page.unsaved.taken("reading", verdict);
      }
      this.status.textContent = page.says.saved.replace("{name}", reply.name);
    }
  }

  ns.Takeaway = Takeaway;
})();
