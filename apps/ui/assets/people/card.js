// The card of a person, and that of a track of an opened person.

import { numberOf } from "../review/palette.js";
import { clock, counted, decimals, onScreen, percent } from "../review/times.js";
import { labelOf } from "./model.js";

const FACES = 5;
const MOST_WRITTEN = 300; // characters of a name in what is read aloud

function element(html) {
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  return template.content.firstElementChild;
}

export const several = (number, one, many) => `${counted(number)} ${number === 1 ? one : many}`;

export function spoken(person) {
  const label = labelOf(person);
  return label.length > MOST_WRITTEN ? `${label.slice(0, MOST_WRITTEN)}…` : label;
}

/** @param view { faces, picture, colour, chosen, editing, watched }: what the cards show besides the people */
export function personCard({ person }, view) {
  const tile = element(`
    <li class="tile person">
      <button type="button" class="faces" data-do="watch"></button>
      <label class="choose"><input type="checkbox" data-do="choose"></label>
      <div class="suggested" hidden>
        <img alt="" decoding="async"><span class="who" dir="auto"></span>
        <button type="button" data-do="confirm" title="Confirm (Y)">Yes</button>
        <button type="button" data-do="decline" title="Decline (D)">No</button>
      </div>
      <div class="naming"></div>
      <p class="seconds"></p>
      <p class="facts"></p>
      <div class="row">
        <button type="button" data-do="open">Tracks</button>
        <button type="button" data-do="hide"></button>
      </div>
    </li>`);
  drawPerson(tile, { person }, view);
  return tile;
}

/** Shows a person anew in a card; what stays the same is not touched, nor a name that is being typed. */
export function drawPerson(tile, { person }, view) {
  const part = (name) => tile.querySelector(name);
  const isChosen = view.chosen.has(person.person_id);
  const isWatched = view.watched === person.person_id;
  const isEdited = view.editing?.id === person.person_id;
  tile.classList.toggle("is-chosen", isChosen);
  tile.classList.toggle("is-hidden", person.hidden === true);
  tile.classList.toggle("is-watched", isWatched);
  part("[data-do=choose]").checked = isChosen;
  part("[data-do=watch]").setAttribute("aria-pressed", String(isWatched));
  if (isEdited !== (part("input.name") !== null) || !isEdited) drawName(part(".naming"), person, isEdited ? view.editing : null);
  const suggestion = view.suggestions.get(person.person_id);
  const words = JSON.stringify([person, suggestion]);
  if (tile.words === words) return;
  tile.words = words;
  const name = spoken(person);
  drawSuggestion(part(".suggested"), name, suggestion, view);
  tile.style.setProperty("--colour", view.colour(person));
  part("[data-do=choose]").setAttribute("aria-label", `Choose ${name}`);
  part(".seconds").textContent = `${onScreen(person.screen_seconds, person.screen_error_seconds)} · ${percent(person.share)}`;
  part(".seconds").title = "On screen, with the standard error of sampling, and as a part of the video";
  const appearances = several(person.appearances.length, "appearance", "appearances");
  part(".facts").textContent = `${several(person.appearances.length, "time", "times")} · confidence ${decimals(person.confidence, 2)}`;
  part(".facts").title = `${appearances}; how much the least alike of the tracks is like all of them`;
  part("[data-do=watch]").setAttribute("aria-label", `Watch ${name}: ${appearances}`);
  part("[data-do=open]").textContent = several(person.track_ids.length, "track", "tracks");
  part("[data-do=open]").setAttribute("aria-label", `Open ${name}: ${several(person.track_ids.length, "track", "tracks")}`);
  part("[data-do=hide]").textContent = person.hidden ? "Show" : "Hide";
  part("[data-do=hide]").setAttribute("aria-label", `${person.hidden ? "Show" : "Hide"} ${name}`);
  drawFaces(part(".faces"), view.faces(person, FACES), view);
}

/** Who it may be, with the picture that this was told by. */
function drawSuggestion(place, person, suggestion, view) {
  place.hidden = suggestion === undefined;
  if (suggestion === undefined) return;
  const { name, likeness, seen_in: [seen, ...others] } = suggestion;
  const called = spoken({ name });
  const episodes = new Set([seen, ...others].map((one) => one.ep_id));
  place.querySelector("img").src = view.pictureOf(seen);
  place.querySelector(".who").textContent = `${called}?`;
  place.title = `${called}: likeness ${decimals(likeness, 2)}, in ${[...episodes].join(", ")}`;
  place.querySelector("[data-do=confirm]").setAttribute("aria-label", `Yes, ${person} is ${called}`);
  place.querySelector("[data-do=decline]").setAttribute("aria-label", `No, ${person} is not ${called}`);
}

function drawName(place, person, editing) {
  if (editing === null) {
    const label = labelOf(person);
    const known = place.querySelector("button");
    const button = known ?? element('<button type="button" class="name" data-do="rename" dir="auto"></button>');
    button.textContent = label;
    button.title = label.length > 30 ? spoken(person) : "Rename";
    button.setAttribute("aria-label", `Rename ${spoken(person)}`);
    button.classList.toggle("is-unnamed", person.name === null);
    if (known === null) place.replaceChildren(button);
    return;
  }
  const field = element('<input class="name" dir="auto" autocomplete="off" spellcheck="false">');
  field.setAttribute("aria-label", `Name of ${spoken(person)}`);
  field.value = editing.text;
  field.placeholder = labelOf({ ...person, name: null });
  if (editing.wrong) field.setAttribute("aria-invalid", "true");
  place.replaceChildren(field);
}

function drawFaces(place, faces, view) {
  const addresses = faces.map((face) => view.picture(face));
  const known = [...place.children].map((one) => one.dataset.address);
  if (known.join() === addresses.join() && known.length > 0) return;
  place.replaceChildren(...addresses.map((address) => picture(address)));
  place.dataset.count = faces.length;
}

function picture(address) {
  const image = Object.assign(document.createElement("img"), { alt: "", decoding: "async" });
  image.dataset.address = address;
  image.addEventListener("error", () => { image.classList.add("none"); });
  image.src = address;
  return image;
}

/** @param item { track, times }: its id, and { start, end, seconds, error } or null */
export function trackCard(item, view) {
  const tile = element(`
    <li class="tile track">
      <button type="button" class="faces" data-do="watch"></button>
      <label class="choose"><input type="checkbox" data-do="choose"></label>
      <p class="seconds"></p>
      <p class="facts"></p>
    </li>`);
  const { track, times } = item;
  const name = `track ${numberOf(track)}`;
  const begins = times === null ? "" : clock(times.start);
  tile.querySelector("[data-do=watch]").setAttribute("aria-label", `Watch ${name}${begins && ` at ${begins}`}`);
  tile.querySelector("[data-do=choose]").setAttribute("aria-label", `Choose ${name}`);
  tile.querySelector(".seconds").textContent = `T${name.slice(1)}`;
  tile.querySelector(".facts").textContent = times === null ? "" : `${begins} · ${onScreen(times.seconds, times.error)}`;
  drawFaces(tile.querySelector(".faces"), [{ track, frame: null }], view);
  drawTrack(tile, item, view);
  return tile;
}

export function drawTrack(tile, { track }, view) {
  const isChosen = view.chosenTracks.has(track);
  tile.classList.toggle("is-chosen", isChosen);
  tile.querySelector("[data-do=choose]").checked = isChosen;
  tile.querySelector("[data-do=watch]").setAttribute("aria-pressed", String(view.watched === track));
  tile.classList.toggle("is-watched", view.watched === track);
}
