// Tracks against time on a canvas: ruler, cuts, lanes of bars, playhead. Draws what is visible only.

import { clamped, panned, pinched, sameView, zoomed } from "./layout.js";
import { numberOf } from "./palette.js";
import { clock, decimals, onScreen, rulerSteps } from "./times.js";
import { Density, lowerBound } from "./tracks.js";

const RULER = 22; // pixels, as all here
const STRIP = 18;
const ROW = [14, 26]; // least and most of a lane's height: few lanes are tall
const GAP = 3;
const LEAST = 2; // of a bar's width, so that it can be seen
const REACH = 4; // beside a bar a pointer still means it
const DRAG = 4; // less is a click
const WHEEL = 0.0018; // of a zoom for a pixel of the wheel

export class Timeline {
  /**
   * @param root the element that has the canvas and the tip
   * @param hooks { seek, pick, scrub }: seconds; a track's place; seconds
   */
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks;
    this.canvas = root.querySelector("canvas");
    this.tip = root.querySelector(".tip");
    this.context = this.canvas.getContext("2d");
    this.layer = document.createElement("canvas"); // all but the playhead
    this.stats = { redraws: 0, layers: 0, visited: 0, ms: 0 };
    this.view = { start: 0, end: 1 };
    this.scroll = 0;
    this.picked = -1;
    this.range = { from: null, to: null };
    this.playhead = 0;
    this.pointers = new Map();
    this.stopper = new AbortController();
    this.#measure();
    this.resizing = new ResizeObserver(() => {
      this.#measure();
      this.refresh();
    });
    this.resizing.observe(this.canvas);
    this.#listen();
  }

  dispose() {
    this.stopper.abort();
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
  }

  /** @param pictureOf address of a track's picture by its place */
  show(tracks, review, colourOfTrack, pictureOf) {
    Object.assign(this, { tracks, review, colourOfTrack, pictureOf });
    this.density = new Density(tracks);
    this.view = { start: 0, end: tracks.endOfAll };
    this.refresh();
  }

  /** Forgets the run that was shown. */
  hide() {
    Object.assign(this, { tracks: undefined, picked: -1, range: { from: null, to: null }, scroll: 0 });
    this.#hideTip();
    this.refresh();
  }

  get #end() {
    return this.tracks?.endOfAll ?? 1;
  }

  /** Once, since asking the browser for it takes longer than drawing a bar. */
  #measure() {
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
  }

  /** True where the lanes are more than there is room for. */
  get #crowded() {
    return this.#count * (ROW[0] + GAP) + RULER + GAP > this.height;
  }

  get #count() {
    return this.tracks?.lanes.length ?? 0;
  }

  get #row() {
    const room = (this.height - this.#top) / Math.max(1, this.#count) - GAP;
    return Math.floor(Math.min(ROW[1], Math.max(ROW[0], room)));
  }

  get #top() {
    return RULER + (this.#crowded ? STRIP + GAP : GAP);
  }

  get #scrollEnd() {
    return Math.max(0, this.#count * (this.#row + GAP) - (this.height - this.#top));
  }

  xOf(seconds) {
    return ((seconds - this.view.start) / (this.view.end - this.view.start)) * this.width;
  }

  timeAt(x) {
    return this.view.start + (x / this.width) * (this.view.end - this.view.start);
  }

  /** Takes the colours of the page's theme. */
  retheme() {
    const style = getComputedStyle(this.root);
    const named = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
    this.colours = {
      text: named("--st-text-color", "#1f2430"),
      back: named("--st-background-color", "#ffffff"),
      ground: named("--st-secondary-background-color", "#f4f5f8"),
      strong: named("--st-primary-color", "#d6336c"),
      font: named("--st-font", "system-ui, sans-serif"),
    };
    this.refresh();
  }

  /** Draws everything again. */
  refresh() {
    this.stale = true;
    this.redraw();
  }

  /** Draws at the browser's next redraw. */
  redraw() {
    if (this.waiting !== undefined) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  setView(view) {
    const wanted = clamped(view, this.#end);
    if (sameView(wanted, this.view)) return false;
    this.view = wanted;
    this.refresh();
    return true;
  }

  zoom(factor, at = null) {
    const middle = (this.view.start + this.view.end) / 2;
    const inSight = this.playhead >= this.view.start && this.playhead <= this.view.end;
    return this.setView(zoomed(this.view, at ?? (inSight ? this.playhead : middle), factor, this.#end));
  }

  fit() {
    this.setView({ start: 0, end: this.#end });
  }

  /** Moves the lanes up or down; false at their end. */
  scrollBy(pixels) {
    const wanted = Math.min(this.#scrollEnd, Math.max(0, this.scroll + pixels));
    if (wanted === this.scroll) return false;
    this.scroll = wanted;
    this.refresh();
    return true;
  }

  /** Puts the playhead; `follow`: the view goes along where it would leave it. */
  setPlayhead(seconds, follow) {
    this.playhead = seconds;
    const { start, end } = this.view;
    if (follow && this.pointers.size === 0 && (seconds < start || seconds > end)) {
      const span = end - start;
      this.setView({ start: seconds - 0.1 * span, end: seconds + 0.9 * span });
    }
    this.redraw();
  }

  setPicked(place) {
    this.picked = place;
    if (place >= 0) {
      const top = this.tracks.lane[place] * (this.#row + GAP);
      const room = this.height - this.#top;
      if (top < this.scroll) this.scroll = top;
      else if (top + this.#row + GAP > this.scroll + room) this.scroll = Math.min(this.#scrollEnd, top + this.#row + GAP - room);
    }
    this.refresh();
  }

  setRange(range) {
    this.range = range;
    this.refresh();
  }

  // Drawing.

  draw() {
    const began = performance.now();
    const { canvas, context, width, height } = this;
    if (width === 0 || height === 0 || this.colours === undefined) return;
    const ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) {
      Object.assign(canvas, { width: across, height: down });
      Object.assign(this.layer, { width: across, height: down });
      this.stale = true;
    }
    if (this.stale) this.#drawLayer(ratio);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    context.drawImage(this.layer, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#drawPlayhead(context);
    this.stats.redraws += 1;
    this.stats.ms = performance.now() - began;
  }

  #drawLayer(ratio) {
    this.stale = false;
    this.scroll = Math.min(this.scroll, this.#scrollEnd);
    this.stats.layers += 1;
    this.stats.visited = 0;
    const context = this.layer.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (this.tracks === undefined) return;
    this.#drawCuts(context);
    this.#drawRange(context);
    this.#drawLanes(context);
    if (this.#crowded) this.#drawStrip(context);
    this.#drawRuler(context);
  }

  #drawRuler(context) {
    const { text, back, font } = this.colours;
    const { width, view } = this;
    context.fillStyle = back;
    context.fillRect(0, 0, width, RULER);
    const { word, tick, places } = rulerSteps((view.end - view.start) / width);
    const lines = (step, from) => {
      context.beginPath();
      for (let n = Math.ceil(view.start / step - 1e-9); n * step <= view.end; n += 1) {
        const x = Math.round(this.xOf(n * step)) + 0.5;
        context.moveTo(x, from);
        context.lineTo(x, RULER);
      }
      context.stroke();
    };
    Object.assign(context, { strokeStyle: text, lineWidth: 1, globalAlpha: 0.6 });
    lines(tick, RULER - 4);
    lines(word, RULER - 9);
    Object.assign(context, { globalAlpha: 1, fillStyle: text, font: `11px ${font}`, textBaseline: "top" });
    for (let n = Math.ceil(view.start / word - 1e-9); n * word <= view.end; n += 1) {
      const x = this.xOf(n * word);
      const label = clock(n * word, places);
      const half = context.measureText(label).width / 2;
      context.fillText(label, Math.min(Math.max(4, x - half), width - 2 * half), 1);
    }
    context.globalAlpha = 0.35;
    context.fillRect(0, RULER - 0.5, width, 1);
    context.globalAlpha = 1;
  }

  #drawRange(context) {
    const { from, to } = this.range;
    if (from === null && to === null) return;
    const [x1, x2] = [from === null ? 0 : this.xOf(from), to === null ? this.width : this.xOf(to)];
    Object.assign(context, { fillStyle: this.colours.strong, globalAlpha: 0.14 });
    context.fillRect(x1, 0, x2 - x1, this.height);
    context.globalAlpha = 1;
    if (from !== null) context.fillRect(x1 - 1, 0, 2, this.height);
    if (to !== null) context.fillRect(x2 - 1, 0, 2, this.height);
  }

  #drawCuts(context) {
    const { cuts } = this.tracks;
    const { view, width, height } = this;
    const perPixel = (view.end - view.start) / width;
    Object.assign(context, { fillStyle: this.colours.text, globalAlpha: 0.6 });
    let place = lowerBound(cuts, view.start);
    while (place < cuts.length && cuts[place] <= view.end) {
      context.fillRect(Math.round(this.xOf(cuts[place])), RULER, 1, height - RULER);
      place = Math.max(place + 1, lowerBound(cuts, cuts[place] + 4 * perPixel)); // else all is grey
    }
    // Dashes: hundreds of dashed strokes would take three times as long.
    for (let y = RULER + 3; y < height; y += 6) context.clearRect(0, y, width, 3);
    context.globalAlpha = 1;
  }

  /** How many faces there are at once, of all lanes, those out of sight too. */
  #drawStrip(context) {
    const { back, text, ground } = this.colours;
    const { density, width } = this;
    context.fillStyle = back;
    context.fillRect(0, RULER, width, STRIP + GAP);
    context.fillStyle = ground;
    context.fillRect(0, RULER, width, STRIP);
    Object.assign(context, { fillStyle: text, globalAlpha: 0.6 });
    let [began, height] = [0, 0]; // pixels of the same height are one rectangle
    for (let x = 0; x <= width; x += 1) {
      const most = x < width ? density.most(this.timeAt(x), this.timeAt(x + 1)) : 0;
      const tall = most > 0 ? Math.max(1, Math.round((most / density.top) * STRIP)) : 0;
      if (tall === height) continue;
      if (height > 0) context.fillRect(began, RULER + STRIP - height, x - began, height);
      [began, height] = [x, tall];
    }
    context.globalAlpha = 1;
  }

  #drawLanes(context) {
    const top = this.#top;
    const height = this.#row + GAP;
    const first = Math.floor(this.scroll / height);
    const behind = Math.min(this.tracks.lanes.length, Math.ceil((this.scroll + this.height - top) / height));
    context.save();
    context.beginPath();
    context.rect(0, top, this.width, this.height - top);
    context.clip();
    for (let lane = first; lane < behind; lane += 1) this.#drawLane(context, lane, top + lane * height - this.scroll);
    this.#drawPicked(context, top);
    context.restore();
    this.#drawScrollbar(context, top);
  }

  #drawLane(context, lane, y) {
    const { places, starts } = this.tracks.lanes[lane];
    const row = this.#row;
    const { start, end } = this.tracks;
    const perPixel = (this.view.end - this.view.start) / this.width;
    const [from, to] = this.tracks.inLane(lane, this.view.start, this.view.end);
    const crowds = [];
    let crowd = null;
    for (let i = from; i < to;) {
      const place = places[i];
      this.stats.visited += 1;
      let next = i + 1;
      if (end[place] - start[place] < perPixel) {
        // All that begin in the same pixel, but one at their end that has some of its own.
        next = Math.max(next, lowerBound(starts, start[place] + perPixel, next, to));
        const last = places[next - 1];
        if (next - 1 > i && end[last] - start[last] >= perPixel) next -= 1;
      }
      const x = Math.max(-2, this.xOf(start[place]));
      if (next - i > 1) {
        // Neighbouring pixels of such are one rectangle.
        if (crowd !== null && x <= crowd.right + 1) crowd.right = x + LEAST;
        else {
          if (crowd !== null) crowds.push(crowd);
          crowd = { x, right: x + LEAST };
        }
      } else {
        const right = Math.min(this.width + 2, this.xOf(end[place]));
        // What touches its neighbour in the lane would look like one with it.
        const between = right - x > 4 ? 1 : 0;
        context.fillStyle = this.colourOfTrack(place);
        context.fillRect(x, y, Math.max(LEAST, right - x - between), row);
      }
      i = next;
    }
    if (crowd !== null) crowds.push(crowd);
    Object.assign(context, { fillStyle: this.colours.text, globalAlpha: 0.6 });
    for (const one of crowds) context.fillRect(one.x, y, one.right - one.x, row);
    context.globalAlpha = 1;
  }

  #drawPicked(context, top) {
    if (this.picked < 0) return;
    const { start, end, lane } = this.tracks;
    const row = this.#row;
    const x = this.xOf(start[this.picked]);
    const y = top + lane[this.picked] * (this.#row + GAP) - this.scroll;
    const width = Math.max(LEAST, this.xOf(end[this.picked]) - x - 1);
    context.fillStyle = this.colourOfTrack(this.picked);
    context.fillRect(x, y, width, row);
    Object.assign(context, { strokeStyle: this.colours.text, lineWidth: 2 });
    context.strokeRect(x - 1, y - 1, width + 2, row + 2);
  }

  #drawScrollbar(context, top) {
    if (this.#scrollEnd === 0) return;
    const room = this.height - top;
    const all = this.#count * (this.#row + GAP);
    Object.assign(context, { fillStyle: this.colours.text, globalAlpha: 0.55 });
    context.fillRect(this.width - 5, top + (this.scroll / all) * room, 4, Math.max(12, (room / all) * room));
    context.globalAlpha = 1;
  }

  #drawPlayhead(context) {
    const x = Math.round(this.xOf(this.playhead));
    if (x < -6 || x > this.width + 6) return;
    context.fillStyle = this.colours.strong;
    context.fillRect(x - 1, 0, 2, this.height);
    context.beginPath();
    context.moveTo(x - 6, 0);
    context.lineTo(x + 6, 0);
    context.lineTo(x, 9);
    context.fill();
  }

  // Pointers.

  /** The track whose bar is there; -1 for none. */
  barAt(x, y) {
    const top = this.#top;
    if (this.tracks === undefined || y < top) return -1;
    const lane = Math.floor((y - top + this.scroll) / (this.#row + GAP));
    if (lane >= this.tracks.lanes.length) return -1;
    const reach = (REACH * (this.view.end - this.view.start)) / this.width;
    const seconds = this.timeAt(x);
    const [from, to] = this.tracks.inLane(lane, seconds - reach, seconds + reach);
    let [best, distance] = [-1, Infinity];
    for (let i = from; i < to; i += 1) {
      const place = this.tracks.lanes[lane].places[i];
      const far = Math.max(this.tracks.start[place] - seconds, seconds - this.tracks.end[place], 0);
      if (far <= reach && far < distance) [best, distance] = [place, far];
    }
    return best;
  }

  #listen() {
    const on = (name, call, options = {}) =>
      this.canvas.addEventListener(name, call, { signal: this.stopper.signal, ...options });
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event, true));
    on("pointercancel", (event) => this.#up(event, false));
    on("pointerleave", () => this.#hideTip());
  }

  #wheel(event) {
    if (this.tracks === undefined) return;
    const lines = event.deltaMode === 0 ? 1 : 16;
    const across = event.deltaX || (event.shiftKey ? event.deltaY : 0);
    const sideways = Math.abs(across) > Math.abs(event.shiftKey ? 0 : event.deltaY);
    let moved;
    if (event.altKey) {
      moved = this.scrollBy(event.deltaY * lines);
    } else if (sideways) {
      const perPixel = (this.view.end - this.view.start) / this.width;
      moved = this.setView(panned(this.view, across * lines * perPixel, this.#end));
    } else {
      moved = this.zoom(Math.exp(event.deltaY * lines * WHEEL * (event.ctrlKey ? 4 : 1)), this.timeAt(this.#place(event)[0]));
    }
    // At an end the page scrolls; with ctrl it would be zoomed as a whole.
    if (moved || event.ctrlKey) event.preventDefault();
    this.#hideTip();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (this.tracks === undefined || (event.pointerType === "mouse" && event.button !== 0)) return;
    const [x, y] = this.#place(event);
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x, y, fromX: x, fromY: y, ruler: y < RULER, dragged: false });
    this.#hideTip();
    if (this.pointers.size === 1 && y < RULER) this.hooks.scrub(this.timeAt(x));
  }

  #move(event) {
    const [x, y] = this.#place(event);
    const pointer = this.pointers.get(event.pointerId);
    if (pointer === undefined) {
      this.#hover(x, y);
      return;
    }
    const before = [...this.pointers.values()].map((one) => one.x);
    pointer.dragged ||= Math.hypot(x - pointer.fromX, y - pointer.fromY) >= DRAG;
    const [dx, dy] = [x - pointer.x, y - pointer.y];
    if (!pointer.dragged) return;
    Object.assign(pointer, { x, y });
    if (this.pointers.size === 2) {
      const after = [...this.pointers.values()].map((one) => one.x);
      for (const one of this.pointers.values()) one.dragged = true;
      this.scrollBy(-dy / 2); // one finger up or down scrolls the page
      this.setView(pinched(this.view, before, after, this.width, this.#end));
    } else if (pointer.ruler) {
      this.hooks.scrub(Math.min(this.#end, Math.max(0, this.timeAt(x))));
    } else {
      this.canvas.style.cursor = "grabbing";
      this.setView(panned(this.view, -dx * ((this.view.end - this.view.start) / this.width), this.#end));
      if (event.pointerType === "mouse") this.scrollBy(-dy);
    }
  }

  #up(event, done) {
    const pointer = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    this.canvas.style.cursor = "";
    if (pointer === undefined || !done || pointer.dragged) return;
    const place = this.barAt(pointer.x, pointer.y);
    if (place >= 0) this.hooks.pick(place);
    else if (!pointer.ruler) this.hooks.seek(this.timeAt(pointer.x));
  }

  #hover(x, y) {
    const place = this.barAt(x, y);
    this.canvas.style.cursor = place >= 0 ? "pointer" : "";
    if (place < 0) {
      this.#hideTip();
      return;
    }
    if (this.tipOf !== place) this.#fillTip(place);
    this.tipOf = place;
    this.tip.hidden = false;
    const room = this.root.clientWidth - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, x + 12))}px`;
    this.tip.style.bottom = `${this.root.clientHeight - y + 10}px`;
  }

  #hideTip() {
    this.tip.hidden = true;
    this.tipOf = -1;
  }

  #fillTip(place) {
    const { tracks } = this.review;
    const picture = this.tip.querySelector("img");
    picture.hidden = false;
    picture.onerror = () => { picture.hidden = true; };
    picture.src = this.pictureOf(place);
    const lines = [
      `${clock(this.tracks.first[place])} – ${clock(this.tracks.last[place])}`,
      `On screen ${onScreen(tracks.screen_s[place], tracks.screen_error_s[place])}`,
      `Confidence ${decimals(tracks.confidence[place], 2)}`,
    ];
    this.tip.querySelector("strong").textContent = `Track ${numberOf(this.tracks.ids[place])}`;
    this.tip.querySelector("span").textContent = lines.join("\n");
    this.tip.style.borderColor = this.colourOfTrack(place);
  }
}
