// The page over a recorded session.
import { LABELS, REGIONS, ask, byId, clock, colour, dialog, labelled, make, milliseconds, onKeys, say, scoreBar } from "./common.js";
import { showMaps } from "./maps.js";
import { MOMENTS, Player, tint } from "./player.js";
import { RegionPlots, band, upright } from "./plots.js";
import { Timeline } from "./timeline.js";

const SAID = ["true", "false", "unsure"];
const MAPS_AFTER_MS = 500;
let whole = null; // the server's account
let items = []; // events and what was missed, by time
let item = null; // what is looked at
let marks = null; // onset, apex, offset as they are now
let said = { verdict: null, label: null }; // as chosen, saved or not
let dirty = false;
let saving = Promise.resolve();
const drafts = new Map(); // what was changed and not judged yet, by event
let span = [-0.5, 1];

const player = new Player(showWhere);
const timeline = new Timeline(goTo);
const plots = new RegionPlots(byId("plots"), {
  range: () => span,
  axis: (v) => `${Math.round(1000 * v)} ms`,
  height: 56,
  output: false,
  draw(ctx, plot, region, over) {
    if (marks && !over) {
      const [from, apex, to] = MOMENTS.map((moment) => player.secondsOf(marks[moment]) - zero());
      band(ctx, plot, from, to, "accent", { alpha: 0.14 });
      upright(ctx, plot, from, colour(tint("onset")));
      upright(ctx, plot, apex, colour(tint("apex")));
      upright(ctx, plot, to, colour(tint("offset")));
    }
    if (over) upright(ctx, plot, player.seconds - zero(), colour("ink"), { dash: [3, 2] });
  },
});

const reviewer = () => byId("reviewer").value.trim();
const mine = (verdict) => verdict.reviewer === reviewer();
const zero = () => item?.onset_s ?? player.frames[0]?.[1] ?? 0;

// ---------------------------------------------------------------- the account

async function begin() {
  whole = await (await ask("/session")).json();
  document.title = `merealtime: ${whole.name}`;
  say(byId("name"), whole.name, null);
  say(byId("source"), whole.session?.source ?? "unknown", null);
  say(byId("subject"), whole.subject, null);
  byId("subject-chip").hidden = !whole.subject;
  Object.assign(timeline, { seconds: whole.seconds, markers: whole.markers, gaps: whole.gaps });
  for (const face of whole.faces) byId("which").append(make("option", { value: String(face) }, String(face)));
  byId("faces").hidden = whole.faces.length < 2;
  byId("no-curves").hidden = whole.curves;
  byId("plots").hidden = !whole.curves;
  byId("no-curves").textContent = "No curves were recorded.";
  byId("reviewer").value = localStorage.getItem("merealtime-reviewer") ?? "";
  plots.threshold = whole.sensitivity;
  await drawWhole();
  listItems();
  const first = items.find((one) => !verdictOf(one)) ?? items[0];
  if (first) await open(first); else await goTo(0);
  document.body.dataset.ready = "true";
}

async function drawWhole() {
  if (!whole.curves) return;
  const face = byId("which").value || "0";
  const found = await (await ask(`/curves?from=0&to=${whole.seconds}&bins=1600&face=${face}`)).json();
  const all = Object.values(found.regions);
  const top = found.s.map((_, k) => all.reduce((most, values) => (values[k] > (most ?? -1) ? values[k] : most), null));
  timeline.curve = { s: found.s, top };
}

/** Mine on an event; of what I found missing it is itself one. */
function verdictOf(one) {
  return one.missed ? one.missed : whole.verdicts.find((verdict) => verdict.event === one.id && mine(verdict)) ?? null;
}

function listItems() {
  const events = whole.events.map((event) => ({ ...event, event }));
  const missed = whole.verdicts.filter((verdict) => verdict.event === null && mine(verdict))
    .map((verdict) => ({ ...verdict, id: null, missed: verdict, kind: "missed", label: verdict.label }));
  items = [...events, ...missed].sort((a, b) => a.onset_s - b.onset_s);
  byId("events").replaceChildren(...items.map(row));
  const judged = whole.events.filter((event) => verdictOf({ id: event.id })).length;
  say(byId("judged"), `${judged} of ${whole.events.length}${missed.length ? `, ${missed.length} added` : ""}`, null);
  const pairs = whole.agreements.filter((pair) => pair.events);
  byId("agreement-chip").hidden = !pairs.length;
  say(byId("agreement"), pairs.map(agreement).join("; "), null);
  drawTimeline();
}

function agreement(pair) {
  const kappa = pair.kappa === null ? "no κ: always the same" : `κ ${pair.kappa.toFixed(2)}`;
  return `${pair.reviewers.join(" – ")}: ${kappa} (${pair.agreed} of ${pair.events} alike)`;
}

function row(one) {
  const verdict = verdictOf(one);
  const name = one.missed ? "missed" : String(one.id);
  const button = make("button", { type: "button" }, name);
  button.setAttribute("aria-label", one.missed ? `missed event at ${clock(one.onset_s, 2)}` : `event ${one.id}`);
  const cells = [
    make("th", { scope: "row" }, button),
    make("td", {}, clock(one.onset_s, 2)),
    make("td", {}, one.missed ? "" : one.kind),
    make("td", {}, one.label ? labelled(one.label) : ""),
    make("td", {}, one.scores ? scoreBar(one.scores) : ""),
    make("td", { class: "number" }, milliseconds(1e9 * (one.offset_s - one.onset_s))),
    make("td", { class: "number" }, one.missed ? "" : `${one.magnitude_px.toFixed(2)} px`),
    make("td", { class: "wide" }, (one.during ?? []).join(", ")),
    make("td", {}, verdict ? [verdict.verdict, verdict.label].filter(Boolean).join(", ") : "–"),
  ];
  const made = make("tr", {}, ...cells);
  made.addEventListener("click", () => open(one));
  one.row = made;
  made.setAttribute("aria-current", String(same(one, item)));
  return made;
}

const same = (a, b) => Boolean(a && b) && (a.id !== null && a.id !== undefined ? a.id === b.id : a.missed && b.missed && a.missed.at === b.missed.at);

function drawTimeline() {
  timeline.items = items.map((one) => ({
    from: one.onset_s, to: one.offset_s, size: one.magnitude_px ?? 1, tint: one.label ?? "uncertain",
    verdict: verdictOf(one)?.verdict ?? null, current: same(one, item),
  }));
  timeline.now = player.frames.length ? player.seconds : 0;
  timeline.draw();
  byId("time-told").textContent = `${clock(whole.seconds)} · ${whole.events.length} events`;
}

// ---------------------------------------------------------------- what is looked at

let visit = 0;

/** An event of the log, or one that was missed. */
async function open(one) {
  await settle();
  const turn = ++visit;
  item = one;
  const verdict = verdictOf(one);
  const source = verdict ?? one;
  marks = Object.fromEntries(MOMENTS.map((moment) => [moment, source[moment]]));
  said = { verdict: verdict?.verdict ?? null, label: verdict ? verdict.label : LABELS.includes(one.label) ? one.label : null };
  byId("note").value = verdict?.note ?? "";
  dirty = false;
  const draft = drafts.get(one.id);
  if (one.event && draft) {
    ({ marks, said, dirty } = { ...draft, dirty: true });
    byId("note").value = draft.note;
  }
  const asked = one.missed ? `first=${one.onset}&last=${one.offset}` : `event=${one.id}`;
  await show(turn, asked, one.missed ? "" : `?event=${one.id}`);
}

/** A place without an event. */
async function goTo(seconds) {
  const near = items.find((one) => seconds >= one.onset_s - 0.06 && seconds <= one.offset_s + 0.06);
  if (near) return open(near);
  await settle();
  const turn = ++visit;
  item = null;
  marks = null;
  said = { verdict: null, label: null };
  byId("note").value = "";
  dirty = false;
  const frame = Math.max(0, Math.round(Math.min(seconds, whole.seconds) * whole.fps));
  await show(turn, `first=${frame}&last=${frame}`, "");
}

async function show(turn, asked, query) {
  const clip = await (await ask(`/clip?${asked}`)).json();
  if (turn !== visit) return;
  player.width = whole.session?.width || undefined;
  const why = whole.pictures === "clips" ? "No picture here: clips of events were recorded, and no frame of anything else."
    : whole.pictures === "none" ? `No frames were recorded${whole.curves ? ": the curves are what there is" : ""}.` : "No picture of this frame.";
  player.open({ frames: clip.frames, query, pictures: clip.pictures, box: clip.box, marks, why });
  span = clip.frames.length > 1 ? [clip.frames[0][1] - zero(), clip.frames.at(-1)[1] - zero()] : [-0.5, 0.5];
  showItem();
  drawTimeline();
  for (const one of items) one.row.setAttribute("aria-current", String(same(one, item)));
  keepInView(items.find((one) => same(one, item))?.row);
  await Promise.all([showCurves(turn), showMapsOf(turn)]);
}

/** Scroll the list, and nothing else. */
function keepInView(line) {
  const box = line?.closest(".scroll");
  if (!box) return;
  const head = 30;
  if (line.offsetTop - head < box.scrollTop) box.scrollTop = line.offsetTop - head;
  else if (line.offsetTop + line.offsetHeight > box.scrollTop + box.clientHeight) {
    box.scrollTop = line.offsetTop + line.offsetHeight - box.clientHeight;
  }
}

async function showCurves(turn) {
  if (!whole.curves) return;
  const face = item?.face ?? byId("which").value ?? 0;
  const [from, to] = span.map((s) => s + zero());
  const found = await (await ask(`/curves?from=${from}&to=${to + 0.001}&bins=1200&face=${face}`)).json();
  if (turn !== visit) return;
  plots.show(found.s.map((s) => s - zero()), found.regions, { steady: false });
}

let soon = 0;

async function showMapsOf(turn) {
  const told = byId("maps-told");
  if (!marks || !player.pictures) {
    byId("maps").replaceChildren(make("p", { class: "empty" }, marks ? "No frames of it: nothing to compute flow from." : "No event here."));
    told.textContent = "";
    return;
  }
  if (!(marks.onset < marks.apex && marks.apex <= marks.offset)) {
    told.textContent = "onset, apex, offset must follow each other";
    return;
  }
  told.textContent = "computing flow and strain …";
  byId("maps").replaceChildren(); // another event's maps must not be taken for this one's
  try {
    const query = MOMENTS.map((moment) => `${moment}=${marks[moment]}`).join("&");
    const whose = item?.event ? `event=${item.id}&` : "";
    const found = await (await ask(`/maps?${whose}${query}`)).json();
    if (turn !== visit) return;
    await showMaps(found, item?.event ?? null);
    told.textContent = "computed again from the recorded frames, by the live session's own code";
  } catch (error) {
    if (turn !== visit) return;
    byId("maps").replaceChildren();
    told.textContent = error.message;
  }
}

function showItem() {
  const one = item;
  const fresh = one?.fresh;
  byId("event-title").textContent = !one ? "No event here" : fresh ? "A missed event" : one.missed ? "Missed event" : `Event ${one.id}, ${one.kind}`;
  byId("said-by-machine").replaceChildren(...(one?.event ? [labelled(one.label), " ", scoreBar(one.scores)] : []));
  byId("about").textContent = one?.event
    ? [`${one.magnitude_px.toFixed(2)} px`, `${one.spot_score.toFixed(0)} × noise`, ...(whole.faces.length > 1 ? [`face ${one.face}`] : []), ...one.during].join(" · ")
    : one ? "Set onset, apex and offset, then say true or unsure; false takes it back." : "Go to an event, or add one that was missed.";
  for (const verdict of SAID) {
    byId(verdict).setAttribute("aria-pressed", String(said.verdict === verdict));
    byId(verdict).disabled = !one;
  }
  for (const label of LABELS) {
    byId(label).setAttribute("aria-pressed", String(said.label === label));
    byId(label).disabled = !one;
  }
  byId("note").disabled = !one;
  byId("save").disabled = !one || !dirty || !said.verdict;
  showMoments();
  showOthers();
  if (dirty) say(byId("saved"), said.verdict ? "changed, not saved yet" : "not judged yet", said.verdict ? "warn" : "");
  else {
    const verdict = one && verdictOf(one);
    say(byId("saved"), verdict ? `on disk since ${new Date(verdict.at).toLocaleTimeString()}` : "", verdict ? "good" : "");
  }
}

function showMoments() {
  if (!marks) return void byId("moments").replaceChildren();
  const rows = MOMENTS.map((moment, k) => {
    const moved = item.event ? marks[moment] - item.event[moment] : 0;
    const swatch = make("span", { class: "swatch" });
    swatch.style.setProperty("--own", `var(--${tint(moment)})`);
    swatch.style.background = "var(--own)";
    const go = make("button", { type: "button", "aria-label": `Go to the ${moment}` }, "go", make("kbd", {}, "QWE"[k]));
    const here = make("button", { type: "button", "aria-label": `The ${moment} is this frame` }, "here", make("kbd", {}, String(k + 1)));
    go.addEventListener("click", () => player.seek(player.index(marks[moment])));
    here.addEventListener("click", () => markHere(moment));
    return make("tr", {},
      make("th", { scope: "row" }, swatch, moment),
      make("td", { class: "number", id: `${moment}-frame` }, String(marks[moment])),
      make("td", { class: "number" }, clock(player.secondsOf(marks[moment]), 3)),
      make("td", { class: "number" }, moved ? `${moved > 0 ? "+" : "−"}${Math.abs(moved)}` : ""),
      make("td", {}, go, " ", here));
  });
  byId("moments").replaceChildren(...rows);
}

/** What others said, once one has judged oneself. */
function showOthers() {
  const told = item?.event && verdictOf(item)
    ? whole.verdicts.filter((verdict) => verdict.event === item.id && !mine(verdict)) : [];
  byId("others").textContent = told.map((verdict) => `${verdict.reviewer}: ${[verdict.verdict, verdict.label].filter(Boolean).join(", ")}`).join("; ");
}

function showWhere() {
  const ms = marks ? Math.round(1000 * (player.seconds - player.secondsOf(marks.onset))) : null;
  const from = ms === null ? "" : ` · ${ms < 0 ? "−" : "+"}${Math.abs(ms)} ms from the onset`;
  byId("where").textContent = player.frames.length ? `frame ${player.number} · ${clock(player.seconds, 3)}${from}` : "";
  timeline.now = player.seconds;
  if (!player.playing) timeline.draw();
  plots.redraw();
}

// ---------------------------------------------------------------- judging

function markHere(moment) {
  if (!marks || !player.frames.length) return;
  setMarks({ ...marks, [moment]: player.number });
}

function setMarks(wanted) {
  marks = wanted;
  dirty = true;
  player.mark(marks);
  showItem();
  plots.redraw();
  clearTimeout(soon);
  const turn = visit;
  soon = setTimeout(() => { if (turn === visit) showMapsOf(turn); }, MAPS_AFTER_MS);
}

function judge(verdict) {
  if (!item) return;
  said.verdict = verdict;
  dirty = true;
  save();
}

function label(name) {
  if (!item) return;
  said.label = said.label === name ? null : name;
  dirty = true;
  showItem();
}

function save() {
  if (!item || !said.verdict) return;
  if (!reviewer()) {
    byId("reviewer").focus();
    say(byId("saved"), "who reviews? write your name, then save", "warn");
    byId("save").disabled = false;
    return;
  }
  const sent = { item, said: { ...said }, body: {
    event: item.event ? item.id : null, verdict: said.verdict, label: said.verdict === "false" ? null : said.label,
    ...marks, reviewer: reviewer(), note: byId("note").value.trim(),
  } };
  say(byId("saved"), "saving …", "");
  saving = saving.then(() => write(sent));
  return saving;
}

async function write({ item: one, body }) {
  try {
    const answer = await (await ask("/verdict", body)).json();
    Object.assign(whole, { verdicts: answer.verdicts, agreements: answer.agreements });
    const here = item === one;
    if (here) dirty = false;
    drafts.delete(one.id);
    if (here && !one.event) {
      const kept = whole.verdicts.find((verdict) => verdict.at === answer.verdict.at && mine(verdict));
      item = kept ? { ...kept, id: null, missed: kept, kind: "missed" } : null;
      if (!kept) marks = null;
      player.mark(marks);
    }
    listItems();
    if (here) showItem();
  } catch (error) {
    say(byId("saved"), `not saved: ${error.message}`, "bad");
  }
}

/** What was changed is not lost by going on: saved where there is a verdict, else kept until there is one. */
async function settle() {
  if (dirty && said.verdict && reviewer()) save();
  else if (dirty && item?.event) drafts.set(item.id, { marks, said, note: byId("note").value });
  await saving;
}

function addMissed() {
  if (!player.frames.length || item?.fresh) return;
  const length = Math.round(0.2 * whole.fps);
  const onset = player.number;
  const last = player.frames.at(-1)[0];
  item = { fresh: true, id: null, kind: "missed", onset_s: player.seconds, label: null };
  said = { verdict: null, label: null };
  byId("note").value = "";
  setMarks({ onset, apex: Math.min(last, onset + Math.round(length / 2)), offset: Math.min(last, onset + length) });
  for (const one of items) one.row.setAttribute("aria-current", "false");
}

// ---------------------------------------------------------------- going about

function along(step, wanted = () => true) {
  const now = player.frames.length ? item?.onset_s ?? player.seconds : -1;
  const at = items.findIndex((one) => same(one, item));
  const order = step > 0 ? items.slice(at >= 0 ? at + 1 : items.findIndex((one) => one.onset_s > now)) : items.slice(0, at >= 0 ? at : items.filter((one) => one.onset_s < now).length).reverse();
  if (at < 0 && step > 0 && !items.some((one) => one.onset_s > now)) return;
  const found = order.find(wanted);
  if (found) open(found);
  else if (wanted !== always) say(byId("saved"), "all are judged from here on", "good");
}

const always = () => true;
const unjudged = () => along(1, (one) => !verdictOf(one));
const showKeys = dialog("keys", { "keys-close": null });
const faster = (by) => () => {
  const box = byId("speed");
  box.selectedIndex = Math.max(0, Math.min(box.options.length - 1, box.selectedIndex + by));
  player.speed = Number(box.value);
};
const toMoment = (moment) => () => { if (marks) { player.pause(); player.seek(player.index(marks[moment])); } };
const asTheMachine = () => {
  if (item?.event) setMarks(Object.fromEntries(MOMENTS.map((moment) => [moment, item.event[moment]])));
};

byId("before").addEventListener("click", () => along(-1, always));
byId("next").addEventListener("click", () => along(1, always));
byId("unjudged").addEventListener("click", unjudged);
byId("add").addEventListener("click", addMissed);
byId("help").addEventListener("click", showKeys);
byId("back").addEventListener("click", () => player.step(-1));
byId("on").addEventListener("click", () => player.step(1));
byId("play").addEventListener("click", () => player.toggle());
byId("save").addEventListener("click", save);
byId("speed").addEventListener("change", (event) => { player.speed = Number(event.target.value); });
byId("slider").addEventListener("input", (event) => { player.pause(); player.seek(Number(event.target.value)); });
byId("zoom").addEventListener("change", (event) => { player.close = event.target.checked; player.seek(player.at); });
byId("which").addEventListener("change", async () => { await drawWhole(); drawTimeline(); showCurves(visit); });
byId("note").addEventListener("input", () => { dirty = true; showItem(); });
byId("reviewer").addEventListener("change", () => {
  localStorage.setItem("merealtime-reviewer", reviewer());
  drafts.clear();
  listItems();
  if (item && !item.fresh && !dirty) open(items.find((one) => same(one, item)) ?? item);
});
byId("reviewer").addEventListener("keydown", (event) => { if (event.key === "Enter") event.target.blur(); });
for (const verdict of SAID) byId(verdict).addEventListener("click", () => judge(verdict));
for (const name of LABELS) byId(name).addEventListener("click", () => label(name));
byId("plots").addEventListener("click", (event) => {
  const over = event.target.closest(".stage")?.querySelector(".u-over")?.getBoundingClientRect();
  if (!over) return;
  const seconds = zero() + span[0] + (span[1] - span[0]) * (event.clientX - over.left) / over.width;
  player.pause();
  player.seek(player.frames.reduce((best, [, s], k) => (Math.abs(s - seconds) < Math.abs(player.frames[best][1] - seconds) ? k : best), 0));
});
onKeys({
  j: () => along(1, always), k: () => along(-1, always), g: unjudged, a: addMissed,
  ArrowDown: () => along(1, always), ArrowUp: () => along(-1, always),
  ArrowLeft: () => player.step(-1), ArrowRight: () => player.step(1),
  "Shift+ArrowLeft": () => player.step(-10), "Shift+ArrowRight": () => player.step(10),
  PageUp: () => goTo(Math.max(0, player.seconds - 1)), PageDown: () => goTo(player.seconds + 1),
  " ": () => player.toggle(), ",": faster(1), ".": faster(-1),
  q: toMoment("onset"), w: toMoment("apex"), e: toMoment("offset"),
  1: () => markHere("onset"), 2: () => markHere("apex"), 3: () => markHere("offset"), 0: asTheMachine,
  t: () => judge("true"), f: () => judge("false"), u: () => judge("unsure"),
  n: () => label("negative"), p: () => label("positive"), s: () => label("surprise"),
  Enter: () => { if (dirty) save(); },
  z: () => byId("zoom").click(), "/": () => byId("note").focus(), "?": showKeys,
});
addEventListener("beforeunload", (event) => { if (dirty && said.verdict) event.preventDefault(); });

begin().catch((error) => { say(byId("name"), error.message, "bad"); });
