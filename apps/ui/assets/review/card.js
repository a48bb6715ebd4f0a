// The picked track in words, beside the video.

import { numberOf } from "./palette.js";
import { nameOf } from "./people.js";
import { clock, decimals, onScreen } from "./times.js";

/**
 * @param place of the track; -1 for none
 * @param shown { tracks, review, colour, picture, ends }; undefined until they are known
 */
export function drawCard(card, place, shown) {
  card.classList.toggle("empty", place < 0);
  const title = card.querySelector("strong");
  const picture = card.querySelector("img");
  const facts = card.querySelector("dl");
  if (place < 0) {
    const nobody = shown?.tracks.count === 0;
    title.textContent = nobody ? "No faces were found" : "No track is picked";
    card.querySelector(".hint").hidden = nobody;
    picture.hidden = true;
    facts.replaceChildren();
    return;
  }
  const name = `track ${numberOf(shown.tracks.ids[place])}`;
  title.textContent = `T${name.slice(1)}`;
  picture.hidden = false;
  picture.onerror = () => { picture.hidden = true; };
  picture.src = shown.picture(place);
  picture.alt = `Face of ${name}`;
  card.style.setProperty("--colour", shown.colour(place));
  facts.replaceChildren(...factsOf(place, shown).flatMap(([word, value]) => [
    Object.assign(document.createElement("dt"), { textContent: word }),
    Object.assign(document.createElement("dd"), { textContent: value }),
  ]));
}

function factsOf(place, { tracks, review, people, ends }) {
  const known = review.tracks;
  const end = known.ended[place];
  const person = people.who(place);
  return [
    ...(person ? [["Person", nameOf(person)]] : []),
    ["Seen", `${clock(tracks.first[place])} – ${clock(tracks.last[place])}`],
    ["On screen", onScreen(known.screen_s[place], known.screen_error_s[place])],
    ["Sightings", decimals(known.sightings[place], 0)],
    ["Confidence", decimals(known.confidence[place], 2)],
    ...(end ? [["Ended", ends[end] ?? end]] : []),
  ];
}
