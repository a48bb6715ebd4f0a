// The faces of the tracks, a page of pictures at a time.

import { numberOf } from "./palette.js";
import { clock, counted, onScreen } from "./times.js";

export const PAGE = 24;

export class Faces {
  /** @param hooks { pick }: called with a track's place */
  constructor(box, hooks, signal) {
    Object.assign(this, { box, hooks });
    this.grid = box.querySelector(".grid");
    this.words = box.querySelector(".page");
    [this.back, this.on] = box.querySelectorAll(".pages button");
    this.back.addEventListener("click", () => this.#turn(this.page - 1), { signal });
    this.on.addEventListener("click", () => this.#turn(this.page + 1), { signal });
    this.grid.addEventListener("click", (event) => {
      const face = event.target.closest("button[data-place]");
      if (face !== null) this.hooks.pick(Number(face.dataset.place));
    }, { signal });
    this.hide();
  }

  hide() {
    Object.assign(this, { run: undefined, order: new Int32Array(0), page: 0, picked: -1 });
    this.#draw();
  }

  /** @param order places of the tracks, as the table has them */
  show(run, order) {
    Object.assign(this, { run, order, page: 0 });
    this.#draw();
  }

  /** Marks a track, and turns to its page. */
  setPicked(place) {
    this.picked = place;
    const rank = this.order.indexOf(place);
    if (rank >= 0 && Math.floor(rank / PAGE) !== this.page) this.#turn(Math.floor(rank / PAGE));
    for (const face of this.grid.children) this.#mark(face);
  }

  get #pages() {
    return Math.max(1, Math.ceil(this.order.length / PAGE));
  }

  #turn(page) {
    this.page = Math.min(this.#pages - 1, Math.max(0, page));
    this.#draw();
  }

  #draw() {
    const places = this.order.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.grid.replaceChildren(...Array.from(places, (place) => this.#face(place)));
    this.words.textContent = `Page ${counted(this.page + 1)} of ${counted(this.#pages)}`;
    this.back.disabled = this.page === 0;
    this.on.disabled = this.page === this.#pages - 1;
    this.back.parentElement.hidden = this.#pages === 1;
  }

  #face(place) {
    const { tracks, review, picture, colour } = this.run;
    const number = numberOf(tracks.ids[place]);
    const face = Object.assign(document.createElement("button"), { type: "button", className: "face" });
    face.dataset.place = place;
    face.style.setProperty("--colour", colour(place));
    face.title = `Track ${number}: go to its first sighting`;
    const image = Object.assign(document.createElement("img"), { alt: `Face of track ${number}`, loading: "lazy" });
    image.addEventListener("error", () => { image.classList.add("none"); });
    image.src = picture(place);
    const name = Object.assign(document.createElement("strong"), { textContent: `Track ${number}` });
    const known = review.tracks;
    const lines = [clock(tracks.first[place]), onScreen(known.screen_s[place], known.screen_error_s[place])];
    const spans = lines.map((textContent) => Object.assign(document.createElement("span"), { textContent }));
    face.append(image, name, ...spans);
    this.#mark(face);
    return face;
  }

  #mark(face) {
    if (Number(face.dataset.place) === this.picked) face.setAttribute("aria-current", "true");
    else face.removeAttribute("aria-current");
  }
}
