// Owns every call to the service. Nothing else on the page knows a route.

import { remember, remembered } from './storage.js';

const POSSIBLE_TOKEN = /^[\x21-\x7e]+$/;
let askForToken = async () => false;
let asking = null;
let clockOffsetMs = 0;

/** An answer of 4xx or 5xx; `code` is the contract's stable word, or `network` when no answer came. */
export class Problem extends Error {
  constructor({ code, detail, errors, upstream, task_id }, retryAfter = null) {
    super(detail);
    Object.assign(this, { code, errors: errors ?? [], upstream, taskId: task_id, retryAfter });
  }
}

/** `ask(wasRefused)` shows a form for the token and resolves to whether one was given. */
export function onUnauthorized(ask) {
  askForToken = ask;
}

export const hasToken = () => Boolean(remembered('token'));
export const isPossibleToken = (text) => POSSIBLE_TOKEN.test(text);
export const setToken = (token) => remember('token', token);

/** Now by the service's clock: a browser's may be off by hours. */
export const serviceNow = () => Date.now() + clockOffsetMs;

export const getHealth = () => read('/health');
export const getApp = (webappId) => read('/get_node_info', post({ webappId }));
export const submitTask = (submission, key) =>
  read('/submit_task', post(submission, { 'Idempotency-Key': key }));
export const cancelTask = (id) => read(`${taskPath(id)}/cancel`, { method: 'POST' });
export const settleTask = (id, word) => read(`${taskPath(id)}/settle`, post(word));
export const waitForTask = (id, seconds, signal) => read(`${taskPath(id)}?wait=${seconds}`, { signal });

export function listTasks({ statuses = [], limit, cursor = null }) {
  const query = new URLSearchParams({ limit });
  for (const status of statuses) query.append('status', status);
  if (cursor) query.set('cursor', cursor);
  return read(`/tasks?${query}`);
}

/** The task's event stream; for readEvents of sse.js. EventSource could not send the token. */
export async function openEvents(id, signal) {
  const response = await answered(`${taskPath(id)}/events`, { signal });
  return response.body;
}

/** Passes a file through to RunningHub; `onProgress` gets 0 to 1. */
export async function uploadFile(file, onProgress, signal) {
  const token = remembered('token');
  const { status, body, retryAfter } = await sendFile(file, token, onProgress, signal);
  if (status === 401 && (await isTokenNew(token))) return uploadFile(file, onProgress, signal);
  if (status >= 400) throw asProblem(body, retryAfter);
  return body;
}

const taskPath = (id) => `/tasks/${encodeURIComponent(id)}`;

function post(body, headers = {}) {
  const json = { 'Content-Type': 'application/json' };
  return { method: 'POST', body: JSON.stringify(body), headers: { ...json, ...headers } };
}

async function read(path, options) {
  const response = await answered(path, options);
  return response.json();
}

async function answered(path, options = {}) {
  const token = remembered('token');
  const response = await reached(
    fetch(path, { ...options, headers: { ...options.headers, ...bearer(token) } }),
  );
  keepClock(response);
  if (response.status === 401 && (await isTokenNew(token))) return answered(path, options);
  if (!response.ok)
    throw asProblem(await response.json().catch(() => null), response.headers.get('Retry-After'));
  return response;
}

async function reached(request) {
  try {
    return await request;
  } catch (error) {
    throw error.name === 'AbortError' ? error : noAnswer();
  }
}

const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});
const noAnswer = () => new Problem({ code: 'network', detail: 'The service did not answer.' });
const asProblem = (body, retryAfter) =>
  body?.code
    ? new Problem(body, retryAfter)
    : new Problem({ code: 'internal_error', detail: 'No readable answer.' });

function keepClock(response) {
  const date = Date.parse(response.headers.get('Date'));
  if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 2000) clockOffsetMs = date - Date.now();
}

/** Whether there is another token than the one refused; calls refused at the same time ask once. */
async function isTokenNew(refused) {
  if (remembered('token') !== refused) return true;
  asking ??= askForToken(Boolean(refused)).finally(() => (asking = null));
  return asking;
}

// fetch() cannot tell how much of a body has been sent; XMLHttpRequest can.
function sendFile(file, token, onProgress, signal) {
  const request = new XMLHttpRequest();
  request.open('POST', '/upload');
  request.responseType = 'json';
  for (const [name, value] of Object.entries(bearer(token))) request.setRequestHeader(name, value);
  request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
  signal.addEventListener('abort', () => request.abort());
  const form = new FormData();
  form.append('file', file);
  return new Promise((resolve, reject) => {
    request.onload = () =>
      resolve({
        status: request.status,
        body: request.response,
        retryAfter: request.getResponseHeader('Retry-After'),
      });
    request.onerror = () => reject(noAnswer());
    request.onabort = () => reject(new DOMException('The upload was stopped.', 'AbortError'));
    request.send(form);
  });
}
