// Owns the reading of an event stream (text/event-stream) from fetch(), which EventSource cannot do with a token.

// The service sends a heartbeat every 15 s, so after this long the connection is dead.
const SILENCE_MS = 40_000;
// The task itself comes at once, unless a proxy on the way holds the stream back.
const FIRST_SILENCE_MS = 5_000;

/** Each event of a response's body as `{type, data}`; throws when the connection falls silent. */
export async function* readEvents(body) {
  let event = { type: 'message', data: [] };
  for await (const line of lines(body)) {
    if (line === '') {
      if (event.data.length) yield { ...event, data: event.data.join('\n') };
      event = { type: 'message', data: [] };
    } else {
      addField(event, line);
    }
  }
}

function addField(event, line) {
  const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
  if (name === 'event') event.type = value;
  else if (name === 'data') event.data.push(value);
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let patience = FIRST_SILENCE_MS;
  try {
    for (;;) {
      const { value, done } = await inTime(reader.read(), patience);
      if (done) return;
      patience = SILENCE_MS;
      const parts = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop();
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function inTime(promise, ms) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('The stream fell silent.')), ms);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}
