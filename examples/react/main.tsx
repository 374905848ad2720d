// Any app's form in React: its fields from the gateway, and its runs through the hook in useRun.ts.

import { StrictMode, useMemo, useState, type FormEvent } from 'react';
import { createRoot } from 'react-dom/client';
import {
  createGateway, type FieldValue, type FieldValues, type Gateway, type NodeField, type Output, type WebappForm,
} from 'runninghub-gateway-client';
import { useRun } from './useRun';

type ChangeField = (key: string, value: FieldValue) => void;

function Page() {
  const [service, setService] = useState('http://127.0.0.1:8000');
  const [token, setToken] = useState('');
  const gateway = useMemo(() => createGateway({ baseUrl: service, token }), [service, token]);
  return (
    <main>
      <h1>Any app in React</h1>
      <form>
        <label>Service <input type="url" value={service} onChange={(event) => setService(event.target.value)} /></label>
        <label>Access token, if it requires one
          <input type="password" autoComplete="off" value={token} onChange={(event) => setToken(event.target.value)} />
        </label>
      </form>
      <App key={service + token} gateway={gateway} />
    </main>
  );
}

function App({ gateway }: { gateway: Gateway }) {
  const [form, setForm] = useState<WebappForm | null>(null);
  const [values, setValues] = useState<FieldValues>({});
  const [problem, setProblem] = useState('');
  const { isRunning, task, outputs, error, trouble, run, cancel } = useRun(gateway);

  async function open(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const webappId = new FormData(event.currentTarget).get('webappId') as string;
    setProblem('');
    setValues({});
    setForm(await gateway.form(webappId).catch((reason: Error) => (setProblem(reason.message), null)));
  }

  function change(key: string, value: FieldValue) {
    setValues((current) => ({ ...current, [key]: value }));
  }

  const place = task?.queue_position ? `, number ${task.queue_position} in the queue` : '';
  const started = isRunning ? 'Submitting …' : '';
  const reason = trouble ?? error ?? task?.waiting;
  return (
    <>
      <form onSubmit={open}>
        <label>App id <input name="webappId" defaultValue="1992755951447109633" required /></label>
        <button>Show the form</button>
      </form>
      {form && (
        <form onSubmit={(event) => { event.preventDefault(); run(form.webappId, { values }); }}>
          <h2>{form.webappName}</h2>
          {form.nodeInfoList.map((field) => (
            <Field key={keyOf(field)} field={field} gateway={gateway} onChange={change} onProblem={setProblem} />
          ))}
          <button disabled={isRunning}>Run</button>
        </form>
      )}
      {isRunning && <button onClick={cancel} disabled={!task}>Cancel</button>}
      <p role="status">{[task ? task.status + place : started, reason?.message, problem].filter(Boolean).join(': ')}</p>
      <div id="results">{outputs.map((output) => <Result key={output.url} output={output} />)}</div>
    </>
  );
}

const keyOf = (field: NodeField) => `${field.nodeId}.${field.fieldName}`;

/** One field, uncontrolled: what is not changed is not sent, and runs with the value that the app's author saved. */
function Field({ field, gateway, onChange, onProblem }: {
  field: NodeField; gateway: Gateway; onChange: ChangeField; onProblem: (text: string) => void;
}) {
  const { input, fieldValue } = field;
  const key = keyOf(field);
  const changed = (event: { currentTarget: { value: string } }) => onChange(key, event.currentTarget.value);

  function upload(file: File | undefined) {
    if (!file) return;
    gateway.upload(file).then(({ fileName }) => onChange(key, fileName), (reason: Error) => onProblem(reason.message));
  }

  function control() {
    switch (input.type) {
      case 'textarea':
        return <textarea defaultValue={fieldValue} onChange={changed} />;
      case 'boolean':
        return <input type="checkbox" defaultChecked={fieldValue === 'true'} onChange={(e) => onChange(key, e.target.checked)} />;
      case 'select':
        return (
          <select defaultValue={fieldValue} onChange={changed}>
            {input.options?.map(({ value, label }) => <option key={value} value={value}>{label}</option>)}
          </select>
        );
      case 'integer':
      case 'number':
        return (
          <input type="number" defaultValue={fieldValue} step={input.step ?? 'any'} min={input.min ?? undefined}
            max={input.max ?? undefined} onChange={changed} />
        );
      case 'image': case 'audio': case 'video': case 'file':
        return <input type="file" accept={input.accept ?? undefined} onChange={(e) => upload(e.target.files?.[0])} />;
      case 'text':
        return <input defaultValue={fieldValue} onChange={changed} />;
    }
  }

  return <label>{input.label} {control()}</label>;
}

function Result({ output: { url, media_type, text } }: { output: Output }) {
  if (text !== null) return <pre>{text}</pre>;
  if (media_type.startsWith('image/')) return <img src={url} alt="Result" />;
  if (media_type.startsWith('video/')) return <video src={url} controls />;
  if (media_type.startsWith('audio/')) return <audio src={url} controls />;
  return <a href={url}>{url}</a>;
}

createRoot(document.querySelector('#root')!).render(<StrictMode><Page /></StrictMode>);
