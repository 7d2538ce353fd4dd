// Server-sent events over fetch: EventSource cannot POST.
"use strict";

/** Yield {name, data} for every event of a response body; data is parsed JSON. */
export async function* events(body) {
  let rest = "";
  for await (const piece of pieces(body)) {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) yield parsed(block);
  }
}

async function* pieces(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function parsed(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  return { name: fields.event, data: JSON.parse(fields.data) };
}
