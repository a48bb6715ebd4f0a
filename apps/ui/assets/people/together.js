// Who is seen with whom: a matrix of seconds, of which only the cells in sight are in the document.

import { decimals } from "../review/times.js";
import { spoken } from "./card.js";
import { labelOf, Together } from "./model.js";

const SIZE = { cell: 3.5, row: 2, name: 9, head: 2.75 }; // rem
const BEYOND = 1;

export class Matrix {
  /**
   * @param grid the element that scrolls
   * @param hooks { pick, say }: called with two people; with words for those who do not see
   */
  constructor(grid, hooks, signal) {
    Object.assign(this, { grid, hooks, rows: [], at: { row: 0, column: 0 } });
    this.body = grid.querySelector(".cells");
    grid.addEventListener("scroll", () => this.later(), { signal });
    grid.addEventListener("keydown", (event) => this.#pressed(event), { signal });
    grid.addEventListener("click", (event) => this.#clicked(event), { signal });
    this.resizing = new ResizeObserver(() => this.later());
    this.resizing.observe(grid);
  }

  dispose() {
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
  }

  /** @param rows people; `view`: { colour, faces, picture } */
  show(rows, view) {
    Object.assign(this, { rows, view, together: new Together(rows) });
    const last = Math.max(0, rows.length - 1);
    this.at = { row: Math.min(this.at.row, last), column: Math.min(this.at.column, last) };
    this.grid.setAttribute("aria-rowcount", rows.length + 1);
    this.grid.setAttribute("aria-colcount", rows.length + 1);
    this.draw();
  }

  later() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  /** What is in sight, as { row: [from, behind], column: [from, behind] }. */
  get #sight() {
    const { scrollTop, scrollLeft, clientWidth, clientHeight } = this.grid;
    const span = (from, room, size) => [
      Math.max(0, Math.floor(from / size) - BEYOND), Math.min(this.rows.length, Math.ceil((from + room) / size) + BEYOND),
    ];
    return { row: span(scrollTop, clientHeight, this.size.row), column: span(scrollLeft, clientWidth, this.size.cell) };
  }

  draw() {
    if (this.grid.clientWidth === 0 || this.together === undefined) return; // not to be seen
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const narrow = this.grid.clientWidth < 30 * rem ? 0.6 : 1;
    this.size = Object.fromEntries(Object.entries(SIZE).map(([name, value]) => [name, value * rem]));
    this.size.name *= narrow;
    const { size, rows } = this;
    Object.assign(this.body.style, {
      width: `${size.name + rows.length * size.cell}px`, height: `${size.head + rows.length * size.row}px`,
    });
    const { row: [from, behind], column } = this.#sight;
    const lines = [this.#head(column)];
    for (let row = from; row < behind; row += 1) lines.push(this.#line(row, column));
    if (this.at.row < from || this.at.row >= behind) lines.push(this.#line(this.at.row, column)); // where the keyboard is
    this.body.replaceChildren(...lines.filter((line) => line !== null));
  }

  #head([from, behind]) {
    const line = part("row head", "row");
    line.setAttribute("aria-rowindex", 1);
    line.style.height = `${this.size.head}px`;
    const corner = part("corner", "columnheader", "Seconds together");
    corner.style.width = `${this.size.name}px`;
    line.append(corner);
    for (let column = from; column < behind; column += 1) {
      const cell = part("cell", "columnheader");
      cell.title = spoken(this.rows[column]);
      this.#put(cell, column);
      cell.append(this.#face(this.rows[column], spoken(this.rows[column])));
      line.append(cell);
    }
    return line;
  }

  #line(row, [from, behind]) {
    const person = this.rows[row];
    if (person === undefined) return null;
    const line = part("row", "row");
    line.setAttribute("aria-rowindex", row + 2);
    Object.assign(line.style, { top: `${this.size.head + row * this.size.row}px`, height: `${this.size.row}px` });
    const name = part("name", "rowheader");
    name.style.width = `${this.size.name}px`;
    name.title = spoken(person);
    const words = Object.assign(document.createElement("span"), { textContent: labelOf(person).slice(0, 80), dir: "auto" });
    name.append(this.#face(person), words);
    line.append(name);
    const columns = Array.from({ length: behind - from }, (_, i) => from + i);
    if (row === this.at.row && !columns.includes(this.at.column)) columns.push(this.at.column);
    line.append(...columns.map((column) => this.#cell(row, column)));
    return line;
  }

  #cell(row, column) {
    const seconds = this.together.of(row, column);
    const cell = part("cell", "gridcell");
    cell.id = `pair-${row}-${column}`;
    Object.assign(cell.dataset, { row, column });
    this.#put(cell, column);
    const [one, other] = [this.rows[row], this.rows[column]].map(spoken);
    cell.setAttribute("aria-label", row === column ? one : `${one} with ${other}: ${decimals(seconds, 1)} seconds`);
    if (row === column) cell.classList.add("self");
    else if (seconds > 0) {
      cell.textContent = decimals(seconds, seconds < 99.95 ? 1 : 0);
      cell.title = `${one} with ${other}`;
      cell.style.setProperty("--share", `${Math.round(8 + 32 * Math.sqrt(seconds / this.together.most))}%`);
      cell.classList.add("some");
    }
    if (row === this.at.row && column === this.at.column) {
      cell.setAttribute("aria-selected", "true");
      this.grid.setAttribute("aria-activedescendant", cell.id);
    }
    return cell;
  }

  #put(cell, column) {
    cell.setAttribute("aria-colindex", column + 2);
    Object.assign(cell.style, { left: `${this.size.name + column * this.size.cell}px`, width: `${this.size.cell}px` });
  }

  #face(person, alt = "") {
    const [face] = this.view.faces(person, 1);
    const image = Object.assign(document.createElement("img"), { alt, decoding: "async" });
    image.addEventListener("error", () => { image.classList.add("none"); });
    if (face !== undefined) image.src = this.view.picture(face);
    image.style.setProperty("--colour", this.view.colour(person));
    return image;
  }

  #clicked(event) {
    const cell = event.target.closest("[role=gridcell]");
    if (cell === null) return;
    this.at = { row: Number(cell.dataset.row), column: Number(cell.dataset.column) };
    this.draw();
    this.#pick();
  }

  #pick() {
    const { row, column } = this.at;
    if (row !== column && this.rows.length > 0) this.hooks.pick(this.rows[row], this.rows[column]);
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.rows.length - 1;
    const { row, column } = this.at;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / this.size.row) - 2);
    const moves = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      PageUp: [row - page, column], PageDown: [row + page, column], Home: [row, 0], End: [row, last],
    };
    if (event.key in moves) {
      const [toRow, toColumn] = moves[event.key].map((value) => Math.min(last, Math.max(0, value)));
      this.at = { row: toRow, column: toColumn };
      this.#reveal();
    } else if (event.key === "Enter") this.#pick();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #reveal() {
    const { grid, size, at } = this;
    const into = (scroll, room, place, head) => Math.max(Math.min(scroll, place - head), place - room);
    const [top, left] = [size.head + at.row * size.row, size.name + at.column * size.cell];
    grid.scrollTop = into(grid.scrollTop, grid.clientHeight - size.row, top, size.head);
    grid.scrollLeft = into(grid.scrollLeft, grid.clientWidth - size.cell, left, size.name);
    this.draw();
  }
}

function part(className, role, text = "") {
  const element = Object.assign(document.createElement("div"), { className, textContent: text });
  element.setAttribute("role", role);
  return element;
}
