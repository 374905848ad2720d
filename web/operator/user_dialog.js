// Owns the form of a user: name, expiry, limits, and the apps that may be run.

import { bodyOf, draftOf, faultsOf, LIMITS } from '../logic/users.js';
import { appName, knownApps, readApps, sources } from '../state/apps.js';
import { changeUser, createUser } from '../state/users.js';
import { html, useEffect, useId, useState } from '../ui/html.js';
import { t } from '../ui/i18n.js';
import { Button, Dialog, DialogHead, ProblemNote } from '../ui/parts.js';

export function UserDialog({ user, onClose, onCreated }) {
  const [draft, setDraft] = useState(() => draftOf(user));
  const [areFaultsShown, setFaultsShown] = useState(false);
  const [problem, setProblem] = useState(null);
  const [isBusy, setBusy] = useState(false);
  const change = (changes) => setDraft({ ...draft, ...changes });
  const faults = faultsOf(draft);
  const isFaulty = (name) => areFaultsShown && faults.has(name);
  const save = async (event) => {
    event.preventDefault();
    setFaultsShown(true);
    if (faults.size || isBusy) return;
    setBusy(true);
    setProblem(null);
    try {
      const body = bodyOf(draft);
      if (user) await changeUser(user.name, body);
      else return onCreated(body.name, await createUser(body));
      onClose();
    } catch (error) {
      setProblem(error);
    }
    return setBusy(false);
  };
  return html`
    <${Dialog} id="user" class="panel-dialog" labelledBy="user-title" onClose=${onClose}>
      <${DialogHead} id="user-title" title=${user ? t('userTitle', { name: user.name }) : t('newUser')} onClose=${onClose} />
      <form class="user-form" noValidate onSubmit=${save}>
        <div class="user-fields">
          ${!user && html`<${TextField} id="user-name" label=${t('userName')} hint=${t('userNameHint')} fault=${isFaulty('name') && t('userNameFault')} value=${draft.name} onValue=${(name) => change({ name })} />`}
          <div class="field">
            <label class="label" for="user-expires">${t('expires')}</label>
            <input id="user-expires" type="date" value=${draft.expires} onInput=${(event) => change({ expires: event.target.value })} />
          </div>
          <fieldset>
            <legend class="label">${t('limits')}</legend>
            <p class="hint">${t('limitsHint')}</p>
            <div class="fields">
              ${LIMITS.map(
                (name) =>
                  html`<${TextField} key=${name} isNumber label=${t(`limit_${name}`)} fault=${isFaulty(name) && t('mustBeNumber')} value=${draft.limits[name]} onValue=${(value) => change({ limits: { ...draft.limits, [name]: value } })} />`,
              )}
            </div>
          </fieldset>
          <${AppChoice} webappIds=${draft.webappIds} onChange=${(webappIds) => change({ webappIds })} />
        </div>
        <${ProblemNote} problem=${problem} />
        <div class="row end">
          <${Button} onClick=${onClose}>${t('no')}<//>
          <button class="button primary" id="save-user" aria-disabled=${isBusy ? 'true' : null}><span>${t(user ? 'save' : 'createUser')}</span></button>
        </div>
      </form>
    <//>
  `;
}

function TextField({ id: givenId, label, hint, fault, value, onValue, isNumber = false }) {
  const ownId = useId();
  const id = givenId ?? ownId;
  return html`
    <div class=${`field ${isNumber ? 'short' : ''}`}>
      <label class="label" for=${id}>${label}</label>
      <input
        id=${id}
        type="text"
        inputmode=${isNumber ? 'decimal' : null}
        autocomplete="off"
        spellcheck="false"
        aria-invalid=${fault ? 'true' : null}
        aria-describedby=${`${id}-note`}
        value=${value}
        onInput=${(event) => onValue(event.target.value)}
      />
      <p class=${fault ? 'problem' : 'hint'} id=${`${id}-note`} hidden=${!fault && !hint}>${fault || hint}</p>
    </div>
  `;
}

function AppChoice({ webappIds, onChange }) {
  useEffect(() => {
    for (const source of Object.values(sources)) if (!source.isLoaded.value) readApps(source);
  }, []);
  const known = [...sources.used.apps.value, ...sources.runninghub.apps.value, ...knownApps.value];
  const ids = [...new Set([...(webappIds ?? []), ...known.map((app) => app.webappId)])];
  const toggle = (id) =>
    onChange(webappIds.includes(id) ? webappIds.filter((other) => other !== id) : [...webappIds, id]);
  return html`
    <fieldset class="choice">
      <legend class="label">${t('allowedApps')}</legend>
      ${[true, false].map(
        (isEvery) => html`<label key=${isEvery}>
          <input type="radio" name="apps" checked=${(webappIds === null) === isEvery} onChange=${() => onChange(isEvery ? null : [])} />
          <span>${t(isEvery ? 'everyApp' : 'onlyTheseApps')}</span>
        </label>`,
      )}
      ${
        webappIds &&
        html`<ul class="app-choice" tabindex="0" aria-label=${t('onlyTheseApps')}>
          ${ids.map(
            (id) => html`<li key=${id}>
              <label><input type="checkbox" checked=${webappIds.includes(id)} onChange=${() => toggle(id)} /><span class="ellipsis">${appName(id) ?? t('someApp', { id })}</span></label>
            </li>`,
          )}
        </ul>`
      }
    </fieldset>
  `;
}
