// One request to the gateway: its address, the token, a time limit, and every failure as a GatewayProblem.

import { GatewayProblem, invalidResponse, problemOf } from './problem.js';

const TIMEOUT_MS = 30_000;

/**
 * The token, or a function that returns it before every call. After a 401 the function is called once more with the
 * refused token; where it returns another one (a renewed JWT), the call is sent again.
 */
export type TokenSource = string | ((refused: string | null) => string | null | Promise<string | null>);

export interface RequestOptions {
  method?: string;
  /** Sent as JSON, unless it is a FormData. */
  body?: unknown;
  query?: Readonly<Record<string, unknown>>;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
  /** In place of `fetch`. */
  transport?: Transport;
}

export type Transport = (url: string, init: RequestInit) => Promise<Response>;

export interface Connection {
  readonly baseUrl: string;
  /** The response, of 2xx; the time limit covers the time to its headers. */
  open(path: string, options?: RequestOptions): Promise<Response>;
  /** The response's JSON; the time limit covers all of it. */
  json<T>(path: string, options?: RequestOptions): Promise<T>;
}

export function connect(baseUrl: string, token: TokenSource | null, transport: Transport): Connection {
  const base = baseUrl.replace(/\/+$/, '');

  async function tokenFor(refused: string | null): Promise<string | null> {
    return typeof token === 'function' ? token(refused) : token;
  }

  async function send(path: string, options: RequestOptions, signal: AbortSignal): Promise<Response> {
    const url = base + path + queryString(options.query ?? {});
    const sendWith = (bearer: string | null) =>
      (options.transport ?? transport)(url, requestInit(options, bearer, signal));
    const first = await tokenFor(null);
    const response = await sendWith(first);
    if (response.status !== 401 || typeof token !== 'function') return response;
    const renewed = await tokenFor(first);
    return renewed && renewed !== first ? sendWith(renewed) : response;
  }

  async function open(path: string, options: RequestOptions, signal: AbortSignal): Promise<Response> {
    const response = await send(path, options, signal);
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  return {
    baseUrl: base,
    open: (path, options = {}) => inTime(options, (signal) => open(path, options, signal)),
    json: (path, options = {}) => inTime(options, async (signal) => parsed(await open(path, options, signal))),
  };
}

/** Runs one call under its time limit and the caller's signal, whose reason is thrown when it aborts. */
async function inTime<T>(options: RequestOptions, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, timeoutMs = TIMEOUT_MS } = options;
  signal?.throwIfAborted();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), timeoutMs);
  try {
    return await call(signal ? AbortSignal.any([signal, limit.signal]) : limit.signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof GatewayProblem) throw error;
    if (limit.signal.aborted) throw new GatewayProblem('timeout', 'The gateway did not respond in time.');
    throw new GatewayProblem('network', 'The gateway could not be reached.', 0, null, {}, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function parsed<T>(response: Response): Promise<T> {
  const text = await response.text();
  try {
    return JSON.parse(text) as T;
  } catch {
    throw invalidResponse(response.status);
  }
}

function requestInit(options: RequestOptions, token: string | null, signal: AbortSignal): RequestInit {
  const headers: Record<string, string> = { ...options.headers };
  if (token) headers['Authorization'] = `Bearer ${token}`;
  const init: RequestInit = { method: options.method ?? 'GET', headers, signal, cache: 'no-store' };
  if (options.body instanceof FormData) return { ...init, body: options.body };
  if (options.body === undefined) return init;
  return { ...init, headers: { ...headers, 'Content-Type': 'application/json' }, body: JSON.stringify(options.body) };
}

function queryString(query: Readonly<Record<string, unknown>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null) parameters.append(name, String(item));
    }
  }
  return parameters.size ? `?${parameters}` : '';
}
