// Tracks or people as a table: sorted by its headers, and of thousands only the rows in sight are drawn.

const BEYOND = 6; // rows drawn above and below those in sight
const KEYS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

export class RowTable {
  /**
   * @param box the element that scrolls; it has the table
   * @param hooks { pick, sort }: called with a row's place, with a column's name
   */
  constructor(box, hooks, signal) {
    Object.assign(this, { box, hooks, picked: -1 });
    this.table = box.querySelector("table");
    this.head = this.table.querySelector("thead tr");
    this.body = this.table.querySelector("tbody");
    this.hide();
    box.addEventListener("scroll", () => this.#later(), { signal });
    this.body.addEventListener("click", (event) => this.#clicked(event), { signal });
    this.body.addEventListener("keydown", (event) => this.#pressed(event), { signal });
    this.resizing = new ResizeObserver(() => this.#later());
    this.resizing.observe(box);
  }

  dispose() {
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
  }

  hide() {
    Object.assign(this, { run: undefined, order: new Int32Array(0), rows: new Map(), picked: -1 });
    this.body.replaceChildren();
  }

  /**
   * @param order places, sorted by `sort`: { name, descending }
   * @param columns as in columns.js
   * @param row { label, colour }: what a row's button is called, and its colour, by place
   */
  show(run, order, sort, columns, row) {
    Object.assign(this, { run, order, columns, row, rows: new Map() });
    const names = columns.map(({ name }) => name).join();
    if (this.head.dataset.columns !== names) {
      this.head.dataset.columns = names;
      this.head.replaceChildren(...columns.map((one) => this.#header(one)));
    }
    this.ranks = new Map(Array.from(order, (place, rank) => [place, rank]));
    this.table.setAttribute("aria-rowcount", order.length + 1);
    for (const header of this.head.children) {
      const is = header.dataset.column === sort.name;
      if (is) header.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
    this.body.replaceChildren();
    this.box.scrollTop = 0;
    this.draw();
  }

  /** Marks a row, and scrolls to it. */
  setPicked(place) {
    this.#mark(this.picked, false);
    this.picked = place;
    const rank = this.ranks?.get(place);
    if (rank !== undefined) this.#reveal(rank);
    this.#mark(place, true);
  }

  #mark(place, on) {
    const row = this.rows.get(place);
    if (row !== undefined && on) row.setAttribute("aria-current", "true");
    else row?.removeAttribute("aria-current");
  }

  /** Of all rows alike, in pixels. */
  get #height() {
    this.known ??= this.body.querySelector("tr[data-place]")?.offsetHeight || undefined;
    return this.known ?? 32;
  }

  #later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  /** Draws the rows in sight; those that are drawn already stay, and with them the focus. */
  draw() {
    if (this.run === undefined) return;
    const measured = this.known;
    this.#drawRows();
    if (measured === undefined && this.#height !== measured) this.#drawRows(); // the first ones told their height
  }

  #drawRows() {
    const height = this.#height;
    const first = Math.max(0, Math.floor(this.box.scrollTop / height) - BEYOND);
    const shown = Math.ceil(this.box.clientHeight / height) + 2 * BEYOND;
    const behind = Math.min(this.order.length, first + shown);
    const rows = new Map();
    for (let rank = first; rank < behind; rank += 1) {
      const place = this.order[rank];
      rows.set(place, this.rows.get(place) ?? this.#row(place, rank));
    }
    for (const [place, row] of this.rows) if (!rows.has(place)) row.remove();
    this.rows = rows;
    this.#put([gap(first * height), ...rows.values(), gap((this.order.length - behind) * height)]);
  }

  /** As `replaceChildren`, which would take the focus from what stays. */
  #put(wanted) {
    const kept = new Set(wanted);
    for (const child of [...this.body.children]) if (!kept.has(child)) child.remove();
    wanted.forEach((row, i) => {
      if (this.body.children[i] !== row) this.body.insertBefore(row, this.body.children[i] ?? null);
    });
  }

  #header({ name, title }) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.dataset.column = name;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: title });
    button.addEventListener("click", () => this.hooks.sort(name));
    cell.append(button);
    return cell;
  }

  #row(place, rank) {
    const row = document.createElement("tr");
    row.dataset.place = place;
    row.setAttribute("aria-rowindex", rank + 2);
    if (place === this.picked) row.setAttribute("aria-current", "true");
    row.style.setProperty("--colour", this.row.colour(place));
    row.append(...this.columns.map(({ name, words }, i) => {
      const cell = document.createElement(i === 0 ? "th" : "td");
      cell.dataset.column = name;
      const text = words(this.run, place);
      if (i > 0) {
        cell.textContent = text;
        return cell;
      }
      cell.scope = "row";
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: text });
      button.setAttribute("aria-label", `${this.row.label(place)}: go there`);
      cell.append(button);
      return cell;
    }));
    return row;
  }

  #clicked(event) {
    const row = event.target.closest("tr[data-place]");
    if (row !== null) this.hooks.pick(Number(row.dataset.place));
  }

  #pressed(event) {
    const step = KEYS[event.key];
    const row = event.target.closest("tr[data-place]");
    if (step === undefined || row === null || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const rank = this.ranks.get(Number(row.dataset.place)) + step;
    const next = Math.min(this.order.length - 1, Math.max(0, rank));
    this.#reveal(next);
    this.rows.get(this.order[next])?.querySelector("button").focus({ preventScroll: true });
  }

  #reveal(rank) {
    const height = this.#height;
    const room = this.box.clientHeight - this.head.offsetHeight;
    const { scrollTop } = this.box;
    if (rank * height < scrollTop) this.box.scrollTop = rank * height;
    else if ((rank + 1) * height > scrollTop + room) this.box.scrollTop = (rank + 1) * height - room;
    this.draw();
  }
}

/** Room of the rows that are not drawn. */
function gap(height) {
  const row = document.createElement("tr");
  row.className = "gap";
  row.setAttribute("aria-hidden", "true");
  row.style.height = `${height}px`;
  return row;
}
