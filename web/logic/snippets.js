// Owns the code for a run: the same call as the page makes, for a shell, a page and Python.

import { keyOf } from './fields.js';

const indented = (text, spaces) => text.replaceAll('\n', `\n${' '.repeat(spaces)}`);
const json = (value) => JSON.stringify(value, null, 2);

/** A text as one word for a POSIX shell. */
const shellQuoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** What the page sends, without what only the page needs. */
const callOf = ({ metadata: _, ...submission }) => submission;

export const LANGUAGES = ['curl', 'fetch', 'client', 'python'];

/** The code in one of LANGUAGES; `hasToken`: whether the service asks for a token. */
export function snippetOf(language, { origin, submission, hasToken }) {
  const parts = { origin, submission: callOf(submission), hasToken };
  return { curl: curlOf, fetch: fetchOf, client: clientOf, python: pythonOf }[language](parts);
}

function curlOf({ origin, submission, hasToken }) {
  // The response is sent when the task is final, or after 60 s with its id.
  const lines = [
    `curl '${origin}/submit_task?wait=60'`,
    hasToken && `  -H "Authorization: Bearer $GATEWAY_TOKEN"`,
    `  -H 'Content-Type: application/json'`,
    `  -H "Idempotency-Key: $(uuidgen)"`,
    `  -d ${shellQuoted(json(submission))}`,
  ];
  return lines.filter(Boolean).join(' \\\n');
}

function fetchOf({ origin, submission, hasToken }) {
  return `const gateway = '${origin}';
const headers = {${hasToken ? " Authorization: 'Bearer YOUR_TOKEN' " : ''}};

const response = await fetch(\`\${gateway}/submit_task\`, {
  method: 'POST',
  headers: { ...headers, 'Content-Type': 'application/json', 'Idempotency-Key': crypto.randomUUID() },
  body: JSON.stringify(${indented(json(submission), 2)}),
});
if (!response.ok) throw new Error((await response.json()).detail);
const { task_id } = await response.json();

let task;
do {
  task = await (await fetch(\`\${gateway}/tasks/\${task_id}?wait=60\`, { headers })).json();
} while (['PENDING', 'SUBMITTING', 'QUEUED', 'RUNNING'].includes(task.status));
console.log(task.status, task.outputs.map((output) => gateway + output.url));
`;
}

function clientOf({ origin, submission, hasToken }) {
  const token = hasToken ? ", token: 'YOUR_TOKEN'" : '';
  const { webappId, nodeInfoList, ...extras } = submission;
  const options = {
    values: Object.fromEntries(nodeInfoList.map((item) => [keyOf(item), item.fieldValue])),
    ...extras,
  };
  return `import { createGateway } from 'runninghub-gateway-client';

const gateway = createGateway({ baseUrl: '${origin}'${token} });
const { task, outputs } = await gateway.run('${webappId}', {
  ...${indented(json(options), 2)},
  onChange: (task) => console.log(task.status),
});
console.log(outputs);
`;
}

function pythonOf({ origin, submission, hasToken }) {
  const headers = hasToken ? '\n    headers={"Authorization": "Bearer YOUR_TOKEN"},' : '';
  return `import uuid

import httpx

gateway = httpx.Client(
    base_url="${origin}",${headers}
    timeout=70,
)
response = gateway.post(
    "/submit_task",
    headers={"Idempotency-Key": str(uuid.uuid4())},
    json=${indented(pythonLiteral(submission), 4)},
)
response.raise_for_status()
task = response.json() | {"id": response.json()["task_id"]}
while task["status"] in ("PENDING", "SUBMITTING", "QUEUED", "RUNNING"):
    task = gateway.get(f"/tasks/{task['id']}", params={"wait": 60}).json()
print(task["status"], [output["url"] for output in task["outputs"]])
`;
}

/** Only strings, lists and objects occur, whose JSON is Python as well. */
const pythonLiteral = (value) => JSON.stringify(value, null, 4);
