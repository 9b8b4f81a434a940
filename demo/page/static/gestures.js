/* Pointer on the stage: read-out, pan, pinch, right-button windowing and the swipe divider. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const SWIPES = { ArrowLeft: -0.02, ArrowRight: 0.02, ArrowDown: -0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };

  /** Where a pointer is on the stage, CSS pixels. */
  const place = (stage, event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  ns.gestures = (controls, stage, divider) => {
    onStage(controls, stage);
    onDivider(controls, stage, divider);
  };

  function onStage(controls, stage) {
    const { state } = controls;
    const pointers = new Map();
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return Math.hypot(a[0] - b[0], a[1] - b[1]);
    };
    stage.addEventListener("contextmenu", (event) => state.key && event.preventDefault());
    stage.addEventListener("pointerdown", (event) => {
      if (!state.picture || event.target.closest(".v-divider")) return;
      pointers.set(event.pointerId, place(stage, event));
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!state.picture) return;
      const [x, y] = place(stage, event);
      if (!state.probe) controls.readout(controls.viewer.stage.pixelAt(x, y));
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const apart = pointers.size === 2 ? spread() : 0;
      pointers.set(event.pointerId, [x, y]);
      if (apart) controls.zoom(spread() / apart);
      else if (event.buttons & 2) controls.window(state.width + (x - before[0]) * 1.5, state.level - (y - before[1]));
      else if (event.pointerType !== "touch" || state.zoom > 1) controls.pan((x - before[0]) / stage.clientWidth, (y - before[1]) / stage.clientHeight);
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
    stage.addEventListener("pointerleave", () => !state.probe && controls.readout(null));
    stage.addEventListener("dblclick", () => controls.fit());
  }

  function onDivider(controls, stage, divider) {
    divider.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      event.preventDefault();
      divider.focus();
      divider.setPointerCapture(event.pointerId);
    });
    divider.addEventListener("pointermove", (event) => {
      if (divider.hasPointerCapture(event.pointerId)) controls.swipe(place(stage, event)[0] / stage.clientWidth);
    });
    divider.addEventListener("keydown", (event) => {
      const step = SWIPES[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      controls.swipe(controls.state.swipe + step);
    });
  }
})();
