/* Files on their way to the server: one upload at a time, with its progress, and an end when another is chosen. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const address = () => `${window.gradio_config?.root ?? ""}${window.gradio_config?.api_prefix ?? "/gradio_api"}/upload`;

  /** Send the files of a page; the names that the server gave them, or an Error with a sentence or none, and the status
      where anything answered. `sent(share)` is 0..1. */
  ns.upload = (files, page, signal, sent) =>
    new Promise((resolve, reject) => {
      const form = new FormData();
      for (const file of files) form.append("files", file, file.name);
      const request = new XMLHttpRequest();
      request.open("POST", address());
      if (page) request.setRequestHeader("X-StrokeNeXt-Page", page); // its uploads go when it has gone
      request.upload.onprogress = (event) => event.lengthComputable && sent(event.loaded / event.total);
      request.onload = () => {
        if (request.status === 200) resolve(JSON.parse(request.responseText));
        else reject(Object.assign(new Error(refusal(request)), { status: request.status }));
      };
      request.onerror = request.ontimeout = request.onabort = () => reject(new Error(""));
      signal.addEventListener("abort", () => request.abort());
      request.send(form);
    });

  /** The sentence in a refusal of ours; none in an answer of anything between us and the server. */
  function refusal(request) {
    try {
      const body = JSON.parse(request.responseText);
      return body.error?.message ?? (typeof body.detail === "string" ? body.detail : "");
    } catch {
      return "";
    }
  }
})();
