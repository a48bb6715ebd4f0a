// Which file of the episode the browser can play, and making one where there is none.

async function problemOf(answer, otherwise) {
  try {
    const { detail, hint } = await answer.json();
    return [detail, hint].filter(Boolean).join(" ") || otherwise;
  } catch {
    return otherwise;
  }
}

/** JSON of an address; an Error with a sentence where there is none. */
export async function read(url, signal, otherwise) {
  return (await answered(url, signal, otherwise)).json();
}

/** The answer of an address; an Error with a sentence where it is none. */
export async function answered(url, signal, otherwise) {
  let answer;
  try {
    answer = await fetch(url, { signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Error("The server does not answer.");
  }
  if (!answer.ok) throw new Error(await problemOf(answer, otherwise));
  return answer;
}

/**
 * Has a playable file made. Aborting the signal ends that.
 *
 * @param url of `POST …/playable`
 * @param otherwise what is said where the server does not say it
 * @param progress called with a share, 0..1, or null where none is known, and whether it waits
 */
export async function make(url, signal, progress, otherwise = "The video could not be made playable.") {
  const answer = await fetch(url, { method: "POST", headers: { accept: "application/x-ndjson" }, signal });
  if (!answer.ok) throw new Error(await problemOf(answer, otherwise));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, last] = ["", null];
  for (;;) {
    const { done, value } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = done ? "" : lines.pop();
    for (const line of lines.filter((one) => one.trim())) {
      last = JSON.parse(line);
      if (last.type === "error") throw new Error([last.detail, last.hint].filter(Boolean).join(" "));
      if (last.type === "progress") {
        const share = last.frames_total > 0 ? Math.min(1, last.frames_done / last.frames_total) : null;
        progress(share, last.phase === "waiting");
      }
    }
    if (done) break;
  }
  if (last?.type !== "result") throw new Error("The server broke off. Try it again.");
}
