/* What stands on the left: files to open, examples, the series of the upload, and how to read. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  const make = (tag, className = "", textContent = "") => Object.assign(document.createElement(tag), { className, textContent });

  class Rail {
    /** `page` = {says, open(source), choose(number), close()}. */
    constructor(root, page) {
      this.page = page;
      this.find = (selector) => root.querySelector(selector);
      for (const input of root.querySelectorAll("input[type=file]")) {
        input.addEventListener("change", () => {
          const files = [...input.files];
          input.value = ""; // the same file may be chosen again
          if (files.length) page.open({ files });
        });
      }
      for (const button of root.querySelectorAll("[data-example]")) {
        button.addEventListener("click", () => page.open({ example: button.dataset.example }));
      }
      this.find("#close").addEventListener("click", () => page.close());
      ns.drop((files) => page.open({ files }));
    }

    get readerFirst() {
      return this.find("#reader-first input").checked;
    }

    /** What the upload holds: {lead, rows, studies, left}; null for nothing. A row that had the focus keeps it. */
    list(listed) {
      const focused = this.find(".series-rows").contains(document.activeElement) && document.activeElement.dataset.number;
      this.find("#series").hidden = !listed;
      this.find(".series-lead").textContent = listed?.lead || "";
      this.find(".series-rows").replaceChildren(...(listed ? this.studies(listed) : []));
      this.find(".series-left").hidden = !listed?.left.length;
      this.find(".series-left ul").replaceChildren(...(listed?.left || []).map((words) => make("li", "", words)));
      if (focused) this.find(`[data-number="${focused}"]`)?.focus();
    }

    /** The rows, those of each study below its heading where there are several. */
    studies({ rows, studies }) {
      const drawn = [];
      for (const study of new Set(rows.map((row) => row.study))) {
        if (studies > 1 && study) drawn.push(make("h3", "", this.page.says.study.replace("{number}", study)));
        const list = make("ul", "series-list");
        list.append(...rows.filter((row) => row.study === study).map((row) => this.row(row)));
        drawn.push(list);
      }
      return drawn;
    }

    /** One series: a button, or mere text where it cannot be judged. */
    row({ number, name, words, why, usable, open }) {
      const item = make("li");
      const box = make(usable ? "button" : "div", "series-row");
      const head = make("span", "series-name", name);
      head.append(make("em", "", this.page.says.series_open));
      box.append(head, make("span", "series-words", words), make("span", "series-why", why));
      if (usable) {
        Object.assign(box, { type: "button" }).dataset.number = number;
        box.setAttribute("aria-current", String(open));
        box.addEventListener("click", () => this.page.choose(number));
      }
      item.append(box);
      return item;
    }

    /** The reader has chosen a series: its row is marked before it is there. */
    mark(number) {
      for (const row of this.find(".series-rows").querySelectorAll("button")) row.setAttribute("aria-current", String(row.dataset.number === String(number)));
    }

    /** Whether there is something to close. */
    draw(open) {
      this.find("#close").disabled = !open;
    }
  }

  ns.Rail = Rail;
})();
