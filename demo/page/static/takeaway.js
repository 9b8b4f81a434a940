/* Feedback and downloads. The opinion travels with the download and is stored nowhere. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});

  ns.mountTakeaway = (element, link) => {
    const panel = element.querySelector(".snx-takeaway");
    const status = panel.querySelector(".t-status");

    const refresh = () => {
      const message = link.message() || {};
      const ready = Boolean(message.key && message.ready);
      panel.hidden = !ready;
      for (const control of panel.querySelectorAll("button, input, textarea")) control.disabled = !ready;
      if (panel.dataset.key !== (message.key || "")) clear(message.key || "");
    };
    const clear = (key) => {
      panel.dataset.key = key;
      panel.querySelectorAll("input").forEach((input) => (input.checked = false));
      panel.querySelector("textarea").value = "";
      status.textContent = "";
    };
    const view = () => {
      const { width, level, brightness, contrast, opacity, colours, encoder, style, marking } = ns.viewer.state;
      return { width, level, brightness, contrast, opacity, colours, encoder, style, marking };
    };
    const save = async (kind) => {
      const opinion = panel.querySelector("input:checked")?.value || "";
      const comment = panel.querySelector("textarea").value;
      status.textContent = "Preparing the file.";
      const request = { key: link.message().key, kind, opinion, comment, view: view() };
      const reply = await link.server.download(request).catch(() => null);
      if (!reply || reply.error) {
        status.textContent = reply?.error || "The file could not be fetched. Check the connection and try again.";
        return;
      }
      const bytes = Uint8Array.from(atob(reply.data), (c) => c.charCodeAt(0));
      const url = URL.createObjectURL(new Blob([bytes], { type: reply.type }));
      Object.assign(document.createElement("a"), { href: url, download: reply.name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
      status.textContent = `${reply.name} is in your downloads.`;
    };

    panel.querySelectorAll("button[data-kind]").forEach((button) => button.addEventListener("click", () => save(button.dataset.kind)));
    refresh();
    return { refresh };
  };
})();
