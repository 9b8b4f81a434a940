/* What the reader has judged of the open case and not yet taken away: the browser asks before the page is left. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  class Unsaved {
    constructor() {
      this.forget();
      addEventListener("beforeunload", (event) => {
        if (!this.notes.size) return;
        event.preventDefault();
        event.returnValue = true; // browsers of before 2024 ask only then
      });
    }

    /** Another case: what was judged of the last one can no longer be taken away. */
    forget() {
      this.notes = new Map();
    }

    /** The reader's words about the case ("reading") or a slice; empty words are none. */
    note(about, words) {
      if (words) this.notes.set(about, words);
      else this.notes.delete(about);
    }

    /** A file with these words is in the reader's downloads; what was written since is not in it. */
    taken(about, words) {
      if (this.notes.get(about) === words) this.notes.delete(about);
    }
  }

  ns.Unsaved = Unsaved;
})();
