/* What the reader has judged of the open case and not yet taken away: before it is lost, the reader is asked. The browser
   asks when the page is left, the page when another case is opened or this one closed. */
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

    /** The dialog, a modal <dialog> whose buttons say "stay" and "leave"; Escape says neither. */
    join(dialog) {
      this.dialog = dialog;
      dialog.addEventListener("close", () => {
        if (dialog.open) return; // asked again since
        const { go } = this;
        this.go = null;
        if (dialog.returnValue === "leave") go?.();
      });
    }

    /** Do what loses the judgement, at once where there is none and else when the reader says so. What is wanted last counts. */
    ask(go) {
      if (!this.notes.size) {
        this.dialog.close("stay"); // a question from before is about nothing any more
        go();
        return;
      }
      this.go = go;
      this.dialog.returnValue = "";
      if (!this.dialog.open) this.dialog.showModal();
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
