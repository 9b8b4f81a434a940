/* Keys of the viewer. They work wherever the focus is on the page, but for where somebody types or a control has a use for the key. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const MOVE = 24; // CSS pixels of one step of the picture
  const LEAP = 5; // slices
  const ARROWS = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };
  const NEXT_ENCODER = { both: "A", A: "B", B: "both" };
  const NEXT_STYLE = { heat: "grid", grid: "contour", contour: "heat" };
  const TYPING = "textarea, select, [contenteditable]:not([contenteditable=false]), input:not([type=range], [type=radio], [type=checkbox], [type=button], [type=submit], [type=file])";
  const STEPPED = "input[type=range], input[type=radio], [role=radio], [role=slider], [role=tab], [role=menuitem]";
  const DIALOG = "dialog[open], [role=dialog][aria-modal=true]";

  ns.keys = (controls) => {
    const list = controls.find(".v-keys");
    const anywhere = list.querySelector("input");
    const open = () => list.open || list.showModal();
    controls.find(".v-keys-on").addEventListener("click", open);
    list.querySelector(".v-keys-close").addEventListener("click", () => list.close());
    document.addEventListener("keydown", (event) => {
      const { target } = event;
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (document.querySelector(DIALOG) || target.closest?.(TYPING)) return;
      if (!anywhere.checked && !target.closest?.(".v-stage")) return;
      if (event.key === "?") open();
      else if (!controls.state.key || (moves(event.key) && stepped(target)) || !press(controls, event)) return;
      event.preventDefault();
    });
  };

  const moves = (key) => key in ARROWS || ["PageUp", "PageDown", "Home", "End"].includes(key);

  /** Whether the element has a use of its own for arrows: a slider, a choice, a panel that scrolls. */
  function stepped(target) {
    if (target.closest(STEPPED)) return true;
    const scrolls = target !== document.body && target !== document.documentElement && target.scrollHeight > target.clientHeight + 1;
    return scrolls && ["auto", "scroll"].includes(getComputedStyle(target).overflowY);
  }

  /** One key; whether it meant something. */
  function press(controls, event) {
    const { state } = controls;
    const preset = (state.presets || [])[Number(event.key) - 1];
    const action = preset ? () => controls.window(preset.width, preset.level) : step(controls, event) || act(controls, event);
    if (action) action();
    return Boolean(action);
  }

  /** Arrows and pages: the picture, the probe or the slices. */
  function step(controls, { key, shiftKey }) {
    const { state } = controls;
    const arrow = ARROWS[key];
    if (arrow && state.probe) return () => controls.moveProbe(arrow, shiftKey ? 10 : 1);
    if (arrow && shiftKey) return () => controls.pan(-arrow[0] * MOVE, -arrow[1] * MOVE);
    if (state.count < 2) return null;
    const to = { PageUp: state.index - LEAP, PageDown: state.index + LEAP, Home: 0, End: state.count - 1 }[key];
    const wanted = arrow ? state.index + (arrow[0] || arrow[1]) : to;
    return wanted === undefined ? null : () => controls.turn(wanted);
  }

  function act(controls, { key }) {
    const { state } = controls;
    const actions = {
      "+": () => controls.zoom(1.25, controls.pointer), "=": () => controls.zoom(1.25, controls.pointer),
      "-": () => controls.zoom(0.8, controls.pointer), 0: () => controls.fit(),
      o: () => controls.pick("mode", state.mode === "overlay" ? "slice" : "overlay"), d: () => controls.pick("mode", "side"),
      w: () => controls.pick("mode", "swipe"), c: () => controls.pick("style", NEXT_STYLE[state.style]),
      e: () => controls.pick("encoder", NEXT_ENCODER[state.encoder]), p: () => controls.probe(!state.probe),
      m: () => controls.marks(!state.marking), h: () => controls.light(),
    };
    return actions[key.length === 1 ? key.toLowerCase() : key];
  }
})();
