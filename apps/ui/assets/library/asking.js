// What is asked of the page's server, which passes it on.
const PREFIX = "/files";

/** What was refused, as a sentence or two. */
export class Refused extends Error {
  /** @param value of the answer, where there is one */
  constructor(status, text, value = null) {
    super(text);
    Object.assign(this, { status, value });
  }
}

export async function ask(method, path, body) {
  const request = { method, headers: { accept: "application/json" } };
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`${PREFIX}${path}`, request);
  } catch {
    throw new Refused(0, "The page's server does not answer. Start it, then try again.");
  }
  const text = await answer.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    value = null;
  }
  if (!answer.ok) {
    const said = [value?.detail, value?.hint].filter(Boolean).join(" ");
    throw new Refused(answer.status, said || `The server answered ${answer.status}.`, value);
  }
  return value;
}

const episode = (epId) => `/episodes/${encodeURIComponent(epId)}`;
const run = (epId, runId) => `${episode(epId)}/runs/${encodeURIComponent(runId)}`;

export const thumbnail = (epId) => `${PREFIX}${episode(epId)}/thumbnail`;
export const library = (query) => ask("GET", `/library?${new URLSearchParams(query)}`);
export const change = (epId, fields) => ask("PATCH", episode(epId), fields);
export const remove = (epId) => ask("DELETE", episode(epId));
export const queueAll = (epIds, profile) => ask("POST", "/batches", { episodes: epIds, ...(profile ? { profile } : {}) });
export const batches = () => ask("GET", "/batches");
export const cancelBatch = (batchId) => ask("POST", `/batches/${encodeURIComponent(batchId)}/cancel`);
export const retryBatch = (batchId) => ask("POST", `/batches/${encodeURIComponent(batchId)}/retry`);
export const cancel = (epId, runId) => ask("POST", `${run(epId, runId)}/cancel`);
export const trash = () => ask("GET", "/trash");
export const restore = (trashId) => ask("POST", `/trash/${encodeURIComponent(trashId)}/restore`);
export const removeForGood = (trashId) => ask("DELETE", `/trash/${encodeURIComponent(trashId)}`);
export const retention = (policy) => ask("GET", `/retention?${new URLSearchParams(policy)}`);
export const prune = (policy) => ask("POST", "/retention", policy);
export const demo = () => ask("POST", "/demo");
