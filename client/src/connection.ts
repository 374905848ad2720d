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

type Read<T> = (response: Response) => Promise<T>;

export interface Connection {
  readonly baseUrl: string;
  /** The response, of 2xx; the time limit covers the time to its headers. */
  open(path: string, options?: RequestOptions): Promise<Response>;
  /** The response's JSON; the time limit covers all of it. */
  json<T>(path: string, options?: RequestOptions): Promise<T>;
}

export function connect(baseUrl: string, token: TokenSource | null, transport: Transport): Connection {
  const base = baseUrl.replace(/\/+$/, '');

  async function attempt<T>(path: string, options: RequestOptions, bearer: string | null, read: Read<T>): Promise<T> {
    const url = base + path + queryString(options.query ?? {});
    return inTime(options, async (signal) => {
      const response = await (options.transport ?? transport)(url, requestInit(options, bearer, signal));
      if (!response.ok) throw await problemOf(response);
      return read(response);
    });
  }

  // The token is not part of the time limit: it may be a person who types it.
  async function call<T>(path: string, options: RequestOptions, read: Read<T>): Promise<T> {
    if (typeof token !== 'function') return attempt(path, options, token, read);
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
    json: (path, options = {}) => call(path, options, parsed),
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

async function parsed(response: Response) {
  const text = await response.text();
  if (response.status === 204) return undefined;
  try {
    return JSON.parse(text);
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
