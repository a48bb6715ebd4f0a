// Sends a video from the browser straight to the server, with progress. Called again whenever
// Streamlit draws the page again, so it sets handlers and never adds them.
export default function ({ parentElement, data, setTriggerValue }) {
  const form = parentElement.querySelector("form");
  const { file, ep_id: name } = form.elements;
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
    body.append("ep_id", name.value); // before the file: the server reads in this order
    body.append("file", file.files[0]);
    const request = new XMLHttpRequest();
    const end = () => {
      button.disabled = false;
      bar.hidden = true;
    };
    request.upload.onprogress = ({ loaded, total }) => {
      bar.value = total ? loaded / total : 0;
      tell(loaded < total ? `${Math.floor((100 * loaded) / total)} %` : "Checking the video…");
    };
    request.onload = () => {
      end();
      if (request.status === 201) {
        tell("");
        const uploaded = name.value;
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
    button.disabled = true;
    bar.hidden = false;
    request.open("POST", data.url);
    request.send(body);
  };
}
