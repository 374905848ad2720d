// Owns an app's form: its fields, what they hold, and the problems next to them.

import { byId, el, newId } from './dom.js';
import { createField } from './fields.js';
import { say } from './i18n.js';
import { faultText, problemText } from './problems.js';
import { draftOf, keepDraft } from './storage.js';

// The machines that RunningHub offers by name, with their graphics memory.
const INSTANCES = { default: '24 GB', plus: '48 GB' };

const keyOf = ({ nodeId, fieldName }) => `${nodeId}.${fieldName}`;

export class Form {
  #app;
  #fields = new Map();
  #password;
  #instance;

  /** Draws the form of an app into the page, with what was typed into it before. */
  constructor(app) {
    this.#app = app;
    for (const node of app.nodeInfoList) {
      this.#fields.set(keyOf(node), { node, field: createField(node, () => this.#keep()) });
    }
    this.#password = app.accessEncrypted ? passwordField() : null;
    this.#instance = instanceField();
    const elements = [...this.#fields.values()].map(({ field }) => field.element);
    byId('fields').replaceChildren(
      ...[this.#password?.element, ...elements, this.#instance.element].filter(Boolean),
    );
    byId('no-fields').hidden = elements.length > 0;
    byId('form-alert').replaceChildren();
    this.#set(draftOf(app.webappId));
  }

  /** What POST /submit_task takes. */
  submission() {
    const instanceType = this.#instance.value();
    const accessPassword = this.#password?.value();
    return {
      webappId: this.#app.webappId,
      nodeInfoList: [...this.#fields.values()].map(({ node, field }) => valueOf(node, field)),
      ...(instanceType !== 'default' && { instanceType }),
      ...(accessPassword && { accessPassword }),
    };
  }

  /** Takes the values of an earlier task. */
  fill(nodeInfo) {
    this.#set(Object.fromEntries(nodeInfo.map((item) => [keyOf(item), item.fieldValue])));
    this.#keep();
    this.#clearProblems();
  }

  /** Back to the values that the app has saved. */
  reset() {
    this.#set({});
    keepDraft(this.#app.webappId, null);
    this.#clearProblems();
  }

  /** Marks what does not fit, goes to the first of it, and says whether all fits. */
  check() {
    this.#clearProblems();
    const wrong = [...this.#fields.values()]
      .map(({ field }) => ({ field, fault: field.fault() }))
      .filter(({ fault }) => fault);
    for (const { field, fault } of wrong) field.showProblem(say(fault.key, fault.values));
    wrong[0]?.field.focus();
    return wrong.length === 0;
  }

  /** Next to the fields that the problem names; what has no field here goes into the alert. */
  showProblem(problem) {
    const isKnown = (error) => this.#fields.has(keyOf(error));
    const known = problem.errors.filter(isKnown);
    for (const error of known) this.#fieldOf(error).showProblem(() => faultText(error.msg));
    if (known.length) this.#fieldOf(known[0]).focus();
    const others = problem.errors.filter((error) => error.nodeId && !isKnown(error));
    const lines = others.map((error) => el('p', {}, `${keyOf(error)}: `, () => faultText(error.msg)));
    byId('form-alert').replaceChildren(
      el('p', {}, () => problemText(problem)),
      ...lines,
    );
  }

  /** The service warns about one thing only: files left at the author's sample. */
  showWarnings(warnings) {
    for (const warning of warnings) this.#fieldOf(warning)?.showWarning?.(say('sampleWarning'));
  }

  /** Ends the uploads under way. */
  close() {
    for (const { field } of this.#fields.values()) field.close?.();
  }

  #fieldOf(error) {
    return this.#fields.get(keyOf(error))?.field;
  }

  #set(values) {
    for (const [key, { field, node }] of this.#fields) field.set(values[key] ?? node.fieldValue);
  }

  #keep() {
    const values = [...this.#fields].map(([key, { field }]) => [key, field.value()]);
    keepDraft(this.#app.webappId, Object.fromEntries(values));
  }

  #clearProblems() {
    byId('form-alert').replaceChildren();
    for (const { field } of this.#fields.values()) field.showProblem(null);
  }
}

function valueOf({ nodeId, fieldName, fieldType }, field) {
  return { nodeId, fieldName, fieldType, fieldValue: field.value() };
}

function passwordField() {
  const id = newId('field');
  const input = el('input', { id, type: 'password', autocomplete: 'off' });
  const label = el('label', { class: 'label', for: id }, say('accessPassword'));
  return { element: el('div', { class: 'field' }, label, input), value: () => input.value };
}

function instanceField() {
  const id = newId('field');
  const input = el('select', { id });
  for (const [value, memory] of Object.entries(INSTANCES)) {
    input.append(el('option', { value }, say(`instance_${value}`, { memory })));
  }
  const label = el('label', { class: 'label', for: id }, say('instance'));
  const body = el('div', { class: 'details-body' }, label, input);
  const element = el('details', { class: 'field' }, el('summary', {}, say('more')), body);
  return { element, value: () => input.value };
}
