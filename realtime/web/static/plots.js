// Small multiples: a curve a region, one scale for all, with threshold, events and marks drawn in.
import uPlot from "./vendor/uPlot.esm.js";
import { REGIONS, colour, make } from "./common.js";

const HEIGHT = 58;
const LINEAR_TO = 1; // px; above it the scale is closer and closer: a smile must not flatten a micro-expression
const GRID = [0.25, 1, 4, 16];

export class RegionPlots {
  /** into: the element; options.range(): [from, to] of x; options.draw(context, plot, region): further drawing. */
  constructor(into, { range, draw = () => {}, height = HEIGHT, axis = (v) => `${v} s`, output = true }) {
    this.range = range;
    this.draw = draw;
    this.top = 0.1;
    this.threshold = {};
    this.parts = Object.entries(REGIONS).map(([region, name], at, all) => {
      const value = make("output", {}, "");
      const stage = make("div", { class: "stage" });
      const row = make("div", { class: "plot" }, make("span", { class: "name" }, name), stage, output ? value : "");
      row.style.setProperty("--own", `var(--${region})`);
      into.append(row);
      const last = at === all.length - 1;
      const plot = new uPlot(this.#options(region, last, height, axis), [[], []], stage);
      return { region, plot, value, stage, extra: last ? 22 : 0 };
    });
    this.height = height;
    new ResizeObserver(() => this.#fit()).observe(into);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.#fit();
  }

  #options(region, last, height, axis) {
    return {
      width: 300,
      height: height + (last ? 22 : 0),
      padding: [3, 0, last ? 0 : 3, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => this.range() }, y: { distr: 4, asinh: LINEAR_TO, range: () => [0, this.top] } },
      axes: [
        {
          show: last, size: 22, gap: 3, stroke: () => colour("soft"), font: "11px system-ui", grid: { show: false },
          ticks: { show: false }, values: (_, values) => values.map((v, k) => (k === 0 && values.length > 4 ? "" : axis(v))),
        },
        { show: false },
      ],
      series: [{}, {
        stroke: () => colour(region), fill: () => colour(region, 0.13), width: 1.4, points: { show: false },
      }],
      hooks: {
        drawClear: [(plot) => this.#under(plot, region)],
        draw: [(plot) => this.#over(plot, region)],
      },
    };
  }

  #under(plot, region) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = colour("paper");
    ctx.fillRect(bbox.left, bbox.top, bbox.width, bbox.height);
    this.draw(ctx, plot, region, false);
    this.#grid(plot);
    ctx.restore();
  }

  /** Where 0.25, 1, 4 px are: the scale is not a plain one. */
  #grid(plot) {
    const { ctx, bbox } = plot;
    const fine = devicePixelRatio;
    let lowest = bbox.top + bbox.height - 6 * fine;
    ctx.font = `${9.5 * fine}px system-ui`;
    ctx.textBaseline = "middle";
    for (const level of GRID) {
      const y = plot.valToPos(level, "y", true);
      if (y < bbox.top + 5 * fine || y > lowest - 8 * fine) continue;
      lowest = y;
      ctx.fillStyle = colour("line");
      ctx.fillRect(bbox.left, y, bbox.width, fine);
      ctx.fillStyle = colour("soft");
      ctx.fillText(String(level), bbox.left + 3 * fine, y - 5 * fine);
    }
  }

  #over(plot, region) {
    const { ctx, bbox } = plot;
    const level = this.threshold[region];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    if (level > 0) {
      const y = plot.valToPos(level, "y", true);
      ctx.strokeStyle = colour("soft");
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.setLineDash([]);
    }
    this.draw(ctx, plot, region, true);
    ctx.restore();
  }

  #fit() {
    for (const { plot, stage, extra } of this.parts) {
      const width = Math.floor(stage.clientWidth);
      if (width > 20 && width !== plot.width) plot.setSize({ width, height: this.height + extra });
    }
  }

  /** x: seconds; curves: region → values; the scale grows at once and shrinks slowly, so that it does not jump. */
  show(x, curves, { steady = true } = {}) {
    let highest = 0.1;
    for (const { region } of this.parts) {
      for (const value of curves[region] ?? []) if (value > highest) highest = value;
      highest = Math.max(highest, 1.6 * (this.threshold[region] ?? 0));
    }
    const wanted = 1.08 * highest;
    this.top = !steady || wanted > this.top ? wanted : Math.max(wanted, 0.985 * this.top);
    for (const { region, plot } of this.parts) plot.setData([x, curves[region] ?? x.map(() => null)]);
  }

  say(region, text, alarmed = false) {
    const part = this.parts.find((one) => one.region === region);
    if (part.value.textContent !== text) part.value.textContent = text;
    part.value.classList.toggle("warn", alarmed);
  }

  redraw() {
    for (const { plot } of this.parts) plot.redraw(false);
  }
}

/** A band between two x values, with a line at the third (the apex) where it is given. */
export function band(ctx, plot, from, to, tint, { apex = null, alpha = 0.22 } = {}) {
  const { bbox } = plot;
  const left = Math.max(bbox.left, plot.valToPos(from, "x", true));
  const right = Math.min(bbox.left + bbox.width, plot.valToPos(to, "x", true));
  if (right <= left) return;
  ctx.fillStyle = colour(tint, alpha);
  ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
  if (apex !== null) upright(ctx, plot, apex, colour(tint, 0.8));
}

/** An upright line at x. */
export function upright(ctx, plot, x, style, { dash = [], width = 1 } = {}) {
  const { bbox } = plot;
  const at = plot.valToPos(x, "x", true);
  if (at < bbox.left || at > bbox.left + bbox.width) return;
  ctx.strokeStyle = style;
  ctx.lineWidth = width * devicePixelRatio;
  ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(at, bbox.top);
  ctx.lineTo(at, bbox.top + bbox.height);
  ctx.stroke();
  ctx.setLineDash([]);
}
