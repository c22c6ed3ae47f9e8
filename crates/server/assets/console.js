// What the console does beyond its pages: it fetches a page's living part again when the server says that it changed,
// shows moments in the viewer's zone, opens the palette, and drags the replay. Everything works without it.

document.documentElement.classList.add("scripted");

// What this browser's user chose, kept in the browser.
const chosenBefore = { exact: false, slash: true };
function choice(name) {
  try { return JSON.parse(localStorage.getItem(`slipway-${name}`)) ?? chosenBefore[name]; } catch { return chosenBefore[name]; }
}
function choices() {
  const all = document.getElementById("choices");
  if (!all) return;
  all.hidden = false;
  for (const name of Object.keys(chosenBefore)) {
    const box = document.getElementById(`choice-${name}`);
    box.checked = choice(name);
    box.addEventListener("change", () => {
      try { localStorage.setItem(`slipway-${name}`, JSON.stringify(box.checked)); } catch { chosenBefore[name] = box.checked; }
      showMoments(document);
      showKey();
    });
  }
}
function showKey() {
  for (const key of document.querySelectorAll("[data-palette] kbd")) key.hidden = !choice("slash");
}

const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

function showMoments(root) {
  const now = Date.now();
  const whole = choice("exact");
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const seconds = Math.round((at - now) / 1000);
    const today = Math.abs(seconds) < 12 * 3600;
    let text = today ? clock.format(at) : day.format(at);
    if (time.closest("table") && today) {
      const minutes = Math.round(seconds / 60);
      text = Math.abs(minutes) < 60 ? ago.format(minutes, "minute") : ago.format(Math.round(minutes / 60), "hour");
    }
    const exact = `${zone.format(at)} (${time.dateTime})`;
    if (whole) text = exact;
    if (time.textContent !== text) time.textContent = text;
    time.title = exact;
  }
}

// Fields for moments are in the viewer's zone, and sent in UTC, as the page without script has them.
function zoned() {
  for (const span of document.querySelectorAll(".zone")) span.textContent = "your time";
  for (const field of document.querySelectorAll("input[type=datetime-local]")) {
    const at = new Date(`${field.value}Z`);
    if (!Number.isNaN(at.getTime())) field.value = new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19);
    field.form.addEventListener("formdata", (event) => {
      const local = new Date(event.formData.get(field.name));
      if (!Number.isNaN(local.getTime())) event.formData.set(field.name, local.toISOString().slice(0, 19));
    });
  }
}

// What an act that somebody has open says and would send.
function meant(act) {
  return [...act.querySelectorAll("input[type=hidden], form > p:not(.changed)")].map((e) => e.value ?? e.textContent).join("\n");
}

// Makes one element look like another and keeps what the viewer has open, focused or typed. An open act stays as it was
// read: a word is for what was shown, and the server refuses it where that is not true any more.
function morph(old, fresh) {
  if (old.matches("details.act[open]")) {
    const note = old.querySelector(".changed");
    if (note && meant(old) !== meant(fresh)) note.hidden = false;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.localName === "details")) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !(name === "value" && old === document.activeElement)) {
      old.setAttribute(name, value);
      if (name === "value") old.value = value;
    }
  }
  const kept = [...old.childNodes];
  const wanted = [...fresh.childNodes];
  wanted.forEach((next, i) => {
    const now = kept[i];
    if (!now) old.append(next);
    else if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || now.id !== next.id) now.replaceWith(next);
    else if (next.nodeType === Node.ELEMENT_NODE) morph(now, next);
    else if (now.data !== next.data) now.data = next.data;
  });
  kept.slice(wanted.length).forEach((gone) => gone.remove());
}

// The tab says the state first, so that it is read among many.
function retitle() {
  const title = document.getElementById("live")?.dataset.title;
  if (title) document.title = `${title} · Slipway`;
}

const stale = document.getElementById("stale");
// An answer that has not come by then never comes.
const PATIENCE = 20000;
const tags = new Map();
let fetching = false;
let again = false;
// The moment of a replay that is wanted; otherwise the page says itself where it comes from.
let wanted = null;

async function refresh() {
  const live = document.getElementById("live");
  if (!live) return;
  if (fetching) { again = true; return; }
  fetching = true;
  const from = wanted ?? live.dataset.src;
  try {
    const headers = { "x-live": "1" };
    if (tags.has(from)) headers["if-none-match"] = tags.get(from);
    const answer = await fetch(from, { headers, redirect: "error", cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 401) { location.reload(); return; }
    if (answer.status !== 200 && answer.status !== 304) throw new Error(`${answer.status}`);
    if (answer.status === 200) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      // The slider may have gone on meanwhile.
      if (fresh && from === (wanted ?? live.dataset.src)) {
        morph(live, fresh);
        showMoments(live);
        retitle();
        tags.clear();
        tags.set(from, answer.headers.get("etag") ?? "");
      }
    }
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  } finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}

// Whoever closes an act sees again what is true now.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.act") || event.target.open) return;
  const note = event.target.querySelector(".changed");
  if (!note || note.hidden) return;
  note.hidden = true;
  tags.clear();
  refresh();
}, true);

// One stream for each page that can be seen: a browser allows only a few, and a hidden page needs none. The server says
// every 15 seconds that it is there; a connection that is only half open says nothing.
const SILENCE = 40000;
let stream = null;
let heard = 0;
function listen() {
  const live = document.getElementById("live");
  if (!live || stream) return;
  heard = Date.now();
  stream = new EventSource(`/live?topics=${encodeURIComponent(live.dataset.live)}`);
  const hear = (what, then) => stream.addEventListener(what, () => { heard = Date.now(); then?.(); });
  hear("listening", refresh);
  hear("changed", refresh);
  hear("alive");
  stream.addEventListener("error", () => {
    stale.hidden = false;
    // A refusal closes it for good. Where that is because nobody is signed in any more, the part is refused too, and the
    // reload leads to where one signs in.
    if (stream?.readyState === EventSource.CLOSED) { stream = null; refresh(); setTimeout(() => !document.hidden && listen(), 3000); }
  });
}
function deaf() { stream?.close(); stream = null; }
setInterval(() => {
  if (!stream || Date.now() - heard < SILENCE) return;
  stale.hidden = false;
  deaf();
  listen();
}, 10000);
document.addEventListener("visibilitychange", () => (document.hidden ? deaf() : listen()));
addEventListener("pagehide", deaf);
addEventListener("pageshow", listen);

// Replay: dragging shows the moment at once, and the address says it, so that it can be shared.
let dragged = 0;
document.addEventListener("input", (event) => {
  if (event.target.id !== "moment") return;
  wanted = `${location.pathname}?moment=${event.target.value}`;
  clearTimeout(dragged);
  dragged = setTimeout(() => { history.replaceState(null, "", wanted); refresh(); }, 40);
});

const palette = document.getElementById("palette");
const text = document.getElementById("palette-text");
const places = document.getElementById("palette-places");
let chosen = 0;

function shown() { return [...places.querySelectorAll("li:not([hidden]) a")]; }
function choose(to) {
  const all = shown();
  chosen = Math.max(0, Math.min(to, all.length - 1));
  places.querySelectorAll("a").forEach((a) => a.setAttribute("aria-selected", String(a === all[chosen])));
  text.setAttribute("aria-activedescendant", all[chosen]?.id ?? "");
  all[chosen]?.scrollIntoView({ block: "nearest" });
  document.getElementById("palette-none").textContent = all.length ? "" : "Nothing fits.";
}
function filter() {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of places.querySelectorAll("li")) {
    const said = item.textContent.toLowerCase();
    item.hidden = !words.every((word) => said.includes(word));
  }
  choose(0);
}
async function openPalette() {
  if (!palette || palette.open) return;
  const answer = await fetch("/palette", { headers: { "x-live": "1" }, cache: "no-store" });
  if (!answer.ok) { location.reload(); return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  places.replaceChildren(...page.body.childNodes);
  text.value = "";
  palette.showModal();
  filter();
}
if (palette) {
  for (const button of document.querySelectorAll("[data-palette]")) {
    button.hidden = false;
    button.addEventListener("click", openPalette);
  }
  text.addEventListener("input", filter);
  palette.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { choose(chosen + 1); event.preventDefault(); }
    if (event.key === "ArrowUp") { choose(chosen - 1); event.preventDefault(); }
    if (event.key === "Enter") { shown()[chosen]?.click(); event.preventDefault(); }
  });
}
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=range]), textarea, select, dialog");
  const slash = event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && choice("slash");
  const control = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (!palette || !(slash || control)) return;
  event.preventDefault();
  openPalette();
});

choices();
zoned();
showKey();
showMoments(document);
setInterval(() => document.hidden || showMoments(document), 30000);
if (!document.hidden) listen();
