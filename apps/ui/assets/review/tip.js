// What is told of the bar under the pointer.

import { numberOf } from "./palette.js";
import { clock, decimals, onScreen } from "./times.js";

export class Tip {
  /** @param room the element that it stays inside of */
  constructor(box, room) {
    Object.assign(this, { box, room, place: -1 });
  }

  /** @param pictureOf address of a track's picture by its place */
  show(tracks, review, colourOfTrack, pictureOf) {
    Object.assign(this, { tracks, review, colourOfTrack, pictureOf });
  }

  hide() {
    this.box.hidden = true;
    this.place = -1;
  }

  /** Tells of a track, near a point of the room. */
  point(place, x, y) {
    if (this.place !== place) this.fill(place);
    this.place = place;
    this.box.hidden = false;
    const room = this.room.clientWidth - this.box.offsetWidth;
    this.box.style.left = `${Math.max(0, Math.min(room, x + 12))}px`;
    this.box.style.bottom = `${this.room.clientHeight - y + 10}px`;
  }

  fill(place) {
    const { tracks } = this.review;
    const picture = this.box.querySelector("img");
    picture.hidden = false;
    picture.onerror = () => { picture.hidden = true; };
    picture.src = this.pictureOf(place);
    const lines = [
      `${clock(this.tracks.first[place])} – ${clock(this.tracks.last[place])}`,
      `On screen ${onScreen(tracks.screen_s[place], tracks.screen_error_s[place])}`,
      `Confidence ${decimals(tracks.confidence[place], 2)}`,
    ];
    this.box.querySelector("strong").textContent = `Track ${numberOf(this.tracks.ids[place])}`;
    this.box.querySelector("span").textContent = lines.join("\n");
    this.box.style.borderColor = this.colourOfTrack(place);
  }
}
