/* Files dropped anywhere on the page are opened, folders with all that is in them; the stage says so while they are above it. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const GONE = 600; // ms without a sign of the drag, after which it has left; browsers give one every 50 to 350

  /** `open(files)` is given a promise of the files, for a folder takes its time to list. */
  ns.drop = (open) => {
    let timer = 0;
    const over = (on) => {
      clearTimeout(timer);
      if (on) timer = setTimeout(over, GONE, false);
      document.body.classList.toggle("is-dropping", on);
    };
    const ours = (use) => (event) => {
      if (![...(event.dataTransfer?.types || [])].includes("Files")) return; // a word dragged into the comment
      event.preventDefault(); // else the browser leaves the page for the file
      use(event);
    };
    for (const name of ["dragenter", "dragover"]) {
      addEventListener(name, ours((event) => {
        event.dataTransfer.dropEffect = "copy";
        over(true);
      }));
    }
    addEventListener("dragleave", (event) => event.relatedTarget || over(false));
    addEventListener("drop", ours((event) => {
      over(false);
      open(dropped(event.dataTransfer));
    }));
  };

  /** All files of a drop. What lies in it must be taken before the event ends; folders are read after. */
  function dropped(transfer) {
    const items = [...transfer.items].filter((item) => item.kind === "file");
    const found = items.map((item) => item.webkitGetAsEntry?.() || item.getAsFile()).filter(Boolean);
    return Promise.all(found.map(inside)).then((files) => files.flat());
  }

  /** The files of a file, an entry or a folder, by name. Rejects where the system does not let it be read. */
  async function inside(entry) {
    if (entry instanceof File) return [entry];
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      return [Object.assign(file, { below: entry.fullPath.slice(1) })]; // webkitRelativePath is empty for what was dropped
    }
    const reader = entry.createReader();
    const entries = [];
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a hundred at a time
      if (!some.length) break;
      entries.push(...some);
    }
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    const files = [];
    for (const one of entries) files.push(...(await inside(one)));
    return files;
  }
})();
