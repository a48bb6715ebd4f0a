// Sends one file by tus 1.0.0 (https://tus.io/protocols/resumable-upload): from where the server has
// it, again and again until it is there, is refused, or its user has had enough.

const VERSION = "1.0.0";
const PART = 64 * 2 ** 20; // bytes of a request: a proxy that gathers requests holds no more
const LOOK_AGAIN_MS = 1000;
const LONGEST_WAIT_S = 30;
const PASSING = new Set([0, 408, 423, 429, 499, 500, 502, 503, 504]); // of answers: worth another try

/** What trying again does not change. */
export class Refused extends Error {
  constructor(message, status = 0, problem = {}) {
    super(message);
    this.status = status;
    this.problem = problem;
  }
}

/** What may be over in a moment. */
class Broken extends Error {}

/**
 * Sends a file until its episode is there.
 *
 * @param {object} job url: where uploads are made; file; name: of the episode; path: of the upload,
 *   which is set as soon as the server has made it.
 * @param {AbortSignal} signal ends it; what has arrived stays there.
 * @param {(what: object) => void} tell hears {state: "sending", offset}, {state: "checking"} and
 *   {state: "retrying", seconds, why}.
 */
export async function send(job, signal, tell) {
  let failures = 0;
  let losses = 0;
  while (true) {
    signal.throwIfAborted();
    try {
      job.path ??= await begin(job);
      signal.throwIfAborted();
      const { state, active, offset } = await look(job.path, signal);
      if (state === "finished") return;
      if (state === "checking" && active) {
        tell({ state: "checking" });
        await rest(LOOK_AGAIN_MS, signal);
        continue;
      }
      let at = offset;
      while (true) {
        tell({ state: "sending", offset: at });
        at = await sendPart(job, at, signal, tell);
        failures = 0;
        if (at >= job.file.size) return;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refused && error.status === 404 && losses < 3) {
        losses += 1;
        job.path = undefined; // it had expired
      } else if (!(error instanceof Broken)) {
        throw error;
      }
      await checkReadable(job.file);
      failures += 1;
      const seconds = Math.min(LONGEST_WAIT_S, 2 ** (failures - 1));
      tell({ state: "retrying", seconds, why: error.message });
      await rest(1000 * seconds, signal);
    }
  }
}

/** Ends an upload. True where its bytes are gone, false where it had become an episode. */
export async function discard(path) {
  const answer = await fetch(path, { method: "DELETE", headers: { "Tus-Resumable": VERSION } });
  if (answer.status === 409) return false;
  if (!answer.ok && answer.status !== 404) throw await problemOf(answer);
  return true;
}

/** Uploads that have not become episodes, as the server tells. */
export async function unfinished(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw await problemOf(answer);
  return (await answer.json()).items;
}

/** Not broken off: the upload that it makes would be nobody's. */
async function begin({ url, file, name }) {
  const told = { ep_id: name, filename: file.name, modified: String(file.lastModified) };
  const metadata = Object.entries(told).map(([key, value]) => `${key} ${base64(value)}`).join(",");
  const headers = {
    "Tus-Resumable": VERSION, "Upload-Length": String(file.size), "Upload-Metadata": metadata,
  };
  const answer = await asked(fetch(url, { method: "POST", headers }));
  return answer.headers.get("Location");
}

async function look(path, signal) {
  return (await asked(fetch(path, { signal, cache: "no-store" }))).json();
}

/** The offset afterwards. XMLHttpRequest, since fetch does not tell how much has been sent. */
function sendPart({ path, file }, offset, signal, tell) {
  const part = file.slice(offset, offset + PART);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.upload.onprogress = ({ loaded }) => {
      tell({ state: "sending", offset: offset + Math.min(loaded, part.size) });
    };
    request.upload.onload = () => {
      if (offset + part.size === file.size) tell({ state: "checking" });
    };
    request.onloadend = () => {
      signal.removeEventListener("abort", abort);
      if (request.status === 204) resolve(Number(request.getResponseHeader("Upload-Offset")));
      else reject(failure(request.status, parsed(request.responseText)));
    };
    request.open("PATCH", path);
    request.setRequestHeader("Tus-Resumable", VERSION);
    request.setRequestHeader("Upload-Offset", String(offset));
    request.setRequestHeader("Content-Type", "application/offset+octet-stream");
    request.send(part);
  });
}

async function asked(fetching) {
  let answer;
  try {
    answer = await fetching;
  } catch (error) {
    throw error.name === "AbortError" ? error : new Broken("The connection broke.");
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function problemOf(answer) {
  return failure(answer.status, parsed(await answer.text().catch(() => "")));
}

function failure(status, problem) {
  const words = [problem.detail, problem.hint].filter(Boolean).join(" ");
  const elsewhere = String(problem.type).endsWith("upload-conflict") && problem.offset !== undefined;
  if (status === 0) return new Broken("The connection broke.");
  if (PASSING.has(status) || elsewhere) return new Broken(problem.detail || "The server does not answer.");
  return new Refused(words || "The upload failed.", status, problem);
}

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

async function checkReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refused("The file was changed or removed. Choose it again.");
  }
}

/** A pause that ends sooner when the computer is on the net again. */
function rest(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      window.removeEventListener("online", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal.addEventListener("abort", end);
    window.addEventListener("online", end);
  });
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}
