// Which key does what on People, and the help that says so.

import { ENDS, PLAYING } from "../review/keys.js";

/** As in ../review/keys.js. Those without an action belong to the card that has the keyboard. */
export const KEYS = [
  [["Enter"], "Enter", "Watch the person, or the track, of the card"],
  [["ArrowUp"], "Arrows", "From card to card"],
  [["x"], "X", "Choose the card, or not"],
  [["r", "F2"], "R, F2", "Rename the person"],
  [["o"], "O", "Open the person: all tracks, to move some"],
  [["h"], "H", "Hide the person, or show again"],
  [["s"], "S", "To the next person whose name is suggested", "suggestion"],
  [["y"], "Y", "Confirm the name that is suggested"],
  [["d"], "D", "Decline the name that is suggested"],
  [["n"], "N", "The next appearance", "appearance", 1],
  [["p"], "P", "The appearance before", "appearance", -1],
  ...PLAYING,
  [["m"], "M", "Merge the chosen people", "merge"],
  [["u"], "U", "Undo the last correction", "undo"],
  [["Escape"], "Esc", "Choose none, then back to all people", "back"],
  [["+", "="], "+", "Zoom into the timeline", "zoom", 0.5],
  [["-", "_"], "−", "Zoom out", "zoom", 2],
  [["0"], "0", "The whole episode", "fit"],
  [["ArrowLeft"], "←", "On the timeline: a second back", "jump", -1],
  [["ArrowRight"], "→", "On the timeline: a second on", "jump", 1],
  [["ArrowUp"], "↑", "On the timeline: people further up", "lanes", -51],
  [["ArrowDown"], "↓", "On the timeline: people further down", "lanes", 51],
  ...ENDS,
  [["?"], "?", "This help", "help"],
];
