// Tracks against time on a canvas: what is in sight of them, and how large it is.

import { clamped, sameView, zoomed } from "./layout.js";
import { GAP, paintAll, paintPlayhead, RULER, STRIP } from "./paint.js";
import { Pointers } from "./pointers.js";
import { Tip } from "./tip.js";
import { Density, Filtered } from "./tracks.js";

const ROW = [14, 26]; // least and most of a lane's height: few lanes are tall; pixels, as all here
const NAMES = 140; // at most, where lanes have owners
const REACH = 4; // beside a bar a pointer still means it

export class Timeline {
  /**
   * @param root the element that has the canvas and the tip
   * @param hooks { seek, pick, scrub }: seconds; a track's place; seconds
   * @param tip tells of the bar under the pointer
   */
  constructor(root, hooks, tip = new Tip(root.querySelector(".tip"), root)) {
    this.root = root;
    this.hooks = hooks;
    this.canvas = root.querySelector("canvas");
    this.tip = tip;
    this.context = this.canvas.getContext("2d");
    this.layer = document.createElement("canvas"); // all but the playhead
    this.stats = { redraws: 0, layers: 0, visited: 0, ms: 0 };
    this.view = { start: 0, end: 1 };
    this.scroll = 0;
    this.picked = -1;
    this.range = { from: null, to: null };
    this.owners = null;
    this.playhead = 0;
    this.stopper = new AbortController();
    this.#measure();
    this.resizing = new ResizeObserver(() => {
      this.#measure();
      this.refresh();
    });
    this.resizing.observe(this.canvas);
    this.pointers = new Pointers(this, this.stopper.signal);
  }

  dispose() {
    this.stopper.abort();
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
  }

  /** @param pictureOf address of a track's picture by its place */
  show(tracks, review, colourOfTrack, pictureOf) {
    Object.assign(this, { tracks, review, colourOfTrack, pictureOf });
    this.tip.show(tracks, review, colourOfTrack, pictureOf);
    this.setShown(null);
    this.view = { start: 0, end: tracks.endOfAll };
    this.refresh();
  }

  /** Writes who has a lane before it. @param owners by lane, null for no words; null for none at all */
  setOwners(owners) {
    this.owners = owners;
  }

  /** Draws the tracks in lanes that are others than before. */
  laidOut() {
    this.scroll = 0;
    this.filtered = new Filtered(this.tracks, this.filtered.shown);
    this.setPicked(this.picked);
  }

  /** Has the others fade. @param shown by place, 1 where it passes the filter; null for all */
  setShown(shown) {
    this.filtered = new Filtered(this.tracks, shown);
    this.density = new Density(this.filtered.stretches());
    this.refresh();
  }

  /** Forgets the run that was shown. */
  hide() {
    Object.assign(this, { tracks: undefined, picked: -1, range: { from: null, to: null }, scroll: 0 });
    this.tip.hide();
    this.refresh();
  }

  get end() {
    return this.tracks?.endOfAll ?? 1;
  }

  /** Once, since asking the browser for it takes longer than drawing a bar. */
  #measure() {
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
  }

  /** True where the lanes are more than there is room for. */
  get crowded() {
    return this.count * (ROW[0] + GAP) + RULER + GAP > this.height;
  }

  get count() {
    return this.tracks?.lanes.length ?? 0;
  }

  get row() {
    const room = (this.height - this.top) / Math.max(1, this.count) - GAP;
    return Math.floor(Math.min(ROW[1], Math.max(ROW[0], room)));
  }

  get top() {
    return RULER + (this.crowded ? STRIP + GAP : GAP);
  }

  get scrollEnd() {
    return Math.max(0, this.count * (this.row + GAP) - (this.height - this.top));
  }

  /** Pixels at the left for the names of those who have the lanes. */
  get left() {
    return this.owners === null ? 0 : Math.round(Math.min(NAMES, this.width / 4));
  }

  get secondsPerPixel() {
    return (this.view.end - this.view.start) / Math.max(1, this.width - this.left);
  }

  xOf(seconds) {
    return this.left + (seconds - this.view.start) / this.secondsPerPixel;
  }

  timeAt(x) {
    return this.view.start + Math.max(0, x - this.left) * this.secondsPerPixel;
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
    const wanted = clamped(view, this.end);
    if (sameView(wanted, this.view)) return false;
    this.view = wanted;
    this.refresh();
    return true;
  }

  zoom(factor, at = null) {
    const middle = (this.view.start + this.view.end) / 2;
    const inSight = this.playhead >= this.view.start && this.playhead <= this.view.end;
    return this.setView(zoomed(this.view, at ?? (inSight ? this.playhead : middle), factor, this.end));
  }

  fit() {
    this.setView({ start: 0, end: this.end });
  }

  /** Moves the lanes up or down; false at their end. */
  scrollBy(pixels) {
    const wanted = Math.min(this.scrollEnd, Math.max(0, this.scroll + pixels));
    if (wanted === this.scroll) return false;
    this.scroll = wanted;
    this.refresh();
    return true;
  }

  /** Puts the playhead; `follow`: the view goes along where it would leave it. */
  setPlayhead(seconds, follow) {
    this.playhead = seconds;
    const { start, end } = this.view;
    if (follow && !this.pointers.down && (seconds < start || seconds > end)) {
      const span = end - start;
      this.setView({ start: seconds - 0.1 * span, end: seconds + 0.9 * span });
    }
    this.redraw();
  }

  setPicked(place) {
    this.picked = place;
    if (place >= 0) {
      const top = this.tracks.lane[place] * (this.row + GAP);
      const room = this.height - this.top;
      if (top < this.scroll) this.scroll = top;
      else if (top + this.row + GAP > this.scroll + room) this.scroll = Math.min(this.scrollEnd, top + this.row + GAP - room);
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
    paintPlayhead(context, this);
    this.stats.redraws += 1;
    this.stats.ms = performance.now() - began;
  }

  #drawLayer(ratio) {
    this.stale = false;
    this.scroll = Math.min(this.scroll, this.scrollEnd);
    this.stats.layers += 1;
    this.stats.visited = 0;
    const context = this.layer.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (this.tracks === undefined) return;
    paintAll(context, this);
  }

  /** The track whose bar is there, unless it has faded; -1 for none. */
  barAt(x, y) {
    const top = this.top;
    if (this.tracks === undefined || y < top || x < this.left) return -1;
    const lane = Math.floor((y - top + this.scroll) / (this.row + GAP));
    if (lane >= this.tracks.lanes.length) return -1;
    const reach = REACH * this.secondsPerPixel;
    const seconds = this.timeAt(x);
    const [from, to] = this.tracks.inLane(lane, seconds - reach, seconds + reach);
    let [best, distance] = [-1, Infinity];
    for (let i = from; i < to; i += 1) {
      const place = this.tracks.lanes[lane].places[i];
      const far = Math.max(this.tracks.start[place] - seconds, seconds - this.tracks.end[place], 0);
      if (far <= reach && far < distance && this.filtered.has(place)) [best, distance] = [place, far];
    }
    return best;
  }
}
