// What two runs differ in as a whole: rows of tables, and remarks.

import { decimals, onScreen } from "./times.js";

const FACTS = {
  provider: "Provider", device: "Device", model: "Detector", full_model: "Full detector of the pair",
  recognition: "Recognition model", effective_stride: "Stride of the run", detection_picture: "Detector's picture",
  decoding: "Decoded by", product: "Version", source_fingerprint: "Code", onnxruntime: "ONNX Runtime",
};

export function cell(tag, ...content) {
  const made = document.createElement(tag);
  if (tag === "th") made.scope = "row";
  made.append(...content);
  return made;
}

function shown(value) {
  if (value === null || value === undefined) return "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  return new Intl.NumberFormat(undefined, { maximumFractionDigits: 3, useGrouping: false }).format(value);
}

export function signed(seconds, error) {
  if (seconds === null) return "–";
  const sign = Math.abs(seconds) < 0.05 ? "" : seconds < 0 ? "−" : "+"; // less is 0.0
  return `${sign}${onScreen(Math.abs(seconds), error)}`;
}

/** Rows of what each run has found. */
export function totalRows({ a, b, difference_s: seconds, error_s: error }) {
  const plain = (one) => decimals(one, 0);
  const minus = (one, other) => `${one - other > 0 ? "+" : ""}${plain(one - other)}`.replace("-", "−");
  const rows = [
    ["Tracks", plain(a.tracks), plain(b.tracks), minus(b.tracks, a.tracks)],
    ["Faces", plain(a.faces), plain(b.faces), minus(b.faces, a.faces)],
    ["On the screen", onScreen(a.screen_s, a.screen_error_s), onScreen(b.screen_s, b.screen_error_s), signed(seconds, error)],
    ["Video with faces", onScreen(a.with_faces_s, null), onScreen(b.with_faces_s, null), signed(b.with_faces_s - a.with_faces_s, null)],
  ];
  return rows.map(([name, ...values]) => cell("tr", cell("th", name), ...values.map((value) => cell("td", value))));
}

/** Rows of the options and facts that differ. `labels`: of options, by name. */
export function optionRows(found, labels) {
  const withSource = (value, word) =>
    cell("td", shown(value), ...(word === null ? [] : [cell("small", ` (${word.replace(":", " ")})`)]));
  return [
    ...found.options.map((one) =>
      cell("tr", cell("th", labels[one.name] ?? one.name), withSource(one.a, one.source_a), withSource(one.b, one.source_b))),
    ...found.facts.map((one) => cell("tr", cell("th", FACTS[one.name] ?? one.name), cell("td", shown(one.a)), cell("td", shown(one.b)))),
  ];
}

/** How it was compared, where that is not plain. */
export function remarksOf({ a, b, same_video: same, compared_stride: stride }) {
  const lost = a.unreadable_rows + b.unreadable_rows;
  return [
    a.stride !== b.stride && `A looked at every ${a.stride} frames, B at every ${b.stride}. Compared at every ${stride}; between ` +
      "samples of the other run, boxes are interpolated.",
    same === null && "An older run does not tell which file it has read.",
    lost > 0 && `${decimals(lost, 0)} damaged lines were left out.`,
  ].filter(Boolean).join(" ");
}
