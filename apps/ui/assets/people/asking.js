// What is asked of the page's server about people, which passes it on.

import { ask } from "../library/asking.js";

const AT_ONCE = 10_000; // rows that the server gives at once

/** All people of a run, as { items, revision, unmatched }. `run`: path of the run, without the prefix. */
export async function people(run) {
  const all = await ask("GET", `${run}/people?limit=${AT_ONCE}`);
  while (all.items.length < all.total) {
    const next = await ask("GET", `${run}/people?limit=${AT_ONCE}&offset=${all.items.length}`);
    if (next.items.length === 0) break;
    all.items.push(...next.items);
  }
  return all;
}

/** Makes a correction; the answer has all people as they are then. */
export function correct(run, correction) {
  return ask("POST", `${run}/people/corrections`, correction);
}
