// The timeline with a row a person: bars are appearances, names stand beside it.

import { GAP } from "../review/paint.js";
import { Timeline } from "../review/timeline.js";
import { Tip } from "../review/tip.js";
import { clock, decimals, onScreen } from "../review/times.js";
import { Tracks } from "../review/tracks.js";
import { labelOf, lanesOf } from "./model.js";

class PersonTip extends Tip {
  fill(place) {
    const { person, index } = this.rows;
    const row = person[place];
    const [start, end] = row.appearances[index[place]];
    const picture = this.box.querySelector("img");
    picture.hidden = false;
    picture.onerror = () => { picture.hidden = true; };
    picture.src = this.pictureOf(place);
    this.box.querySelector("strong").textContent = labelOf(row).slice(0, 80);
    this.box.querySelector("span").textContent = [
      `${clock(start)} – ${clock(end)} (${decimals(end - start, 1)} s)`,
      `On screen ${onScreen(row.screen_seconds, row.screen_error_seconds)} in all`,
    ].join("\n");
    this.box.style.borderColor = this.colourOfTrack(place);
  }
}

export class Rows extends Timeline {
  /**
   * @param root the element with canvas, names and tip
   * @param hooks { seek, scrub, watch, point }: seconds; seconds; a person's id and which appearance; a person's id
   */
  constructor(root, hooks) {
    const inner = root.querySelector(".timeline");
    const tip = new PersonTip(root.querySelector(".tip"), inner);
    super(inner, {
      seek: hooks.seek, scrub: hooks.scrub,
      pick: (place) => hooks.watch(this.rows.person[place].person_id, this.rows.index[place]),
    }, tip);
    this.names = root.querySelector(".names");
    this.names.addEventListener("click", (event) => {
      const person = this.#at(event.offsetY);
      if (person !== undefined) hooks.point(person.person_id);
    }, { signal: this.stopper.signal });
    this.people = [];
  }

  /** @param people those that pass the filter; `view`: { colour, faces, picture } */
  showPeople(people, review, view) {
    const before = this.tracks === undefined ? null : { view: this.view, scroll: this.scroll };
    this.people = people;
    this.rows = lanesOf(people, review);
    this.tip.rows = this.rows;
    const { person } = this.rows;
    const first = (place) => view.faces(person[place], 1)[0];
    this.picked = -1;
    this.show(new Tracks(this.rows.review), this.rows.review, (place) => view.colour(person[place]), (place) => view.picture(first(place)));
    this.tip.hide();
    if (before !== null) Object.assign(this, before);
    this.refresh();
  }

  /** Marks an appearance of a person; -1 for none. */
  mark(personId, index) {
    this.watched = personId;
    const place = personId === null ? -1 : this.tracks?.byId.get(`${personId}/${index}`) ?? -1;
    this.setPicked(place);
  }

  #at(y) {
    return y < this.top ? undefined : this.people[Math.floor((y - this.top + this.scroll) / (this.row + GAP))];
  }

  draw() {
    const { layers } = this.stats;
    super.draw();
    if (this.stats.layers !== layers) this.#drawNames();
  }

  #drawNames() {
    const { names, colours } = this;
    const ratio = window.devicePixelRatio || 1;
    const width = names.clientWidth;
    if (width === 0 || colours === undefined) return;
    Object.assign(names, { width: Math.round(width * ratio), height: Math.round(this.height * ratio) });
    const context = names.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    context.rect(0, this.top, width, this.height - this.top);
    context.clip();
    const tall = this.row + GAP;
    const first = Math.floor(this.scroll / tall);
    const behind = Math.min(this.people.length, Math.ceil((this.scroll + this.height - this.top) / tall));
    context.textBaseline = "middle";
    for (let lane = first; lane < behind; lane += 1) {
      const person = this.people[lane];
      const y = this.top + lane * tall - this.scroll;
      context.font = `${person.person_id === this.watched ? 700 : 400} 12px ${colours.font}`;
      context.fillStyle = colours.text;
      context.fillText(fitting(context, labelOf(person), width - 8), 0, y + this.row / 2);
    }
  }
}

/** As much of a text as there is room for. */
function fitting(context, text, room) {
  let short = text.slice(0, 60);
  if (short === text && context.measureText(text).width <= room) return text;
  while (short.length > 1 && context.measureText(`${short}…`).width > room) short = short.slice(0, -1);
  return `${short}…`;
}
