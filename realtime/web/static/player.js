// Recorded frames: one by one, in slow motion, with the marks of onset, apex and offset.
import { ask, byId, colour } from "./common.js";

export const MOMENTS = ["onset", "apex", "offset"];
const TINTS = { onset: "positive", apex: "accent", offset: "negative" };
export const tint = (moment) => TINTS[moment];
const AHEAD = 4; // pictures asked for at a time
const AROUND_S = 0.15; // before the onset and after the offset while it plays

export class Player {
  /** changed(): another frame is shown. */
  constructor(changed) {
    this.changed = changed;
    this.frames = [];
    this.at = 0;
    this.marks = null;
    this.box = null;
    this.close = true;
    this.speed = 0.1;
    this.playing = false;
    this.visit = 0;
    this.shown = 0;
    this.blobs = new Map();
    new ResizeObserver(() => { this.#strip(); this.#show(); }).observe(byId("picture").parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#strip());
  }

  /** frames: [number, seconds]; query: what a picture's address ends in; box: the face, frame px, or null. */
  open({ frames, query, pictures, box, marks, why }) {
    this.pause();
    this.visit += 1;
    this.blobs.clear();
    Object.assign(this, { frames, query, pictures, box, marks });
    byId("slider").max = Math.max(0, frames.length - 1);
    byId("no-picture").hidden = pictures;
    byId("no-picture").textContent = why;
    if (!pictures) {
      const canvas = byId("picture");
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    }
    this.seek(marks ? this.index(marks.onset) : Math.floor(frames.length / 2));
    if (pictures) this.#fill(this.visit);
  }

  get number() { return this.frames[this.at]?.[0] ?? 0; }
  get seconds() { return this.frames[this.at]?.[1] ?? 0; }

  /** Where a frame is in the clip, or the nearest to it. */
  index(number) {
    let low = 0;
    let high = this.frames.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.frames[middle][0] < number) low = middle + 1; else high = middle;
    }
    return Math.max(0, low);
  }

  secondsOf(number) {
    const at = this.index(number);
    return this.frames[at]?.[1] ?? 0;
  }

  seek(at) {
    this.at = Math.max(0, Math.min(this.frames.length - 1, at));
    byId("slider").value = this.at;
    byId("slider").setAttribute("aria-valuetext", `frame ${this.number}`);
    this.#show();
    this.#strip();
    this.changed();
  }

  step(by) {
    this.pause();
    this.seek(this.at + by);
  }

  toggle() {
    if (this.playing) this.pause(); else this.play();
  }

  play() {
    if (!this.frames.length) return;
    this.playing = true;
    byId("play").firstChild.textContent = "Pause";
    const from = this.marks ? this.secondsOf(this.marks.onset) - AROUND_S : this.frames[0][1];
    const to = this.marks ? this.secondsOf(this.marks.offset) + AROUND_S : this.frames.at(-1)[1];
    let now = this.seconds < from || this.seconds >= to ? from : this.seconds;
    let last = performance.now();
    const visit = this.visit;
    const turn = (time) => {
      if (!this.playing || visit !== this.visit) return;
      now += this.speed * Math.min(0.1, (time - last) / 1000);
      last = time;
      if (now > Math.min(to, this.frames.at(-1)[1])) now = Math.max(from, this.frames[0][1]);
      let at = this.at;
      if (this.frames[at][1] > now) at = 0;
      while (at + 1 < this.frames.length && this.frames[at + 1][1] <= now) at += 1;
      if (at !== this.at) this.seek(at);
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }

  pause() {
    this.playing = false;
    byId("play").firstChild.textContent = "Play";
  }

  // -------------------------------------------------------------- pictures

  async #blob(number) {
    if (!this.blobs.has(number)) {
      const asked = ask(`/picture/${number}${this.query}`).then((response) => response.blob());
      asked.catch(() => this.blobs.delete(number));
      this.blobs.set(number, asked);
    }
    return this.blobs.get(number);
  }

  async #show() {
    if (!this.pictures) return;
    const turn = ++this.shown;
    const number = this.number;
    try {
      const picture = await createImageBitmap(await this.#blob(number));
      if (turn === this.shown || this.playing) this.#draw(picture, number);
      picture.close();
    } catch { /* the frame is not there: the one before stays */ }
  }

  #draw(picture, number) {
    const canvas = byId("picture");
    const scale = Math.min(devicePixelRatio || 1, 2);
    const fine = picture.width / (this.width ?? picture.width);
    const box = this.close && this.box ? this.box.map((v) => v * fine) : [0, 0, picture.width, picture.height];
    const width = Math.max(200, Math.round(canvas.clientWidth * scale));
    const height = Math.round(width * 0.78);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const ctx = canvas.getContext("2d", { alpha: false });
    const zoom = Math.min(width / (box[2] - box[0]), height / (box[3] - box[1]));
    ctx.fillStyle = "#000";
    ctx.fillRect(0, 0, width, height);
    ctx.imageSmoothingQuality = "high";
    const [x, y] = [width / 2 - zoom * (box[0] + box[2]) / 2, height / 2 - zoom * (box[1] + box[3]) / 2];
    ctx.drawImage(picture, x, y, zoom * picture.width, zoom * picture.height);
    canvas.dataset.frame = number;
  }

  /** Ask for the whole clip, the event first, so that playing never waits. */
  async #fill(visit) {
    const begin = this.marks ? this.index(this.marks.onset) : this.at;
    const order = this.frames.map((_, k) => (begin + k) % this.frames.length);
    for (let k = 0; k < order.length && visit === this.visit; k += AHEAD) {
      await Promise.allSettled(order.slice(k, k + AHEAD).map((at) => this.#blob(this.frames[at][0])));
    }
    if (visit === this.visit) byId("picture").dataset.loaded = this.frames.length;
  }

  // -------------------------------------------------------------- marks

  #strip() {
    const canvas = byId("strip");
    const fine = devicePixelRatio || 1;
    canvas.width = Math.max(10, Math.round(canvas.clientWidth * fine));
    canvas.height = Math.round(18 * fine);
    const ctx = canvas.getContext("2d");
    const inner = canvas.width - 16 * fine; // the slider's knob is 16 px wide
    const place = (at) => 8 * fine + inner * (this.frames.length > 1 ? at / (this.frames.length - 1) : 0);
    ctx.fillStyle = colour("line");
    ctx.fillRect(8 * fine, 12 * fine, inner, 3 * fine);
    if (!this.marks) return;
    const [onset, apex, offset] = MOMENTS.map((moment) => place(this.index(this.marks[moment])));
    ctx.fillStyle = colour("accent", 0.35);
    ctx.fillRect(onset, 10 * fine, Math.max(fine, offset - onset), 7 * fine);
    [onset, apex, offset].forEach((x, k) => {
      ctx.fillStyle = colour(TINTS[MOMENTS[k]]);
      ctx.beginPath();
      ctx.moveTo(x, 11 * fine);
      ctx.lineTo(x - 5 * fine, 2 * fine);
      ctx.lineTo(x + 5 * fine, 2 * fine);
      ctx.fill();
      ctx.fillRect(x - fine / 2, 8 * fine, fine, 10 * fine);
    });
  }

  mark(marks) {
    this.marks = marks;
    this.#strip();
  }
}
