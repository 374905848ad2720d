// In place of your login (Supabase, Clerk, Auth0, your own backend): whoever gives a name is signed in by that name.
// JWT_SECRET, at least 32 characters, must be the gateway's; PORT is 5174 unless set.

import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';

const SECRET = process.env.JWT_SECRET;
const LIFETIME_S = Number(process.env.LIFETIME_S ?? 300);

/** A token with the claims that Supabase's have: `sub` names the user, `exp` ends it. */
function signToken(user) {
  const part = (text) => Buffer.from(text).toString('base64url');
  const header = part(JSON.stringify({ alg: 'HS256', typ: 'JWT' }));
  const exp = Math.floor(Date.now() / 1000) + LIFETIME_S;
  const claims = part(JSON.stringify({ sub: user, aud: 'authenticated', role: 'authenticated', exp }));
  const signature = createHmac('sha256', SECRET).update(`${header}.${claims}`).digest('base64url');
  return `${header}.${claims}.${signature}`;
}

createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  if (pathname !== '/token') return response.writeHead(404).end();
  response.writeHead(200, { 'Content-Type': 'application/json', 'Access-Control-Allow-Origin': '*' });
  return response.end(JSON.stringify({ access_token: signToken(searchParams.get('user') ?? '') }));
}).listen(Number(process.env.PORT ?? 5174), '127.0.0.1');
