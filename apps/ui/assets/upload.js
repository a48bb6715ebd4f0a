// Sends a video from the browser straight to the server, with progress. Called again whenever
// Streamlit draws the page again, so it sets handlers and never adds them. What it returns is
// called when the form leaves the page: an upload does not go on where nobody sees it.
export default function ({ parentElement, data, setTriggerValue }) {
  const form = parentElement.querySelector("form");
  const { file, ep_id: name, cancel } = form.elements;
  const button = form.querySelector("button");
  const bar = form.querySelector("progress");
  const message = form.querySelector(".message");
  name.pattern = data.pattern;

  function tell(text, bad = false) {
    message.textContent = text;
    message.classList.toggle("bad", bad);
  }

  function problem(request) {
    try {
      const { detail, hint } = JSON.parse(request.responseText);
      return [detail, hint].filter(Boolean).join(" ");
    } catch {
      return "The upload failed. Try it again.";
    }
  }

  file.onchange = () => {
    const stem = (file.files[0]?.name ?? "").replace(/\.[^.]*$/, "");
    // As apps.common.names.name_after.
    const dashed = stem.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/\.{2,}/g, ".");
    name.value = dashed.replace(/^[-._]+|[-._]+$/g, "").slice(0, 100) || "episode";
    tell("");
  };

  form.onsubmit = (event) => {
    event.preventDefault();
    const body = new FormData();
    const uploaded = name.value; // another may be typed meanwhile
    body.append("ep_id", uploaded); // before the file: the server reads in this order
    body.append("file", file.files[0]);
    const request = new XMLHttpRequest();
    const end = () => {
      form.request = null;
      for (const field of [file, name, button]) field.disabled = false;
      bar.hidden = cancel.hidden = true;
    };
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = total ? loaded / total : 0;
      tell(loaded < total ? `${Math.floor((100 * loaded) / total)} %` : "Checking the video…");
    };
    request.onload = () => {
      end();
      if (request.status === 201) {
        tell("");
        form.reset();
        setTriggerValue("uploaded", uploaded);
      } else {
        tell(problem(request), true);
      }
    };
    request.onerror = () => {
      end();
      tell("The server broke off the upload. Try it again.", true);
    };
    request.onabort = () => {
      end();
      tell("The upload was cancelled; nothing of it is kept.");
    };
    for (const field of [file, name, button]) field.disabled = true; // of this upload until its end
    bar.hidden = cancel.hidden = false;
    form.request = request;
    request.open("POST", data.url);
    request.send(body);
  };
  cancel.onclick = () => form.request?.abort();
  return () => form.request?.abort();
}
