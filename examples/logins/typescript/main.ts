// A public page: visitors sign in with the site's own login, and its JWT is all that the gateway needs. With types.

import {
  createGateway, GatewayProblem, TaskFailure,
  type FinishedRun, type FollowOptions, type Gateway, type Task,
} from 'runninghub-gateway-client';

const WEBAPP_ID = '1992755951447109633'; // an id has too many digits for a JavaScript number

const signIn = document.querySelector<HTMLFormElement>('#sign-in')!;
const runForm = document.querySelector<HTMLFormElement>('#run')!;
const runButton = runForm.querySelector('button')!;
const status = document.querySelector<HTMLElement>('#status')!;
const results = document.querySelector<HTMLElement>('#results')!;
const taskList = document.querySelector<HTMLElement>('#tasks')!;

let gateway: Gateway;

signIn.addEventListener('submit', async (event) => {
  event.preventDefault();
  gateway = openGateway(value(signIn, 'service'), value(signIn, 'login'), value(signIn, 'user'));
  runForm.hidden = false;
  await attempt(showTasks);
  // What a reload interrupted goes on; the client never pays for it again.
  const [interrupted] = gateway.unfinished();
  if (interrupted) await attempt(() => follow((options) => gateway.resume(interrupted.idempotencyKey, options)));
});
runForm.addEventListener('submit', (event) => {
  event.preventDefault();
  const values = { '15.text': value(runForm, 'prompt') };
  void attempt(() => follow((options) => gateway.run(WEBAPP_ID, { values, ...options })));
});

/** A gateway that calls as `user`. Its token is fetched when it is first needed, and again when it has expired. */
function openGateway(baseUrl: string, loginUrl: string, user: string): Gateway {
  let token: string | null = null;
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
async function fetchToken(loginUrl: string, user: string): Promise<string> {
  const response = await fetch(`${loginUrl}/token?user=${encodeURIComponent(user)}`);
  const { access_token } = (await response.json()) as { access_token: string };
  return access_token;
}

/** Shows a run from its submit to its pictures. */
async function follow(start: (options: FollowOptions) => Promise<FinishedRun>): Promise<void> {
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

function show(task: Task): void {
  const reason = task.error ?? task.waiting; // why it did not succeed, or why it is not running yet
  status.textContent = reason ? `${task.status}: ${reason.message}` : task.status;
}

/** The visitor's own tasks: the gateway lists no others to them. */
async function showTasks(): Promise<void> {
  const { tasks } = await gateway.tasks({ limit: 10 });
  taskList.replaceChildren(...tasks.map((task) => {
    const text = `${task.node_info?.[0]?.fieldValue ?? ''}: ${task.status}`;
    return Object.assign(document.createElement('li'), { textContent: text });
  }));
}

async function attempt(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (error instanceof TaskFailure) return; // it has been shown as the task
    status.textContent = error instanceof GatewayProblem ? `${error.message} (${error.code})` : String(error);
  }
}

function value(form: HTMLFormElement, name: string): string {
  return (form.elements.namedItem(name) as HTMLInputElement).value;
}
