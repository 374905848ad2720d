// Owns every call to the service. Nothing else on the page knows a route.

import { remember, remembered } from './storage.js';

const POSSIBLE_TOKEN = /^[\x21-\x7e]+$/;
let askForToken = async () => false;
let asking = null;
let clockOffsetMs = 0;
let reportReachable = () => {};

/** A response of 4xx or 5xx; `code` is the contract's identifier, or `network` when none arrived. */
export class Problem extends Error {
  constructor({ code, detail, errors, upstream, task_id, status }, retryAfter = null) {
    super(detail);
    Object.assign(this, { code, errors: errors ?? [], upstream, taskId: task_id, status, retryAfter });
  }
}

/** `ask(wasRefused)` shows a form for the token and resolves to whether one was given. */
export function onUnauthorized(ask) {
  askForToken = ask;
}

/** `report(isReachable)` is called after every call. */
export function onReachable(report) {
  reportReachable = report;
}

export const hasToken = () => Boolean(remembered('token'));
export const isPossibleToken = (text) => POSSIBLE_TOKEN.test(text);
export const setToken = (token) => remember('token', token);

/** Now by the service's clock: a browser's may be off by hours. */
export const serviceNow = () => Date.now() + clockOffsetMs;

export const getHealth = () => read('/health');
export const getForm = (webappId, { refresh = false } = {}) =>
  read('/get_node_info', post({ webappId, ...(refresh && { refresh }) }));
export const getAccounts = () => read('/accounts');
export const getAccount = () => read('/account');
export const submitTask = (submission, key) =>
  read('/submit_task', post(submission, { 'Idempotency-Key': key }));
export const submitTasks = (tasks, key) => read('/submit_tasks', post({ tasks }, { 'Idempotency-Key': key }));
export const rerunTask = (id, key) =>
  read(`${taskPath(id)}/rerun`, { method: 'POST', headers: { 'Idempotency-Key': key } });
export const getTask = (id, signal) => read(taskPath(id), { signal });
export const waitForTask = (id, seconds, signal) => read(`${taskPath(id)}?wait=${seconds}`, { signal });
export const cancelTask = (id) => read(`${taskPath(id)}/cancel`, { method: 'POST' });
export const settleTask = (id, decision) => read(`${taskPath(id)}/settle`, post(decision));
export const deleteTask = (id) => responded(taskPath(id), { method: 'DELETE' });

export function listWebapps({ source, sort = null, limit, cursor = null }) {
  return read(`/webapps?${queryOf({ source, sort, limit, cursor })}`);
}

export function listTasks({ statuses = [], webappId, after, before, limit, cursor }, signal) {
  const query = queryOf({ limit, cursor, webapp_id: webappId, created_after: after, created_before: before });
  for (const status of statuses) query.append('status', status);
  return read(`/tasks?${query}`, { signal });
}

/** The task's event stream; for readEvents of sse.js. EventSource could not send the token. */
export async function openEvents(id, signal) {
  const response = await responded(`${taskPath(id)}/events`, { signal });
  return response.body;
}

/** The bytes of an output as a file that can be uploaded again. */
export async function outputFile(url, name) {
  const response = await responded(url);
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}

/** Passes a file through to RunningHub; `onProgress` gets 0 to 1. */
export async function uploadFile(file, { onProgress, signal, webappId = null }) {
  const token = remembered('token');
  const response = await sendFile(file, { token, onProgress, signal, webappId });
  if (response.status === 401 && (await isTokenNew(token)))
    return uploadFile(file, { onProgress, signal, webappId });
  if (response.status >= 400) throw asProblem(response.status, response.body, response.retryAfter);
  return response.body;
}

const taskPath = (id) => `/tasks/${encodeURIComponent(id)}`;

function queryOf(members) {
  const given = Object.entries(members).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  );
  return new URLSearchParams(given);
}

function post(body, headers = {}) {
  const json = { 'Content-Type': 'application/json' };
  return { method: 'POST', body: JSON.stringify(body), headers: { ...json, ...headers } };
}

async function read(path, options) {
  const response = await responded(path, options);
  return reached(response.json());
}

async function responded(path, options = {}) {
  const token = remembered('token');
  const response = await reached(
    fetch(path, { ...options, headers: { ...options.headers, ...bearer(token) } }),
  );
  reportReachable(true);
  keepClock(response);
  if (response.status === 401 && (await isTokenNew(token))) return responded(path, options);
  if (!response.ok) {
    const body = await response.json().catch(() => null);
    throw asProblem(response.status, body, response.headers.get('Retry-After'));
  }
  return response;
}

async function reached(request) {
  try {
    return await request;
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw noResponse();
  }
}

const bearer = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

function noResponse() {
  reportReachable(false);
  return new Problem({ code: 'network', detail: 'The service did not respond.' });
}

const asProblem = (status, body, retryAfter) =>
  body?.code
    ? new Problem({ ...body, status }, retryAfter)
    : new Problem({ code: 'unreadable', detail: `HTTP ${status}`, status });

function keepClock(response) {
  const date = Date.parse(response.headers.get('Date'));
  if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 2000) clockOffsetMs = date - Date.now();
}

/** Whether there is another token than the refused one; calls refused at the same time ask once. */
async function isTokenNew(refused) {
  if (remembered('token') !== refused) return true;
  asking ??= askForToken(Boolean(refused)).finally(() => (asking = null));
  return asking;
}

// fetch() cannot report how much of a body has been sent; XMLHttpRequest can.
function sendFile(file, { token, onProgress, signal, webappId }) {
  const request = new XMLHttpRequest();
  const query = queryOf({ webapp_id: webappId });
  request.open('POST', `/upload?${query}`);
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
    request.onerror = () => reject(noResponse());
    request.onabort = () => reject(new DOMException('The upload was cancelled.', 'AbortError'));
    request.send(form);
  });
}
