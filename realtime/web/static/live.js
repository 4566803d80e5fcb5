// The page of a running session.
import { REGIONS, ask, byId, clock, dialog, labelled, make, milliseconds, onKeys, say, scoreBar, colour } from "./common.js";
import { FaceView, unpack } from "./face.js";
import { RegionPlots, band, upright } from "./plots.js";

const WINDOW_S = 10;
const STAGES = { capture: "camera", spot: "spotting", motion: "flow", classify: "model", record: "recording", web: "this page" };

const seen = { session: null, state: null, events: new Map(), marks: [], curves: new Map(), face: 0, ended: false, first: null };

const plots = new RegionPlots(byId("plots"), {
  range: () => [-WINDOW_S, 0],
  draw(ctx, plot, region, over) {
    const now = newest();
    if (over) {
      for (const mark of seen.marks) upright(ctx, plot, (mark.t_ns - now) / 1e9, colour("accent"), { dash: [2, 3], width: 1.5 });
      return;
    }
    for (const event of seen.events.values()) {
      if (seen.session?.faces > 1 && event.face !== seen.face) continue;
      const to = (event.offset_t_ns - now) / 1e9;
      if (to > -WINDOW_S) band(ctx, plot, (event.onset_t_ns - now) / 1e9, to, event.label, { apex: (event.apex_t_ns - now) / 1e9 });
    }
  },
});
const view = new FaceView(byId("picture"));

function newest() {
  return seen.curves.get(seen.face)?.at(-1)?.t_ns ?? 0;
}

// ---------------------------------------------------------------- lines

const take = {
  session(line) {
    seen.session = line;
    say(byId("source"), line.source, null);
    byId("source").title = line.source_detail;
    document.title = `merealtime: ${line.source}`;
    byId("unit").textContent = line.detector === "lbp" ? "1 − correlation" : "px on a face 152 px wide";
    byId("faces").hidden = line.faces < 2;
  },
  state(line) {
    seen.state = line;
    seen.first = seen.session && !seen.session.live ? 0 : seen.first ?? (line.seconds ? line.t_ns - 1e9 * line.seconds : null);
    showState(line);
  },
  tick(line) {
    const face = typeof line.face === "number" ? line.face : 0;
    if (!line.found && seen.session?.faces > 1) return;
    if (!seen.curves.has(face)) {
      seen.curves.set(face, []);
      byId("which").append(make("option", { value: String(face) }, String(face)));
    }
    const curve = seen.curves.get(face);
    if (curve.length && line.t_ns <= curve.at(-1).t_ns) curve.length = 0; // another source, or told again
    curve.push({ t_ns: line.t_ns, values: line.found ? line.peak : null });
    while (curve.length && line.t_ns - curve[0].t_ns > WINDOW_S * 1.05e9) curve.shift();
  },
  threshold(line) {
    seen.thresholds = line.faces;
  },
  event(line) {
    const known = seen.events.has(line.id);
    seen.events.set(line.id, line);
    if (known) return;
    byId("events").prepend(eventRow(line));
    while (byId("events").rows.length > 200) byId("events").lastElementChild.remove();
    say(byId("count"), `${seen.events.size} so far`, null);
    if (!seen.loading) announce(`Event ${line.id}: ${line.kind}, ${line.label}, ${milliseconds(line.offset_t_ns - line.onset_t_ns)}`);
  },
  marker(line) {
    seen.marks.push(line);
    if (seen.marks.length > 100) seen.marks.shift();
    notice("mark", `${line.text || "(without text)"}, frame ${line.frame}`, line.t_ns);
    if (!seen.loading) announce(`Marked: ${line.text || "without text"}`);
  },
  notice(line) {
    if (line.what === "sensitivity") return; // drawn as thresholds
    notice(line.what, line.detail, line.t_ns);
    if (!seen.loading) announce(`${line.what}: ${line.detail}`);
  },
  gap(line) {
    notice("gap", `${line.count} frames between ${line.first} and ${line.last} not analysed (${line.cause})`);
  },
  summary(line) {
    seen.ended = true;
    const lost = Object.values(line.frames_dropped).reduce((sum, count) => sum + count, 0);
    notice("ended", `${line.ended}: ${line.frames_captured} frames in ${line.seconds.toFixed(1)} s, ${line.events} events, ${lost} dropped`);
    say(byId("phase"), "ended", "warn");
  },
};

function announce(text) {
  byId("said").textContent = text;
}

function notice(what, detail, t_ns) {
  const at = t_ns && seen.first !== null ? `${clock(Math.max(0, (t_ns - seen.first) / 1e9), 1)} ` : "";
  byId("notices").prepend(make("li", {}, at, make("b", {}, what), detail ? ` ${detail}` : ""));
  while (byId("notices").children.length > 60) byId("notices").lastElementChild.remove();
}

function eventRow(event) {
  const cells = [
    make("th", { scope: "row" }, String(event.id)),
    make("td", {}, clock((event.onset_t_ns - (seen.first ?? event.onset_t_ns)) / 1e9, 2)),
    make("td", {}, event.kind),
    make("td", {}, labelled(event.label)),
    make("td", {}, scoreBar(event.scores)),
    make("td", { class: "number" }, milliseconds(event.offset_t_ns - event.onset_t_ns)),
    make("td", { class: "number" }, `${event.magnitude_px.toFixed(2)} px`),
    make("td", { class: "number" }, `${Math.round(event.latency_ms.total)} ms`),
    make("td", { class: "wide" }, [...(seen.session?.faces > 1 ? [`face ${event.face}`] : []), ...event.during].join(", ")),
  ];
  return make("tr", {}, ...cells);
}

// ---------------------------------------------------------------- state

function showState(state) {
  const asked = seen.session?.fps_requested ?? seen.session?.fps_granted ?? 0;
  const slow = seen.session?.live && asked && state.fps < 0.97 * asked;
  const running = state.phase === "running";
  if (!seen.ended) say(byId("phase"), running ? "running" : state.phase, running ? "good" : "warn");
  say(byId("rate"), asked ? `${state.fps.toFixed(1)} of ${asked} fps` : `${state.fps.toFixed(1)} fps`, running ? (slow ? "warn" : "good") : "");
  const lost = Object.entries(state.dropped).filter(([, count]) => count);
  say(byId("dropped"), lost.map(([cause, count]) => `${count} ${cause}`).join(", ") || "0", lost.length ? "bad" : "good");
  say(byId("face"), state.face === null ? "…" : state.face ? "found" : "not found", state.face === false ? "warn" : "");
  say(byId("time"), clock(state.seconds), null);
  say(byId("losses"), `${state.analysed} frames analysed`, null);
  const recording = state.recording;
  byId("record").hidden = byId("recording-chip").hidden = recording === null;
  byId("record").firstChild.textContent = recording ? "Pause" : "Record";
  say(byId("recording"), recording ? "recording" : "recording paused", null);
  byId("recording").classList.toggle("on", Boolean(recording) && !seen.ended);
  for (const id of ["mark", "rest", "record", "stop"]) byId(id).disabled = seen.ended || state.phase !== "running";
  showLoad(state);
}

function showLoad(state) {
  const meters = byId("meters");
  for (const [stage, phase] of Object.entries(state.alive)) {
    let row = meters.querySelector(`[data-stage="${stage}"]`);
    if (!row) {
      row = make("dt", { "data-stage": stage }, STAGES[stage] ?? stage);
      const fill = make("i");
      meters.append(row, make("dd", { class: "track", role: "img" }, fill), make("dd", { class: "number" }));
    }
    const track = row.nextElementSibling;
    const load = Math.min(1, state.load[stage] ?? 0);
    const well = phase === "ready" || phase === "ended";
    track.firstChild.style.width = `${Math.round(100 * load)}%`;
    const waiting = state.queue[stage] ? `, ${state.queue[stage]} waiting` : "";
    const told = well ? (stage === "capture" ? "on" : `${Math.round(100 * load)} %`) + waiting : phase;
    say(track.nextElementSibling, told, well ? "" : "warn");
    track.setAttribute("aria-label", `${STAGES[stage] ?? stage}: ${told}`);
  }
}

const DRAW_MS = 66; // as often as pictures come: more is not seen, and the session needs the cores
function draw() {
  setTimeout(() => requestAnimationFrame(draw), DRAW_MS); // no frame is asked for in between
  const curve = seen.curves.get(seen.face);
  if (!curve?.length || curve.at(-1).t_ns === draw.last) return;
  draw.last = curve.at(-1).t_ns;
  const x = curve.map((point) => (point.t_ns - draw.last) / 1e9);
  const curves = {};
  const thresholds = seen.thresholds?.[seen.face] ?? {};
  for (const region of Object.keys(REGIONS)) {
    curves[region] = curve.map((point) => point.values?.[region] ?? null);
    plots.threshold[region] = thresholds[region];
    const value = curves[region].at(-1);
    plots.say(region, value === null ? "no face" : value.toFixed(2), thresholds[region] > 0 && value > thresholds[region]);
  }
  plots.show(x, curves);
}

// ---------------------------------------------------------------- server

function listen() {
  const source = new EventSource("/stream");
  const each = (event) => { for (const line of JSON.parse(event.data)) take[line.type]?.(line); };
  source.addEventListener("whole", (event) => {
    byId("notices").replaceChildren();
    byId("events").replaceChildren();
    seen.events.clear();
    seen.marks.length = 0;
    seen.loading = true;
    const lines = JSON.parse(event.data);
    seen.first = null;
    for (const line of lines) take[line.type]?.(line);
    seen.loading = false;
  });
  source.addEventListener("lines", each);
  source.addEventListener("end", () => {
    source.close();
    seen.ended = true;
    say(byId("phase"), "ended", "warn");
    for (const id of ["mark", "rest", "record", "stop"]) byId(id).disabled = true;
    announce("The session has ended");
  });
  source.onerror = () => {
    if (!seen.ended) say(byId("phase"), "no answer, trying again", "bad");
  };
}

async function look() {
  let after = -1;
  for (;;) {
    if (seen.ended) return;
    if (document.hidden) {
      await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
    }
    try {
      const response = await fetch(`/picture?after=${after}`);
      if (response.status !== 200) {
        await pause(response.ok ? 50 : 1000);
        continue;
      }
      after = Number(response.headers.get("x-index"));
      const { head, picture } = await unpack(await response.arrayBuffer());
      view.show(picture, head);
      picture.close();
      look.count = (look.count ?? 0) + 1;
      byId("picture").dataset.count = look.count;
    } catch {
      after = -1;
      await pause(1000);
    }
  }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function order(body) {
  try {
    await ask("/do", body);
  } catch (error) {
    notice("not done", error.message);
    announce(`Not done: ${error.message}`);
  }
}

// ---------------------------------------------------------------- orders

function mark() {
  order({ do: "mark", text: byId("words").value });
}
function record() {
  if (!byId("record").hidden) order({ do: "record", on: !byId("recording").classList.contains("on") });
}
const rest = () => order({ do: "rest" });
const showKeys = dialog("keys", { "keys-close": null });
const askStop = dialog("stopping", { "stop-no": null, "stop-yes": () => order({ do: "stop" }) });
const allowed = (id, action) => () => { if (!byId(id).disabled) action(); };

byId("mark").addEventListener("click", mark);
byId("rest").addEventListener("click", rest);
byId("record").addEventListener("click", record);
byId("stop").addEventListener("click", askStop);
byId("help").addEventListener("click", showKeys);
byId("words").addEventListener("keydown", (event) => {
  if (event.key === "Enter") allowed("mark", mark)();
});
for (const [id, key] of [["regions", "regions"], ["zoom", "close"]]) {
  byId(id).addEventListener("change", (event) => { view[key] = event.target.checked; });
}
byId("which").addEventListener("change", (event) => { seen.face = Number(event.target.value); });
onKeys({
  m: allowed("mark", mark),
  r: allowed("rest", rest),
  c: allowed("record", record),
  x: allowed("stop", askStop),
  o: () => byId("regions").click(),
  z: () => byId("zoom").click(),
  "/": () => byId("words").focus(),
  "?": showKeys,
});

listen();
look();
draw();
