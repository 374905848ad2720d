// Receives the gateway's webhooks and verifies their signatures, without any package: node receiver.mjs
// Needs the gateway's WEBHOOK_SECRET in the environment; PORT is 7000 unless set.

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const TOLERANCE_S = 5 * 60;
const MAX_BYTES = 8 * 1024 * 1024;

/** Whether the body, as the bytes that arrived, was signed with one of the secrets in the last five minutes. */
export function isSigned(body, headers, secrets, now = Date.now()) {
  const id = headers['webhook-id'];
  const timestamp = headers['webhook-timestamp'];
  const signatures = headers['webhook-signature'];
  if (!id || !timestamp || !signatures) return false;
  if (!(Math.abs(now / 1000 - Number(timestamp)) <= TOLERANCE_S)) return false; // an old one may be a replay
  const given = signatures.split(' ').filter((signature) => signature.startsWith('v1,')).map((text) => decode(text.slice(3)));
  return secrets.some((secret) => {
    const expected = createHmac('sha256', decode(secret.replace(/^whsec_/, '')))
      .update(`${id}.${timestamp}.`).update(body).digest();
    return given.some((signature) => signature.length === expected.length && timingSafeEqual(signature, expected));
  });
}

const decode = (text) => Buffer.from(text, 'base64');

/** A server that hands each event to `use`, and again where `use` has failed. */
export function createReceiver(secrets, use) {
  const used = new Set(); // keep the ids in your database, so that a restart does not forget them
  return createServer(async (request, response) => {
    const end = (status) => response.writeHead(status).end();
    if (request.url === '/health') return end(200);
    if (request.method !== 'POST' || request.url !== '/webhooks/gateway') return end(404);
    // The bytes as they arrived. JSON.parse and JSON.stringify (or Express's `express.json()`) would give other bytes,
    // and the signature of those is another one.
    const body = await readBody(request);
    if (body === null) return end(413);
    if (!isSigned(body, request.headers, secrets)) return end(401);
    const id = request.headers['webhook-id']; // the same on every attempt of a delivery
    try {
      if (!used.has(id)) await use(JSON.parse(body)); // within 15 s: what takes longer is stored here and done later
      used.add(id);
      return end(204);
    } catch (error) {
      console.error(error);
      return end(500); // the gateway tries again
    }
  });
}

async function readBody(request) {
  const pieces = [];
  let bytes = 0;
  for await (const piece of request) {
    bytes += piece.length;
    if (bytes > MAX_BYTES) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** What your program does with an event. Events may arrive in another order than they happened. */
function print({ type, data: task }) {
  console.log(type, task.id, task.metadata, task.outputs.map((output) => output.url));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const secrets = process.env.WEBHOOK_SECRET.split(',').map((secret) => secret.trim());
  createReceiver(secrets, print).listen(Number(process.env.PORT ?? 7000), '127.0.0.1');
}
