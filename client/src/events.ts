// Reads an event stream (text/event-stream) from fetch(): EventSource cannot send the token.

export interface StreamEvent {
  type: string;
  data: string;
  id: string;
}

/** Each event of a response's body; throws when nothing, not even a heartbeat, arrives for `silenceMs`. */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  silenceMs: (isFirst: boolean) => number,
): AsyncGenerator<StreamEvent> {
  let event = emptyEvent();
  for await (const line of lines(body, silenceMs)) {
    if (line !== '') addField(event, line);
    else {
      if (event.data.length) yield { ...event, data: event.data.join('\n') };
      event = emptyEvent();
    }
  }
}

const emptyEvent = () => ({ type: 'message', data: [] as string[], id: '' });

function addField(event: ReturnType<typeof emptyEvent>, line: string): void {
  const [, name, value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
  if (name === 'event') event.type = value;
  else if (name === 'data') event.data.push(value);
  else if (name === 'id') event.id = value;
}

async function* lines(
  body: ReadableStream<Uint8Array>,
  silenceMs: (isFirst: boolean) => number,
): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (let isFirst = true; ; isFirst = false) {
      const { value, done } = await unlessSilent(reader.read(), silenceMs(isFirst));
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop() ?? '';
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may be gone already
  }
}

function unlessSilent<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('The event stream is silent.')), ms);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}
