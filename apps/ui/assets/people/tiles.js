// Cards in a box that scrolls: of thousands only those in sight are in the document, and the one that
// has the keyboard. All are of the same size; arrows go from one to the next.

const BEYOND = 1; // rows drawn above and below those in sight
const STOPS = "button, input, a";

export class Tiles {
  /**
   * @param box the element that scrolls, with a list in it
   * @param hooks { make, update, press }: an item's element; the element of an item that has changed;
   *   a key on an item, true where it was of use
   */
  constructor(box, hooks, signal) {
    Object.assign(this, { box, hooks, items: [], ranks: new Map(), shown: new Map(), current: null });
    this.list = box.querySelector("ul");
    this.list.replaceChildren();
    box.addEventListener("scroll", () => this.later(), { signal });
    this.list.addEventListener("keydown", (event) => this.#pressed(event), { signal });
    this.list.addEventListener("focusin", (event) => this.#entered(event), { signal });
    this.resizing = new ResizeObserver(() => this.later());
    this.resizing.observe(box);
  }

  dispose() {
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
  }

  /** @param items each with a `key`, of which no two are alike; those that are there already are changed in place */
  show(items) {
    const before = this.ranks.get(this.current);
    const had = this.held !== null;
    this.items = items;
    this.ranks = new Map(items.map(({ key }, rank) => [key, rank]));
    if (!this.ranks.has(this.current)) this.current = items[Math.min(before ?? 0, items.length - 1)]?.key ?? null;
    for (const [key, tile] of this.shown) {
      const rank = this.ranks.get(key);
      if (rank !== undefined) this.hooks.update(tile, items[rank]);
    }
    this.draw();
    const tile = this.shown.get(this.current);
    if (had && tile !== undefined && !tile.contains(this.#focused)) this.focus(this.current);
  }

  /** The key of the item that has the keyboard, or null. */
  get held() {
    return this.shown.get(this.current)?.contains(this.#focused) === true ? this.current : null;
  }

  get #focused() {
    return this.box.getRootNode().activeElement;
  }

  later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  /** Draws what is in sight; what is drawn already stays, and with it the focus. */
  draw() {
    if (this.box.clientWidth === 0) return; // not to be seen
    const style = getComputedStyle(this.box);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const inRem = (name) => parseFloat(style.getPropertyValue(name)) * rem;
    const [least, gap] = [inRem("--tile-width"), inRem("--tile-gap")];
    this.row = inRem("--tile-height") + gap;
    const room = this.list.clientWidth;
    this.columns = Math.max(1, Math.floor((room + gap) / (least + gap)));
    const width = (room - gap * (this.columns - 1)) / this.columns;
    const rows = Math.ceil(this.items.length / this.columns);
    this.list.style.height = `${Math.max(0, rows * this.row - gap)}px`;
    const first = Math.max(0, Math.floor(this.box.scrollTop / this.row) - BEYOND) * this.columns;
    const behind = (Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.row) + BEYOND) * this.columns;
    const wanted = new Map();
    for (let rank = first; rank < Math.min(behind, this.items.length); rank += 1) wanted.set(this.items[rank].key, rank);
    const kept = this.ranks.get(this.current);
    if (kept !== undefined) wanted.set(this.current, kept);
    for (const [key, tile] of this.shown) {
      if (wanted.has(key)) continue;
      for (const picture of tile.querySelectorAll("img")) picture.removeAttribute("src"); // what still loads
      tile.remove();
      this.shown.delete(key);
    }
    for (const [key, rank] of [...wanted].sort((a, b) => a[1] - b[1])) this.#place(key, rank, width, gap);
  }

  #place(key, rank, width, gap) {
    let tile = this.shown.get(key);
    if (tile === undefined) {
      tile = this.hooks.make(this.items[rank]);
      tile.dataset.key = key;
      this.shown.set(key, tile);
    }
    tile.setAttribute("aria-setsize", this.items.length);
    tile.setAttribute("aria-posinset", rank + 1);
    const [column, row] = [rank % this.columns, Math.floor(rank / this.columns)];
    Object.assign(tile.style, { left: `${column * (width + gap)}px`, top: `${row * this.row}px`, width: `${width}px` });
    const after = [...this.list.children].find((one) => this.ranks.get(one.dataset.key) > rank) ?? null;
    if (tile.parentElement === null) this.list.insertBefore(tile, after);
    else if (tile.nextElementSibling !== after && !tile.contains(this.#focused)) this.list.insertBefore(tile, after);
    this.stops(tile);
  }

  /** Only the card that is the current one is reached by tab. */
  stops(tile) {
    for (const one of tile.querySelectorAll(STOPS)) one.tabIndex = tile.dataset.key === this.current ? 0 : -1;
  }

  #entered(event) {
    const tile = event.target.closest("li");
    if (tile === null || tile.dataset.key === this.current) return;
    const before = this.shown.get(this.current);
    this.current = tile.dataset.key;
    if (before !== undefined) this.stops(before);
    this.stops(tile);
  }

  /** Scrolls to an item and gives it the keyboard. `part`: the element of it that has it then. */
  focus(key, part = "[data-do=watch]") {
    const rank = this.ranks.get(key);
    if (rank === undefined) return;
    this.current = key;
    this.reveal(rank);
    for (const tile of this.shown.values()) this.stops(tile);
    this.shown.get(key)?.querySelector(part)?.focus({ preventScroll: true });
  }

  reveal(rank) {
    const top = Math.floor(rank / (this.columns ?? 1)) * (this.row ?? 0);
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + this.row > scrollTop + clientHeight) this.box.scrollTop = top + this.row - clientHeight;
    this.draw();
  }

  #pressed(event) {
    const tile = event.target.closest("li");
    if (tile === null || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox])")) return;
    const rank = this.ranks.get(tile.dataset.key);
    const page = this.columns * Math.max(1, Math.floor(this.box.clientHeight / this.row));
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -page, PageDown: page, Home: -rank, End: this.items.length - 1 - rank,
    };
    if (event.key in steps) {
      const next = Math.min(this.items.length - 1, Math.max(0, rank + steps[event.key]));
      const part = event.target.closest("[data-do]")?.dataset.do;
      this.focus(this.items[next].key, part === undefined ? undefined : `[data-do=${part}]`);
    } else if (!this.hooks.press(this.items[rank], event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Keys that tiles and their cards have a use for. */
export const TILE_KEYS = "ArrowLeft ArrowRight ArrowUp ArrowDown PageUp PageDown Home End Enter x X r R F2 o O h H y Y d D";
