// src/problem.ts
var GatewayProblem = class extends Error {
  constructor(code, message, status = 0, retryAfter2 = null, problem = {}, options) {
    super(message, options);
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter2;
    this.problem = problem;
  }
  name = "GatewayProblem";
  /** Which values or members are wrong, each with `msg` and `loc` or `nodeId` and `fieldName`. */
  get errors() {
    return this.problem.errors ?? [];
  }
  /** The task that the problem is about, where the gateway stored one. */
  get taskId() {
    return this.problem.task_id ?? null;
  }
};
var TaskFailure = class extends Error {
  constructor(task) {
    super(task.error?.message ?? `The task ended as ${task.status}.`);
    this.task = task;
    this.code = task.error?.code ?? task.status.toLowerCase();
  }
  name = "TaskFailure";
  code;
};
async function problemOf(response) {
  const body = await response.json().catch(() => null);
  if (typeof body?.code !== "string") return invalidResponse(response.status);
  return new GatewayProblem(body.code, body.detail, response.status, retryAfter(response.headers), body);
}
function invalidResponse(status) {
  return new GatewayProblem("invalid_response", `The response (HTTP ${status}) is not one of the gateway.`, status);
}
function isOutcomeUnknown(problem) {
  if (problem.code === "runninghub_not_configured") return false;
  return problem.status < 400 || problem.status >= 500;
}
function isDecisive(problem) {
  return problem.status < 500 && ![0, 401, 403, 429].includes(problem.status) && problem.code !== "invalid_response";
}
function isTemporary(problem) {
  return isOutcomeUnknown(problem) || problem.status === 429;
}
function retryAfter(headers) {
  const seconds = Number.parseInt(headers.get("Retry-After") ?? "", 10);
  return Number.isNaN(seconds) ? null : seconds;
}

// src/connection.ts
var TIMEOUT_MS = 3e4;
function connect(baseUrl, token, transport) {
  const base = baseUrl.replace(/\/+$/, "");
  async function attempt(path, options, bearer, read) {
    const url = base + path + queryString(options.query ?? {});
    return inTime(options, async (signal) => {
      const response = await (options.transport ?? transport)(url, requestInit(options, bearer, signal));
      if (!response.ok) throw await problemOf(response);
      return read(response);
    });
  }
  async function call(path, options, read) {
    if (typeof token !== "function") return attempt(path, options, token, read);
    const first = await token(null);
    try {
      return await attempt(path, options, first, read);
    } catch (error) {
      if (!(error instanceof GatewayProblem && error.status === 401)) throw error;
      const renewed = await token(first);
      if (!renewed || renewed === first) throw error;
      return attempt(path, options, renewed, read);
    }
  }
  return {
    baseUrl: base,
    open: (path, options = {}) => call(path, options, async (response) => response),
    json: (path, options = {}) => call(path, options, parsed)
  };
}
async function inTime(options, call) {
  const { signal, timeoutMs = TIMEOUT_MS } = options;
  signal?.throwIfAborted();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  try {
    return await call(signal ? AbortSignal.any([signal, limit.signal]) : limit.signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof GatewayProblem) throw error;
    if (limit.signal.aborted) throw new GatewayProblem("timeout", "The gateway did not respond in time.");
    throw new GatewayProblem("network", "The gateway could not be reached.", 0, null, {}, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}
async function parsed(response) {
  const text = await response.text();
  if (response.status === 204) return void 0;
  try {
    return JSON.parse(text);
  } catch {
    throw invalidResponse(response.status);
  }
}
function requestInit(options, token, signal) {
  const headers = { ...options.headers };
  if (token) headers["Authorization"] = `Bearer ${token}`;
  const init = { method: options.method ?? "GET", headers, signal, cache: "no-store" };
  if (options.body instanceof FormData) return { ...init, body: options.body };
  if (options.body === void 0) return init;
  return { ...init, headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(options.body) };
}
function queryString(query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== void 0 && item !== null) parameters.append(name, String(item));
    }
  }
  return parameters.size ? `?${parameters}` : "";
}

// src/events.ts
async function* readEvents(body, silenceMs) {
  let event = emptyEvent();
  for await (const line of lines(body, silenceMs)) {
    if (line !== "") addField(event, line);
    else {
      if (event.data.length) yield { ...event, data: event.data.join("\n") };
      event = emptyEvent();
    }
  }
}
var emptyEvent = () => ({ type: "message", data: [], id: "" });
function addField(event, line) {
  const [, name, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
  if (name === "event") event.type = value;
  else if (name === "data") event.data.push(value);
  else if (name === "id") event.id = value;
}
async function* lines(body, silenceMs) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (let isFirst = true; ; isFirst = false) {
      const { value, done } = await unlessSilent(reader.read(), silenceMs(isFirst));
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } finally {
    reader.cancel().catch(() => {
    });
  }
}
function unlessSilent(promise, ms) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("The event stream is silent.")), ms);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}

// src/pause.ts
var LONGEST_MS = 3e4;
function backoff(firstMs, failures) {
  return Math.min(firstMs * 2 ** (failures - 1), LONGEST_MS) * (0.75 + Math.random() / 2);
}
function retryDelay(problem, firstMs, failures) {
  return Math.max((problem.retryAfter ?? 0) * 1e3, backoff(firstMs, failures));
}
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

// src/follow.ts
var FINAL = ["SUCCESS", "FAILED", "CANCELLED", "SUBMIT_UNKNOWN"];
var WAIT_S = 25;
var SILENCE_MS = 4e4;
var FIRST_SILENCE_MS = 5e3;
var FRUITLESS_STREAMS = 2;
var isFinal = (status) => FINAL.includes(status);
var taskPath = (id) => `/tasks/${encodeURIComponent(id)}`;
function follow(connection, id, retryDelayMs, options) {
  return new Follower(connection, taskPath(id), retryDelayMs, options).run();
}
var Follower = class {
  constructor(connection, path, retryDelayMs, options) {
    this.connection = connection;
    this.path = path;
    this.retryDelayMs = retryDelayMs;
    this.options = options;
  }
  latest = null;
  lastEventId = "";
  /** Streams in a row that brought nothing. */
  fruitless = 0;
  /** Reads in a row that failed. */
  failures = 0;
  async run() {
    const { signal } = this.options;
    for (; ; ) {
      if (this.fruitless < FRUITLESS_STREAMS) await this.readStream().catch(() => signal?.throwIfAborted());
      if (this.latest && isFinal(this.latest.status)) return this.latest;
      await this.readOnce().catch((error) => this.waitAfter(error));
      if (this.latest && isFinal(this.latest.status)) return this.latest;
    }
  }
  async readStream() {
    this.fruitless += 1;
    const headers = this.lastEventId ? { "Last-Event-ID": this.lastEventId } : {};
    const { body } = await this.connection.open(`${this.path}/events`, { headers, signal: this.options.signal });
    const silenceMs = (isFirst) => isFirst && !headers["Last-Event-ID"] ? FIRST_SILENCE_MS : SILENCE_MS;
    for await (const event of readEvents(body, silenceMs)) {
      if (event.type !== "task") continue;
      this.fruitless = 0;
      this.lastEventId = event.id;
      const task = JSON.parse(event.data);
      this.accept(task);
      if (isFinal(task.status)) return;
    }
  }
  async readOnce() {
    const { signal } = this.options;
    const query = { wait: this.latest ? WAIT_S : 0 };
    const task = await this.connection.json(this.path, { query, signal, timeoutMs: (WAIT_S + 15) * 1e3 });
    if (!this.accept(task)) await pause(backoff(this.retryDelayMs, 1), signal);
  }
  /** Whether the task is another than before. */
  accept(task) {
    this.failures = 0;
    if (JSON.stringify(task) === JSON.stringify(this.latest)) return false;
    this.latest = task;
    this.options.onChange?.(task);
    return true;
  }
  async waitAfter(error) {
    if (!(error instanceof GatewayProblem && isTemporary(error))) throw error;
    this.failures += 1;
    this.options.onRetry?.(error);
    await pause(retryDelay(error, this.retryDelayMs, this.failures), this.options.signal);
  }
};

// src/runs.ts
var active = /* @__PURE__ */ new Map();
function openRuns(name, storage) {
  let unstored = null;
  function list() {
    if (unstored) return unstored;
    try {
      return JSON.parse(storage?.getItem(name) ?? "[]");
    } catch {
      return [];
    }
  }
  function save(runs) {
    try {
      storage.setItem(name, JSON.stringify(runs));
      unstored = null;
    } catch {
      unstored = runs;
    }
  }
  function find(path, body, idempotencyKey) {
    if (idempotencyKey) return list().find((run) => run.idempotencyKey === idempotencyKey);
    return list().find((run) => !run.taskId && !active.has(run.idempotencyKey) && isSameRequest(run, path, body));
  }
  function begin(path, members, idempotencyKey) {
    const body = JSON.parse(JSON.stringify(members));
    const known = find(path, body, idempotencyKey);
    if (known && isSameRequest(known, path, body)) return { run: known, isNew: false };
    if (known) throw new GatewayProblem("idempotency_key_reused", "An unfinished run has this key and other values.");
    const run = { idempotencyKey: idempotencyKey ?? newKey(), taskId: null, path, body };
    save([...list(), run]);
    return { run, isNew: true };
  }
  return {
    list,
    begin,
    accepted: (run, taskId) => save(list().map((other) => isSame(other, run) ? { ...run, taskId } : other)),
    forget: (run) => save(list().filter((other) => !isSame(other, run))),
    async whileActive(run, work) {
      const key = run.idempotencyKey;
      active.set(key, (active.get(key) ?? 0) + 1);
      try {
        return await work();
      } finally {
        const left = (active.get(key) ?? 1) - 1;
        if (left) active.set(key, left);
        else active.delete(key);
      }
    }
  };
}
function tabStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}
var isSame = (one, other) => one.idempotencyKey === other.idempotencyKey;
function isSameRequest(run, path, body) {
  return run.path === path && canonical(run.body) === canonical(body);
}
function canonical(body) {
  const inOrder = (members) => Object.entries(members).sort(([one], [other]) => one < other ? -1 : 1);
  return JSON.stringify(inOrder({ ...body, values: inOrder(body.values ?? {}) }));
}
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// src/upload.ts
var TIMEOUT_MS2 = 10 * 6e4;
async function upload(connection, file, options) {
  const { onProgress, signal, webappId } = options;
  const body = new FormData();
  body.append("file", file, "name" in file ? String(file.name) : "file");
  const transport = onProgress && "XMLHttpRequest" in globalThis ? { transport: withProgress(onProgress) } : {};
  const uploaded = await connection.json("/upload", {
    method: "POST",
    query: { webapp_id: webappId },
    body,
    signal,
    timeoutMs: TIMEOUT_MS2,
    ...transport
  });
  onProgress?.(1);
  return uploaded;
}
function withProgress(onProgress) {
  return (url, { method, headers, body, signal }) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
    request.onload = () => resolve(asResponse(request));
    request.onerror = () => reject(new TypeError("The upload failed."));
    request.onabort = () => reject(new DOMException("The upload was aborted.", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}
function asResponse(request) {
  const retryAfter2 = request.getResponseHeader("Retry-After");
  const headers = retryAfter2 ? { "Retry-After": retryAfter2 } : {};
  return new Response(request.responseText, { status: request.status, headers });
}

// src/gateway.ts
var SUBMIT_TRIES = 5;
function createGateway(options) {
  const { token = null, storage = tabStorage(), retryDelayMs = 500 } = options;
  const connection = connect(options.baseUrl, token, options.fetch ?? ((url, init) => fetch(url, init)));
  const runs = openRuns(`runninghub-gateway ${connection.baseUrl} ${options.user ?? ""}`, storage);
  const finish = (started, following) => runs.whileActive(started.run, () => finishRun({ connection, runs, retryDelayMs }, started, following));
  return {
    form: (webappId, { signal, ...members } = {}) => connection.json("/get_node_info", { method: "POST", body: { webappId, ...members }, signal }),
    workflowForm: (workflowId, { signal, ...members } = {}) => connection.json("/get_node_info", { method: "POST", body: { workflowId, ...members }, signal }),
    upload: (file, uploadOptions = {}) => upload(connection, file, uploadOptions),
    async run(form, { values = {}, idempotencyKey, signal, onChange, onRetry, ...members } = {}) {
      signal?.throwIfAborted();
      const body = { ...idOf(form), values, ...members };
      return finish(runs.begin("/submit_task", body, idempotencyKey), { signal, onChange, onRetry });
    },
    async rerun(taskId, { idempotencyKey, signal, onChange, onRetry } = {}) {
      signal?.throwIfAborted();
      return finish(runs.begin(`${taskPath(taskId)}/rerun`, {}, idempotencyKey), { signal, onChange, onRetry });
    },
    unfinished: runs.list,
    async resume(idempotencyKey, following = {}) {
      return finish({ run: unfinishedRun(runs, idempotencyKey), isNew: false }, following);
    },
    forget: (idempotencyKey) => runs.forget({ idempotencyKey }),
    tasks: (query = {}, { signal } = {}) => connection.json("/tasks", { query, signal }),
    task: (taskId, { signal } = {}) => connection.json(taskPath(taskId), { signal }),
    follow: (taskId, following = {}) => follow(connection, taskId, retryDelayMs, following),
    cancel: (taskId, { signal } = {}) => connection.json(`${taskPath(taskId)}/cancel`, { method: "POST", signal }),
    delete: (taskId, { signal } = {}) => connection.json(taskPath(taskId), { method: "DELETE", signal }),
    outputs: (task) => outputsOf(task, connection.baseUrl),
    request: connection.json
  };
}
function idOf(form) {
  if (typeof form === "string") return { webappId: form };
  return "workflowId" in form ? { workflowId: form.workflowId } : { webappId: form.webappId };
}
function outputsOf(task, baseUrl) {
  return task.outputs.map((output) => ({ ...output, url: baseUrl + output.url }));
}
function unfinishedRun(runs, idempotencyKey) {
  const run = runs.list().find((other) => other.idempotencyKey === idempotencyKey);
  if (!run) throw new RangeError("No unfinished run has this idempotency key.");
  return run;
}
async function finishRun(context, started, following) {
  const { connection, runs, retryDelayMs } = context;
  const { run } = started;
  const taskId = run.taskId ?? await submit(context, started, following);
  const task = await follow(connection, taskId, retryDelayMs, following).catch((error) => {
    if (error instanceof GatewayProblem && error.code === "task_not_found") runs.forget(run);
    throw error;
  });
  runs.forget(run);
  if (task.status !== "SUCCESS") throw new TaskFailure(task);
  return { task, outputs: outputsOf(task, connection.baseUrl) };
}
async function submit(context, { run, isNew }, following) {
  const { connection, runs, retryDelayMs } = context;
  let mayHaveArrived = !isNew;
  for (let tries = 1; ; tries += 1) {
    try {
      const taskId = await submitOnce(connection, run, following.signal);
      runs.accepted(run, taskId);
      return taskId;
    } catch (error) {
      if (!(error instanceof GatewayProblem)) throw error;
      mayHaveArrived ||= isOutcomeUnknown(error);
      if (!mayHaveArrived || isDecisive(error)) runs.forget(run);
      if (!mayHaveArrived || !isTemporary(error) || tries === SUBMIT_TRIES) throw error;
      following.onRetry?.(error);
      await pause(retryDelay(error, retryDelayMs, tries), following.signal);
    }
  }
}
async function submitOnce(connection, run, signal) {
  const headers = { "Idempotency-Key": run.idempotencyKey };
  try {
    const response = await connection.json(run.path, { method: "POST", body: run.body, headers, signal });
    return response.task_id;
  } catch (error) {
    if (error instanceof GatewayProblem && error.taskId) return error.taskId;
    throw error;
  }
}
export {
  GatewayProblem,
  TaskFailure,
  createGateway,
  isFinal
};
