// The chat page: send, stream, stop, retry, and open citations.
"use strict";

import { events } from "./events.js";
import { localTimes } from "./pages.js";

const chat = document.getElementById("chat");
const messages = document.getElementById("messages");
const scroll = document.getElementById("scroll");
const composer = document.getElementById("composer");
const field = document.getElementById("text");
const send = document.getElementById("send");
const stop = document.getElementById("stop");
const state = document.getElementById("state");
const channel = chat.dataset.channel;
let running = null;

const LOST = {
  what: "The connection to instar was lost",
  why: "the server ended, or the network between it and this page did",
  next: "see that `instar serve` runs, then press Retry",
};

// --- one turn -------------------------------------------------------------------------------------

async function turn(text, messageId) {
  begin(messageId);
  const writing = showWriting(messageId);
  let failure = null;
  try {
    failure = await follow(await post("/api/chat", { text, channel, message_id: messageId }), writing);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    failure = LOST;
  } finally {
    finish();
  }
  if (failure) showFailure(writing, failure, messageId, text);
  else await showStored(writing, messageId);
}

async function follow(response, writing) {
  if (!response.ok) return (await response.json()).error;
  for await (const { name, data } of events(response.body)) {
    if (name === "delta") append(writing, data.text);
    else if (name === "recalled") state.textContent = recalledText(data.hits.length);
    else if (name === "error") return data.error;
    else if (name === "replied" || name === "stopped") {
      state.textContent = name === "replied" ? "The reply is complete." : "The reply was stopped.";
      return null;
    }
  }
  return LOST;
}

function recalledText(count) {
  return count === 1 ? "1 memory recalled. Answering." : `${count} memories recalled. Answering.`;
}

function post(path, body) {
  return fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

function begin(messageId) {
  running = messageId;
  send.hidden = true;
  stop.hidden = false;
  stop.disabled = false;
  messages.setAttribute("aria-busy", "true");
  state.textContent = "Answering.";
}

function finish() {
  const hadFocus = document.activeElement === stop;
  running = null;
  send.hidden = false;
  stop.hidden = true;
  messages.removeAttribute("aria-busy");
  if (hadFocus) field.focus();
}

async function stopRunning() {
  if (running === null) return;
  stop.disabled = true;
  await post("/api/chat/stop", { channel, message_id: running });
}

// --- what is shown --------------------------------------------------------------------------------

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function showOwn(text, messageId) {
  document.getElementById("empty")?.remove();
  const item = element("li", "message person");
  item.dataset.id = messageId;
  const said = element("div", "text typed", text);
  said.dir = "auto";
  item.append(said);
  messages.append(item);
  toEnd();
}

function showWriting(messageId) {
  messages.querySelector(`[data-unanswered="${CSS.escape(messageId)}"]`)?.remove();
  const item = element("li", "message agent writing");
  const meta = element("div", "meta");
  meta.append(element("span", "who", chat.dataset.agent));
  const said = element("div", "text");
  said.dir = "auto";
  item.append(meta, said);
  messages.append(item);
  toEnd();
  return item;
}

function append(writing, text) {
  const follows = isAtEnd();
  writing.querySelector(".text").append(text);
  if (follows) toEnd();
}

function showFailure(writing, error, messageId, text) {
  const notice = element("div", "notice");
  notice.setAttribute("role", "alert");
  notice.append(
    element("p", "", `${error.what}: ${error.why}.`),
    element("p", "quiet", `Next: ${error.next}`),
    retryButton(messageId, text),
  );
  writing.classList.remove("writing");
  writing.classList.add("failed");
  writing.dataset.unanswered = messageId;
  writing.querySelector(".text").replaceWith(notice);
  state.textContent = "The reply failed.";
  toEnd();
}

function retryButton(messageId, text) {
  const button = element("button", "quiet-button", "Retry");
  button.type = "button";
  button.dataset.retry = messageId;
  button.dataset.text = text;
  return button;
}

/** Put what the server stored in place of what was streamed: escaped there, with citations. */
async function showStored(writing, messageId) {
  const query = new URLSearchParams({ channel, message: messageId });
  const response = await fetch(`/fragments/exchange?${query}`);
  if (!response.ok) return;
  const follows = isAtEnd();
  const stored = new DOMParser().parseFromString(await response.text(), "text/html").body;
  localTimes(stored);
  messages.querySelector(`.person[data-id="${CSS.escape(messageId)}"]`)?.remove();
  writing.replaceWith(...stored.children);
  if (follows) toEnd();
}

function isAtEnd() {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 120;
}

function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
}

// --- what people do -------------------------------------------------------------------------------

function submit(event) {
  event.preventDefault();
  const text = field.value;
  if (running !== null || !text.trim()) return;
  const messageId = crypto.randomUUID();
  field.value = "";
  showOwn(text, messageId);
  turn(text, messageId);
}

function keyInField(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
}

function click(event) {
  const retry = event.target.closest("[data-retry]");
  if (retry && running === null) turn(retry.dataset.text, retry.dataset.retry).then(() => field.focus());
  const cited = event.target.closest("a[data-cites]");
  if (cited && cited.dataset.channel === channel) openCited(event, cited.dataset.cites);
}

function openCited(event, messageId) {
  const message = messages.querySelector(`[data-id="${CSS.escape(messageId)}"]`);
  if (!message || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  messages.querySelector(".marked")?.classList.remove("marked");
  message.classList.add("marked");
  message.scrollIntoView({ block: "center" });
  message.focus({ preventScroll: true });
}

function escapeKey(event) {
  if (event.key === "Escape") stopRunning();
}

/** After a reload in the middle of a reply: follow it again from its first word. */
function rejoin() {
  const { running: messageId, runningText: text } = chat.dataset;
  if (!messages.querySelector(`.person[data-id="${CSS.escape(messageId)}"]`)) showOwn(text, messageId);
  turn(text, messageId);
}

toEnd();
messages.addEventListener("click", click);
if (composer) {
  composer.addEventListener("submit", submit);
  field.addEventListener("keydown", keyInField);
  stop.addEventListener("click", stopRunning);
  document.addEventListener("keydown", escapeKey);
  send.disabled = false;
  if (chat.dataset.running) rejoin();
}
