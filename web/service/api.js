// Owns every call to the service, through the client package. Nothing else on the page knows a route.

import { createGateway } from '../vendor/gateway.js';
import { remember, remembered } from './storage.js';

const POSSIBLE_TOKEN = /^[\x21-\x7e]+$/;
const NO_CONTENT = 204;
let askForToken = async () => false;
let asking = null;
let clockOffsetMs = 0;
let reportReachable = () => {};

const gateway = createGateway({
  baseUrl: '',
  // Uploads do not go through `fetch`.
  token: () => remembered('token'),
  storage: null,
  fetch: authorisedFetch,
});

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

export const getHealth = () => gateway.request('/health');
export const getForm = (webappId) => gateway.form(webappId);
export const getAccounts = () => gateway.request('/accounts');
export const listWebapps = (query) => gateway.request('/webapps', { query });
export const listTasks = (query) => gateway.tasks(query);
export const getTask = (id, signal) => gateway.task(id, { signal });
export const followTask = (id, options) => gateway.follow(id, options);
export const cancelTask = (id) => gateway.cancel(id);
export const uploadFile = (file, options) => gateway.upload(file, options);

export const submitTask = (submission, key) => post('/submit_task', submission, key);
export const submitTasks = (tasks, key) => post('/submit_tasks', { tasks }, key);
export const rerunTask = (id, key) => post(`${taskPath(id)}/rerun`, undefined, key);
export const settleTask = (id, decision) =>
  gateway.request(`${taskPath(id)}/settle`, { method: 'POST', body: decision });

/** Responds when the status changes, or after `seconds`. */
export const waitForTask = (id, seconds, signal) =>
  gateway.request(taskPath(id), { query: { wait: seconds }, signal, timeoutMs: (seconds + 15) * 1000 });

export async function deleteTask(id) {
  try {
    await gateway.request(taskPath(id), { method: 'DELETE' });
  } catch (problem) {
    // The client expects JSON; a deletion has none to send.
    if (problem.status !== NO_CONTENT) throw problem;
  }
}

/** The bytes of an output as a file that can be uploaded again; its address is signed. */
export async function outputFile(url, name) {
  const response = await observedFetch(url);
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const blob = await response.blob();
  return new File([blob], name, { type: blob.type });
}

const taskPath = (id) => `/tasks/${encodeURIComponent(id)}`;

const post = (path, body, key) =>
  gateway.request(path, { method: 'POST', body, headers: { 'Idempotency-Key': key } });

/** Asks for the token where a call is refused for want of it, and sends the call again. */
async function authorisedFetch(url, init) {
  const token = remembered('token');
  const response = await observedFetch(url, withToken(init, token));
  if (response.status !== 401 || !(await isTokenNew(token))) return response;
  return authorisedFetch(url, init);
}

// A person may take longer to find the token than a call may take: then its time limit is over.
const withToken = ({ headers, signal, ...init }, token) => ({
  ...init,
  signal: signal?.aborted ? undefined : signal,
  headers: { ...headers, ...(token && { Authorization: `Bearer ${token}` }) },
});

/** Whether there is another token than the refused one; calls refused at the same time ask once. */
async function isTokenNew(refused) {
  if (remembered('token') !== refused) return true;
  asking ??= askForToken(Boolean(refused)).finally(() => (asking = null));
  return asking;
}

async function observedFetch(url, init) {
  try {
    const response = await fetch(url, init);
    reportReachable(true);
    keepClock(response);
    return response;
  } catch (error) {
    if (error.name !== 'AbortError') reportReachable(false);
    throw error;
  }
}

function keepClock(response) {
  const date = Date.parse(response.headers.get('Date'));
  if (!Number.isNaN(date) && Math.abs(date - Date.now()) > 2000) clockOffsetMs = date - Date.now();
}
