// Owns the opening of an app: its form is fetched once, and what was typed into it in this tab is still there.

import { getForm } from '../service/api.js';
import { form, openingId, openProblem, rememberNames } from './apps.js';
import { onBack } from './connection.js';
import { createForm, repeatUploads } from './form.js';

const forms = new Map();

onBack(() => {
  for (const opened of forms.values()) repeatUploads(opened);
});

export async function openApp(webappId) {
  if (form.value?.app.webappId === webappId) return;
  openProblem.value = null;
  openingId.value = webappId;
  try {
    const opened = forms.get(webappId) ?? createForm(await getForm(webappId));
    forms.set(webappId, opened);
    rememberNames([opened.app]);
    if (openingId.value === webappId) form.value = opened;
  } catch (problem) {
    if (openingId.value === webappId) openProblem.value = { problem, webappId };
  } finally {
    if (openingId.value === webappId) openingId.value = null;
  }
}

/** The open form, if it is this app's. */
export const formOf = (webappId) => (form.value?.app.webappId === webappId ? form.value : null);
