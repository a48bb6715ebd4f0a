// Which key and which button does what, and the help that says so. One table for keys and help.

/**
 * Those that play, wherever there is a player. Each, as all here: [keys as `event.key` says, words for
 * people, what they do, the name of an action, its argument].
 */
export const PLAYING = [
  [[" ", "k"], "Space, K", "Play or pause", "toggle"],
  [["j"], "J", "10 seconds back", "jump", -10],
  [["l"], "L", "10 seconds on", "jump", 10],
  [["J"], "Shift + J", "Slower", "speed", -1],
  [["L"], "Shift + L", "Faster", "speed", 1],
  [[","], ",", "The frame before", "step", -1],
  [["."], ".", "The next frame", "step", 1],
];

/** To both ends of the video. */
export const ENDS = [
  [["Home"], "Home", "To the beginning", "end", 0],
  [["End"], "End", "To the end", "end", 1],
];

export const KEYS = [
  ...PLAYING,
  [["ArrowLeft"], "←", "The sighting before: of the picked track, else of any", "sighting", -1],
  [["ArrowRight"], "→", "The next sighting", "sighting", 1],
  [["p"], "P", "The track before", "track", -1],
  [["n"], "N", "The next track", "track", 1],
  [["i"], "I", "A range begins here", "range", "from"],
  [["o"], "O", "The range ends here", "range", "to"],
  [["Escape"], "Esc", "Clear the range, then the picked track", "clear"],
  [["+", "="], "+", "Zoom in", "zoom", 0.5],
  [["-", "_"], "−", "Zoom out", "zoom", 2],
  [["0"], "0", "The whole episode", "fit"],
  [["ArrowUp"], "↑", "Lanes further up", "lanes", -51],
  [["ArrowDown"], "↓", "Lanes further down", "lanes", 51],
  ...ENDS,
  [["c"], "C", "Copy the link to this moment", "link"],
  [["?"], "?", "This help", "help"],
];

const TYPES = "input:not([type=checkbox]), select, textarea, dialog *";

/** Sends keys that are pressed inside `root` to `actions`, by their names. `table`: as KEYS; without an action it is only told. */
export function listenToKeys(root, actions, signal, table = KEYS) {
  const byKey = new Map(table.filter(([, , , action]) => action !== undefined)
    .flatMap(([keys, , , action, argument]) => keys.map((key) => [key, [action, argument]])));
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest(TYPES) !== null) return;
    if (event.target.closest("[data-keys]")?.dataset.keys.split(" ").includes(event.key)) return; // it has its own
    if (event.key === " " && event.target.closest("button, input") !== null) return;
    // With the caps lock on, letters are large without shift.
    const key = /^[A-Z]$/.test(event.key) && !event.shiftKey ? event.key.toLowerCase() : event.key;
    const found = byKey.get(key) ?? byKey.get(key.toLowerCase());
    if (found === undefined || (/^[A-Z]$/.test(key) && !byKey.has(key))) return;
    const [action, argument] = found;
    if (actions[action](argument) === false) return; // the page may have a use for it
    event.preventDefault();
    event.stopPropagation();
  };
  // Before the video's own controls, which have another use for some of them.
  root.addEventListener("keydown", press, { capture: true, signal });
}

/** The same of buttons: one has `data-action`, and may have `data-argument`, a number. */
export function listenToButtons(root, actions, signal) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (button === null) return;
    const { action, argument } = button.dataset;
    actions[action](argument === undefined ? undefined : Number(argument));
  }, { signal });
}

/** Closes the help by a click beside it. */
export function closeBeside(help, signal) {
  help.addEventListener("click", (event) => {
    if (event.target === help) help.close();
  }, { signal });
}

/** Fills the table of the help. */
export function writeHelp(body, table = KEYS) {
  body.replaceChildren(...table.map(([, words, what]) => {
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.append(...words.split(", ").flatMap((word, i) => {
      const key = document.createElement("kbd");
      key.textContent = word;
      return i === 0 ? [key] : [" or ", key];
    }));
    if (words === ",") name.replaceChildren(Object.assign(document.createElement("kbd"), { textContent: "," }));
    const cell = document.createElement("td");
    cell.textContent = what;
    row.append(name, cell);
    return row;
  }));
}
