// The whole session on one line: what moved most, events by their verdict, marks, gaps, where one is.
import { byId, clock, colour } from "./common.js";

const LANES = 30; // px below the curve: events, then the clock

export class Timeline {
  /** go(seconds): somebody points there. */
  constructor(go) {
    this.canvas = byId("timeline");
    this.seconds = 1;
    this.curve = null;
    this.items = [];
    this.markers = [];
    this.gaps = [];
    this.now = 0;
    this.canvas.addEventListener("click", (event) => {
      const { left, width } = this.canvas.getBoundingClientRect();
      go(this.seconds * (event.clientX - left) / width);
    });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  draw() {
    const { canvas } = this;
    const fine = devicePixelRatio || 1;
    canvas.width = Math.max(50, Math.round(canvas.clientWidth * fine));
    canvas.height = Math.round(canvas.clientHeight * fine);
    const ctx = canvas.getContext("2d");
    const base = canvas.height - LANES * fine;
    const x = (seconds) => canvas.width * Math.max(0, Math.min(1, seconds / this.seconds));
    ctx.fillStyle = colour("paper");
    ctx.fillRect(0, 0, canvas.width, base);
    for (const gap of this.gaps) {
      ctx.fillStyle = colour("bad", 0.25);
      ctx.fillRect(x(gap.from_s), 0, Math.max(fine, x(gap.to_s) - x(gap.from_s)), base);
    }
    this.#curve(ctx, base, fine, x);
    for (const mark of this.markers) {
      ctx.fillStyle = colour("accent");
      ctx.fillRect(x(mark.s), 0, fine, base);
      ctx.font = `${10.5 * fine}px system-ui`;
      ctx.fillText(mark.text.slice(0, 24), x(mark.s) + 4 * fine, 11 * fine);
    }
    for (const item of this.items) this.#item(ctx, item, base, fine, x);
    this.#clock(ctx, fine, x);
    ctx.fillStyle = colour("ink");
    ctx.fillRect(x(this.now) - fine / 2, 0, 1.5 * fine, base + 16 * fine);
  }

  #curve(ctx, base, fine, x) {
    const { curve } = this;
    if (!curve?.s.length) {
      for (const item of this.items) { // without curves: how large each event was
        ctx.fillStyle = colour(item.tint, 0.4);
        const height = base * Math.min(1, Math.asinh(item.size) / 2.4);
        ctx.fillRect(x(item.from), base - height, Math.max(2 * fine, x(item.to) - x(item.from)), height);
      }
      return;
    }
    const most = Math.asinh(Math.max(0.5, ...curve.top.map((value) => value ?? 0)));
    ctx.beginPath();
    ctx.moveTo(0, base);
    curve.s.forEach((seconds, k) => ctx.lineTo(x(seconds), base - (base - 14 * fine) * Math.asinh(curve.top[k] ?? 0) / most));
    ctx.lineTo(x(curve.s.at(-1)), base);
    ctx.fillStyle = colour("soft", 0.45);
    ctx.fill();
  }

  /** An event: a bar under the curve; open while it is not judged. */
  #item(ctx, item, base, fine, x) {
    const [left, wide] = [x(item.from), Math.max(4 * fine, x(item.to) - x(item.from))];
    if (item.current) {
      ctx.fillStyle = colour("accent", 0.18);
      ctx.fillRect(left - 3 * fine, 0, wide + 6 * fine, base + 14 * fine);
    }
    ctx.strokeStyle = ctx.fillStyle = colour(item.tint);
    ctx.lineWidth = 1.5 * fine;
    ctx.globalAlpha = item.verdict === "false" ? 0.45 : 1;
    if (item.verdict) ctx.fillRect(left, base + 3 * fine, wide, 8 * fine);
    else ctx.strokeRect(left + fine, base + 4 * fine, Math.max(2 * fine, wide - 2 * fine), 6 * fine);
    if (item.verdict === "false") ctx.fillRect(left - 2 * fine, base + 6.5 * fine, wide + 4 * fine, fine);
    ctx.globalAlpha = 1;
  }

  #clock(ctx, fine, x) {
    const room = this.canvas.width / fine / 90;
    const step = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((s) => this.seconds / s <= room) ?? 7200;
    ctx.fillStyle = colour("soft");
    ctx.font = `${11 * fine}px system-ui`;
    ctx.textBaseline = "alphabetic";
    for (let seconds = 0; seconds < this.seconds; seconds += step) {
      ctx.fillText(clock(seconds, step < 1 ? 1 : 0), x(seconds) + (seconds ? -10 * fine : 2 * fine), this.canvas.height - 3 * fine);
    }
  }
}
