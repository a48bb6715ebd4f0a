// The video with boxes drawn over it, and seeking to exactly the frame of a moment.

import { letterbox } from "./layout.js";
import { numberOf } from "./palette.js";

const RATES = [0.1, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4];
const FRAMES_TRIED = 8; // where the rate varies, a step of the mean rate may end in the same frame

export class Player {
  /**
   * @param video the element
   * @param canvas over it, of the same place and size
   * @param hooks { moved, changed, failed }: called when another frame is shown; when it plays, stops
   *   or changes its speed; with a sentence when it cannot be played
   */
  constructor(video, canvas, hooks) {
    Object.assign(this, { video, canvas, hooks });
    this.context = canvas.getContext("2d");
    this.names = "names"; // "off", "faces", "names"
    this.picked = -1;
    this.frame = null; // the media time of the frame that is shown
    this.goal = null; // where to seek as soon as the seek before has ended
    this.stopper = new AbortController();
    const on = (names, call) => {
      for (const name of names.split(" ")) video.addEventListener(name, call, { signal: this.stopper.signal });
    };
    on("play pause ratechange ended", () => this.hooks.changed());
    on("seeking", () => { if (this.goal === null) this.frame = null; }); // by its own controls
    on("loadedmetadata", () => { if (this.goal !== null) this.#jump(); }); // wished for before
    on("seeked", () => this.#seeked());
    on("timeupdate loadeddata", () => this.#shown(this.#time()));
    on("error", () => this.#failed());
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(video);
    this.#follow();
  }

  dispose() {
    this.stopper.abort();
    this.resizing.disconnect();
    cancelAnimationFrame(this.waiting);
    this.video.cancelVideoFrameCallback?.(this.waitingFrame);
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load(); // lets go of the connection
  }

  /** Gives it the run's tracks and boxes. */
  show(tracks, boxes, colourOfTrack, people) {
    Object.assign(this, { tracks, boxes, colourOfTrack, people });
    this.draw();
  }

  /** Forgets the run that was shown. */
  hide() {
    Object.assign(this, { tracks: undefined, boxes: undefined, picked: -1 });
    this.draw();
  }

  /** What is written at a track's box, nothing for "": the person's name where people gave one, else its number. */
  nameOf(track) {
    const name = this.people.who(track)?.name;
    return name ? [...name].slice(0, 40).join("") : String(numberOf(this.tracks.ids[track]));
  }

  /** Whether its box is drawn thicker than the others. */
  isPicked(track) {
    return track === this.picked;
  }

  load(url) {
    this.video.src = url;
    if (this.goal !== null) this.seek(this.goal);
  }

  /** Seconds of the frame that is shown, or where it is going to. */
  get time() {
    return this.goal ?? this.#time();
  }

  get paused() {
    return this.video.paused;
  }

  /** Shows the frame of a moment. While a seek is on only the newest wish is kept. */
  seek(seconds) {
    const wanted = Math.max(0, seconds);
    this.goal = wanted;
    if (this.video.readyState > 0 && !this.video.seeking) this.#jump();
    this.hooks.moved(wanted);
  }

  #jump() {
    const fps = this.tracks?.fps ?? 25;
    // A hair after the frame's start: rounded times must not show the one before.
    const place = this.goal + Math.min(0.002, 0.25 / fps);
    const end = Number.isFinite(this.video.duration) ? this.video.duration : place;
    this.frame = null;
    this.jump = { goal: this.goal, place: Math.min(place, end) };
    this.video.currentTime = this.jump.place;
  }

  #seeked() {
    if (this.goal !== null && this.goal !== this.jump.goal) {
      this.#jump();
      return;
    }
    this.goal = null;
    this.#shown(this.#time());
  }

  /** The next frame, or for -1 the one before; pauses. */
  async step(direction) {
    this.video.pause();
    const start = this.time;
    if (direction < 0) {
      this.seek(Math.max(0, start - 1 / this.tracks.fps));
      return;
    }
    for (let frames = 1; frames <= FRAMES_TRIED; frames += 1) {
      const goal = start + frames / this.tracks.fps;
      this.seek(goal);
      if (!(await this.#arrived(goal)) || this.frame > start + 1e-4) return;
    }
  }

  /** True once a seek has ended, and its frame is known; false where another came in its place. */
  async #arrived(goal) {
    const follows = "requestVideoFrameCallback" in this.video;
    for (let redraws = 0; redraws < 60; redraws += 1) {
      await new Promise(requestAnimationFrame);
      if (this.goal !== null && this.goal !== goal) return false;
      if (this.goal === null && !follows) return false;
      // No other frame is told where it is the same one.
      if (this.goal === null && (this.frame !== null || redraws > 6)) return true;
    }
    return false;
  }

  toggle() {
    if (this.video.paused) this.video.play().catch(() => this.hooks.changed());
    else this.video.pause();
  }

  /** Slower or faster by steps. */
  speed(direction) {
    const now = RATES.findIndex((rate) => rate >= this.video.playbackRate - 1e-6);
    const next = RATES[Math.min(RATES.length - 1, Math.max(0, (now < 0 ? RATES.length : now) + direction))];
    this.video.playbackRate = next;
  }

  #failed() {
    if (this.video.error !== null && this.video.getAttribute("src")) {
      this.hooks.failed("The browser cannot play this video.");
    }
  }

  /** Of the frame that is shown. */
  #time() {
    const { frame, jump } = this;
    const { currentTime, paused } = this.video;
    const lasts = 1 / (this.tracks?.fps ?? 25) + 1e-3;
    if (frame !== null && (!paused || (currentTime > frame - 1e-3 && currentTime - frame < lasts))) return frame;
    return jump !== undefined && Math.abs(jump.place - currentTime) < 1e-4 ? jump.goal : currentTime;
  }

  #shown(seconds) {
    if (this.goal === null) this.hooks.moved(seconds);
    this.draw();
  }

  /** Calls for every frame that is shown. */
  #follow() {
    const { video } = this;
    if ("requestVideoFrameCallback" in video) {
      const each = (_, frame) => {
        this.frame = frame.mediaTime;
        this.#shown(this.frame);
        this.waitingFrame = video.requestVideoFrameCallback(each);
      };
      this.waitingFrame = video.requestVideoFrameCallback(each);
      return;
    }
    let last = -1;
    const each = () => {
      if (video.currentTime !== last && !video.paused) this.#shown(video.currentTime);
      last = video.currentTime;
      this.waiting = requestAnimationFrame(each);
    };
    this.waiting = requestAnimationFrame(each);
  }

  /** Draws the boxes of the frame that is shown. */
  draw() {
    const { canvas, context, video } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [video.clientWidth, video.clientHeight];
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.drawn = [];
    if (this.boxes === undefined || this.names === "off" || video.readyState < 2) return;
    const seconds = this.#time();
    this.boxes.want(seconds, video.playbackRate);
    const found = this.boxes.at(seconds);
    if (found === null) return;
    const picture = letterbox(width, height, video.videoWidth, video.videoHeight);
    for (const face of found) this.#drawFace(face, picture);
    this.drawnAt = seconds;
  }

  #drawFace({ track, box: [x1, y1, x2, y2], exact }, picture) {
    const { context } = this;
    const place = [
      picture.x + x1 * picture.width, picture.y + y1 * picture.height,
      (x2 - x1) * picture.width, (y2 - y1) * picture.height,
    ];
    const colour = track < 0 ? "#9aa0ab" : this.colourOfTrack(track);
    const width = track >= 0 && this.isPicked(track) ? 4 : 2;
    context.setLineDash(exact ? [] : [6, 4]);
    context.lineJoin = "round";
    for (const [style, line] of [["rgba(0, 0, 0, 0.65)", width + 2], [colour, width]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: line });
      context.strokeRect(...place);
    }
    context.setLineDash([]);
    const name = this.names === "names" && track >= 0 ? this.nameOf(track) : "";
    if (name !== "") this.#drawName(name, place, colour);
    this.drawn.push({ track, exact, place });
  }

  #drawName(name, [x, y], colour) {
    const { context } = this;
    context.font = "600 12px system-ui, sans-serif";
    const width = context.measureText(name).width + 13;
    const top = y >= 19 ? y - 19 : y + 2;
    context.fillStyle = "rgba(0, 0, 0, 0.8)";
    context.fillRect(x - 1, top, width, 17);
    context.fillStyle = colour;
    context.fillRect(x - 1, top, 4, 17);
    context.fillStyle = "#ffffff";
    context.textBaseline = "middle";
    context.fillText(name, x + 7, top + 9);
  }
}
