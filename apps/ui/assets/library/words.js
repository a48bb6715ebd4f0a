// Figures in the reader's own language.
const number = (digits) => new Intl.NumberFormat(undefined, { maximumFractionDigits: digits });
const whole = number(0), tenths = number(1);
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const STEPS = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];

export const count = (value) => whole.format(value);
export const dayOf = (text) => day.format(new Date(text));
export const momentOf = (text) => moment.format(new Date(text));

export function bytes(value) {
  if (value === null || value === undefined) return "…";
  const [step, unit] = STEPS.find(([one]) => value >= one) ?? [1, "B"];
  const shown = value / step;
  return `${(shown < 10 && step > 1 ? tenths : whole).format(shown)} ${unit}`;
}

/** As players show it: 4:05, 1:02:09. */
export function length(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const all = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(all / 60) % 60, hours = Math.floor(all / 3600);
  return hours ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

/** How long something takes yet, about. */
export function timeLeft(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return "less than a minute left";
  if (minutes < 60) return `about ${count(minutes)} min left`;
  return `about ${count(Math.floor(minutes / 60))} h ${minutes % 60} min left`;
}

export const several = (value, one, many) => `${count(value)} ${value === 1 ? one : many}`;

/** What a card says of a state, and how far it is (0..1, or null). @param hasResults of an earlier run */
export function stateOf(state, hasResults = false) {
  switch (state?.state) {
    case "queued":
      return [state.ahead ? `Queued, ${several(state.ahead, "run", "runs")} before it` : "Queued, next", null];
    case "running":
      return state.progress === null ? ["Starting", null] : [`Running ${Math.floor(100 * state.progress)} %`, state.progress];
    case "done":
      return ["Done", null];
    case "stale":
      return ["Done, of another video", null];
    case "failed":
      return [hasResults ? "Done, then failed" : "Failed", null];
    case "cancelled":
      return [hasResults ? "Done, then cancelled" : "Cancelled", null];
    default:
      return ["Never run", null];
  }
}
