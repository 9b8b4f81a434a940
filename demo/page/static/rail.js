/* What stands on the left: files to open, examples, the series of the upload, and how to read. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  class Rail {
    /** `page` = {open(source), close()}. */
    constructor(root, page) {
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
      this.drop(this.find("#files"), page);
    }

    drop(zone, page) {
      for (const name of ["dragenter", "dragover"]) zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("is-over"); });
      zone.addEventListener("dragleave", () => zone.classList.remove("is-over"));
      zone.addEventListener("drop", (event) => {
        event.preventDefault();
        zone.classList.remove("is-over");
        const files = [...(event.dataTransfer?.files || [])];
        if (files.length) page.open({ files });
      });
    }

    get readerFirst() {
      return this.find("#reader-first input").checked;
    }

    /** Whether there is something to close. */
    draw(open) {
      this.find("#close").disabled = !open;
    }
  }

  ns.Rail = Rail;
})();
