// What the tests share: the gateway and the simulator that pytest started, and ways to break a connection.

import { createGateway } from '../dist/gateway.js';

export const GATEWAY_URL = process.env.GATEWAY_URL;
export const GUARDED_URL = process.env.GUARDED_URL;
export const TOKEN = process.env.GUARDED_TOKEN;
const SIMULATOR_URL = process.env.SIMULATOR_URL;

export const TEXT_TO_IMAGE = '1992755951447109633';
export const ALWAYS_FAILS = '1993104857600000005';
export const WORKFLOW = '1994208430000000101';

/** A gateway that keeps its unfinished runs to itself and does not wait long between attempts. */
export function testGateway(options = {}) {
  return createGateway({ baseUrl: GATEWAY_URL, retryDelayMs: 10, storage: memory(), ...options });
}

/** What a browser tab remembers across a reload. */
export function memory() {
  const items = new Map();
  return { getItem: (name) => items.get(name) ?? null, setItem: (name, value) => items.set(name, value) };
}

export async function resetSimulator(switches = {}) {
  await fetch(`${SIMULATOR_URL}/simulator/reset`, { method: 'POST' });
  await setSwitches(switches);
}

export async function setSwitches(switches) {
  const headers = { 'Content-Type': 'application/json' };
  await fetch(`${SIMULATOR_URL}/simulator/switches`, { method: 'PATCH', headers, body: JSON.stringify(switches) });
}

/** How many runs RunningHub has accepted: what was paid for. */
export async function paidRuns() {
  const counters = await fetch(`${SIMULATOR_URL}/simulator/counters`).then((response) => response.json());
  return counters.runs_accepted;
}

/** A fetch that hands each request to the first of `rules` that matches its path; a rule may be used up. */
export function fetchWith(...rules) {
  return (url, init) => {
    const rule = rules.find((candidate) => candidate.times > 0 && new URL(url).pathname.endsWith(candidate.path));
    if (!rule) return fetch(url, init);
    rule.times -= 1;
    return rule.respond(url, init);
  };
}

/** The request arrives, its response does not. */
export const loseResponse = (path, times = 1) => ({
  path, times,
  respond: async (url, init) => {
    await (await fetch(url, init)).text();
    throw new TypeError('fetch failed');
  },
});

/** The request does not arrive. */
export const block = (path, times = Infinity) => ({
  path, times,
  respond: async () => { throw new TypeError('fetch failed'); },
});

/** Something on the way responds in the gateway's place. */
export const respond = (path, body, init, times = 1) => ({ path, times, respond: async () => new Response(body, init) });
