// Times in the reader's own zone, and a conversation list that is folded on a phone.
"use strict";

export function localTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.dateTime;
    time.textContent = format.format(new Date(time.dateTime));
  }
}

localTimes(document);
if (matchMedia("(max-width: 52rem)").matches) {
  document.querySelector("details.conversations")?.removeAttribute("open");
}
