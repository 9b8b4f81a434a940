/* A wheel or a trackpad over the stage: slices by the distance it was turned, zoom where the pointer is.

   A notch of a wheel is one slice. A trackpad sends many small distances, and goes on by itself after a flick: that
   tail falls steadily, which no finger does, and moves nothing. */
(() => {
  const ns = (window.StrokeNeXt = window.StrokeNeXt || {});
  const STEP = 100; // CSS pixels for one slice: what browsers send for a notch
  const UNITS = [1, STEP / 3, STEP]; // CSS pixels of a pixel, a line (three to a notch) and a page
  const NOTCH = 40; // CSS pixels of a first event that is a notch however much the page is zoomed
  const QUIET = 160; // ms without an event, after which another turn begins
  const TAIL = 5; // events that must fall one after the other
  const FALL = 0.92; // and the last of them to this part of the first
  const MOST = 3; // slices for the first event of a turn; later ones come sixty to the second and get one each

  class Wheel {
    constructor() {
      this.rest();
    }

    rest() {
      Object.assign(this, { carry: 0, last: -Infinity, sizes: [], sign: 0 });
    }

    /** How many slices an event moves, in whole numbers, down positive; what is left of the distance is kept. */
    slices(event) {
      const distance = event.deltaY * UNITS[event.deltaMode];
      const sign = Math.sign(distance);
      if (!sign) return 0;
      const first = sign !== this.sign || event.timeStamp - this.last > QUIET;
      if (first) this.rest();
      Object.assign(this, { last: event.timeStamp, sign });
      this.sizes = [...this.sizes, Math.abs(distance)].slice(-TAIL);
      if (this.falling()) {
        this.carry = 0;
        return 0;
      }
      const least = first && Math.abs(distance) >= NOTCH ? STEP : 0;
      const far = Math.min(this.carry + Math.max(Math.abs(distance), least), (first ? MOST : 1) * STEP);
      const steps = Math.floor(far / STEP);
      this.carry = far - steps * STEP;
      return sign * steps;
    }

    /** Whether the last distances are those of a surface that runs out by itself. */
    falling() {
      const { sizes } = this;
      return sizes.length === TAIL && sizes.every((size, i) => i === 0 || size <= sizes[i - 1]) && sizes.at(-1) <= FALL * sizes[0];
    }

    /** The factor of a zoom: a notch is 15 %, a pinch on a trackpad follows the fingers. */
    static zoom(event) {
      const distance = event.deltaY * UNITS[event.deltaMode];
      return Math.min(Math.max(Math.exp(-distance * (Math.abs(distance) >= NOTCH ? 0.0014 : 0.01)), 0.7), 1.43);
    }
  }

  ns.Wheel = Wheel;
})();
