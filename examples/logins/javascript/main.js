// A public page: visitors sign in with the site's own login, and its JWT is all that the gateway needs.

import { createGateway, TaskFailure } from '../../node_modules/runninghub-gateway-client/dist/gateway.js';

const WEBAPP_ID = '1992755951447109633'; // an id has too many digits for a JavaScript number

const signIn = document.querySelector('#sign-in');
const runForm = document.querySelector('#run');
const runButton = runForm.querySelector('button');
const status = document.querySelector('#status');
const results = document.querySelector('#results');
const taskList = document.querySelector('#tasks');

let gateway;

signIn.addEventListener('submit', async (event) => {
  event.preventDefault();
  const { service, login, user } = signIn.elements;
  gateway = openGateway(service.value, login.value, user.value);
  runForm.hidden = false;
  await attempt(showTasks);
  // What a reload interrupted goes on; the client never pays for it again.
  const [interrupted] = gateway.unfinished();
  if (interrupted) await attempt(() => follow((options) => gateway.resume(interrupted.idempotencyKey, options)));
});
runForm.addEventListener('submit', (event) => {
  event.preventDefault();
  const values = { '15.text': runForm.elements.prompt.value };
  attempt(() => follow((options) => gateway.run(WEBAPP_ID, { values, ...options })));
});

/** A gateway that calls as `user`. Its token is fetched when it is first needed, and again when it has expired. */
function openGateway(baseUrl, loginUrl, user) {
  let token = null;
  return createGateway({
    baseUrl,
    user,
    token: async (refused) => {
      if (token === refused) token = await fetchToken(loginUrl, user);
      return token;
    },
  });
}

/** With Supabase: `(await supabase.auth.getSession()).data.session.access_token`. */
async function fetchToken(loginUrl, user) {
  const response = await fetch(`${loginUrl}/token?user=${encodeURIComponent(user)}`);
  return (await response.json()).access_token;
}

/** Shows a run from its submit to its pictures. */
async function follow(start) {
  runButton.disabled = true;
  results.replaceChildren();
  try {
    const { outputs } = await start({ onChange: show });
    results.replaceChildren(...outputs.map(({ url }) => Object.assign(new Image(), { src: url, alt: 'Result' })));
  } finally {
    runButton.disabled = false;
    await showTasks();
  }
}

function show(task) {
  const reason = task.error ?? task.waiting; // why it did not succeed, or why it is not running yet
  status.textContent = reason ? `${task.status}: ${reason.message}` : task.status;
}

/** The visitor's own tasks: the gateway lists no others to them. */
async function showTasks() {
  const { tasks } = await gateway.tasks({ limit: 10 });
  taskList.replaceChildren(...tasks.map((task) => {
    const text = `${task.node_info?.[0]?.fieldValue ?? ''}: ${task.status}`;
    return Object.assign(document.createElement('li'), { textContent: text });
  }));
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof TaskFailure)) status.textContent = `${error.message} (${error.code})`;
  }
}
