// How far a run is and how hot, drawn from what is told of it: no script runs for that.
import { hub as shared, subscribe } from "./live.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300, HEIGHT = 90;

// In the numbers of the reader's language.
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const count = (number) => whole.format(number);
const percent = (number) => (number === null ? "–" : `${Math.round(number)} %`);

// As `duration` in apps/ui/formatting.py.
function duration(seconds) {
  if (seconds === null) return "–";
  if (seconds < 9.95) return `${tenths.format(seconds)} s`;
  const all = Math.round(seconds);
  if (all < 60) return `${all} s`;
  const two = (number) => String(number).padStart(2, "0");
  const minutes = Math.floor(all / 60);
  if (minutes < 60) return `${minutes} min ${two(all % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function sentence(report, phases) {
  const phase = phases[report.phase] ?? report.phase;
  if (!report.frames_total) return `${phase} · ${duration(report.elapsed_sec)}`;
  const done = `${count(report.frames_done)} of ${count(report.frames_total)} frames`;
  return `${phase} · ${done} · ${duration(report.elapsed_sec)}`;
}

function drawCpu(chart, points, cap) {
  const last = Math.max(1, points.at(-1)?.[0] ?? 0);
  const top = 1.05 * Math.max(cap ?? 0, 100, ...points.map(([, value]) => value));
  const place = ([seconds, value]) =>
    `${((seconds / last) * WIDTH).toFixed(1)},${(HEIGHT * (1 - value / top)).toFixed(1)}`;
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points.map(place).join(" "));
  const parts = [line];
  if (cap !== null) {
    const rule = document.createElementNS(SVG, "line");
    const y = HEIGHT * (1 - cap / top);
    for (const [name, value] of Object.entries({ x1: 0, x2: WIDTH, y1: y, y2: y })) rule.setAttribute(name, value);
    parts.push(rule);
  }
  chart.replaceChildren(...parts);
  chart.setAttribute("aria-label", `CPU against time, ${percent(points.at(-1)?.[1] ?? null)} now`);
}

// One line a part of a run that is divided among workers.
const PART_STATES = { queued: "waits", in_progress: "", retrying: "its worker is lost; it is begun again", made: "done" };

function partLine(part) {
  const line = document.createElement("li");
  const share = part.frames_total ? part.frames_done / part.frames_total : Number(part.state === "made");
  line.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
  line.className = part.state;
  const done = `${count(part.frames_done)} of ${count(part.frames_total)}`;
  const again = part.attempts > 1 ? `begun ${part.attempts} times` : "";
  const cpu = part.state === "in_progress" && part.cpu_percent !== null ? `CPU ${percent(part.cpu_percent)}` : "";
  const said = [part.host, done, PART_STATES[part.state] ?? part.state, cpu, again];
  line.textContent = `Part ${part.number} · ${said.filter(Boolean).join(" · ")}`;
  if (part.worker) line.title = part.worker;
  return line;
}

function drawParts(list, parts) {
  list.hidden = parts.length === 0;
  list.replaceChildren(...parts.map(partLine));
}

function drawWait(root, state, server) {
  const before = root.querySelector(".before");
  const ahead = state?.state === "queued" ? (state.ahead ?? 0) : 0;
  before.hidden = !ahead;
  before.textContent = `${count(ahead)} other run${ahead > 1 ? "s" : ""} before it.`;
  root.querySelector(".nobody").hidden =
    state?.state !== "queued" || state.job_id === null || server?.workers !== 0;
}

function drawReport(root, state, data, hub) {
  const report = state?.report ?? null;
  root.querySelector(".report").hidden = report === null;
  if (report === null) return;
  const bar = root.querySelector("progress");
  bar.value = state.progress ?? 0;
  const cpu = percent(report.cpu_percent ?? null);
  root.querySelector(".sentence").textContent = data.small
    ? `${count(report.frames_done)} of ${count(report.frames_total)} · CPU ${cpu}`
    : sentence(report, data.phases);
  if (data.small) return;
  drawParts(root.querySelector(".parts"), report.parts ?? []);
  root.querySelector(".rate").textContent = `${tenths.format(report.analyzed_fps)}/s`;
  root.querySelector(".left").textContent = duration(report.eta_sec);
  root.querySelector(".cap").textContent = data.cap === null ? "CPU (no cap)" : `CPU (cap ${data.cap} %)`;
  root.querySelector(".cpu").textContent = cpu;
  drawCpu(root.querySelector("svg"), hub.cpu.get(state.run_id) ?? [], data.cap);
}

// A person is asked for permission when they click, never before.
function drawWish(root, data) {
  const box = root.querySelector(".tell input");
  const note = root.querySelector(".tell .note");
  const permission = globalThis.Notification?.permission;
  box.checked = shared.wished.has(data.ep_id);
  box.onchange = async () => {
    note.textContent = "";
    if (!box.checked) return shared.wish(data.ep_id, false);
    const answer =
      permission === undefined || !globalThis.isSecureContext
        ? "unsupported"
        : await Notification.requestPermission();
    if (answer === "granted") return shared.wish(data.ep_id, true);
    box.checked = false;
    note.textContent =
      answer === "denied"
        ? "This browser does not let the page tell you: allow notifications in its settings."
        : answer === "default"
          ? "It was not allowed."
          : "This browser has no notifications for this address.";
  };
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".run");
  root.classList.toggle("small", data.small);
  if (!data.small) drawWish(root, data);
  function look(hub) {
    const state = hub.episodes.get(data.ep_id);
    const own = state?.run_id === data.run_id ? state : null;
    if (data.report) {
      drawWait(root, own, hub.server);
      drawReport(root, own, data, hub);
    }
    if (!data.small) root.querySelector(".tell input").checked = hub.wished.has(data.ep_id);
  }
  root.screenalytics?.();
  const unsubscribe = (root.screenalytics = subscribe(look));
  return unsubscribe;
}
