// What is asked of the page's server about people, which passes it on.

import { ask } from "../library/asking.js";
import { allPeople } from "../review/people.js";

/** All people of a run, as { items, revision, unmatched }. `run`: path of the run, without the prefix. */
export function people(run) {
  return allPeople((path) => ask("GET", run + path));
}

/** Names for those who have none, from other episodes of the show. */
export function suggestions(run) {
  return ask("GET", `${run}/people/suggestions`);
}

/** Makes a correction; the answer has all people as they are then. */
export function correct(run, correction) {
  return ask("POST", `${run}/people/corrections`, correction);
}
