/* Pointers on the stage. Mouse: read-out, pan, right-button windowing. Fingers: one turns slices, two zoom and move. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const SWIPES = { ArrowLeft: -0.02, ArrowRight: 0.02, ArrowDown: -0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
  const STROKE = [10, 40]; // least and most CSS pixels of a finger for one slice

  /** Where a pointer is on the stage, CSS pixels. */
  const place = (stage, event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  ns.gestures = (controls, stage, divider) => {
    onWheel(controls, stage);
    onMouse(controls, stage);
    onFingers(controls, stage);
    onDivider(controls, stage, divider);
  };

  function onWheel(controls, stage) {
    const { state } = controls;
    const wheel = new ns.Wheel();
    stage.addEventListener("wheel", (event) => {
      const zooming = event.ctrlKey || event.metaKey;
      if (zooming || state.count > 1) event.preventDefault(); // over the stage neither the page moves nor its letters grow
      if (!state.key) return;
      if (zooming) controls.zoom(ns.Wheel.zoom(event), place(stage, event));
      else if (state.count > 1) controls.viewer.show(state.index + wheel.slices(event));
    }, { passive: false });
    // Safari tells of a pinch on a trackpad in events of its own.
    let scale = 1;
    const pinch = (use) => (event) => (event.preventDefault(), use(event));
    stage.addEventListener("gesturestart", pinch(() => (scale = 1)));
    stage.addEventListener("gesturechange", pinch((event) => {
      if (state.picture) controls.zoom(event.scale / scale, place(stage, event));
      scale = event.scale;
    }));
  }

  function onMouse(controls, stage) {
    const { state } = controls;
    let before = null;
    stage.addEventListener("contextmenu", (event) => state.key && event.preventDefault());
    stage.addEventListener("pointerdown", (event) => {
      if (!state.picture || event.pointerType === "touch" || event.target.closest(".v-divider, button")) return;
      before = place(stage, event);
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (!state.picture || event.pointerType === "touch") return;
      const [x, y] = place(stage, event);
      controls.pointer = [x, y];
      if (!state.probe) controls.readout(controls.viewer.stage.pixelAt(x, y));
      if (!before) return;
      if (event.buttons & 2) controls.window(state.width + (x - before[0]) * 1.5, state.level - (y - before[1]));
      else controls.pan(x - before[0], y - before[1]);
      before = [x, y];
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => (before = null));
    stage.addEventListener("pointerleave", () => {
      controls.pointer = null;
      if (!state.probe) controls.readout(null);
    });
    stage.addEventListener("dblclick", () => controls.fit());
  }

  function onFingers(controls, stage) {
    const { state } = controls;
    const fingers = new Map(); // where on the screen, CSS pixels: the stage moves when the page does
    let far = 0; // CSS pixels that one finger went since the last slice
    const touch = (use) => (event) => event.pointerType === "touch" && use(event);
    const here = (event) => [event.clientX, event.clientY];
    const two = () => {
      const [a, b] = [...fingers.values()];
      const at = { clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 };
      return { at: place(stage, at), apart: Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 1) };
    };
    stage.addEventListener("pointerdown", touch((event) => {
      if (!state.picture || event.target.closest(".v-divider, button") || fingers.size === 2) return;
      fingers.set(event.pointerId, here(event));
      stage.setPointerCapture(event.pointerId);
      far = 0;
    }));
    stage.addEventListener("pointermove", touch((event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const last = fingers.size === 2 ? two() : null;
      fingers.set(event.pointerId, here(event));
      if (last) pinch(last, two());
      else stroke(event.clientX - before[0], event.clientY - before[1]);
    }));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, touch((event) => fingers.delete(event.pointerId)));

    /** One finger: slices of a series; of one slice the picture where it is enlarged, else the page. */
    function stroke(dx, dy) {
      if (state.count < 2 && state.zoom > 1) controls.pan(dx, dy);
      else if (state.count < 2) window.scrollBy(0, -dy);
      else {
        const step = Math.min(Math.max(stage.clientHeight / state.count, STROKE[0]), STROKE[1]);
        const slices = Math.trunc((far + dy) / step);
        far += dy - slices * step;
        controls.viewer.show(state.index + slices);
      }
    }

    function pinch(last, now) {
      controls.pan(now.at[0] - last.at[0], now.at[1] - last.at[1]);
      controls.zoom(now.apart / last.apart, now.at);
    }
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
