// What a mouse or fingers do to a timeline: zoom, move, look through, pick.

import { panned, pinched } from "./layout.js";
import { RULER } from "./paint.js";

const DRAG = 4; // pixels; less is a click
const WHEEL = 0.0018; // of a zoom for a pixel of the wheel

export class Pointers {
  constructor(timeline, signal) {
    this.timeline = timeline;
    this.held = new Map(); // those that are down, by their id
    const on = (name, call, options = {}) => timeline.canvas.addEventListener(name, call, { signal, ...options });
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event, true));
    on("pointercancel", (event) => this.#up(event, false));
    on("pointerleave", () => timeline.tip.hide());
  }

  /** True while a button or a finger is down. */
  get down() {
    return this.held.size > 0;
  }

  #wheel(event) {
    const { timeline } = this;
    if (timeline.tracks === undefined) return;
    const lines = event.deltaMode === 0 ? 1 : 16;
    const across = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    const sideways = Math.abs(across) > Math.abs(event.shiftKey ? 0 : event.deltaY);
    let moved;
    if (event.altKey) {
      moved = timeline.scrollBy(event.deltaY * lines);
    } else if (sideways) {
      moved = timeline.setView(panned(timeline.view, across * lines * timeline.secondsPerPixel, timeline.end));
    } else {
      const factor = Math.exp(event.deltaY * lines * WHEEL * (event.ctrlKey ? 4 : 1));
      moved = timeline.zoom(factor, timeline.timeAt(this.#place(event)[0]));
    }
    // At an end the page scrolls; with ctrl it would be zoomed as a whole.
    if (moved || event.ctrlKey) event.preventDefault();
    timeline.tip.hide();
  }

  #place(event) {
    const { timeline } = this;
    const box = timeline.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    const { timeline } = this;
    if (timeline.tracks === undefined || (event.pointerType === "mouse" && event.button !== 0)) return;
    const [x, y] = this.#place(event);
    timeline.canvas.setPointerCapture(event.pointerId);
    this.held.set(event.pointerId, { x, y, fromX: x, fromY: y, ruler: y < RULER, dragged: false });
    timeline.tip.hide();
    if (this.held.size === 1 && y < RULER) timeline.hooks.scrub(timeline.timeAt(x));
  }

  #move(event) {
    const { timeline } = this;
    const [x, y] = this.#place(event);
    const pointer = this.held.get(event.pointerId);
    if (pointer === undefined) {
      this.#hover(x, y);
      return;
    }
    const places = () => [...this.held.values()].map((one) => one.x - timeline.left);
    const before = places();
    pointer.dragged ||= Math.hypot(x - pointer.fromX, y - pointer.fromY) >= DRAG;
    const [dx, dy] = [x - pointer.x, y - pointer.y];
    if (!pointer.dragged) return;
    Object.assign(pointer, { x, y });
    if (this.held.size === 2) {
      const after = places();
      for (const one of this.held.values()) one.dragged = true;
      timeline.scrollBy(-dy / 2); // one finger up or down scrolls the page
      timeline.setView(pinched(timeline.view, before, after, timeline.width - timeline.left, timeline.end));
    } else if (pointer.ruler) {
      timeline.hooks.scrub(Math.min(timeline.end, Math.max(0, timeline.timeAt(x))));
    } else {
      timeline.canvas.style.cursor = "grabbing";
      timeline.setView(panned(timeline.view, -dx * timeline.secondsPerPixel, timeline.end));
      if (event.pointerType === "mouse") timeline.scrollBy(-dy);
    }
  }

  #up(event, done) {
    const { timeline } = this;
    const pointer = this.held.get(event.pointerId);
    this.held.delete(event.pointerId);
    timeline.canvas.style.cursor = "";
    if (pointer === undefined || !done || pointer.dragged) return;
    const place = timeline.barAt(pointer.x, pointer.y);
    if (place >= 0) timeline.hooks.pick(place);
    else if (!pointer.ruler) timeline.hooks.seek(timeline.timeAt(pointer.x));
  }

  #hover(x, y) {
    const { timeline } = this;
    const place = timeline.barAt(x, y);
    timeline.canvas.style.cursor = place >= 0 ? "pointer" : "";
    if (place < 0) timeline.tip.hide();
    else timeline.tip.point(place, x, y);
  }
}
